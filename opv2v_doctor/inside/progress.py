"""Progress: what is told to the doctor while it waits for an answer."""

from __future__ import annotations

from typing import Callable

_listeners: list[Callable[[str, int, int], None]] = []


def report_to(listener: Callable[[str, int, int], None]) -> None:
    """Let this one hear of all that follows."""
    _listeners.append(listener)


def advance(what: str, done: int, total: int) -> None:
    """Say how far a long answer is."""
    for listener in _listeners:
        listener(what, done, total)
