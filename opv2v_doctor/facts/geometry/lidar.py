"""LiDAR: the depth of the dataset's views, and the depth files, against the points of the same frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.frames import Disk, Frame
from opv2v_doctor.facts.disk.lidar_files import cloud
from opv2v_doctor.facts.geometry.depth_maps import depth_maps
from opv2v_doctor.facts.samples.moments import Moments, PinholeView, TracedView, moments
from opv2v_doctor.geometry.agreement import NEAREST, PointErrors, against_lidar
from opv2v_doctor.geometry.cameras import Array
from opv2v_doctor.geometry.lookups import depth_at
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Command, Text
from opv2v_doctor.threshold import Threshold

SECTORS = (
    Text("ahead"),
    Text("right ahead"),
    Text("right"),
    Text("right behind"),
    Text("behind"),
    Text("left behind"),
    Text("left"),
    Text("left ahead"),
)
DISTANCES = (NEAREST, 10.0, 20.0, 40.0, np.inf)
LEAST_POINTS = 30  # of all, in a sector or at a distance, to say anything
CLEARLY = Threshold(
    0.5, "of the other error", "z and range differ by a seventh over the images of OPV2V", healthy=0.11
)
UNITS = {1.0: "m", 1000.0: "mm", 100.0: "cm", 0.001: "km"}
VIEWS, POINTS = 4, 2000  # of a view: enough to tell what the files hold


Part = tuple[Text, float, float]  # its name, median and 90th percentile


@dataclass(frozen=True, kw_only=True)
class LidarErrors:
    """Relative errors of ranges at the pixels of LiDAR points."""

    points: int
    median: float
    ninetieth: float
    sectors: tuple[Part, ...]
    distances: tuple[Part, ...]
    views: int


def summary(scans: list[PointErrors]) -> LidarErrors | None:
    """The errors of some views together; None where fewer than LEAST_POINTS points have a range."""
    errors = np.abs(np.expm1(np.concatenate([scan.errors for scan in scans]))) if scans else np.empty(0)
    if errors.size < LEAST_POINTS:
        return None
    azimuths = np.concatenate([scan.azimuths for scan in scans])
    distances = np.concatenate([scan.distances for scan in scans])
    sector = np.round(azimuths / 45).astype(int) % 8
    near = [(_distance(a, b), (distances >= a) & (distances < b)) for a, b in pairwise(DISTANCES)]
    return LidarErrors(
        points=errors.size,
        median=float(np.median(errors)),
        ninetieth=float(np.quantile(errors, 0.9)),
        sectors=_parts(errors, [(name, np.asarray(sector == n)) for n, name in enumerate(SECTORS)]),
        distances=_parts(errors, near),
        views=len(scans),
    )


def _distance(near: float, far: float) -> Text:
    if far == np.inf:
        return Text("beyond {near:.0f} m", near=near)
    return Text("{near:.0f} to {far:.0f} m", near=near, far=far)


def _parts(errors: Array, parts: list[tuple[Text, NDArray[np.bool_]]]) -> tuple[Part, ...]:
    return tuple(
        (name, float(np.median(errors[where])), float(np.quantile(errors[where], 0.9)))
        for name, where in parts
        if where.sum() >= LEAST_POINTS
    )


@fact
def lidar_errors(target: Target, split: str) -> LidarErrors:
    """Of all handed-over views of a split.

    Raises Skip where their frames have no LiDAR files, Blocked where too few points are at known depth.
    """
    found = moments(target, split)
    pairs = [(view, points) for view in found.views if (points := cloud(view.frame)) is not None]
    if not pairs:
        raise without_clouds(split, found.views[0].frame)
    scans = [
        against_lidar(view.depth, view.camera, points, lidar_mount(found.where, view))
        for view, points in pairs
    ]
    errors = summary(scans)
    if errors is None:
        raise Blocked(
            "{found} of {points} LiDAR points of {split} are at pixels of known depth, {least} are needed",
            hint="see what the depth files hold: {command}",
            command=Command("opv2v-doctor check DAT009"),
            found=sum(scan.errors.size for scan in scans),
            points=sum(len(points) for _, points in pairs),
            split=split,
            least=LEAST_POINTS,
        )
    return errors


def lidar_mount(where: Disk, view: TracedView) -> Array | None:
    """From a view's single camera to the LiDAR of its agent (4, 4); None of a panorama, which is there."""
    if isinstance(view, PinholeView):
        return view.rig(where)[view.name].camera_to_lidar
    return None


def without_clouds(split: str, frame: Frame) -> Skip:
    """That the frames have no LiDAR files to compare with."""
    return Skip(
        "the frames of {split} have no LiDAR files: {file} is missing",
        split=split,
        file=frame.cloud,
    )


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What the numbers in the depth files are, as the LiDAR shows; assumed where it does not."""

    depth: str = "z"  # or range
    scale: float = 1.0  # numbers per metre
    known: bool = False
    as_z: float = 0.0  # their median relative difference from z-depth in that unit
    as_range: float = 0.0  # and from the range along the ray
    points: int = 0  # of the LiDAR that a camera sees

    @property
    def error(self) -> float:
        """The difference from what they are, 0 where that is assumed."""
        return min(self.as_z, self.as_range) if self.known else 0.0

    @property
    def unit(self) -> str:
        return UNITS.get(self.scale, f"1/{self.scale:g} m")

    @property
    def untold(self) -> Text:
        """Why it is only assumed."""
        if self.points < LEAST_POINTS:
            return Text("the depth files have {n:LiDAR point|LiDAR points} at their pixels", n=self.points)
        return Text(
            "the LiDAR's points differ by {z:.1%} from the depth files as distance to the image plane, by "
            "{range:.1%} as range along the ray: no clear answer",
            z=self.as_z,
            range=self.as_range,
        )


@fact
def meaning(target: Target, split: str) -> Meaning:
    """What the depth files of a split hold: z or range along the ray, and in which unit."""
    z, ranges = _files_against_lidar(moments(target, split))
    return meaning_of(z, ranges)


def meaning_of(z: Array, ranges: Array) -> Meaning:
    """What log(file / z) and log(file / range) (N,) at LiDAR points say."""
    if z.size < LEAST_POINTS:
        return Meaning(points=z.size)
    scale = 10.0 ** float(np.round(np.median(z) / np.log(10)))
    errors = {
        "z": float(np.median(np.abs(z - np.log(scale)))),
        "range": float(np.median(np.abs(ranges - np.log(scale)))),
    }
    best = min(errors, key=lambda kind: errors[kind])
    other = errors["range" if best == "z" else "z"]
    found = Meaning(as_z=errors["z"], as_range=errors["range"], points=z.size)
    if errors[best] > CLEARLY * other:
        return replace(found, scale=scale if errors["z"] < 0.1 else 1.0)
    return replace(found, depth=best, scale=scale, known=True)


def _files_against_lidar(found: Moments) -> tuple[Array, Array]:
    """log(file / z) and log(file / range) of all LiDAR points (N,) that a camera sees."""
    pairs = [pair for view in some_views(found) for pair in _file_errors(found, view)]
    empty = np.empty(0)
    return (
        np.concatenate([z for z, _ in pairs]) if pairs else empty,
        np.concatenate([ranges for _, ranges in pairs]) if pairs else empty,
    )


def some_views(found: Moments, most: int = VIEWS) -> tuple[TracedView, ...]:
    """Some views spread over those of a split: of single cameras four times as many, as they show less."""
    views, count = found.views, most * (4 if isinstance(found.views[0], PinholeView) else 1)
    return views[:: max(1, len(views) // count)][:count]


def _some(points: Array | None) -> Array | None:
    return None if points is None else points[:: max(1, len(points) // POINTS)]


def _file_errors(found: Moments, view: TracedView) -> Iterator[tuple[Array, Array]]:
    points = _some(cloud(view.frame))
    cameras = view.rig(found.where)
    depths = depth_maps(view.frame, cameras)
    for camera, depth in zip(cameras.values(), depths, strict=True):
        if depth is None or points is None:
            continue
        rotation, offset = camera.camera_to_lidar[:3, :3], camera.camera_to_lidar[:3, 3]
        seen = (points[np.linalg.norm(points, axis=-1) > NEAREST] - offset) @ rotation
        pixels, z = camera.pinhole.project(seen)
        usable = camera.pinhole.inside(pixels, border=0.5)
        value = depth_at(depth, pixels[usable])
        known = np.isfinite(value)
        yield (
            np.log(value[known] / z[usable][known]),
            np.log(value[known] / np.linalg.norm(seen[usable][known], axis=-1)),
        )
