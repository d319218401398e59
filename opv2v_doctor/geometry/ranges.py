"""Ranges: from the z-depth of a rig's images to the range along each ray of a panorama around the LiDAR.

The method: every depth pixel becomes points in space, drawn into the panorama; the nearest point of a pixel
wins (a z-buffer); the winner's surface is then met with the pixel's own ray. On a plane the inverse of
z-depth is an affine function of the image's pixels, so a depth pixel and its neighbours on the same surface
give that plane. Of the differences to the neighbours on either side the smaller counts: another surface never
enters.

The error: only rounding on planes (below 1e-4 of the range), and on a surface that bends with radius ``c``
less than ``range / c`` times twice the square of a pixel's angle. At its edge the nearer surface is up to a
pixel too wide. Cracks of one pixel between pixels of known range are closed with the farther side's surface;
wider gaps, which no camera sees into, stay unknown.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from opv2v_doctor.geometry.cameras import Array, Cylinder, Pinhole
from opv2v_doctor.geometry.rigs import MountedCamera

STEP = 1e-4  # metres: the z-buffer's resolution
FARTHEST = 1e5  # metres: what lies beyond is no measurement
FREEDOM = 0.25  # how far meeting the ray may move a range: a grazed street changes so much within a pixel
EMPTY = np.iinfo(np.int64).max

Float = NDArray[np.float32]
Index = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Ranges(NamedTuple):
    """Range along each ray in metres, 0 where it is not known; and the camera that knew it, -1 for none."""

    ranges: Float  # (H, W)
    camera: NDArray[np.int8]  # (H, W)


class _Surface(NamedTuple):
    """A camera's depth map as planes: inverse depth, 1/m, and how much it changes a column and a row."""

    inverse: Float  # (h, w), 0 where depth is not known
    along: Float  # (h, w)
    down: Float  # (h, w)


def known_depth(depth: ArrayLike) -> Bools:
    """Where a depth map says something: a finite number above 0, which marks "not measured"."""
    values = np.asarray(depth)
    with np.errstate(invalid="ignore"):
        return np.asarray((values > 0) & (values < FARTHEST))


def panorama_ranges(
    cameras: Sequence[MountedCamera], cylinder: Cylinder, depths: Sequence[ArrayLike | None]
) -> Ranges:
    """What depth maps, one (h, w) in metres a camera or None, say along each ray of the panorama.

    Raises ValueError for more than sixteen cameras: the z-buffer has four bits for them.
    """
    if len(cameras) > 16:
        raise ValueError(f"a rig has at most 16 cameras; got {len(cameras)}")
    surfaces = [None if depth is None else _surface(np.asarray(depth)) for depth in depths]
    buffer = np.full(cylinder.height * cylinder.width, EMPTY)
    for index, (camera, surface) in enumerate(zip(cameras, surfaces, strict=True)):
        if surface is not None:
            _draw(buffer, index, camera, cylinder, surface)
    winners = _without_cracks(buffer.reshape(cylinder.height, cylinder.width), cylinder)
    return _meeting_ranges(winners, cameras, cylinder, surfaces)


def _surface(depth: NDArray[np.generic]) -> _Surface:
    known = known_depth(depth)
    inverse = np.divide(1, depth, out=np.full(depth.shape, np.nan, np.float32), where=known)
    return _Surface(np.nan_to_num(inverse), _slope(inverse, 1), _slope(inverse, 0))


def _slope(inverse: Float, axis: int) -> Float:
    """The smaller of the changes from the pixel before and to the one after; 0 where neither is known."""
    step = np.diff(inverse, axis=axis)
    gap = np.full_like(np.take(inverse, [0], axis), np.nan)
    before, after = np.concatenate([gap, step], axis), np.concatenate([step, gap], axis)
    smaller = np.where(np.abs(before) <= np.abs(after), before, after)
    return np.nan_to_num(np.where(np.isnan(smaller), before, smaller))


def _draw(buffer: Index, index: int, camera: MountedCamera, cylinder: Cylinder, surface: _Surface) -> None:
    """Draw a camera's depth into the z-buffer: an entry is range, camera and pixel in one number."""
    inverse, along, down = surface
    known = inverse > 0
    label = index << 28 | np.flatnonzero(known)
    for right, below in _offsets(camera.pinhole, cylinder):
        moved = inverse + np.float32(right) * along + np.float32(below) * down
        moved = np.clip(moved, inverse * np.float32(1 - FREEDOM), inverse * np.float32(1 + FREEDOM))
        with np.errstate(divide="ignore"):
            points = _points(camera, right, below, 1 / moved, known)
        places, ranges = cylinder.project(points)
        inside = cylinder.inside(places)
        cells = places[inside].astype(np.int64)
        entries = (ranges[inside] / STEP).astype(np.int64) << 32 | label[inside]
        np.minimum.at(buffer, cells[:, 1] * cylinder.width + cells[:, 0], entries)


def _points(camera: MountedCamera, right: float, below: float, depth: Float, known: Bools) -> Float:
    """The points (n, 3), LiDAR frame, at a place within each known pixel; axis by axis is faster."""
    pinhole, pose = camera
    columns = np.arange(pinhole.width) + 0.5 + right
    rows = np.arange(pinhole.height)[:, None] + 0.5 + below
    matrix = pose[:3, :3] @ np.linalg.inv(pinhole.intrinsics)
    directions = (u * columns + (v * rows + one) for u, v, one in matrix)  # each (h, w)
    axes = [depth[known] * axis[known] + start for axis, start in zip(directions, pose[:3, 3], strict=True)]
    return np.stack(axes, -1).astype(np.float32)


def _offsets(pinhole: Pinhole, cylinder: Cylinder) -> list[tuple[float, float]]:
    """Where to draw points within a depth pixel, so that a surface seen from twice as near has no hole."""
    focal = min(pinhole.intrinsics[0, 0], pinhole.intrinsics[1, 1])
    finest = min(cylinder.horizontal_fov / cylinder.width, cylinder.vertical_fov / cylinder.height)
    count = int(np.ceil(2 / (focal * finest)))
    within = [(step + 0.5) / count - 0.5 for step in range(count)]
    return [(right, below) for below in within for right in within]


def _without_cracks(buffer: Index, cylinder: Cylinder) -> Index:
    """The z-buffer (H, W) with each empty pixel between two full ones taking the farther of them."""
    filled = buffer.copy()
    around = np.pad(buffer, 1, constant_values=EMPTY)
    if cylinder.horizontal_fov >= 2 * np.pi:  # a full circle has no side edges
        around[1:-1, [0, -1]] = buffer[:, [-1, 0]]
    middle = slice(1, -1)
    for one, other in (
        (around[middle, :-2], around[middle, 2:]),
        (around[:-2, middle], around[2:, middle]),
    ):
        crack = (filled == EMPTY) & (one != EMPTY) & (other != EMPTY)
        filled[crack] = np.maximum(one, other)[crack]
    return filled


def _meeting_ranges(
    winners: Index, cameras: Sequence[MountedCamera], cylinder: Cylinder, surfaces: Sequence[_Surface | None]
) -> Ranges:
    """Where each pixel's ray meets the surface that won it."""
    ranges = np.zeros(winners.shape, np.float32)
    source = np.where(winners == EMPTY, -1, winners >> 28 & 0xF).astype(np.int8)
    rays = cylinder.rays()
    for index, (camera, surface) in enumerate(zip(cameras, surfaces, strict=True)):
        won = source == index
        if surface is None or not won.any():
            continue
        normals = _normals(camera.pinhole, surface, winners[won] & 0xFFFFFFF)  # (n, 3), camera's axes
        turned = normals @ camera.camera_to_lidar[:3, :3].T
        drawn = (winners[won] >> 32) * STEP
        with np.errstate(divide="ignore", invalid="ignore"):
            met = (1 + turned @ camera.camera_to_lidar[:3, 3]) / (turned * rays[won]).sum(-1)
            sound = np.abs(met / drawn - 1) < FREEDOM
        ranges[won] = np.where(sound, met, drawn)
    return Ranges(ranges, source)


def _normals(pinhole: Pinhole, surface: _Surface, pixels: Index) -> Array:
    """The planes of flat depth pixels (n,): ``normal . point = 1`` in the camera's axes, (n, 3)."""
    inverse, along, down = (part.ravel()[pixels].astype(np.float64) for part in surface)
    rows, columns = np.divmod(pixels, pinhole.width)
    constant = inverse - along * (columns + 0.5) - down * (rows + 0.5)
    return np.stack([along, down, constant], -1) @ pinhole.intrinsics
