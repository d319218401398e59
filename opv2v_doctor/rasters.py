"""Rasters of somebody else, images and arrays: decoded where their headers say that they are small enough."""

from __future__ import annotations

import struct
from io import BytesIO
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opv2v_doctor.foreign_files import bytes_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_PIXELS = 64_000_000  # a few bytes can claim billions
LARGEST = 256 << 20  # bytes of a file that holds an array
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers of a JPEG without a length
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those before its height and width


def image(content: bytes, *, colour: bool = True) -> NDArray[Any]:
    """A PNG or JPEG: (h, w, 3) bytes, blue first; as it is in the file without `colour`.

    Raises ValueError where it is another file, claims too many pixels, or cannot be decoded.
    """
    import cv2
    import numpy as np

    width, height = image_size(content)
    if width * height > MOST_PIXELS:
        raise ValueError(f"it claims {width} x {height} pixels")
    flag = cv2.IMREAD_COLOR if colour else cv2.IMREAD_UNCHANGED
    picture: Any = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    if picture is None:
        raise ValueError("damaged: it cannot be decoded")
    return np.asarray(picture)


def image_of(path: Path, *, colour: bool = True) -> NDArray[Any]:
    """The image in a file, as `image` gives it. Raises OSError and ValueError."""
    return image(bytes_of(path), colour=colour)


def array_of(path: Path) -> NDArray[Any]:
    """The array in an .npy file, to be changed as you like. Raises OSError and ValueError."""
    return array(bytes_of(path, LARGEST)).copy()


def image_size(content: bytes) -> tuple[int, int]:
    """The width and height that the header of a PNG or JPEG claims. Raises ValueError for any other file."""
    if content.startswith(PNG):
        if len(content) < 24:
            raise ValueError("truncated in its header")
        width, height = struct.unpack_from(">II", content, 16)
        return width, height
    if content.startswith(JPEG):
        return _jpeg_size(content)
    raise ValueError("neither a PNG nor a JPEG")


def _jpeg_size(content: bytes) -> tuple[int, int]:
    place, sizes = 2, []
    while place + 9 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # a byte that fills
            place += 1
            continue
        if marker in _ALONE:
            place += 2
            continue
        length, height, width = struct.unpack_from(">HxHH", content, place + 2)
        if marker in _FRAMES:
            sizes.append((width, height))
        if marker == 0xDA:  # what follows are pixels
            break
        place += 2 + length
    if not sizes:
        raise ValueError("a JPEG without a size")
    return max(sizes)


def array(content: bytes) -> NDArray[Any]:
    """The numbers or truth values of an .npy file. Raises ValueError where it is another, or not whole."""
    import numpy as np
    from numpy.lib import format as npy

    file = BytesIO(content)
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except ValueError as problem:
        raise ValueError(f"not an array: {problem}") from None
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which run code when they are read")
    if dtype.kind not in "bfiu":
        raise ValueError(f"an array of {dtype}, not of numbers")
    if min(shape, default=0) < 0:
        raise ValueError(f"an array of negative size: {shape}")
    begin, wanted = file.tell(), dtype.itemsize * prod(shape)
    if len(content) < begin + wanted:
        raise ValueError(f"truncated: {len(content)} bytes, {begin + wanted} are needed")
    flat = np.frombuffer(content, dtype, prod(shape), begin)
    return flat.reshape(shape, order="F" if fortran else "C")
