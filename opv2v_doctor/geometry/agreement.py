"""Agreement: the depth of a view against LiDAR points, and against what another view measured."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Array, Camera, Cylinder, Pinhole
from opv2v_doctor.geometry.lookups import depth_at
from opv2v_doctor.geometry.poses import invert, transform

NEAREST = 3.0  # metres: what is nearer may be the agent's own body
WITHIN = 0.05  # relative: two ranges that differ by less say the same


CELL = 0.5  # degrees: about the step between the channels of OPV2V's LiDAR


class PointErrors(NamedTuple):
    """LiDAR points at whose pixel a depth is known: log(view / LiDAR), azimuth in degrees, distance."""

    errors: Array  # (N,)
    azimuths: Array  # (N,), 0 ahead, positive to the right
    distances: Array  # (N,), metres


def against_lidar(
    depth: NDArray[Any], camera: Camera, points: Array, camera_to_lidar: Array | None = None
) -> PointErrors:
    """Depth of a view (H, W), as its camera back-projects it, against LiDAR points (N, 3), OpenCV axes.

    A panorama is around the LiDAR, and sees each of its points. A camera elsewhere, of pose
    ``camera_to_lidar`` (4, 4), sees those that no nearer one hides.
    """
    pixels, expected, usable = seen_points(camera, points, camera_to_lidar)
    found = depth_at(depth, pixels[usable], around=isinstance(camera, Cylinder))
    known = np.isfinite(found)
    azimuths = np.rad2deg(np.arctan2(points[usable][known, 0], points[usable][known, 2]))
    distances = np.linalg.norm(points[usable][known], axis=-1)
    return PointErrors(np.log(found[known] / expected[usable][known]), azimuths, distances)


def seen_points(
    camera: Camera, points: Array, camera_to_lidar: Array | None = None
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Pixels (N, 2) and depth (N,) of LiDAR points (N, 3) in a camera, and which of them it sees."""
    pixels, depth = camera.project(
        points if camera_to_lidar is None else transform(invert(camera_to_lidar), points)
    )
    usable = camera.inside(pixels) & (np.linalg.norm(points, axis=-1) > NEAREST)
    if isinstance(camera, Pinhole):
        usable &= depth > NEAREST
        usable[usable] = ~_hidden(pixels[usable], depth[usable], camera)
    return pixels, depth, usable


def _hidden(pixels: Array, depth: Array, camera: Pinhole) -> NDArray[np.bool_]:
    """Which points of these pixels (N, 2) and z-depths (N,) may have a nearer one before them.

    Points are compared within a cell of some size and those around it, since a LiDAR leaves gaps.
    """
    if not len(depth):
        return np.zeros(0, np.bool_)
    side = max(1.0, float(camera.intrinsics[0, 0]) * np.deg2rad(CELL))
    columns, rows = (np.floor(pixels / side).astype(int) + 1).T
    nearest = np.full((rows.max() + 2, columns.max() + 2), np.inf)
    np.minimum.at(nearest, (rows, columns), depth)
    around = [nearest[rows + down, columns + right] for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return np.asarray(np.min(around, axis=0) < (1 - 2 * WITHIN) * depth)


class Tally(NamedTuple):
    """How many points of one agent another one confirms, cannot see, or sees through."""

    consistent: int
    occluded: int
    contradicting: int

    @property
    def comparable(self) -> int:
        """Those that the other agent could see."""
        return self.consistent + self.contradicting

    @property
    def agreement(self) -> float:
        """The share of the judged points that are confirmed; 0 where none was judged."""
        return self.consistent / self.comparable if self.comparable else 0.0

    def plus(self, other: "Tally") -> "Tally":
        """The points of both."""
        return Tally(*(one + two for one, two in zip(self, other, strict=True)))


def against_agent(
    points: Array, pose: Array, depth: NDArray[Any], other_pose: Array, camera: Camera
) -> Tally:
    """Points (N, 3) of one view against the depth (H, W) of another; poses (4, 4) to a common frame."""
    moved = transform(invert(other_pose) @ pose, points)
    pixels, distances = camera.project(moved)
    usable = camera.inside(pixels) & (distances > NEAREST)
    found = depth_at(depth, pixels[usable], around=isinstance(camera, Cylinder))
    ratio = found / distances[usable]
    consistent = np.abs(ratio - 1) < WITHIN
    occluded = ratio <= 1 - WITHIN
    return Tally(int(consistent.sum()), int(occluded.sum()), int((ratio >= 1 + WITHIN).sum()))
