"""Likeness: in which numbers two tensors, or two views of them, differ."""

TEXT = (str, bytes)
ALIKE = 1e-5  # relative: what the order of a sum on the same device changes
FAR = 1e9  # stands for what is not finite: JSON has no word for that


def differing(one, other, within=None):
    """How `other` differs from `one`: kind, figures and ratios; None where it does not.

    `within` is a mask of the pixels that count.
    """
    if not (hasattr(one, "dtype") and hasattr(other, "dtype")):
        return None if words_of(one) == words_of(other) else {"kind": "words", "is": words_of(other)}
    one, other = one.detach().cpu(), other.detach().cpu()
    if tuple(one.shape) != tuple(other.shape):
        return {"kind": "shape", "was": list(one.shape), "is": list(other.shape)}
    if one.dtype != other.dtype and not (one.is_floating_point() and other.is_floating_point()):
        return {"kind": "type", "was": str(one.dtype), "is": str(other.dtype)}
    if not one.is_floating_point():
        return _switched(one.bool(), other.bool())
    found = _figures(*_within(one.double(), other.double(), within))
    if found and one.dtype != other.dtype:
        found.update(was=str(one.dtype), now=str(other.dtype))
    return found


def words_of(value):
    """A text, or the first of a batch of texts."""
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return value if isinstance(value, TEXT) else None


def _within(one, other, within):
    """The pixels that count, of maps (B, H, W, D) and (B, H, W); all where the mask has another shape."""
    if within is None or tuple(one.shape[:3]) != tuple(within.shape[:3]):
        return one, other
    return one[within], other[within]


def _switched(one, other):
    """Of two masks: in how many pixels they differ, and whether one is the other's opposite."""
    if not one.numel() or bool((one == other).all()):
        return None
    return {
        "kind": "mask",
        "differs": float((one != other).double().mean()),
        "was": float(one.double().mean()),
        "is": float(other.double().mean()),
    }


def _figures(one, other):
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
    relative = {"relative": apart, "rest": rest}
    found = {name: min(value / size, FAR) if size else FAR for name, value in relative.items()}
    return dict(found, kind="values", size=size, apart=apart, factor=factor)


def _size(numbers):
    """The root mean square; FAR where it is no number."""
    size = float((numbers**2).mean().sqrt())
    return size if size < FAR else FAR


def channels(one, other):
    """The line `other = a * one + b` through each channel of two images (B, 3, H, W), and what it leaves."""
    one, other = one.detach().cpu().double(), other.detach().cpu().double()
    lines = []
    for number in range(one.shape[1]):
        x, y = one[:, number].flatten(), other[:, number].flatten()
        slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum().clamp(min=1e-12))
        offset = float(y.mean() - slope * x.mean())
        left = float(((slope * x + offset - y) ** 2).mean().sqrt() / y.std(unbiased=False).clamp(min=1e-12))
        lines.append({"slope": slope, "offset": offset, "rest": left})
    swapped = one.shape[1] == 3 and bool(((one.flip(1) - other).abs() < 1e-4).all())
    return {"lines": lines, "reversed": swapped, "least": float(other.min()), "most": float(other.max())}
