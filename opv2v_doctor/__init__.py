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
        examined,
        for_each,
        note,
        warning,
    )
    from opv2v_doctor.state import fact
    from opv2v_doctor.target import Target
    from opv2v_doctor.text import Command, Override, Place, Text, counted, quoted, sentence
    from opv2v_doctor.threshold import Threshold

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
    "fact",
    "for_each",
    "note",
    "quoted",
    "sentence",
    "warning",
]

_ELSEWHERE = {  # than in check.py
    "fact": "state",
    "Target": "target",
    "Threshold": "threshold",
    **dict.fromkeys(("Command", "Override", "Place", "Text", "counted", "quoted", "sentence"), "text"),
}


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
