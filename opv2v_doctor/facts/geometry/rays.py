"""Rays: the directions, points and intrinsics of the dataset's views against the panorama's camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.geometry.moments import PanoramaView, moments, sides
from opv2v_doctor.geometry.cameras import Array, Cylinder
from opv2v_doctor.geometry.readings import Reading, real_rays
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text

STRIDE = 8  # of the points that were handed over
EXPLAINED = 0.1  # of the error is left by an explanation


@dataclass(frozen=True, kw_only=True)
class Rays:
    """How far the rays of a split's views are from the camera's."""

    views: int
    length: float  # the largest difference of a length from 1; infinite where a ray is not finite
    pixels: float  # the largest angle to the camera's ray, in pixels of the panorama
    median: float
    explanation: Text | None  # why they differ, where that is clear
    after: float  # the median under the explanation
    points: float | None  # the largest relative distance of pts3d from range times ray through the pose


@dataclass(frozen=True, kw_only=True)
class Intrinsics:
    """How far the intrinsics that a split's views give are from the panorama's."""

    views: int  # that give some
    off: float  # the largest relative difference of the focal lengths and middle


@fact
def rays(target: Target, split: str) -> Rays:
    """Of all handed-over views. Raises Skip where they have no ray_directions_cam."""
    found = moments(target, split)
    cylinder, views = found.cylinder, found.views
    given = [(view, view.array("ray_directions_cam")) for view in views]
    kept = [(view, np.asarray(array, np.float64)) for view, array in given if array is not None]
    if not kept:
        raise Skip("the views of {split} have no ray_directions_cam", split=split)
    for _, array in kept:
        if array.shape != (cylinder.height, cylinder.width, 3):
            raise Blocked(
                "ray_directions_cam is {given}, the panorama {expected}",
                hint="give one unit vector for each pixel of panorama_resolution",
                given=sides(array.shape),
                expected=sides((cylinder.height, cylinder.width, 3)),
            )
    directions, off = max(
        ((array, _pixels_off(array, cylinder.rays(), cylinder)) for array in _different(kept)),
        key=lambda pair: pair[1].max(),
    )
    explanation, after = _explanation(directions, cylinder, float(np.median(off)))
    apart = [error for view, array in kept if (error := _points_off(view, array)) is not None]
    return Rays(
        views=len(kept),
        length=max(_lengths_off(array) for array in _different(kept)),
        pixels=float(off.max()),
        median=float(np.median(off)),
        explanation=explanation,
        after=after,
        points=max(apart, default=None),
    )


@fact
def intrinsics(target: Target, split: str) -> Intrinsics | None:
    """Of all handed-over views; None where they have no camera_intrinsics."""
    found = moments(target, split)
    off = [error for view in found.views if (error := _intrinsics_off(view, found.cylinder)) is not None]
    return Intrinsics(views=len(off), off=max(off)) if off else None


def _different(kept: list[tuple[PanoramaView, Array]]) -> list[Array]:
    """The rays, each once: mostly those of all views are the same."""
    found: list[Array] = []
    for _, array in kept:
        if not any(np.allclose(array, other, atol=1e-5, equal_nan=True) for other in found):
            found.append(array)
    return found


def _lengths_off(directions: Array) -> float:
    """The largest difference of a length from 1."""
    return float(np.nan_to_num(np.abs(np.linalg.norm(directions, axis=-1) - 1), nan=np.inf).max())


def _pixels_off(one: Array, two: Array, cylinder: Cylinder) -> Array:
    """Angles between directions (..., 3), in pixels; half a turn where one is not finite."""
    apart = np.nan_to_num(np.linalg.norm(one - two, axis=-1), nan=2.0)
    return np.asarray(2 * np.arcsin(np.clip(apart / 2, 0, 1)) / (cylinder.horizontal_fov / cylinder.width))


def _explanation(directions: Array, cylinder: Cylinder, before: float) -> tuple[Text | None, float]:
    """Which known mistake gives these rays, and the median error that it leaves."""
    if before < 0.1:
        return None, before
    errors = {
        name: float(np.median(_pixels_off(directions, expected, cylinder)))
        for name, expected in _mistakes(directions, cylinder)
    }
    best = min(errors, key=lambda name: errors[name])
    return (best, errors[best]) if errors[best] < EXPLAINED * before else (None, before)


def _mistakes(directions: Array, cylinder: Cylinder) -> list[tuple[Text, Array]]:
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
        (Text("pixels are counted from their corners, half a pixel off"), half),
        (Text("azimuth is mirrored"), real_rays(Reading(mirrored=True), right)),
        (Text("elevation has the wrong sign"), real_rays(Reading(flipped=True), right)),
        (Text("azimuth is mirrored and elevation has the wrong sign"), right * [-1, -1, 1]),
        (Text("azimuth is off by {turn:.1f} degrees", turn=turn), real_rays(Reading(turn=-turn), right)),
        (Text("the axes are CARLA's (forward, right, up)"), right[..., [2, 0, 1]] * [1, 1, -1]),
    ]


def _points_off(view: PanoramaView, directions: Array) -> float | None:
    points = view.array("pts3d")
    if points is None:
        return None
    some = slice(None, None, STRIDE)
    ranges = view.ranges[some, some]
    expected = (ranges[..., None] * directions[some, some]) @ view.pose[:3, :3].T + view.pose[:3, 3]
    known = ranges > 0
    if points.shape != expected.shape or not known.any():
        return None
    apart = np.linalg.norm(points - expected, axis=-1)[known] / ranges[known]
    return float(np.nan_to_num(apart, nan=np.inf).max())


def _intrinsics_off(view: PanoramaView, cylinder: Cylinder) -> float | None:
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
    off = [np.abs(given / each - 1).max() for each in (expected, centred)]
    return float(np.nan_to_num(min(off), nan=np.inf))
