"""Pictures: arrays as PNG, JPEG and data URIs, and depth as packed codes that keep its value."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.figures.packing import pack

NOT_FINITE = 65535  # the code of a depth that is no number
MOST = 65534 - 1  # the largest whole number of steps

Picture = NDArray[np.uint8]


def png(picture: Picture) -> bytes:
    """A picture (H, W) or (H, W, 3), red first, as a PNG file."""
    return _encode(".png", picture, ())


def jpeg(picture: Picture, quality: int) -> bytes:
    """A picture (H, W, 3), red first, as a JPEG file."""
    import cv2

    return _encode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1))


def _encode(suffix: str, picture: Picture, parameters: tuple[int, ...]) -> bytes:
    import cv2

    swapped = picture[..., ::-1] if picture.ndim == 3 else picture
    _, file = cv2.imencode(suffix, np.ascontiguousarray(swapped), parameters)
    return file.tobytes()


def uri(file: bytes) -> str:
    """A PNG or JPEG file as a data URI."""
    kind = "png" if file.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file).decode('ascii')}"


def decode(file: bytes) -> Picture:
    """What a viewer will show of a PNG or JPEG file: (H, W, 3), red first."""
    import cv2

    picture = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture[..., ::-1], np.uint8)


def colours() -> Picture:
    """The colour map of depth: (256, 3), red first."""
    import cv2

    shades = np.arange(256, dtype=np.uint8)[:, None]
    return np.asarray(cv2.applyColorMap(shades, cv2.COLORMAP_VIRIDIS)[:, 0, ::-1], np.uint8)


def depth_colours(depth: NDArray[Any], farthest: float) -> Picture:
    """Depth (H, W) in the map's colours up to the farthest, (H, W, 3); black where it is not known."""
    with np.errstate(invalid="ignore"):
        known = np.isfinite(depth) & (depth > 0)
        shades = np.clip(np.where(known, depth, 0) / farthest * 255, 0, 255)
    return np.asarray(np.where(known[..., None], colours()[np.rint(shades).astype(np.uint8)], 0), np.uint8)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How depths become codes: 0 is 0 (not known), 65535 no number, others ``1 + (metres - low) / step``."""

    low: float
    step: float

    @property
    def digits(self) -> int:
        """Decimals that a decoded depth deserves."""
        return max(0, -int(np.floor(np.log10(self.step)))) if self.step < 1 else 0


def scale_of(*depths: NDArray[Any] | None) -> Scale:
    """One scale for all of these: the finest of 1, 2 or 5 times a power of ten that holds them."""
    finite = [depth[np.isfinite(depth)] for depth in depths if depth is not None]
    values = np.concatenate([np.zeros(1), *finite])
    low, high = float(values.min()), float(values.max())
    step = 0.001
    for factor in (2, 2.5, 2) * 12:
        if (high - low) / step <= MOST:
            break
        step *= factor
    return Scale(low=low, step=round(step, 9))


def packed_depth(depth: NDArray[Any], scale: Scale) -> str:
    """Depth (H, W) as codes, each as its change from the one before: low bytes, high bytes; compressed."""
    finite = np.isfinite(depth)
    steps = np.clip(np.rint((np.where(finite, depth, 0) - scale.low) / scale.step), 0, MOST) + 1
    numbers = np.where(finite, np.where(depth == 0, 0, steps), NOT_FINITE).astype(np.uint16).ravel()
    changes = np.diff(numbers, prepend=np.uint16(0)).astype("<u2")  # wraps, as the page's sum does
    return pack([np.ascontiguousarray(changes.view(np.uint8).reshape(-1, 2).T).tobytes()])
