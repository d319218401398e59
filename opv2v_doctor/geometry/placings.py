"""Placings: how alike random points of an image and a panorama are, were the image turned or enlarged.

Many placings are compared at once: the points are projected, and the image is sampled, in one go.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Array, Pinhole
from opv2v_doctor.geometry.rigs import MountedCamera

KEPT = 64  # random points that are compared
TEXTURE = 0.25  # of the image's deviation, within a neighbourhood that can be told from others

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Real = TypeVar("Real", np.float32, np.float64)


@dataclass(frozen=True)
class Placing:
    """Where the content of an image lies against where it belongs, seen from its camera."""

    yaw: float = 0.0  # degrees too far to the right
    pitch: float = 0.0  # degrees too high
    zoom: float = 1.0  # times too large, around the middle


@dataclass(frozen=True, eq=False)
class CameraImage:
    """One camera's image: brightness (h, w), z-depth or None, and where it alone is shown: (H, W)."""

    camera: MountedCamera
    grey: Array
    depth: NDArray[Any] | None
    alone: Bools


@dataclass(frozen=True, eq=False)
class Windows:
    """The neighbourhoods of random points in the panorama: what they show, and the points in space there."""

    shown: Array  # (N, n * n), of mean 0 and length 1
    points: Array  # (N, n * n, 3), in the LiDAR's frame, metres; or directions of unit length
    far: Bools  # (N, n * n): which are directions

    def some(self, chosen: NDArray[np.int64]) -> "Windows":
        """Those at the chosen places."""
        return Windows(self.shown[chosen], self.points[chosen], self.far[chosen])


def likeness(found: Windows, seen: CameraImage) -> float:
    """The mean correlation of the windows with what the image shows where they belong."""
    return likenesses(found, seen, [Placing()])[0]


def likenesses(found: Windows, seen: CameraImage, placings: Sequence[Placing]) -> list[float]:
    """The same if the image were placed so, for each of some placings; all at once is much faster."""
    if not len(found.shown):
        return [0.0] * len(placings)
    values, known = _image_values(found, seen, placings)
    correlations = (normal(values) * found.shown.astype(np.float32)).sum(-1)
    return [float(each) for each in np.where(known, correlations, 0).clip(0, 1).mean(-1)]


def with_texture(found: Windows, seen: CameraImage) -> Windows:
    """Those windows where the image has something to be told by."""
    if not len(found.shown):
        return found
    values, known = _image_values(found, seen, [Placing()])
    telling = known[0] & (values[0].std(-1) > TEXTURE * seen.grey.std())
    return found.some(np.flatnonzero(telling)[:KEPT])


def _image_values(found: Windows, seen: CameraImage, placings: Sequence[Placing]) -> tuple[Floats, Bools]:
    """What the image shows at the windows' points (P, N, n * n), and which windows in full (P, N)."""
    import cv2

    pinhole = seen.camera.pinhole
    columns, rows, depth = _projections(found, seen, placings)
    known = depth > 1e-3
    for places, size in ((columns, pinhole.width), (rows, pinhole.height)):
        known &= (places >= 0.5) & (places < size - 0.5)
    shape = (-1, found.shown.shape[1])  # a remapped picture has at most 32767 columns, and rows
    maps = [np.where(known, places - np.float32(0.5), 0).reshape(shape) for places in (columns, rows)]
    values = cv2.remap(seen.grey.astype(np.float32), maps[0], maps[1], cv2.INTER_LINEAR)
    return np.asarray(values, np.float32).reshape(known.shape), np.asarray(known.mean(-1) > 0.8)


def _projections(
    found: Windows, seen: CameraImage, placings: Sequence[Placing]
) -> tuple[Floats, Floats, Floats]:
    """Column, row and z-depth of the windows' points for each placing: (P, N, n * n) each."""
    pose = seen.camera.camera_to_lidar
    points = (found.points - np.where(found.far[..., None], 0, pose[:3, 3])) @ pose[:3, :3]
    matrices = np.stack(
        [_placing_matrix(seen.camera.pinhole, placing) for placing in placings], dtype=np.float32
    )
    axes: Floats = matrices @ points.reshape(-1, 3).T.astype(np.float32)  # (P, 3, N * n * n)
    shape = (len(placings), *found.far.shape)
    right, down, depth = (axes[:, axis].reshape(shape) for axis in range(3))
    with np.errstate(all="ignore"):  # what lies behind or beside the camera has no pixel
        return np.divide(right, depth), np.divide(down, depth), depth


def shift(found: Windows, seen: CameraImage, placing: Placing) -> float:
    """How many pixels of the image the placing moves the windows' points, on average."""
    if not len(found.shown):
        return 0.0
    columns, rows, depth = _projections(found, seen, [placing, Placing()])
    moved = np.hypot(columns[0] - columns[1], rows[0] - rows[1])
    return float(np.where((depth > 0).all(0), moved, 0).mean())


def _placing_matrix(pinhole: Pinhole, placing: Placing) -> Array:
    """From the camera's frame to pixels, times z-depth, of content that is placed so: (3, 3)."""
    zoomed = np.diag([1 / placing.zoom, 1 / placing.zoom, 1.0])
    zoomed[:2, 2] = pinhole.intrinsics[:2, 2] * (1 - 1 / placing.zoom)
    return zoomed @ pinhole.intrinsics @ _turn_matrix(placing)


def _turn_matrix(placing: Placing) -> Array:
    """From where content is shown to where it belongs, in the camera's frame: (3, 3)."""
    yaw, pitch = math.radians(-placing.yaw), math.radians(-placing.pitch)
    right = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    up = np.array([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
    return np.asarray(right @ up)


def normal(values: NDArray[Real]) -> NDArray[Real]:
    """Rows of mean 0 and length 1; rows without texture are 0."""
    centred = values - values.mean(-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.asarray(np.where(length > 1e-6, centred / np.maximum(length, 1e-6), 0))
