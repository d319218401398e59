"""Collation: what a batch holds against the samples that it was made of, key by key."""

from __future__ import annotations

import itertools
from typing import Any, Iterator, Mapping, Sequence, TypedDict

EXACT = 1e-6  # of a value: float64 that became float32
ALMOST = 2e-2  # of a value: a float of 16 bits or 8
SCALED = 1e-3  # of a factor, between the values that it is taken from
LOOKED_AT = 20_000  # values of an array that are compared in search of a reason


class KeyChange(TypedDict):
    """What became of a key; `number` is the factor, the offset or the bound where there is one."""

    key: str
    kind: str
    number: float | None
    given: str
    made: str


def changes_of(given: Sequence[Any], made: Any) -> list[KeyChange]:
    """Every key that does not hold in the batch what the samples hold, once for each kind of change."""
    found = list(_compare(list(given), made, ""))
    moved = _moved(given, made) if found else []
    return distinct(moved if moved is not None and (moved or _only_moved(found)) else found)


def distinct(changes: Sequence[KeyChange]) -> list[KeyChange]:
    """The first change of each kind that every key has."""
    kept: list[KeyChange] = []
    for change in changes:
        if not any((one["key"], one["kind"]) == (change["key"], change["kind"]) for one in kept):
            kept.append(change)
    return kept


def _only_moved(changes: Sequence[KeyChange]) -> bool:
    return all(change["kind"] in ("moved", "other") for change in changes)


def _compare(given: list[Any], made: Any, key: str) -> Iterator[KeyChange]:
    """Nodes of all samples against the node of the batch that stands for them."""
    first = given[0]
    if isinstance(first, Mapping):
        yield from _mappings(given, made, key)
    elif isinstance(first, (list, tuple)) and not hasattr(made, "shape"):
        if not isinstance(made, (list, tuple)):
            yield _change(key, "structure", first, made)
        elif len(made) != len(first):
            yield _change(key, "structure" if key else "views", first, made)
        elif all(len(one) == len(first) for one in given):
            for place, part in enumerate(made):
                yield from _compare([one[place] for one in given], part, key)
    else:
        yield from _rows(given, made, key)


def _mappings(given: list[Any], made: Any, key: str) -> Iterator[KeyChange]:
    if not isinstance(made, Mapping):
        yield _change(key, "structure", given[0], made)
        return
    for name in given[0]:
        if name not in made:
            yield _change(str(name), "dropped", given[0][name], None)
        elif all(name in one for one in given):
            yield from _compare([one[name] for one in given], made[name], key or str(name))


def _rows(given: list[Any], made: Any, key: str) -> Iterator[KeyChange]:
    if not hasattr(made, "__len__") or isinstance(made, str) or _length(made) != len(given):
        if not _is_value(given[0]) or (len(given) == 1 and _difference(given[0], made) is None):
            return
        yield _change(key, "structure", given[0], made)
        return
    for place, one in enumerate(given):
        difference = _difference(one, made[place])
        if difference is not None:
            kind, number = difference
            others = (other for other in given if other is not one)
            if kind == "other" and any(_difference(other, made[place]) is None for other in others):
                kind = "moved"
            yield _change(key, kind, one, made[place], number)


def _length(made: Any) -> int:
    shape = getattr(made, "shape", None)
    return (int(shape[0]) if len(shape) else -1) if shape is not None else len(made)


def _is_value(value: Any) -> bool:
    return hasattr(value, "shape") or isinstance(value, (str, int, float, bool))


def _moved(given: Sequence[Any], made: Any) -> list[KeyChange] | None:
    """The keys whose values came from another view or sample than those of most; None where that is not so.

    Samples in another order, or views, are no fault as long as all that belongs together moves together.
    """
    views = [sample for sample in given if isinstance(sample, (list, tuple))]
    if (
        len(views) != len(given)
        or not isinstance(made, (list, tuple))
        or not views
        or len(made) != len(views[0])
    ):
        return None
    if not all(isinstance(view, Mapping) for view in [*made, *itertools.chain(*views)]):
        return None
    places = list(itertools.product(range(len(given)), range(len(made))))
    sources: dict[str, list[set[tuple[int, int]]]] = {}
    for key in made[0]:
        if not all(key in view and _is_value(view[key]) for view in itertools.chain(*views)):
            continue
        if any(key not in view or _length_of(view[key]) != len(given) for view in made):
            continue
        sources[key] = [
            {(b, v) for b, v in places if _difference(views[b][v][key], made[view][key][sample]) is None}
            for sample, view in places
        ]
    if not sources or not all(all(found) for found in sources.values()):
        return None
    shared = [set.intersection(*(found[n] for found in sources.values())) for n in range(len(places))]
    if all(shared):
        return []
    telling = min(sources, key=lambda key: sum(map(len, sources[key])))
    apart = [
        key
        for key, found in sources.items()
        if any(not found[n] & sources[telling][n] for n in range(len(places)))
    ]
    own = [
        key for key, found in sources.items() if any(place not in found[n] for n, place in enumerate(places))
    ]
    return [_change(key, "mixed", views[0][0][key], made[0][key][0]) for key in own or apart]


def _length_of(value: Any) -> int:
    return _length(value) if hasattr(value, "__len__") and not isinstance(value, str) else -1


def _change(key: str, kind: str, given: Any, made: Any, number: float | None = None) -> KeyChange:
    return {"key": key, "kind": kind, "number": number, "given": _form(given), "made": _form(made)}


def _form(value: Any) -> str:
    if hasattr(value, "shape"):
        return "%s %s" % (str(value.dtype).replace("torch.", ""), tuple(value.shape))
    if isinstance(value, (list, tuple)):
        return "%s of %d" % (type(value).__name__, len(value))
    return type(value).__name__


def _difference(given: Any, made: Any) -> tuple[str, float | None] | None:
    """How one value differs from what the dataset gave; None where it is that value."""
    if isinstance(given, (str, type(None))) or isinstance(made, (str, type(None))):
        return None if given == made or not isinstance(given, str) else ("other", None)
    if not _is_value(given) or not _is_value(made):
        return None
    one, other = as_array(given), as_array(made)
    if one.shape != other.shape:
        return _difference_of_shapes(one, other)
    if _same(one, other):
        return None
    return _difference_of_values(one, other)


def as_array(value: Any) -> Any:
    """A tensor or a number as an array; all that is no number as text."""
    import numpy

    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value
    array = numpy.asarray(value)
    return array if array.dtype.kind in "biuf" else array.astype(str)


def _same(one: Any, other: Any, tolerance: float = EXACT) -> bool:
    import numpy

    if one.shape != other.shape:
        return False
    if numpy.array_equal(one, other):
        return True
    if one.dtype.kind not in "biuf" or other.dtype.kind not in "biuf":
        return False
    return bool(
        numpy.allclose(one.astype(float), other.astype(float), rtol=tolerance, atol=0, equal_nan=True)
    )


def _difference_of_shapes(one: Any, other: Any) -> tuple[str, float | None] | None:
    import numpy

    if one.size == other.size:
        if _same(one.reshape(-1), other.reshape(-1)):
            return None  # an axis of one more or less
        for axes in itertools.permutations(range(one.ndim)):
            if one.ndim <= 4 and _same(
                numpy.transpose(one, axes), other.reshape(-1).reshape(numpy.transpose(one, axes).shape)
            ):
                return ("channels moved" if _keeps_the_picture(one.shape, axes) else "transposed"), None
    if one.ndim == other.ndim and all(a <= b for a, b in zip(one.shape, other.shape)):
        corner = other[tuple(slice(0, size) for size in one.shape)]
        if _same(one, corner):
            return None  # padded to the size of others
    return "size", None


def _keeps_the_picture(shape: Sequence[int], axes: Sequence[int]) -> bool:
    """Whether only a short axis, such as that of the colours, went elsewhere."""
    long = [axis for axis in axes if shape[axis] > 4]
    return long == sorted(long)


def _difference_of_values(one: Any, other: Any) -> tuple[str, float | None]:
    """The simplest thing that makes one array of another of its shape."""
    import numpy

    if one.dtype.kind not in "biuf" or other.dtype.kind not in "biuf":
        return "other", None
    for axis in range(one.ndim):
        if one.shape[axis] > 1 and _same(numpy.flip(one, axis), other):
            return "flipped", None
    for axes in itertools.permutations(range(one.ndim)) if 1 < one.ndim <= 4 else ():
        turned = numpy.transpose(one, axes)
        if turned.shape == other.shape and _same(turned, other):
            return "transposed", None
    step = max(1, one.size // LOOKED_AT)
    first = one.reshape(-1)[::step].astype(float)
    second = other.reshape(-1)[::step].astype(float)
    known = numpy.isfinite(first) & numpy.isfinite(second)
    return _arithmetic(first[known], second[known]) if known.any() else ("other", None)


def _arithmetic(first: Any, second: Any) -> tuple[str, float | None]:
    """What was done to finite numbers."""
    import numpy

    if _near(first, second, EXACT):
        return "filled", None
    factor = float(numpy.median(second[first != 0] / first[first != 0])) if first.any() else 0.0
    if factor and abs(factor - 1) > SCALED and numpy.allclose(second, first * factor, rtol=SCALED, atol=1e-9):
        return "scaled", factor
    if _near(first, second, ALMOST):
        return "rounded", None
    offset = float(numpy.median(second - first))
    if numpy.allclose(second, first + offset, rtol=SCALED, atol=SCALED * (abs(offset) or 1)):
        return "shifted", offset
    for bound, clipped in ((second.max(), numpy.minimum), (second.min(), numpy.maximum)):
        if numpy.allclose(clipped(first, bound), second, rtol=EXACT):
            return "clipped", float(bound)
    return "other", None


def _near(first: Any, second: Any, tolerance: float) -> bool:
    import numpy

    scale = float(numpy.abs(first).max()) or 1.0
    return bool(numpy.allclose(first, second, rtol=tolerance, atol=tolerance * scale * 0.01))
