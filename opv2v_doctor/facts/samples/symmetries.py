"""Symmetries: samples that a training mirrors or turns as a whole, told as their files have them.

A mirrored image is right where depth, mask, rays, principal point and poses are mirrored, too; a panorama may
begin anywhere where its rays, or its pose, say so. What is examined is the sample with that undone. Whatever
did not follow is then the other way around by itself, and is judged as any fault is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.disk.lidar_files import cloud
from opv2v_doctor.facts.interpreter.views import handed_over
from opv2v_doctor.geometry.agreement import seen_points
from opv2v_doctor.geometry.cameras import Array, Cylinder, Pinhole
from opv2v_doctor.geometry.conventions import RIGHT, pose_errors
from opv2v_doctor.geometry.poses import invert
from opv2v_doctor.threshold import Threshold

if TYPE_CHECKING:
    from opv2v_doctor.facts.disk.frames import Disk
    from opv2v_doctor.facts.samples.moments import TracedView

_View = TypeVar("_View", bound="TracedView")

EXACT = Threshold(0.02, "m at 50 m", "right poses in float32 are that near", healthy=1.4e-6, faulty=1.96)
WHOLE = Threshold(0.01, "columns", "a panorama that is turned by whole columns keeps its pixels")
BETTER = Threshold(0.5, "of the spread of depth over LiDAR as it is given", "undone, depth fits its LiDAR")
FLIP = np.diag([-1.0, 1.0, 1.0, 1.0])
AXES = ("opencv", "opengl")  # in both of which x points right
ALONE = "alone_"  # before the name of a depth map that is all that was handed over of its sample
STILL = 1.0  # metres: nearer agents tell no direction


@dataclass(frozen=True)
class Symmetry:
    """What was done to the arrays of a view: mirrored, and then turned by columns to the right."""

    mirrored: bool = False
    columns: int = 0
    with_rays: bool = False  # its rays were turned as well; else its pose was

    def undone(self, key: str, array: NDArray[Any]) -> NDArray[Any]:
        """An array of the view before that; points are as they were given, as only some of them are known."""
        if key == "pts3d" or array.ndim < 2 or not (self.mirrored or self.columns):
            return array
        if key == "camera_intrinsics":
            return array
        across = 2 if key == "img" and array.ndim == 3 and array.shape[0] == 3 else 1
        if self.columns and (self.with_rays or key != "ray_directions_cam"):
            array = np.roll(array, -self.columns, across)
        if self.mirrored:
            array = np.flip(array, across)
            if key == "ray_directions_cam":
                array = array * np.array([-1, 1, 1], array.dtype)
        return array


AS_IT_IS = Symmetry()


class _Undone(NamedTuple):
    """The views of a sample, each with what was done to it, and the pose that it had before."""

    symmetries: list[Symmetry]
    poses: list[Array]


def as_filed(where: Disk, views: tuple[_View, ...]) -> tuple[_View, ...]:
    """The views of a sample as they were before all of it was mirrored or turned; else as they are."""
    try:
        return _as_filed(where, views) if views and all(map(_is_whole, views)) else views
    except Blocked:  # whoever needs what is lacking will be told
        return views


def _is_whole(view: TracedView) -> bool:
    """Whether it has a pose, and its files tell the right one."""
    mounts = [each.numbers for each in (view.mount, view.end)]
    try:
        return bool(np.isfinite(view.pose).all() and np.isfinite(np.array(mounts, np.float64)).all()) and all(
            isinstance(each, list) and len(each) == 6 for each in mounts
        )
    except (TypeError, ValueError):
        return False


def _as_filed(where: Disk, views: tuple[_View, ...]) -> tuple[_View, ...]:
    plain = _Undone([_turned_rays(view) for view in views], [view.pose for view in views])
    right, turned = _off(views, plain.poses) < EXACT, any(each.columns for each in plain.symmetries)
    tried = [plain] if turned else []
    tried += _explanations(views, plain, right=right)
    if not tried:
        return views
    before = spread(where, views, [AS_IT_IS] * len(views))
    fitting = [(spread(where, views, each.symmetries), each) for each in tried]
    after, best = min(fitting, key=lambda pair: pair[0])
    if not after < BETTER * before:
        return views
    return tuple(
        view.undone(symmetry, pose)
        for view, symmetry, pose in zip(views, best.symmetries, best.poses, strict=True)
    )


def _explanations(views: Sequence[TracedView], plain: _Undone, *, right: bool) -> Iterator[_Undone]:
    """What makes right poses of those that are given; those of a few cameras are right mirrored, too."""
    flipped = [FLIP @ pose @ FLIP for pose in plain.poses]
    if _off(views, flipped) < EXACT:
        yield _Undone([replace(each, mirrored=True) for each in plain.symmetries], flipped)
    if right or not isinstance(views[0].camera, Cylinder):
        return
    for mirrored, poses in ((False, plain.poses), (True, flipped)):
        for turn in _turns_of_the_first(views, poses):
            found = [_turned(view, turn @ pose) for view, pose in zip(views, poses, strict=True)]
            columns = [each for each in found if each is not None]
            if len(columns) == len(views) and any(columns):
                # what was turned after it was mirrored turned its pose the other way
                yield _Undone(
                    [Symmetry(mirrored=mirrored, columns=-each if mirrored else each) for each in columns],
                    [_right(view) for view in views],
                )


def _off(views: Sequence[TracedView], poses: Sequence[Array]) -> float:
    """Metres at 50 m by which poses are off, the largest: of panoramas by themselves, of cameras together."""
    if isinstance(views[0].camera, Cylinder):
        return float(pose_errors(np.stack(poses), np.stack([_right(view) for view in views]))[1].max())
    given = np.stack([invert(poses[0]) @ pose for pose in poses])
    cords = np.array([view.mount.numbers for view in views], np.float64)
    return min(
        float(pose_errors(given, replace(RIGHT, axes=axes).relative_pose(cords, cords[0]))[1].max())
        for axes in AXES
    )


def _right(view: TracedView) -> Array:
    """From a panorama's LiDAR to the one that its label names (4, 4)."""
    return RIGHT.relative_pose(*(np.array(each.numbers, np.float64) for each in (view.mount, view.end)))


def _turns_of_the_first(views: Sequence[TracedView], poses: Sequence[Array]) -> Iterator[Array]:
    """By what the panorama that all poses lead to may have been turned (4, 4): nothing, or as they tell."""
    yield np.eye(4)
    for view, pose in zip(views, poses, strict=True):
        (x, _, z), (across, _, ahead) = _right(view)[:3, 3], pose[:3, 3]
        if min(math.hypot(x, z), math.hypot(across, ahead)) > STILL:
            yield _about_y(math.atan2(x, z) - math.atan2(across, ahead))
            return


def _turned(view: TracedView, pose: Array) -> int | None:
    """By how many columns to the right a panorama of this pose was turned; None where that is no answer."""
    turn = invert(_right(view)) @ pose
    angle = math.atan2(-turn[0, 2], turn[0, 0])
    columns = angle / (2 * math.pi) * view.camera.width
    exact = abs(columns - round(columns)) < WHOLE
    explained = float(pose_errors(turn, _about_y(-angle))[1]) < EXACT
    return round(columns) if exact and explained else None


def _about_y(angle: float) -> Array:
    """The pose (4, 4) that turns what lies ahead to the right."""
    turn = np.eye(4)
    turn[[0, 0, 2, 2], [0, 2, 0, 2]] = math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle)
    return turn


def _turned_rays(view: TracedView) -> Symmetry:
    """By how many columns the rays of a panorama begin elsewhere, where they are right otherwise."""
    rays, camera = view.array("ray_directions_cam"), view.camera
    if rays is None or not isinstance(camera, Cylinder) or rays.shape != (*view.shape, 3):
        return AS_IT_IS
    ahead = rays[view.shape[0] // 2] @ np.array([0.0, 0.0, 1.0])
    middle = int(ahead.argmax()) - int(camera.rays()[view.shape[0] // 2, :, 2].argmax())
    for columns in (middle - 1, middle, middle + 1):
        if columns % camera.width and np.allclose(np.roll(camera.rays(), columns, 1), rays, atol=1e-3):
            return Symmetry(columns=columns, with_rays=True)
    return AS_IT_IS


def spread(where: Disk, views: Sequence[TracedView], symmetries: Sequence[Symmetry]) -> float:
    """How far the depth of views is from that of their LiDARs, but for one factor; NaN where none tells."""
    found = [
        errors
        for view, symmetry in zip(views, symmetries, strict=True)
        if (errors := _errors(where, view, symmetry)) is not None
    ]
    errors = np.concatenate(found) if found else np.zeros(0)
    return float(np.median(np.abs(errors - np.median(errors)))) if errors.size else math.nan


def _errors(where: Disk, view: TracedView, symmetry: Symmetry) -> Array | None:
    depth, points, camera = _depth(view), cloud(view.frame), view.camera
    if symmetry.mirrored and isinstance(camera, Pinhole):
        camera = Pinhole(mirrored_intrinsics(view, camera), camera.width, camera.height)
    (mounted, *_) = view.rig(where).values()
    mount = mounted.camera_to_lidar if isinstance(camera, Pinhole) else None
    if depth is None or points is None or depth.size != view.shape[0] * view.shape[1]:
        return None
    pixels, expected, seen = seen_points(camera, points, mount)
    columns, rows = pixels[seen].astype(int).T
    given = symmetry.undone("depthmap", depth.reshape(view.shape))[rows, columns]
    known = np.isfinite(given) & (given > 0)
    return np.asarray(np.log(given[known] / expected[seen][known]), np.float64)


def _depth(view: TracedView) -> NDArray[Any] | None:
    """Its depth as it is given, also of samples of which nothing else was handed over."""
    path = Path(view.prefix)
    alone = handed_over(path.parent / f"{ALONE}{path.name}_depthmap.npy")
    return view.array("depthmap") if alone is None else alone


def mirrored_intrinsics(view: TracedView, camera: Pinhole) -> Array:
    """Those of a camera (3, 3) before its view was mirrored."""
    matrix = camera.intrinsics.copy()
    matrix[0, 2] = camera.width - matrix[0, 2] - _counts_from_the_centre(view, camera)
    matrix[0, 1] = -matrix[0, 1]
    return matrix


def _counts_from_the_centre(view: TracedView, camera: Pinhole) -> bool:
    """Whether the intrinsics count from the first pixel's centre, as the view's rays tell."""
    rays = view.array("ray_directions_cam")
    if rays is None or rays.shape != (*view.shape, 3):
        return False
    corner, centre = (
        float(np.abs(np.abs(rays) - np.abs(each.rays())).max()) for each in (camera, camera.from_corner())
    )
    return centre < corner
