"""Pictures: PNG files, whole and decoded."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.audit.file_record import FileReading
from opv2v_doctor.rasters import PNG, image

END = b"IEND\xaeB`\x82"
TAIL = 1024  # bytes: some programs leave a few behind the end
MILLIMETRE = 1e-3  # the unit of depth in 16-bit pictures


def read_picture(content: bytes) -> FileReading:
    """Size and extremes of an image's values. Raises ValueError for a PNG that is not whole."""
    picture = _pixels(content, colour=True)
    lowest, highest = _extremes(picture)
    return FileReading(width=picture.shape[1], height=picture.shape[0], lowest=lowest, highest=highest)


def read_depth_picture(content: bytes) -> FileReading:
    """Size, extremes in metres and known share of depth that is a 16-bit PNG in millimetres."""
    picture = _pixels(content, colour=False)
    if picture.ndim != 2 or picture.dtype != np.uint16:
        raise ValueError(f"depth is a 16-bit grey picture; this is {picture.dtype} {picture.shape}")
    known = picture > 0
    return FileReading(
        width=picture.shape[1],
        height=picture.shape[0],
        lowest=float(picture.min()) * MILLIMETRE,
        highest=float(picture.max()) * MILLIMETRE,
        known=float(known.mean()),
    )


def _pixels(content: bytes, *, colour: bool) -> NDArray[Any]:
    """The picture. Decoders forgive a missing end, which a training should not."""
    if not content.startswith(PNG):
        raise ValueError("not a PNG")
    if END not in content[-TAIL:]:
        raise ValueError(f"truncated: no end within {len(content)} bytes")
    try:
        return image(content, colour=colour)
    except ValueError as problem:
        raise ValueError(_damage(content) or str(problem)) from None


def _extremes(picture: NDArray[Any]) -> tuple[float, float]:
    """The smallest and largest value, of a sixteenth of the rows where that already shows two values."""
    sample = picture[::16]
    part = sample if sample.min() != sample.max() else picture
    return float(part.min()), float(part.max())


def _damage(content: bytes) -> str:
    """Where a PNG is damaged: the first chunk whose checksum is wrong; nothing where there is none."""
    place = 8
    while place + 12 <= len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        if crc32(content[place + 4 : end - 4]) != int.from_bytes(content[end - 4 : end], "big"):
            return f"damaged: wrong checksum at byte {place}"
        place = end
    return ""
