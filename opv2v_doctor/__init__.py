"""opv2v-doctor examines a training before it starts: the public names that a check needs.

They are imported when they are asked for: the program isolates itself before it imports anything (see
`isolation.py`), and `opv2v-doctor --help` needs none of them.
"""

import sys

TYPE_CHECKING = False  # as in typing, which is a file that another one may hide
if TYPE_CHECKING:
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
    from opv2v_doctor.merging import one_finding_a_cause
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
    "one_finding_a_cause",
    "warning",
]

_ELSEWHERE = {"Target": "target", "one_finding_a_cause": "merging"}  # than in check.py


def __getattr__(name: str) -> object:
    """A public name, from the module that defines it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"opv2v_doctor.{_ELSEWHERE.get(name, 'check')}"), name)


class _Package(type(sys)):  # type: ignore[misc]
    """This package: its `check` is the decorator, whoever imports the module of that name, and whenever."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, getattr(value, "check", value) if name == "check" else value)


sys.modules[__name__].__class__ = _Package
