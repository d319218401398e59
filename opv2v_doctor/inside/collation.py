"""Collation: what a batch holds against the samples that it was made of, key by key."""

from __future__ import annotations

import itertools
from typing import Any, Dict, Iterator, Mapping, Sequence, Set, Tuple, TypedDict

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
    """Every key that does not hold in the batch what the samples hold, once for each kind of change.

    Samples in another order, or views, are no change as long as all that belongs together moves together.
    """
    found = list(_compare(list(given), made, ""))
    places = _sources(given, made) if found else {}
    if places:
        order, apart = _common(places)
        moved = [[given[b][v] for b, v in row] for row in order]
        found = [change for change in _compare(moved, made, "") if change["key"] not in apart]
        found += [_change(key, "mixed", given[0][0][key], made[0][key][0]) for key in apart]
    return distinct(found)


def altered_in_place(key: str) -> KeyChange:
    """That a collation changed a key of the samples that it was given."""
    return {"key": key, "kind": "altered", "number": None, "given": "", "made": ""}


def distinct(changes: Sequence[KeyChange]) -> list[KeyChange]:
    """The first change of each kind that every key has."""
    kept: list[KeyChange] = []
    for change in changes:
        if not any((one["key"], one["kind"]) == (change["key"], change["kind"]) for one in kept):
            kept.append(change)
    return kept


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


Places = Dict[Tuple[int, int], Set[Tuple[int, int]]]  # (sample, view) of a batch -> where its value stood


def _sources(given: Sequence[Any], made: Any) -> dict[str, Places]:
    """Of each key: the samples and views that hold what each place of the batch holds, where all have some.

    Nothing where samples are no lists of views.
    """
    if not isinstance(made, (list, tuple)) or any(not isinstance(views, (list, tuple)) for views in given):
        return {}
    if any(len(views) != len(made) for views in given):
        return {}
    if not all(isinstance(view, Mapping) for view in [*made, *itertools.chain(*given)]):
        return {}
    every = list(itertools.product(range(len(given)), range(len(made))))
    found: dict[str, Places] = {}
    for key in made[0]:
        if all(_is_value(view.get(key)) for view in itertools.chain(*given)) and all(
            _length_of(view.get(key)) == len(given) for view in made
        ):
            places = {
                (b, v): {
                    place
                    for place in every
                    if _difference(given[place[0]][place[1]][key], made[v][key][b]) is None
                }
                for b, v in every
            }
            if all(places.values()):
                found[key] = places
    return found


def _common(sources: Mapping[str, Places]) -> tuple[list[list[tuple[int, int]]], list[str]]:
    """Where most keys of each place of a batch stood, sample by sample, and the keys that stood elsewhere."""
    every = list(next(iter(sources.values())))
    orders = [{place: place for place in every}]
    for places in sources.values():
        orders.append({place: place if place in found else min(found) for place, found in places.items()})
    apart = [
        [key for key, places in sources.items() if any(order[n] not in places[n] for n in every)]
        for order in orders
    ]
    best = min(range(len(orders)), key=lambda n: len(apart[n]))
    samples = 1 + max(b for b, _ in every)
    return [[orders[best][place] for place in every if place[0] == b] for b in range(samples)], apart[best]


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


def _difference_of_values(one: Any, other: Any) -> tuple[str, float | None] | None:
    """The simplest thing that makes one array of another of its shape; None for zeros that were rounded."""
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
    if not known.any():
        return "other", None
    if _near(first[known], second[known], EXACT):
        return None if known.all() else ("filled", None)
    return _arithmetic(first[known], second[known])


def _arithmetic(first: Any, second: Any) -> tuple[str, float | None]:
    """What was done to finite numbers."""
    import numpy

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
