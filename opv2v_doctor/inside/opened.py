"""Opened: which file was opened last, so that a failure can be traced to what was being read."""

from __future__ import annotations

import os
import sys
from typing import Any

CODE = (".py", ".pyc", ".so")  # imported on the way

_last: list[str | None] = [None]


def last_opened() -> str | None:
    """The last file that was opened by Python and is no code, absolute; None where none was."""
    return _last[0]


def forget() -> None:
    """From here on, only what is opened from now counts."""
    _last[0] = None


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str) and not arguments[0].endswith(CODE):
        _last[0] = os.path.abspath(arguments[0])


sys.addaudithook(_hear)
