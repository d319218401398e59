"""The guard: whatever goes wrong in the watch, the training goes on; each error is recorded once."""

import contextlib
import traceback


class Stop(SystemExit):
    """The training must not go on; not an Exception, so that the guard lets it through."""


class Guard:
    """Calls functions of the watch; an error of theirs becomes an event."""

    def __init__(self, lines):
        self.lines = lines
        self.told = set()

    def __call__(self, function, *args, **kwargs):
        """What the function returns, None where it raised."""
        try:
            return function(*args, **kwargs)
        except Exception as problem:
            self.tell(getattr(function, "__qualname__", repr(function)), problem)
            return None

    def tell(self, place, problem):
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
