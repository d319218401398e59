"""The guard: whatever goes wrong in the watch, the training goes on; each error is recorded once."""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING, Any, Callable, TypeVar

if TYPE_CHECKING:
    from .lines import Lines

R = TypeVar("R")


class StopTraining(SystemExit):
    """The training must not go on; not an Exception, so that the guard lets it through."""


class Guard:
    """Calls functions of the watch; an error of theirs becomes an event."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.told: set[str] = set()

    def __call__(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> R | None:
        """What the function returns, None where it raised."""
        try:
            return function(*args, **kwargs)
        except Exception as problem:
            self.tell(getattr(function, "__qualname__", repr(function)), problem)
            return None

    def tell(self, place: str, problem: BaseException) -> None:
        """Record the first error of a place."""
        if place in self.told:
            return
        self.told.add(place)
        frames = traceback.extract_tb(problem.__traceback__)[-3:]
        with contextlib.suppress(Exception):  # of a full disk, most likely: there is nowhere to say so
            self.lines.event(
                "watch failed",
                place=place,
                error="{}: {}".format(type(problem).__name__, problem),
                frames=["{}:{}".format(frame.filename, frame.lineno) for frame in frames],
            )
