"""Warnings: what the training does that it should not, told once an epoch for each group, with the step."""

from __future__ import annotations

from typing import Any

from .guard import Guard
from .lines import Lines
from .progress import Counters


class Warnings:
    """Writes warnings; each names what is wrong, the parameter group where there is one, and the place."""

    def __init__(self, lines: Lines, progress: Counters, guard: Guard) -> None:
        self.lines, self.progress, self.guard = lines, progress, guard
        self.told: set[tuple[str, Any, int | None]] = set()

    def note(self, what: str, message: str, **facts: Any) -> None:
        """Worth knowing, and perhaps as it shall be."""
        self(what, message, event="note", **facts)

    def __call__(self, what: str, message: str, event: str = "warning", **facts: Any) -> None:
        key = (what, facts.get("group"), self.progress.epoch)
        if key not in self.told:
            self.told.add(key)
            self.lines.event(event, what=what, message=message, **dict(self.progress.place(), **facts))
