"""Agreement: a panorama's ranges against LiDAR points, and against what another agent measured."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Array, Cylinder
from opv2v_doctor.geometry.lookups import depth_at
from opv2v_doctor.geometry.poses import invert, transform

NEAREST = 3.0  # metres: what is nearer may be the agent's own body
WITHIN = 0.05  # relative: two ranges that differ by less say the same


class PointErrors(NamedTuple):
    """LiDAR points at whose pixel a range is known: log(panorama / LiDAR), azimuth in degrees, distance."""

    errors: Array  # (N,)
    azimuths: Array  # (N,), 0 ahead, positive to the right
    distances: Array  # (N,), metres


def against_lidar(ranges: NDArray[Any], cylinder: Cylinder, points: Array) -> PointErrors:
    """Ranges of a panorama (H, W) against LiDAR points (N, 3), OpenCV axes, around the same centre."""
    pixels, distances = cylinder.project(points)
    usable = cylinder.inside(pixels) & (distances > NEAREST)
    found = depth_at(ranges, pixels[usable], around=True)
    known = np.isfinite(found)
    seen, distances = points[usable][known], distances[usable][known]
    azimuths = np.rad2deg(np.arctan2(seen[:, 0], seen[:, 2]))
    return PointErrors(np.log(found[known] / distances), azimuths, distances)


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
    points: Array, pose: Array, ranges: NDArray[Any], other_pose: Array, cylinder: Cylinder
) -> Tally:
    """Points (N, 3) of one agent against the panorama (H, W) of another; poses (4, 4) to a common frame."""
    moved = transform(invert(other_pose) @ pose, points)
    pixels, distances = cylinder.project(moved)
    usable = cylinder.inside(pixels) & (distances > NEAREST)
    found = depth_at(ranges, pixels[usable], around=True)
    ratio = found / distances[usable]
    consistent = np.abs(ratio - 1) < WITHIN
    occluded = ratio <= 1 - WITHIN
    return Tally(int(consistent.sum()), int(occluded.sum()), int((ratio >= 1 + WITHIN).sum()))
