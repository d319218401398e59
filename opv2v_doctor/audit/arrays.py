"""Arrays: depth maps in NumPy's format, read without unpickling anything."""

from __future__ import annotations

from io import BytesIO
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.audit.record import Reading
from opv2v_doctor.geometry.ranges import known_depth


def read_array(content: bytes) -> Reading:
    """Size, extremes in metres and known share of a depth map.

    Raises ValueError for what is not one array of numbers, (H, W) or (H, W, 1), and all there.
    """
    depth = _array(content)
    with np.errstate(all="ignore"):
        return _measured(depth)


def _measured(depth: NDArray[Any]) -> Reading:
    finite = np.isfinite(depth)
    known = known_depth(depth)
    whole = bool(finite.all())
    numbers = depth if whole else depth[finite]
    return Reading(
        width=depth.shape[1],
        height=depth.shape[0],
        lowest=float(numbers.min()) if numbers.size else None,
        highest=float(numbers.max()) if numbers.size else None,
        known=float(known.mean()),
    )


def _array(content: bytes) -> NDArray[Any]:
    """The array (H, W) of an .npy file."""
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
    if dtype.kind not in "fiu":
        raise ValueError(f"depth is numbers; this is {dtype}")
    if len(shape) not in (2, 3) or shape[2:] not in ((), (1,)) or 0 in shape:
        raise ValueError(f"depth has shape (H, W); this is {shape}")
    begin, wanted = file.tell(), dtype.itemsize * prod(shape)
    if len(content) < begin + wanted:
        raise ValueError(f"truncated: {len(content)} bytes, {begin + wanted} are needed")
    flat = np.frombuffer(content, dtype, prod(shape), begin)
    return flat.reshape(shape[:2], order="F" if fortran else "C")
