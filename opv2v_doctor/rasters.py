"""Rasters of somebody else: images, arrays, depth; decoded where their headers say that they are small."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from importlib import import_module
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
EXR = b"v/1\x01"
ZIP = b"PK"
PNG_END, JPEG_END = b"IEND\xaeB`\x82", b"\xff\xd9"
TAIL = 1024  # bytes: some programs leave a few behind the end
FAR_PLANE = 1000.0  # metres: CARLA's depth camera says so of the sky, and counts the rest in 24 bits of it
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


class NotReadError(ValueError):
    """Depth that is not read as things are, though nothing is wrong with it. `hint` says what would help."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.hint = hint


def depth_of(path: Path, scale: float | None = None) -> NDArray[Any]:
    """The depth in a file, as `depth` gives it. Raises OSError and ValueError."""
    return depth(bytes_of(path, LARGEST), scale)


def depth(content: bytes, scale: float | None = None) -> NDArray[Any]:
    """Depth of an .npy, .npz, .exr or .png file, of any shape; a step of whole numbers is `scale` metres.

    An array of whole numbers is taken as it is without one. A PNG in colours is CARLA's: 24 bits of 1000 m,
    red first (https://carla.readthedocs.io/en/latest/ref_sensors/#depth-camera). Raises NotReadError for a
    grey picture without a scale and where OpenEXR is not installed, ValueError where there is no depth.
    """
    import numpy as np

    if content.startswith(EXR):
        return _exr(content)
    if content.startswith(PNG):
        picture = image(content, colour=False)
        if picture.ndim == 3 and picture.dtype == np.uint8:
            return carla_depth(picture)
        if picture.ndim != 2:
            raise ValueError(f"depth is a grey picture, or 24 bits of CARLA's; this is {picture.dtype}")
        if scale is None:
            raise NotReadError(
                "depth in whole numbers, and nothing says how many metres a step is",
                "set depth_scale in [files] of opv2v-doctor.toml: 0.001 for millimetres",
            )
        return np.asarray(picture * scale)
    found = _zipped(content) if content.startswith(ZIP) else array(content)
    return np.asarray(found * scale) if scale and found.dtype.kind in "iu" else found.copy()


def carla_depth(picture: NDArray[Any]) -> NDArray[Any]:
    """Metres (h, w) of what CARLA's depth camera writes in colours (h, w, 3), blue first."""
    import numpy as np

    return np.asarray(picture[..., 2::-1] @ np.array([1.0, 256.0, 65536.0]) * (FAR_PLANE / (256**3 - 1)))


def arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name. Raises ValueError as `array` does."""
    return {name.removesuffix(".npy"): array(part) for name, part in _members(content, list).items()}


def _zipped(content: bytes) -> NDArray[Any]:
    """The array `depth` of an .npz file, or the only one."""

    def chosen(names: list[str]) -> list[str]:
        if "depth.npy" not in names and len(names) != 1:
            raise ValueError(f"none of its arrays is named depth: {', '.join(names)[:80]}")
        return ["depth.npy"] if "depth.npy" in names else names

    return array(next(iter(_members(content, chosen).values())))


def _members(content: bytes, chosen: Callable[[list[str]], list[str]]) -> dict[str, bytes]:
    """The chosen files in an .npz file, by name. Raises ValueError where it is none, or holds too much."""
    import zipfile

    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(BytesIO(content)) as file:
            for name in chosen(file.namelist()):
                with file.open(name) as part:
                    found[name] = part.read(LARGEST + 1)
                if sum(map(len, found.values())) > LARGEST:
                    raise ValueError(f"an array of more than {LARGEST >> 20} MB")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as problem:
        raise ValueError(f"not a whole .npz: {problem}") from None
    return found


def _exr(content: bytes) -> NDArray[Any]:
    """The one channel of an EXR file: Z, Y, R, or the only one."""
    try:
        exr: Any = import_module("OpenEXR")
    except ImportError:
        install = "install OpenEXR beside the doctor: pip install 'opv2v-doctor[exr]'"
        raise NotReadError("depth in EXR, and OpenEXR is not installed here", install) from None
    import numpy as np

    try:
        header = exr.File(BytesIO(content), header_only=True, num_threads=0).header()
        low, high = header["dataWindow"]
        width, height = (int(side) + 1 for side in high - low)
        if width * height * len(header["channels"]) > MOST_PIXELS:
            raise ValueError(f"it claims {width} x {height} pixels in {len(header['channels'])} channels")
        channels = exr.File(BytesIO(content), separate_channels=True, num_threads=0).channels()
        name = next((name for name in ("Z", "Y", "R") if name in channels), next(iter(channels)))
        return np.asarray(channels[name].pixels)
    except (RuntimeError, KeyError, StopIteration, TypeError) as problem:
        raise ValueError(f"not a whole EXR: {problem}") from None


def is_whole(head: bytes, tail: bytes) -> bool:
    """Whether an image that begins and ends so has its end. Raises ValueError for neither PNG nor JPEG."""
    if not head.startswith((PNG, JPEG)):
        raise ValueError("neither a PNG nor a JPEG")
    return (PNG_END if head.startswith(PNG) else JPEG_END) in tail[-TAIL:]


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
