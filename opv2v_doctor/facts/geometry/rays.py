"""Rays: the directions, points and intrinsics of the dataset's views against the panorama's camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.geometry.moments import SampledView, moments
from opv2v_doctor.geometry.cameras import Array, Cylinder
from opv2v_doctor.geometry.readings import Reading, seen_rays
from opv2v_doctor.target import Target

STRIDE = 8  # of the points that were handed over
EXPLAINED = 0.1  # of the error is left by an explanation


@dataclass(frozen=True, kw_only=True)
class Rays:
    """How far the rays of a split's views are from the camera's."""

    views: int
    length: float  # the largest difference of a length from 1
    pixels: float  # the largest angle to the camera's ray, in pixels of the panorama
    median: float
    explanation: str | None  # why they differ, where that is clear
    after: float  # the median under the explanation
    points: float | None  # the largest relative distance of pts3d from range times ray through the pose
    intrinsics: float | None  # the largest relative difference of the focal lengths and middle


@cache
def rays(target: Target, split: str) -> Rays:
    """Of all handed-over views. Raises Skip where they have no ray_directions_cam."""
    found = moments(target, split)
    cylinder, views = found.cylinder, found.views
    given = [(view, view.array("ray_directions_cam")) for view in views]
    kept = [(view, np.asarray(array, np.float64)) for view, array in given if array is not None]
    if not kept:
        raise Skip(f"the views of {split} have no ray_directions_cam")
    directions = kept[0][1]
    if directions.shape != (cylinder.height, cylinder.width, 3):
        raise Blocked(
            f"ray_directions_cam is {directions.shape}, the panorama {cylinder.width} x {cylinder.height}"
        )
    different = [view for view, array in kept if not np.allclose(array, directions, atol=1e-5)]
    if different:
        directions = np.asarray(different[0].array("ray_directions_cam"), np.float64)
    off = _pixels_off(directions, cylinder.rays(), cylinder)
    explanation, after = _explanation(directions, cylinder, float(np.median(off)))
    apart = [error for view, array in kept if (error := _points_off(view, array)) is not None]
    scales = [error for view in views if (error := _intrinsics_off(view, cylinder)) is not None]
    return Rays(
        views=len(kept),
        length=float(np.abs(np.linalg.norm(directions, axis=-1) - 1).max()),
        pixels=float(off.max()),
        median=float(np.median(off)),
        explanation=explanation,
        after=after,
        points=max(apart, default=None),
        intrinsics=max(scales, default=None),
    )


def _pixels_off(one: Array, two: Array, cylinder: Cylinder) -> Array:
    """Angles between directions (..., 3), in pixels."""
    apart = np.linalg.norm(one - two, axis=-1)
    return np.asarray(2 * np.arcsin(np.clip(apart / 2, 0, 1)) / (cylinder.horizontal_fov / cylinder.width))


def _explanation(directions: Array, cylinder: Cylinder, before: float) -> tuple[str | None, float]:
    """Which known mistake gives these rays, and the median error that it leaves."""
    if before < 0.1:
        return None, before
    errors = {
        name: float(np.median(_pixels_off(directions, expected, cylinder)))
        for name, expected in _mistakes(directions, cylinder)
    }
    best = min(errors, key=lambda name: errors[name])
    return (best, errors[best]) if errors[best] < EXPLAINED * before else (None, before)


def _mistakes(directions: Array, cylinder: Cylinder) -> list[tuple[str, Array]]:
    right = cylinder.rays()
    half = cylinder.directions(cylinder.pixels() - 0.5)
    middle = directions[cylinder.height // 2, cylinder.width // 2]
    turn = float(
        np.rad2deg(
            np.arctan2(middle[0], middle[2])
            - np.arctan2(*right[cylinder.height // 2, cylinder.width // 2][[0, 2]])
        )
    )
    return [
        ("pixels are counted from their corners, half a pixel off", half),
        ("azimuth is mirrored", seen_rays(Reading(mirrored=True), right)),
        ("elevation has the wrong sign", seen_rays(Reading(flipped=True), right)),
        ("azimuth is mirrored and elevation has the wrong sign", right * [-1, -1, 1]),
        (f"azimuth is off by {turn:.1f} degrees", seen_rays(Reading(turn=-turn), right)),
        ("the axes are CARLA's (forward, right, up)", right[..., [2, 0, 1]] * [1, 1, -1]),
    ]


def _points_off(view: SampledView, directions: Array) -> float | None:
    points = view.array("pts3d")
    if points is None:
        return None
    some = slice(None, None, STRIDE)
    ranges = view.ranges[some, some]
    expected = (ranges[..., None] * directions[some, some]) @ view.pose[:3, :3].T + view.pose[:3, 3]
    known = ranges > 0
    if points.shape != expected.shape or not known.any():
        return None
    return float((np.linalg.norm(points - expected, axis=-1)[known] / ranges[known]).max())


def _intrinsics_off(view: SampledView, cylinder: Cylinder) -> float | None:
    """Relative to the panorama's pixels per radian and middle, in the shape of a pinhole's matrix."""
    matrix = view.array("camera_intrinsics")
    if matrix is None or matrix.shape != (3, 3):
        return None
    expected = np.array(
        [
            cylinder.width / cylinder.horizontal_fov,
            cylinder.height / cylinder.vertical_fov,
            cylinder.width / 2,
            cylinder.height * (0.5 + cylinder.elevation_center / cylinder.vertical_fov),
        ]
    )
    given = matrix[[0, 1, 0, 1], [0, 1, 2, 2]]
    centred = np.array([*expected[:3], cylinder.height / 2])
    return float(min(np.abs(given / each - 1).max() for each in (expected, centred)))
