"""Readings: the ways in which a dataset may make the depth of a view from depth maps, right and wrong.

A reading explains a view where each of its points, taken back into a camera in the reading's way, has the
depth that the camera's file says there. No panorama has to be stitched to find that out. Of a view that is
the image of a single camera, that camera is where the LiDAR of a panorama is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Array, Camera, Pinhole
from opv2v_doctor.geometry.lookups import depth_at
from opv2v_doctor.geometry.rigs import MountedCamera

DepthMaps = Sequence[NDArray[Any] | None]  # (h, w) of each camera of a rig in a frame, None without one
LENGTHENED = "z made range"  # where z is expected: the image of a single camera
FARTHEST = 1e6  # metres
LARGEST = 0.1  # an error counts up to here: a pixel at an edge shall not outweigh all others


@dataclass(frozen=True)
class Reading:
    """One way to read a rig's depth maps; the defaults are right for files of z-depth in metres."""

    depth: str = "z"  # what the files' numbers are taken for: z, range along the ray; or z, and made range
    offsets: str = "kept"  # of the cameras from the LiDAR: kept, ignored, or added after the lookup
    scale: float = 1.0  # of the view to the files
    function: str = "kept"  # what was done to depth, then scaled: a name of FUNCTIONS
    mirrored: bool = False
    flipped: bool = False  # up is down
    turn: float = 0.0  # degrees that a panorama's contents are turned to the right
    crop: str = "followed"  # by the intrinsics; or the crop that they do not follow
    source: str = "own"  # whose depth maps: its own, or another frame's or agent's
    rig: str = "right"  # where the cameras are taken to be: by which convention

    def changes(self, right: "Reading") -> tuple[str, ...]:
        """The fields in which it differs from the right reading."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) != getattr(right, f.name))

    def without(self, names: Sequence[str], right: "Reading") -> "Reading":
        """The reading with some of its fields put right."""
        return replace(self, **{name: getattr(right, name) for name in names})


FUNCTIONS: Mapping[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {  # and what undoes it
    "kept": (lambda values: values, lambda values: values),
    "log1p": (np.log1p, np.expm1),
    "log": (np.log, np.exp),
    "square root": (np.sqrt, np.square),
    "square": (np.square, np.sqrt),
    "inverse": (lambda values: 1 / values, lambda values: 1 / values),
}


class Pixels(NamedTuple):
    """Some pixels of a view: their directions, the depth that it gives them, the range of a depth of 1."""

    rays: Array  # (N, 3)
    depths: Array  # (N,)
    lengths: Array  # (N,)

    @property
    def ranges(self) -> Array:
        """The range of each (N,)."""
        return self.depths * self.lengths


def some_pixels(camera: Camera, depth: NDArray[Any], count: int) -> Pixels:
    """At most so many of the pixels of a view (H, W) whose depth is known, spread evenly."""
    known = np.flatnonzero((depth > 0) & np.isfinite(depth))
    chosen = known[:: max(1, -(-known.size // count))]  # an odd walk over the rows: all columns come
    rays, values = camera.rays().reshape(-1, 3)[chosen], depth.ravel()[chosen].astype(np.float64)
    return Pixels(rays, values, 1 / rays[:, 2] if isinstance(camera, Pinhole) else np.ones(len(values)))


def residuals(reading: Reading, pixels: Pixels, cameras: Sequence[MountedCamera], depths: DepthMaps) -> Array:
    """Logarithm of how far each pixel misses the file of the camera that fits best: (N,), NaN unknown."""
    rays, ranges = real_rays(reading, pixels.rays), _metres(reading, pixels)
    best = np.full(len(ranges), np.nan)
    for camera, depth in zip(cameras, depths, strict=True):
        if depth is not None:
            best = np.fmin(best, np.abs(_misses(reading, rays, ranges, camera, depth)))
    return best


def error_of(missed: Array) -> float:
    """One number for residuals: their mean, each counted up to LARGEST; LARGEST where nothing is known."""
    known = missed[np.isfinite(missed)]
    return float(np.minimum(known, LARGEST).mean()) if known.size else LARGEST


def real_rays(reading: Reading, rays: Array) -> Array:
    """Where what a pixel shows really is, for directions (..., 3) of an upright panorama."""
    turned = rays * [-1.0 if reading.mirrored else 1.0, -1.0 if reading.flipped else 1.0, 1.0]
    if not reading.turn:
        return np.asarray(turned)
    angle = -np.deg2rad(reading.turn) * (-1.0 if reading.mirrored else 1.0)
    right, down, forward = np.moveaxis(turned, -1, 0)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * right + sin * forward, down, cos * forward - sin * right], -1)


def factor(reading: Reading, pixels: Pixels, cameras: Sequence[MountedCamera], depths: DepthMaps) -> float:
    """By what the depth of a view, once undone, is larger than its files', in the median."""
    rays, ranges = real_rays(reading, pixels.rays), _metres(reading, pixels)
    missed = [
        _misses(reading, rays, ranges, camera, depth)
        for camera, depth in zip(cameras, depths, strict=True)
        if depth is not None
    ]
    known = np.concatenate([each[np.isfinite(each)] for each in missed]) if missed else np.empty(0)
    return float(np.exp(-np.median(known))) if known.size else 1.0


def depth_made(reading: Reading, depth: Array) -> Array:
    """What a dataset of this reading makes of a right depth, 0 where it is not known."""
    known = np.asarray(depth > 0)
    values = np.where(known, depth, 1.0)
    return np.where(known, np.maximum(FUNCTIONS[reading.function][0](values) * reading.scale, 0), 0)


def _metres(reading: Reading, pixels: Pixels) -> Array:
    """The range of pixels (N,), were their depth made in the reading's way."""
    with np.errstate(over="ignore", divide="ignore"):
        found = FUNCTIONS[reading.function][1](pixels.depths / reading.scale)
    return np.clip(found, 0, FARTHEST) * pixels.lengths


def _misses(
    reading: Reading, rays: Array, ranges: Array, camera: MountedCamera, depth: NDArray[Any]
) -> Array:
    """The logarithm of file over panorama for each pixel (N,); NaN where the camera does not see it."""
    rotation, offset = camera.camera_to_lidar[:3, :3], camera.camera_to_lidar[:3, 3]
    if reading.offsets == "kept":
        points = (rays * ranges[:, None] - offset) @ rotation
    elif reading.offsets == "ignored":
        points = rays * ranges[:, None] @ rotation
    else:  # looked up in the ray's direction, then lengthened by the offset along the ray
        points = rays * (ranges - rays @ offset)[:, None] @ rotation
    where, expected = camera.pinhole.project(points)
    if reading.depth == "range":
        expected = np.linalg.norm(points, axis=-1)
    elif reading.depth == LENGTHENED:
        expected = expected**2 / np.linalg.norm(points, axis=-1)
    usable = (points[:, 2] > 1e-3) & camera.pinhole.inside(where, border=0.5)
    missed = np.full(len(ranges), np.nan)
    found = depth_at(depth, file_pixels(reading.crop, where[usable], depth.shape))
    missed[usable] = np.log(found / expected[usable])
    return missed


def file_pixels(crop: str, where: Array, shape: tuple[int, ...]) -> Array:
    """The file's pixels (..., 2) that a dataset looks up, whose intrinsics do not follow its crop.

    ``crop`` is "followed", or "WxH": the images are rescaled until they cover that size, then cropped to its
    middle; or "WxH cut": cut to the middle of that shape at their own scale.
    """
    if crop == "followed":
        return where
    words = crop.split()
    wanted = np.array([float(word) for word in words[0].split("x")])
    size = np.array([shape[1], shape[0]], dtype=np.float64)
    scale = (wanted / size).max()
    if len(words) > 1:
        return np.asarray(where + (size - wanted / scale) / 2)
    return np.asarray((where + (size * scale - wanted) / 2) / scale)
