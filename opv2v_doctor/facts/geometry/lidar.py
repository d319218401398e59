"""LiDAR: the depth of the dataset's views, and the depth files, against the points of the same frames."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.frames import Disk, Frame
from opv2v_doctor.facts.disk.lidar_files import cloud
from opv2v_doctor.facts.geometry.meanings import LEAST_POINTS
from opv2v_doctor.facts.geometry.sensors import suspects
from opv2v_doctor.facts.samples.moments import Moments, PinholeView, TracedView, moments
from opv2v_doctor.geometry.agreement import NEAREST, PointErrors, against_lidar
from opv2v_doctor.geometry.cameras import Array
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Command, Text

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
VIEWS = 4  # of a split: enough to tell how the dataset made them


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
    """Of all handed-over views of a split, but for those whose files contradict each other already.

    Raises Skip where their frames have no LiDAR files, Blocked where too few points are at known depth.
    """
    found = moments(target, split)
    wrong = {frame.yaml for each in suspects(target, split).all for frame in each.frames}
    sound = [view for view in found.views if view.frame.yaml not in wrong]
    pairs = [(view, points) for view in sound if (points := cloud(view.frame)) is not None]
    if found.views and not sound:
        raise Blocked(
            "point clouds and depth files of every drawn view of {split} contradict each other",
            hint="see what is wrong with them: {command}",
            command=Command("opv2v-doctor check GEO016"),
            split=split,
        )
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


def some_views(found: Moments, most: int = VIEWS) -> tuple[TracedView, ...]:
    """Some views spread over those of a split: of single cameras four times as many, as they show less."""
    views, count = found.views, most * (4 if isinstance(found.views[0], PinholeView) else 1)
    return views[:: max(1, len(views) // count)][:count]
