"""Likeness: in which numbers two tensors, or two views of them, differ."""

from __future__ import annotations

from typing import Any, List, TypedDict, Union

ALIKE = 1e-5  # relative: what the order of a sum on the same device changes
FAR = 1e9  # stands for what is not finite: JSON has no word for that


class Line(TypedDict):
    """`other = slope * one + offset`, and what that leaves of the deviation."""

    slope: float
    offset: float
    rest: float


Figure = Union[str, float, List[int], None]  # words, a type; a mean; a shape


class Channels(TypedDict):
    """Of two images: a line through each channel, whether they are reversed, and the second's range."""

    lines: list[Line]
    reversed: bool
    least: float
    most: float


class Values(TypedDict):
    """Of two tensors: root mean squares of the numbers and of what they are apart.

    `factor` explains most of what they are apart, and leaves `rest`: relative, too.
    """

    size: float
    apart: float
    relative: float
    factor: float
    rest: float


class Mask(TypedDict):
    """Of two masks: the share of the pixels that differ, and of those where one is the other's opposite."""

    differs: float
    inverted: float


class Figures(TypedDict, total=False):
    """What tells of a difference; which of them there are, depends on its kind."""

    trained: Figure
    given: Figure
    scale: float | None  # the metric one that the model answered
    values: Values
    mask: Mask
    channels: Channels


class TensorDifference(TypedDict):
    """In what two tensors differ: words, shape, type, mask or values; and the figures of that."""

    kind: str
    numbers: Figures


def differing(one: Any, other: Any, within: Any = None) -> TensorDifference | None:
    """How `other` differs from `one`; None where it does not.

    `within` is a mask of the pixels that count.
    """
    if not (hasattr(one, "dtype") and hasattr(other, "dtype")):
        now = words_of(other)
        return None if words_of(one) == now else {"kind": "words", "numbers": {"given": now}}
    one, other = one.detach().cpu(), other.detach().cpu()
    if tuple(one.shape) != tuple(other.shape):
        return {"kind": "shape", "numbers": {"trained": list(one.shape), "given": list(other.shape)}}
    if one.dtype != other.dtype and not (one.is_floating_point() and other.is_floating_point()):
        return {"kind": "type", "numbers": {"trained": str(one.dtype), "given": str(other.dtype)}}
    if not one.is_floating_point():
        return _switch(one.bool(), other.bool())
    found = _figures(*_within(one.double(), other.double(), within))
    if found and one.dtype != other.dtype:
        found["numbers"].update({"trained": str(one.dtype), "given": str(other.dtype)})
    return found


def words_of(value: Any) -> str | None:
    """A text, or the first of a batch of texts."""
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return value if isinstance(value, str) else None


def _within(one: Any, other: Any, within: Any) -> tuple[Any, Any]:
    """The pixels that count, of maps (B, H, W, D) and (B, H, W); all where the mask has another shape."""
    if within is None or tuple(one.shape[:3]) != tuple(within.shape[:3]):
        return one, other
    return one[within], other[within]


def _switch(one: Any, other: Any) -> TensorDifference | None:
    """Of two masks: in how many pixels they differ, and whether one is the other's opposite."""
    if not one.numel() or bool((one == other).all()):
        return None
    differs = float((one != other).double().mean())
    return {
        "kind": "mask",
        "numbers": {
            "trained": float(one.double().mean()),
            "given": float(other.double().mean()),
            "mask": {"differs": differs, "inverted": differs},
        },
    }


def _figures(one: Any, other: Any) -> TensorDifference | None:
    """Root mean squares of the numbers and of their difference, and the factor that explains most of it."""
    known = ~(one.isnan() & other.isnan())  # what both do not know is alike
    one, other = one[known], other[known]
    if not one.numel():
        return None
    size, apart = _size(one), _size(other - one)
    if apart <= ALIKE * max(size, 1e-12):
        return None
    factor = min(float((one * other).sum() / (one**2).sum()), FAR) if 0 < size < FAR > apart else 0.0
    rest = _size(other - factor * one)
    relative, left = (min(value / size, FAR) if size else FAR for value in (apart, rest))
    values: Values = {"size": size, "apart": apart, "relative": relative, "factor": factor, "rest": left}
    return {"kind": "values", "numbers": {"values": values}}


def _size(numbers: Any) -> float:
    """The root mean square; FAR where it is no number."""
    size = float((numbers**2).mean().sqrt())
    return size if size < FAR else FAR


def channels(one: Any, other: Any) -> Channels:
    """The line `other = a * one + b` through each channel of two images (B, 3, H, W), and what it leaves."""
    one, other = one.detach().cpu().double(), other.detach().cpu().double()
    lines: list[Line] = []
    for number in range(one.shape[1]):
        x, y = one[:, number].flatten(), other[:, number].flatten()
        slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum().clamp(min=1e-12))
        offset = float(y.mean() - slope * x.mean())
        left = float(((slope * x + offset - y) ** 2).mean().sqrt() / y.std(unbiased=False).clamp(min=1e-12))
        lines.append({"slope": slope, "offset": offset, "rest": left})
    swapped = one.shape[1] == 3 and bool(((one.flip(1) - other).abs() < 1e-4).all())
    return {"lines": lines, "reversed": swapped, "least": float(other.min()), "most": float(other.max())}
