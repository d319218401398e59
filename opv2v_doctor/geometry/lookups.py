"""Lookups: what a depth map or a panorama of ranges says between its pixels, without mixing surfaces."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from opv2v_doctor.geometry.cameras import Array
from opv2v_doctor.geometry.ranges import known_depth

FLAT = 1.25  # four pixels whose values differ by less than this factor are one surface


def depth_at(depth: NDArray[Any], pixels: ArrayLike, *, around: bool = False) -> Array:
    """Values (N,) of a map (h, w) at pixels (N, 2), counted from the corner; NaN where it is not known.

    Inverse values are interpolated where the four pixels around are one surface; elsewhere the nearest pixel
    counts. ``around`` closes the map's left edge to its right edge, as in a panorama of a full circle.
    """
    places = np.asarray(pixels, dtype=np.float64)
    height, width = depth.shape
    within = np.isfinite(places) & (places >= 0) & (places <= [width, height])  # (N, 2)
    usable = np.asarray(within.all(-1))
    columns, rows = np.where(usable[:, None], places, 0.5).T
    four = _four(depth, columns - 0.5, rows - 0.5, around=around)
    nearest = depth[
        np.clip(rows.astype(int), 0, height - 1), np.clip(columns.astype(int), 0, width - 1)
    ].astype(np.float64)
    flat = known_depth(four).all(0) & (four.max(0) < FLAT * four.min(0))
    weights = _weights(columns - 0.5, rows - 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = 1.0 / (weights / four).sum(0)
    values = np.where(flat, between, nearest)
    return np.where(usable & known_depth(values), values, np.nan)


def _four(depth: NDArray[Any], columns: Array, rows: Array, *, around: bool) -> Array:
    """The four pixels around each place (N,), index coordinates: (4, N)."""
    height, width = depth.shape
    left, top = np.floor(columns).astype(int), np.floor(rows).astype(int)
    above, below = np.clip(top, 0, height - 1), np.clip(top + 1, 0, height - 1)
    if around:
        one, other = left % width, (left + 1) % width
    else:
        one, other = np.clip(left, 0, width - 1), np.clip(left + 1, 0, width - 1)
    corners = [depth[above, one], depth[above, other], depth[below, one], depth[below, other]]
    return np.stack(corners).astype(np.float64)


def _weights(columns: Array, rows: Array) -> Array:
    """How much each of the four pixels around counts: (4, N)."""
    right, down = columns - np.floor(columns), rows - np.floor(rows)
    return np.stack([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down])
