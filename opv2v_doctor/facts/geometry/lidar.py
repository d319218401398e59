"""LiDAR: the dataset's panoramas, and the depth files, against the points of the same frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.geometry.clouds import cloud
from opv2v_doctor.facts.geometry.moments import Moments, SampledView, moments
from opv2v_doctor.facts.geometry.rigs import rig, source
from opv2v_doctor.geometry.agreement import NEAREST, Scanned, against_lidar
from opv2v_doctor.geometry.cameras import Array
from opv2v_doctor.geometry.lookups import depth_at
from opv2v_doctor.target import Target

SECTORS = ("ahead", "right ahead", "right", "right behind", "behind", "left behind", "left", "left ahead")
DISTANCES = (NEAREST, 10.0, 20.0, 40.0, np.inf)
LEAST_POINTS = 30  # in a sector or at a distance, to say anything
CLEARLY = 0.5  # files hold what is nearer to the LiDAR by this factor
UNITS = {1.0: "m", 1000.0: "mm", 100.0: "cm", 0.001: "km"}
VIEWS, POINTS = 4, 2000  # of a view: enough to tell what the files hold


@dataclass(frozen=True, kw_only=True)
class LidarErrors:
    """Relative errors of ranges at the pixels of LiDAR points."""

    points: int
    median: float
    ninetieth: float
    sectors: tuple[tuple[str, float, float], ...]  # median and 90th percentile of each
    distances: tuple[tuple[str, float, float], ...]
    views: int


def summary(scans: list[Scanned]) -> LidarErrors | None:
    """The errors of some panoramas together; None where no point has a range."""
    errors = np.abs(np.expm1(np.concatenate([scan.errors for scan in scans]))) if scans else np.empty(0)
    if errors.size < LEAST_POINTS:
        return None
    azimuths = np.concatenate([scan.azimuths for scan in scans])
    distances = np.concatenate([scan.distances for scan in scans])
    sector = np.round(azimuths / 45).astype(int) % 8
    near = [
        (f"{a:.0f} to {b:.0f} m" if b < np.inf else f"beyond {a:.0f} m", (distances >= a) & (distances < b))
        for a, b in pairwise(DISTANCES)
    ]
    return LidarErrors(
        points=errors.size,
        median=float(np.median(errors)),
        ninetieth=float(np.quantile(errors, 0.9)),
        sectors=_parts(errors, [(name, sector == place) for place, name in enumerate(SECTORS)]),
        distances=_parts(errors, near),
        views=len(scans),
    )


def _parts(errors: Array, parts: list[tuple[str, NDArray[np.bool_]]]) -> tuple[tuple[str, float, float], ...]:
    return tuple(
        (name, float(np.median(errors[where])), float(np.quantile(errors[where], 0.9)))
        for name, where in parts
        if where.sum() >= LEAST_POINTS
    )


@cache
def lidar_errors(target: Target, split: str) -> LidarErrors | None:
    """Of all handed-over views of a split; None where their frames have no LiDAR points."""
    found = moments(target, split)
    pairs = [(view, points) for view in found.views if (points := cloud(view.frame)) is not None]
    return summary([against_lidar(view.ranges, found.cylinder, points) for view, points in pairs])


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What the numbers in the depth files are, as the LiDAR tells; assumed where there is none."""

    depth: str = "z"  # or range
    scale: float = 1.0  # numbers a metre
    known: bool = False
    error: float = 0.0  # median, relative, of what they are
    otherwise: float = 0.0  # and of what they are not

    @property
    def unit(self) -> str:
        return UNITS.get(self.scale, f"1/{self.scale:g} m")


@cache
def meaning(target: Target, split: str) -> Meaning:
    """What the depth files of a split hold: z or range along the ray, and in which unit."""
    z, ranges = _files_against_lidar(moments(target, split))
    if z.size < LEAST_POINTS:
        return Meaning()
    scale = 10.0 ** float(np.round(np.median(z) / np.log(10)))
    errors = {
        "z": float(np.median(np.abs(z - np.log(scale)))),
        "range": float(np.median(np.abs(ranges - np.log(scale)))),
    }
    best = min(errors, key=lambda kind: errors[kind])
    other = errors["range" if best == "z" else "z"]
    if errors[best] > CLEARLY * other:
        return Meaning(scale=scale if errors["z"] < 0.1 else 1.0)
    return Meaning(depth=best, scale=scale, known=True, error=errors[best], otherwise=other)


def _files_against_lidar(found: Moments) -> tuple[Array, Array]:
    """log(file / z) and log(file / range) of all LiDAR points (N,) that a camera sees."""
    pairs = [pair for view in found.views[:VIEWS] for pair in _file_errors(found, view)]
    empty = np.empty(0)
    return (
        np.concatenate([z for z, _ in pairs]) if pairs else empty,
        np.concatenate([ranges for _, ranges in pairs]) if pairs else empty,
    )


def _some(points: Array | None) -> Array | None:
    return None if points is None else points[:: max(1, len(points) // POINTS)]


def _file_errors(found: Moments, view: SampledView) -> Iterator[tuple[Array, Array]]:
    points = _some(cloud(view.frame))
    cameras = rig(found.where, view.frame)
    depths = source(found.where, view.frame, tuple(cameras)).depths
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
