"""Pictures: images and depth maps, whole and decoded; no pickle in them is opened."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor import rasters
from opv2v_doctor.audit.file_record import FileReading
from opv2v_doctor.geometry.ranges import known_depth

MILLIMETRE = 1e-3  # the unit of depth in pictures, unless the settings say another


def read_picture(content: bytes) -> FileReading:
    """Size and extremes of an image's values. Raises ValueError for a PNG or JPEG that is not whole."""
    _verify_end(content)
    try:
        picture = rasters.image(content)
    except ValueError as problem:
        raise ValueError(_damage(content) or str(problem)) from None
    lowest, highest = _extremes(picture)
    return FileReading(width=picture.shape[1], height=picture.shape[0], lowest=lowest, highest=highest)


def read_depth(content: bytes, scale: float | None) -> FileReading:
    """Size, extremes in metres and known share of a depth map.

    Raises ValueError for what is not one array of numbers, (H, W) or (H, W, 1), and all there.
    """
    if content.startswith(rasters.PNG):
        _verify_end(content)
        scale = scale or MILLIMETRE
    try:
        depth = rasters.depth(content, scale)
    except rasters.NotReadError:
        raise
    except ValueError as problem:
        raise ValueError(_damage(content) or str(problem)) from None
    if depth.dtype.kind == "b":
        raise ValueError(f"depth is numbers; this is {depth.dtype}")
    if depth.ndim not in (2, 3) or depth.shape[2:] not in ((), (1,)) or 0 in depth.shape:
        raise ValueError(f"depth has shape (H, W); this is {depth.shape}")
    with np.errstate(all="ignore"):
        return _measure(depth.reshape(depth.shape[:2]))


def _measure(depth: NDArray[Any]) -> FileReading:
    finite = np.isfinite(depth)
    known = known_depth(depth)
    whole = bool(finite.all())
    numbers = depth if whole else depth[finite]
    return FileReading(
        width=depth.shape[1],
        height=depth.shape[0],
        lowest=float(numbers.min()) if numbers.size else None,
        highest=float(numbers.max()) if numbers.size else None,
        known=float(known.mean()),
    )


def _verify_end(content: bytes) -> None:
    """Decoders forgive a missing end, which a training should not."""
    if not rasters.is_whole(content[:8], content):
        raise ValueError(f"truncated: no end within {len(content)} bytes")


def _extremes(picture: NDArray[Any]) -> tuple[float, float]:
    """The smallest and largest value, of a sixteenth of the rows where that already shows two values."""
    sample = picture[::16]
    part = sample if sample.min() != sample.max() else picture
    return float(part.min()), float(part.max())


def _damage(content: bytes) -> str:
    """Where a PNG is damaged: the first chunk whose checksum is wrong; nothing where there is none."""
    place = 8 if content.startswith(rasters.PNG) else len(content)
    while place + 12 <= len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        if crc32(content[place + 4 : end - 4]) != int.from_bytes(content[end - 4 : end], "big"):
            return f"damaged: wrong checksum at byte {place}"
        place = end
    return ""
