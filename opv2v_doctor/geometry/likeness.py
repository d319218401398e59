"""Likeness: where the content of one picture lies in another, whatever their brightness and contrast."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Array

WIDTH = 512  # of what is compared: larger pictures are reduced
BLUR = 0.05  # of the width: slower changes of brightness say nothing about places

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Match:
    """How alike two pictures are where they lie, and where they are most alike."""

    here: float  # correlation, -1 to 1
    best: float
    mirrored: bool
    flipped: bool
    columns: int  # by which the content lies too far right, after mirroring and flipping
    rows: int  # too far down


def grey(picture: NDArray[Any]) -> Array:
    """Brightness (H, W) of a picture (H, W, 3), (3, H, W) or (H, W), in any unit."""
    values = np.asarray(picture, dtype=np.float64)
    if values.ndim == 2:
        return values
    return np.asarray(values.mean(0 if values.shape[0] == 3 else 2))


def best_match(picture: Array, expected: Array, mask: Bools) -> Match:
    """Compare a panorama (H, W) with the expected one, which is known in the mask; columns go around."""
    step = max(1, -(-picture.shape[1] // WIDTH))
    if step > 1:
        small = (picture.shape[1] // step, picture.shape[0] // step)
        picture, expected, mask = (_at_size(each, small) for each in (picture, expected, mask))
    one, two = _details(picture, mask), _details(expected, mask)
    found = []
    for mirrored, flipped in product((False, True), repeat=2):
        turned = one[:: -1 if flipped else 1, :: -1 if mirrored else 1]
        found.append((*_shift(turned, two), mirrored, flipped))
    best, rows, columns, mirrored, flipped = max(found, key=lambda match: match[0])
    here = float((one * two).sum())
    if here >= best - 1e-9:
        return Match(here, here, False, False, 0, 0)
    return Match(here, best, mirrored, flipped, columns * step, rows * step)


def seam(picture: Array, mask: Bools) -> float | None:
    """The step between the outermost columns of a panorama, in units of the usual step between neighbours."""
    steps = np.abs(np.diff(picture, axis=1))[mask[:, 1:] & mask[:, :-1]]
    ends = np.abs(picture[:, 0] - picture[:, -1])[mask[:, 0] & mask[:, -1]]
    if ends.size < 8 or not steps.size or not steps.mean() > 0:
        return None
    return float(ends.mean() / steps.mean())


def _at_size(picture: Any, size: tuple[int, int]) -> Any:
    """The picture or mask in another size (columns, rows)."""
    import cv2

    if picture.dtype == np.bool_:
        return cv2.resize(picture.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(np.bool_)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _details(picture: Array, mask: Bools) -> Array:
    """What changes quickly, of unit length and mean 0: products of two are correlations."""
    import cv2

    weight = mask.astype(np.float64)
    sigma = max(2.0, BLUR * picture.shape[1])
    wide = round(3 * sigma)
    padded = [np.pad(values, ((wide, wide), (0, 0)), mode="edge") for values in (picture * weight, weight)]
    padded = [np.pad(values, ((0, 0), (wide, wide)), mode="wrap") for values in padded]
    blurred = [
        cv2.blur(values, (2 * wide // 3 | 1, 2 * wide // 3 | 1))[wide:-wide, wide:-wide] for values in padded
    ]
    details = np.where(mask, picture - blurred[0] / np.maximum(blurred[1], 1e-9), 0)
    deviation = details[mask].std() if mask.any() else 0.0
    details = np.clip(details, -3 * deviation, 3 * deviation)
    length = np.linalg.norm(details)
    return np.asarray(details / length if length > 0 else details)


def _shift(one: Array, two: Array) -> tuple[float, int, int]:
    """The best correlation over shifts of up to an eighth of the rows and any columns, and that shift."""
    rows = one.shape[0]
    padded = (2 * rows, one.shape[1])
    product = np.fft.rfft2(one, padded) * np.conj(np.fft.rfft2(two, padded))
    correlation = np.fft.irfft2(product, padded)
    near = rows // 8
    allowed = np.concatenate([correlation[: near + 1], correlation[-near:]]) if near else correlation[:1]
    row, column = np.unravel_index(int(allowed.argmax()), allowed.shape)
    down = int(row) if row <= near else int(row) - 2 * near - 1
    right = int(column) if column <= one.shape[1] // 2 else int(column) - one.shape[1]
    return float(allowed[row, column]), down, right
