"""opv2v-doctor examines a training before it starts: the public names that a check needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    examined,
    note,
    warning,
)
from opv2v_doctor.text import Command, Override, Place, Text, counted, quoted, sentence
from opv2v_doctor.threshold import Threshold

if TYPE_CHECKING:
    from opv2v_doctor.target import Target

__version__ = "0.1.0"

__all__ = [
    "Blocked",
    "Check",
    "Command",
    "Finding",
    "Findings",
    "Override",
    "Place",
    "Severity",
    "Skip",
    "Target",
    "Text",
    "Threshold",
    "Tier",
    "__version__",
    "check",
    "counted",
    "error",
    "examined",
    "note",
    "quoted",
    "sentence",
    "warning",
]


def __getattr__(name: str) -> object:
    """Target comes with the settings, which `opv2v-doctor --help` need not load."""
    if name != "Target":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from opv2v_doctor.target import Target

    return Target
