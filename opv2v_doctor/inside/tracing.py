"""Questions about values: at which lines of the repository the arrays of one sample come to be."""

from __future__ import annotations

import os
import sys
import types
from typing import Any, Callable, Dict, Iterator, Tuple, TypedDict, cast

from .datasets import dataset_of
from .samples import SEED, View, array_of, begin, describe, turn_retries_off, views_at

SMALL = ((4, 4), (3, 4), (3, 3), (3,))
ENTRIES = 16  # of a list that are looked at
CALLERS = 6
MOST = 20_000


class Sighting(TypedDict):
    """A value that a line gave to a name, or returned: a small one whole, of a large one every so manieth."""

    file: str
    line: int
    function: str
    name: str
    given: bool  # to the function, by its caller
    callers: list[tuple[str, int]]  # lines of the repository, nearest first
    shape: list[int]
    numbers: list[float]  # of a small one
    grid: int | None  # of a large one: FOLDER/NUMBER.npy


class Trail(TypedDict):
    """One sample: its views, and the values on the way there."""

    views: list[View]
    sightings: list[Sighting]


def followed(expression: str, module_name: str, key: list[int], folder: str, root: str, grid: int) -> Trail:
    """Draw one sample, and follow poses and vectors in the repository's variables.

    Of large arrays at least so many rows and columns are kept, spread evenly; none is followed if that is 0.
    """
    dataset = dataset_of(expression, module_name)
    turn_retries_off(dataset)
    begin(dataset, SEED)
    os.makedirs(folder, exist_ok=True)
    follower, before = _Follower(os.path.realpath(root), folder, grid), sys.gettrace()
    sys.settrace(follower.enter)
    try:
        views = views_at(dataset, key)
    finally:
        sys.settrace(before)
    return {"views": [describe(view) for view in views], "sightings": follower.sightings}


class _Follower:
    """Looks at local variables after each line."""

    def __init__(self, root: str, folder: str, grid: int) -> None:
        self.sightings: list[Sighting] = []
        self._root, self._folder = root, folder
        self._ours: dict[str, bool] = {}
        self._grids: dict[bytes, int] = {}
        self._grid, self._barren = grid, cast(Barren, {})

    def _is_ours(self, path: str) -> bool:
        if path not in self._ours:
            whole = os.path.realpath(path)
            within = whole.startswith(self._root + os.sep) and "site-packages" not in whole
            self._ours[path] = within and os.path.isfile(whole)
        return self._ours[path]

    def enter(self, frame: types.FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        """What `sys.settrace` calls for each function."""
        if not self._is_ours(frame.f_code.co_filename) or len(self.sightings) > MOST:
            return None
        known: dict[str, bytes] = {}
        self._look(frame, frame.f_locals, known, frame.f_code.co_firstlineno, given=True)
        last = [frame.f_lineno]

        def step(frame: types.FrameType, event: str, result: Any) -> Any:
            if event == "line" or event == "return":
                self._look(frame, frame.f_locals, known, last[0])
                last[0] = frame.f_lineno
            if event == "return":
                self._look(frame, {"return": result}, {}, frame.f_lineno)
            return step

        return step

    def _look(
        self,
        frame: types.FrameType,
        named: dict[str, Any],
        known: dict[str, bytes],
        line: int,
        *,
        given: bool = False,
    ) -> None:
        for place, name, value in _arrays(named, self._barren, self._grid > 0):
            small = tuple(value.shape) in SMALL
            kept = value if small else _grid(value, self._grid)
            mark = kept.tobytes()
            if known.get(place) == mark:
                continue
            known[place] = mark
            self.sightings.append(
                {
                    "file": frame.f_code.co_filename,
                    "line": line,
                    "function": frame.f_code.co_name,
                    "name": name,
                    "given": given,
                    "callers": self._callers(frame),
                    "shape": list(value.shape),
                    "numbers": [float(number) for number in kept.ravel()] if small else [],
                    "grid": None if small else self._write(kept, mark),
                }
            )

    def _callers(self, frame: types.FrameType) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        above = frame.f_back
        while above is not None and len(found) < CALLERS:
            if self._is_ours(above.f_code.co_filename):
                found.append((above.f_code.co_filename, above.f_lineno))
            above = above.f_back
        return found

    def _write(self, grid: Any, mark: bytes) -> int:
        import numpy

        mark += repr((grid.shape, str(grid.dtype))).encode()
        if mark not in self._grids:
            self._grids[mark] = len(self._grids)
            numpy.save(os.path.join(self._folder, "{}.npy".format(self._grids[mark])), grid)
        return self._grids[mark]


Barren = Dict[
    int, Tuple[int, Any]
]  # what holds no array: its id, and size; kept, so that no other gets the id


def _arrays(named: dict[str, Any], barren: Barren, large: bool) -> Iterator[tuple[str, str, Any]]:
    """The arrays among some values, and in what those hold: where, the last name of it, and the array."""
    for name, value in list(named.items()):
        yield from _within(name, name, value, 2, barren, large)


def _within(
    place: str, name: str, value: Any, deep: int, barren: Barren, large: bool
) -> Iterator[tuple[str, str, Any]]:
    if isinstance(value, (str, int, float, type(None), type, types.ModuleType, types.FunctionType)):
        return
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        if tuple(value.shape) in SMALL or (large and _is_picture(tuple(value.shape))):
            array = array_of(value)
            if array.dtype.kind in "fiub":
                yield place, name, array
        return
    inner = _inner(value, name) if deep else None
    if inner is None or barren.get(id(value), (-1,))[0] == len(inner):
        return
    empty = True
    for key, word, each in inner:
        for found in _within(place + "." + key, word, each, deep - 1, barren, large):
            empty = False
            yield found
    if empty and deep == 2:
        barren[id(value)] = (len(inner), value)


def _inner(value: Any, name: str) -> list[tuple[str, str, Any]] | None:
    """What a container or an object holds, by name."""
    if isinstance(value, dict):
        return [(str(key), str(key), each) for key, each in list(value.items())]
    if isinstance(value, (list, tuple)):
        return [(str(number), name, each) for number, each in enumerate(value[:ENTRIES])]
    attributes = getattr(value, "__dict__", None)
    return [(key, key, each) for key, each in list(attributes.items())] if attributes else None


def _is_picture(shape: tuple[int, ...]) -> bool:
    """Whether it is an image, a map or a mask: (H, W), (H, W, 1 or 3) or (3, H, W)."""
    sides = [side for side in shape if side > ENTRIES]
    return len(sides) == 2 and len(shape) <= 3 and all(side in (1, 3) for side in shape if side not in sides)


def _grid(array: Any, least: int) -> Any:
    """Every so manieth row and column, channels last."""
    import numpy

    flat = numpy.moveaxis(array, 0, -1) if array.ndim == 3 and array.shape[0] in (1, 3) else array
    steps = [max(1, side // least) for side in flat.shape[:2]]
    return numpy.ascontiguousarray(flat[:: steps[0], :: steps[1]])
