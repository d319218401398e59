"""Pictures of clouds, depth and masks, drawn without a display or a GPU: each a PNG of predicted and true."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3), red, green, blue
Floats = NDArray[np.floating]
PAPER, INK = (18, 23, 29), (230, 237, 243)
NEAR, FAR = 1.0, 100.0  # metres, the ends of the depth's colours
BAR = 26  # pixels of a heading
NEAREST = 0.3  # metres before the eye
DOT = 0.05  # metres that a point covers
FEW = 60_000  # points: each is drawn larger
WIDE = 900  # pixels: smaller panoramas are enlarged


@dataclass(frozen=True, kw_only=True)
class Eye:
    """Where a picture of a cloud is drawn from: OpenCV axes (x right, y down, z ahead), metres."""

    place: tuple[float, float, float]
    target: tuple[float, float, float]
    width: int = 900
    height: int = 540
    focal: float = 520.0  # pixels


CHASE = Eye(place=(0.0, -11.0, -16.0), target=(0.0, 1.0, 9.0))


def above(middle: Sequence[float], reach: float) -> Eye:
    """From high above a place: `reach` metres of its surroundings fill the picture."""
    x, _, z = middle
    height = reach * 520.0 / 250.0
    return Eye(place=(x, -height, z - 0.001 * height), target=(x, 0.0, z))


def cloud_picture(points: Floats, colours: Image, eye: Eye) -> Image:
    """Coloured points (N, 3), seen in perspective; what is near hides what is far."""
    picture = np.full((eye.height, eye.width, 3), PAPER, np.uint8)
    finite = np.isfinite(points).all(-1)
    seen = (points[finite] - np.array(eye.place)) @ _axes(eye).T
    before = seen[:, 2] > NEAREST
    seen, shades = seen[before], colours[finite][before]
    order = np.argsort(-seen[:, 2])
    seen, shades = seen[order], shades[order]
    columns = eye.focal * seen[:, 0] / seen[:, 2] + eye.width / 2
    rows = eye.focal * seen[:, 1] / seen[:, 2] + eye.height / 2
    least = 2 if len(points) < FEW else 1
    wide = np.clip(eye.focal * DOT / seen[:, 2], least, 4)
    inside = (columns > -4) & (columns < eye.width + 4) & (rows > -4) & (rows < eye.height + 4)
    _splat(picture, columns[inside], rows[inside], wide[inside], shades[inside])
    return picture


def _splat(picture: Image, columns: Floats, rows: Floats, wide: Floats, shades: Image) -> None:
    """Points, far ones first, as squares of some pixels each."""
    height, width = picture.shape[:2]
    offsets = [(down, right) for down in range(4) for right in range(4)]
    parts = [(np.flatnonzero(wide > max(offset) - (max(offset) == 0)), *offset) for offset in offsets]
    which = np.concatenate([some for some, _, _ in parts])
    x = np.concatenate([columns[some].astype(int) + right for some, _, right in parts])
    y = np.concatenate([rows[some].astype(int) + down for some, down, _ in parts])
    inside = np.flatnonzero((x >= 0) & (x < width) & (y >= 0) & (y < height))
    order = inside[np.argsort(which[inside], kind="stable")]  # the last one written stays
    picture[y[order], x[order]] = shades[which[order]]


def _axes(eye: Eye) -> Floats:
    """Rows: right, down and ahead of the eye."""
    ahead = np.array(eye.target) - np.array(eye.place)
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross([0.0, 1.0, 0.0], ahead)
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(ahead, right), ahead])


def depth_picture(depth: Floats, known: NDArray[np.bool_]) -> Image:
    """Ranges (H, W) by colour, 1 m red to 100 m blue, as logarithms; dark where there is none."""
    import cv2

    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.log(depth / NEAR) / math.log(FAR / NEAR)
    level = (255 * (1 - np.nan_to_num(np.clip(share, 0, 1)))).astype(np.uint8)
    coloured = cv2.applyColorMap(level, cv2.COLORMAP_TURBO)[..., ::-1]
    return np.where((known & np.isfinite(depth))[..., None], coloured, np.array(PAPER)).astype(np.uint8)


def mask_picture(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> Image:
    """Both masks at once: white in both, blue only predicted, orange only true, dark in none."""
    shades = np.array([PAPER, (224, 123, 0), (42, 111, 219), (240, 240, 240)], np.uint8)
    return np.asarray(shades[2 * predicted.astype(int) + true.astype(int)])


def enlarge(picture: Image) -> Image:
    """The picture with each pixel as a square, where it is small."""
    times = max(1, WIDE // picture.shape[1])
    return np.asarray(picture.repeat(times, axis=0).repeat(times, axis=1))


def with_heading(picture: Image, words: str) -> Image:
    """The picture under a line of words; letters that the font lacks become question marks."""
    import cv2

    bar = np.full((BAR, picture.shape[1], 3), PAPER, np.uint8)
    shown = words.encode("ascii", "replace").decode("ascii")
    cv2.putText(bar, shown, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
    return np.vstack([bar, picture])


def with_marks(picture: Image, places: Floats, names: Sequence[str], eye: Eye) -> Image:
    """The picture with named dots at places (N, 3)."""
    import cv2

    drawn: Any = picture.copy()
    for name, place in zip(names, (places - np.array(eye.place)) @ _axes(eye).T, strict=True):
        if not np.isfinite(place).all() or place[2] <= NEAREST:
            continue
        x = int(np.clip(eye.focal * place[0] / place[2] + eye.width / 2, -1e4, 1e4))
        y = int(np.clip(eye.focal * place[1] / place[2] + eye.height / 2, -1e4, 1e4))
        cv2.circle(drawn, (x, y), 6, INK, 2, cv2.LINE_AA)
        shown = name.encode("ascii", "replace").decode("ascii")
        cv2.putText(drawn, shown, (x + 9, y - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
    return np.asarray(drawn, np.uint8)
