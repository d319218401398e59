"""opv2v-doctor examines a training before it starts: the public names that a check needs."""

from opv2v_doctor.check import (
    Blocked,
    Check,
    Finding,
    Findings,
    Severity,
    Skip,
    Tier,
    check,
    error,
    note,
    warning,
)
from opv2v_doctor.target import Target

__version__ = "0.1.0"

__all__ = [
    "Blocked",
    "Check",
    "Finding",
    "Findings",
    "Severity",
    "Skip",
    "Target",
    "Tier",
    "__version__",
    "check",
    "error",
    "note",
    "warning",
]
