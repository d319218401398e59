"""Probing: random points of a camera's image, and where their content lies in a panorama.

A point's content is what the image shows around it. Seen through the camera as it is, it should be what the
panorama shows where the point belongs. Where it is not, the camera is turned and its image enlarged, in
small steps, until the two are most alike: how far that is says by how much the camera's part is misplaced.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Array, Cylinder, Pinhole
from opv2v_doctor.geometry.lookups import depth_at
from opv2v_doctor.geometry.placings import CameraImage, Placing, Windows, likenesses, normal, with_texture
from opv2v_doctor.geometry.rigs import MountedCamera

TRIED, FEW = 400, 20  # random points: drawn, and compared in the coarse search
SIDE = 9  # samples across the neighbourhood of a point
DEGREES = 10.0  # across it
WIDEST_PANORAMA, WIDEST_IMAGE = 512, 400  # pixels: larger ones are reduced by a whole number
YAWS, PITCHES = np.linspace(-7, 7, 11), np.linspace(-4.5, 4.5, 7)
ZOOMS = (0.85, 0.92, 1.0, 1.09, 1.18)
STEP, ZOOM_STEP = 0.7, 0.05  # degrees, share: the first steps of the search; each next one is half as long
HALVINGS, STEPS, STARTS = 5, 8, 3  # of the step; of one length; placings from which the search goes on
SURE = 0.7  # points that land so well, and no better nearby, are looked for nowhere else


class Landing(NamedTuple):
    """How well random points of an image land on their own content, and where they would do best."""

    points: int  # that could be compared
    here: float  # mean correlation, 0 to 1
    best: float
    placing: Placing


@dataclass(frozen=True, eq=False)
class GreyPanorama:
    """A panorama's brightness (H, W), its camera, the ranges that tell where near things lie, or zeros."""

    grey: Array
    cylinder: Cylinder
    ranges: NDArray[np.float32]


def small_cylinder(cylinder: Cylinder) -> Cylinder:
    """The panorama in the size in which it is probed."""
    step = max(1, -(-cylinder.width // WIDEST_PANORAMA))
    return replace(cylinder, width=cylinder.width // step, height=cylinder.height // step)


def small_picture(grey: Array, width: int, height: int) -> Array:
    """A picture in a smaller size, each pixel the mean of those that it replaces."""
    import cv2

    if grey.shape == (height, width):
        return grey
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.float64)


def small_camera(camera: MountedCamera) -> MountedCamera:
    """The camera of an image in the size in which it is probed."""
    step = max(1, -(-camera.pinhole.width // WIDEST_IMAGE))
    return camera_of_size(camera, camera.pinhole.width // step, camera.pinhole.height // step)


def camera_of_size(camera: MountedCamera, width: int, height: int) -> MountedCamera:
    """The camera with an image of another size and the same view."""
    pinhole = camera.pinhole
    scale = np.diag([width / pinhole.width, height / pinhole.height, 1.0])
    return MountedCamera(Pinhole(scale @ pinhole.intrinsics, width, height), camera.camera_to_lidar)


def windows(picture: GreyPanorama, seen: CameraImage, random: np.random.Generator) -> Windows:
    """The neighbourhoods of random points of the image that the panorama shows in full, from it alone."""
    places = _places(picture, seen, random)
    rows, columns = _around(picture.cylinder, places)
    height, width = picture.grey.shape
    inside = ((rows >= 0) & (rows < height)).all(-1)
    rows, columns = rows[inside], columns[inside] % width
    whole = seen.alone[rows, columns].all(-1)
    rows, columns = rows[whole], columns[whole]
    ranges = picture.ranges[rows, columns].astype(np.float64)
    points = picture.cylinder.rays()[rows, columns] * np.where(ranges > 0, ranges, 1)[..., None]
    found = Windows(normal(picture.grey[rows, columns]), points, np.asarray(ranges <= 0))
    return with_texture(found, seen)


def landing(found: Windows, seen: CameraImage) -> Landing:
    """Where the content of the windows' points lies in the panorama."""
    if not len(found.shown):
        return Landing(0, 0.0, 0.0, Placing())
    here, *near = likenesses(found, seen, [Placing(), *_near(Placing(), STEP, ZOOM_STEP)])
    if max(near) <= here and here > SURE:
        return Landing(len(found.shown), here, here, Placing())
    starts = [Placing()] if here > SURE else _starts(found, seen)  # what is nearly there is nearby
    best, most = max((_summit(found, seen, start) for start in starts), key=lambda climbed: climbed[1])
    return Landing(len(found.shown), here, most, best)


def _starts(found: Windows, seen: CameraImage) -> list[Placing]:
    """The best of a coarse grid of placings, by a few of the windows."""
    grid = [Placing(float(y), float(p), float(z)) for y, p, z in product(YAWS, PITCHES, ZOOMS)]
    few = found.some(np.arange(0, len(found.shown), max(1, len(found.shown) // FEW)))
    placings = [Placing(), *grid]
    best = np.argsort([-each for each in likenesses(few, seen, placings)], kind="stable")
    return [placings[place] for place in best[:STARTS]]


def _summit(found: Windows, seen: CameraImage, start: Placing) -> tuple[Placing, float]:
    """The best placing that shorter and shorter steps reach, and its likeness."""
    best, (most,) = start, likenesses(found, seen, [start])
    for halving in range(HALVINGS):
        for _ in range(STEPS):
            near = list(_near(best, STEP * 0.5**halving, ZOOM_STEP * 0.5**halving))
            steps = likenesses(found, seen, near)
            if max(steps) <= most:
                break
            most = max(steps)
            best = near[steps.index(most)]
    return best, most


def _near(placing: Placing, degrees: float, share: float) -> Iterator[Placing]:
    for sign in (-1, 1):
        yield replace(placing, yaw=placing.yaw + sign * degrees)
        yield replace(placing, pitch=placing.pitch + sign * degrees)
        yield replace(placing, zoom=placing.zoom * (1 + share) ** sign)


def _places(picture: GreyPanorama, seen: CameraImage, random: np.random.Generator) -> Array:
    """Where random points of the image belong in the panorama: (N, 2) pixels."""
    pinhole, pose = seen.camera
    pixels = random.uniform([0.5, 0.5], [pinhole.width - 0.5, pinhole.height - 0.5], (TRIED, 2))
    depth = np.full(TRIED, np.nan)
    if seen.depth is not None:  # of any size
        depth = depth_at(
            seen.depth, pixels * (np.array(seen.depth.shape[::-1]) / [pinhole.width, pinhole.height])
        )
    known = np.isfinite(depth)
    points = pinhole.back_project(pixels, np.where(known, depth, 1.0)) @ pose[:3, :3].T
    points += np.where(known[:, None], pose[:3, 3], 0)
    return picture.cylinder.project(points)[0]


def _around(cylinder: Cylinder, places: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the pixels around each place: (N, n * n) each."""
    stride = max(1, round(DEGREES / (SIDE - 1) / np.rad2deg(cylinder.horizontal_fov / cylinder.width)))
    offsets = (np.arange(SIDE) - SIDE // 2) * stride
    down, right = (grid.ravel() for grid in np.meshgrid(offsets, offsets, indexing="ij"))
    middle = np.floor(places).astype(np.int64)
    return middle[:, 1:] + down, middle[:, :1] + right
