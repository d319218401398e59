"""Arrays: depth maps in NumPy's format, read without unpickling anything."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.audit.file_record import FileReading
from opv2v_doctor.geometry.ranges import known_depth
from opv2v_doctor.rasters import array


def read_array(content: bytes) -> FileReading:
    """Size, extremes in metres and known share of a depth map.

    Raises ValueError for what is not one array of numbers, (H, W) or (H, W, 1), and all there.
    """
    depth = _array(content)
    with np.errstate(all="ignore"):
        return _measure(depth)


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


def _array(content: bytes) -> NDArray[Any]:
    """The array (H, W) of an .npy file."""
    depth = array(content)
    if depth.dtype.kind == "b":
        raise ValueError(f"depth is numbers; this is {depth.dtype}")
    if depth.ndim not in (2, 3) or depth.shape[2:] not in ((), (1,)) or 0 in depth.shape:
        raise ValueError(f"depth has shape (H, W); this is {depth.shape}")
    return depth.reshape(depth.shape[:2])
