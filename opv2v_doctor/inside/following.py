"""Following: the line of the script at which a value first is the wrong one that it wrote."""

from __future__ import annotations

import contextlib
import sys
from types import FrameType
from typing import Any, Callable, Iterator

from .frames import CodePlace
from .recording import is_theirs

MOST, DEEPEST = 64, 3  # entries of a container that are looked at, and levels of them
PROBES = 16  # numbers that are compared before all are
CLOSE = 1e-5  # relative to the largest; what is written in another precision is matched as it was written


class Wanted:
    """A wrong value in the forms that it may have on its way, and where it was first seen."""

    def __init__(self, forms: list[Any]) -> None:
        self.forms = {form.size: form.reshape(-1) for form in forms if form.size}
        self.place: CodePlace | None = None

    def is_in(self, value: Any) -> bool:
        """Whether a tensor or an array is one of the forms."""
        import numpy

        size = value.numel() if hasattr(value, "numel") else value.size
        form = self.forms.get(size)
        if form is None:
            return False
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
        if value.dtype.kind not in "fiub":
            return False
        flat = value.reshape(-1)
        step = max(1, size // PROBES)
        bound = CLOSE * max(1e-6, float(numpy.abs(form[numpy.isfinite(form)]).max(initial=0.0)))
        alike = [
            numpy.allclose(flat[::every].astype(float), form[::every], rtol=0, atol=bound, equal_nan=True)
            for every in (step, 1)[: 1 if step == 1 else 2]
        ]
        return all(alike)


class Follower:
    """Looks at what every line of the repository and the script leaves behind."""

    def __init__(self, wanted: list[Wanted]) -> None:
        self.wanted = wanted
        self.lines: dict[int, int] = {}  # of each frame, the line that it is at
        self.before: list[Any] = []  # what was there when `infer` returned: no later line has made it
        self.known: set[int] = set()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        if not is_theirs(frame.f_code.co_filename):
            return None
        number = id(frame)
        before = self.lines.get(number, frame.f_lineno)
        if event in ("line", "return"):
            self.look(list(frame.f_locals.values()), frame, before)
        if event == "return":
            self.look([argument], frame, frame.f_lineno)
            self.lines.pop(number, None)
        else:
            self.lines[number] = frame.f_lineno
        return self

    def look(self, values: list[Any], frame: FrameType, line: int) -> None:
        """Whether one of the values is wanted: then the line that was executed last has made it."""
        open_ones = [one for one in self.wanted if one.place is None]
        for value in arrays_in(values) if open_ones else ():
            for one in open_ones:
                if one.place is None and id(value) not in self.known and one.is_in(value):
                    one.place = {"path": frame.f_code.co_filename, "line": line}


def arrays_in(values: Any, level: int = 0) -> Iterator[Any]:
    """The arrays and tensors among values, and in containers and plain objects of them."""
    for value in values:
        if hasattr(value, "dtype") and hasattr(value, "reshape"):
            yield value
        elif level < DEEPEST:
            inner = _inner(value)
            if inner is not None and len(inner) <= MOST:
                yield from arrays_in(inner, level + 1)


def _inner(value: Any) -> list[Any] | None:
    if isinstance(value, dict):
        return list(dict.values(value))
    if isinstance(value, (list, tuple)):
        return list(value)
    module = getattr(type(value), "__module__", "")
    own = getattr(value, "__dict__", None)
    is_plain = isinstance(own, dict) and module.partition(".")[0] not in ("torch", "numpy", "builtins")
    return list(own.values()) if is_plain and own and not isinstance(value, type(sys)) else None


@contextlib.contextmanager
def following(wanted: list[Wanted]) -> Iterator[Callable[[Any], None]]:
    """What begins to follow, once `infer` has returned, with the frames that run by then, until the end."""
    follower = Follower(wanted)

    def begin(predictions: Any) -> None:
        follower.before = list(arrays_in([predictions]))
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if is_theirs(frame.f_code.co_filename):
                frame.f_trace = follower
                follower.before += arrays_in(list(frame.f_locals.values()))
                follower.lines[id(frame)] = frame.f_lineno
            frame = frame.f_back
        follower.known = {id(value) for value in follower.before}
        sys.settrace(follower)

    before = sys.gettrace()
    try:
        yield begin
    finally:
        sys.settrace(before)
