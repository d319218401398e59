"""Frames: the lines of a traceback, and the place of a line, as data."""

from __future__ import annotations

import traceback
from typing import TypedDict


class TracebackLine(TypedDict):
    """One line of a traceback."""

    file: str
    line: int
    function: str


class CodePlace(TypedDict):
    """A line of a file."""

    path: str
    line: int


def frames_of(problem: BaseException) -> list[TracebackLine]:
    """The traceback of an exception, outermost first."""
    return [
        {"file": frame.filename, "line": frame.lineno or 0, "function": frame.name}
        for frame in traceback.extract_tb(problem.__traceback__)
    ]
