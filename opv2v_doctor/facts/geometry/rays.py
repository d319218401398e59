"""Rays: the directions, points and intrinsics of the dataset's views against their cameras."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.geometry.camera_axes import from_opencv
from opv2v_doctor.facts.geometry.relative_poses import declared_axes
from opv2v_doctor.facts.samples.moments import (
    PanoramaView,
    PinholeView,
    TracedView,
    moments,
    sides,
)
from opv2v_doctor.geometry.cameras import Array, Camera, Cylinder, Pinhole
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
    pixels: float  # the largest angle to the camera's ray, in pixels
    median: float
    explanation: Text | None  # why they differ, where that is clear
    after: float  # the median under the explanation
    points: float | None  # the largest relative distance of pts3d from range times ray through the pose


@dataclass(frozen=True, kw_only=True)
class Intrinsics:
    """How far the intrinsics that a split's panoramas give are from theirs."""

    views: int  # that give some
    off: float  # the largest relative difference of the focal lengths and middle


@fact
def rays(target: Target, split: str) -> Rays:
    """Of all handed-over views. Raises Skip where they have no ray_directions_cam."""
    turn = from_opencv(declared_axes(target, split))
    given = [(view, view.array("ray_directions_cam")) for view in moments(target, split).views]
    kept = [(view, np.asarray(array, np.float64)) for view, array in given if array is not None]
    if not kept:
        raise Skip("the views of {split} have no ray_directions_cam", split=split)
    for view, array in kept:
        if array.shape != (*view.shape, 3):
            raise Blocked(
                "ray_directions_cam is {given}, the view {expected}",
                hint="give one unit vector for each pixel of the image",
                given=sides(array.shape),
                expected=sides((*view.shape, 3)),
            )
    kept = [(view, array @ turn) for view, array in kept]  # in OpenCV's axes
    camera, directions, off = max(
        ((camera, array, _least_off(array, camera)) for camera, array in _different(kept)),
        key=lambda found: found[2].max(),
    )
    explanation, after = _explanation(directions, camera, float(np.median(off)))
    apart = [error for view, _ in kept if (error := _points_off(view.given(), turn)) is not None]
    return Rays(
        views=len(kept),
        length=max(_lengths_off(array) for _, array in _different(kept)),
        pixels=float(off.max()),
        median=float(np.median(off)),
        explanation=explanation,
        after=after,
        points=max(apart, default=None),
    )


@fact
def intrinsics(target: Target, split: str) -> Intrinsics | None:
    """Of all handed-over panoramas; None where they have no camera_intrinsics, or are none."""
    views = [view for view in moments(target, split).views if isinstance(view, PanoramaView)]
    off = [error for view in views if (error := _intrinsics_off(view)) is not None]
    return Intrinsics(views=len(off), off=max(off)) if off else None


def _different(kept: list[tuple[TracedView, Array]]) -> list[tuple[Camera, Array]]:
    """The cameras and rays, each once: mostly those of all panoramas are the same."""
    found: list[tuple[Camera, Array]] = []
    for view, array in kept:
        alike = (
            np.allclose(array, other, atol=1e-5, equal_nan=True)
            for camera, other in found
            if camera == view.camera
        )
        if not any(alike):
            found.append((view.camera, array))
    return found


def _lengths_off(directions: Array) -> float:
    """The largest difference of a length from 1."""
    return float(np.nan_to_num(np.abs(np.linalg.norm(directions, axis=-1) - 1), nan=np.inf).max())


def _pixels_off(one: Array, two: Array, camera: Camera) -> Array:
    """Angles between directions (..., 3), in pixels; half a turn where one is not finite."""
    apart = np.nan_to_num(np.linalg.norm(one - two, axis=-1), nan=2.0)
    return np.asarray(2 * np.arcsin(np.clip(apart / 2, 0, 1)) / _pixel(camera))


def _pixel(camera: Camera) -> float:
    """The angle of a pixel in radians, in the middle of a pinhole's image."""
    if isinstance(camera, Cylinder):
        return camera.horizontal_fov / camera.width
    return float(1 / camera.intrinsics[0, 0])


def _least_off(directions: Array, camera: Camera) -> Array:
    """How far rays are from the camera's; a pinhole's intrinsics may count pixels from either point."""
    off = _pixels_off(directions, camera.rays(), camera)
    if isinstance(camera, Cylinder):
        return off
    return min(off, _pixels_off(directions, camera.from_corner().rays(), camera), key=np.max)


def _explanation(directions: Array, camera: Camera, before: float) -> tuple[Text | None, float]:
    """Which known mistake gives these rays, and the median error that it leaves."""
    if before < 0.1:
        return None, before
    errors = {
        name: float(np.median(_pixels_off(directions, expected, camera)))
        for name, expected in _mistakes(directions, camera)
    }
    best = min(errors, key=lambda name: errors[name])
    return (best, errors[best]) if errors[best] < EXPLAINED * before else (None, before)


def _mistakes(directions: Array, camera: Camera) -> list[tuple[Text, Array]]:
    right = camera.rays()
    found = [
        (Text("azimuth is mirrored"), real_rays(Reading(mirrored=True), right)),
        (Text("elevation has the wrong sign"), real_rays(Reading(flipped=True), right)),
        (Text("azimuth is mirrored and elevation has the wrong sign"), right * [-1, -1, 1]),
        (Text("the axes are CARLA's (forward, right, up)"), right[..., [2, 0, 1]] * [1, 1, -1]),
    ]
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        words = (("-" if sign < 0 else "") + "xyz"[axis] for axis, sign in zip(order, signs, strict=True))
        text = Text("their axes are ({axes}) of the right (x, y, z)", axes=", ".join(words))
        found.append((text, right[..., order] * signs))
    if isinstance(camera, Pinhole):
        (fx, _, cx), (_, fy, cy), _ = camera.intrinsics
        columns, rows = np.moveaxis(camera.pixels(), -1, 0)
        plane = np.stack([(rows - cx) / fx, (columns - cy) / fy, np.ones_like(rows)], axis=-1)
        unit = plane / np.linalg.norm(plane, axis=-1, keepdims=True)
        found.append((Text("columns and rows are exchanged"), unit))
        return found
    half = camera.directions(camera.pixels() - 0.5)
    place = camera.height // 2, camera.width // 2
    ahead, expected = (np.arctan2(*each[place][[0, 2]]) for each in (directions, right))
    turn = float(np.rad2deg(ahead - expected))
    return [
        *found,
        *_of_elevations(directions, right),
        (Text("pixels are counted from their corners, half a pixel off"), half),
        (Text("azimuth is off by {turn:.1f} degrees", turn=turn), real_rays(Reading(turn=-turn), right)),
    ]


def _of_elevations(directions: Array, right: Array) -> list[tuple[Text, Array]]:
    """Rays whose elevations are a multiple of the right ones, and others: by their median and their slope."""
    lengths = [np.linalg.norm(each, axis=-1) for each in (directions, right)]
    given, expected = (
        np.arcsin(np.clip(-each[..., 1] / np.maximum(length, 1e-9), -1, 1))
        for each, length in zip((directions, right), lengths, strict=True)
    )
    slope, start = np.polyfit(expected.ravel(), np.nan_to_num(given).ravel(), 1)
    azimuth, elevation = np.arctan2(right[..., 0], right[..., 2]), slope * expected + start
    level = np.cos(elevation)
    made = np.stack([level * np.sin(azimuth), -np.sin(elevation), level * np.cos(azimuth)], axis=-1)
    text = Text(
        "elevations are {slope:.2f} times theirs, and {start:+.1f} degrees",
        slope=float(slope),
        start=float(np.rad2deg(start)),
    )
    return [(text, made)]


def _points_off(view: TracedView, turn: Array) -> float | None:
    points, rays = view.array("pts3d"), view.array("ray_directions_cam")
    if points is None or rays is None:
        return None
    directions = np.asarray(rays, np.float64) @ turn
    some = slice(None, None, STRIDE)
    ranges = view.depth[some, some].astype(np.float64)
    if isinstance(view, PinholeView):  # whose depth is z
        ranges = ranges / directions[some, some, 2]
    expected = ranges[..., None] * directions[some, some] @ turn.T @ view.pose[:3, :3].T + view.pose[:3, 3]
    known = ranges > 0
    if points.shape != expected.shape or not known.any():
        return None
    apart = np.linalg.norm(points - expected, axis=-1)[known] / ranges[known]
    return float(np.nan_to_num(apart, nan=np.inf).max())


def _intrinsics_off(view: PanoramaView) -> float | None:
    """Relative to the panorama's pixels per radian and middle, in the shape of a pinhole's matrix."""
    cylinder = view.cylinder
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
