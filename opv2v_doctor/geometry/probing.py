"""Probing: random points of a camera's image, and where their content lies in a panorama.

A point's content is what the image shows around it. Seen through the camera as it is, it should be what the
panorama shows where the point belongs. Where it is not, the camera is turned and its image enlarged, in
small steps, until the two are most alike: how far that is says by how much the camera's part is misplaced.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Array, Cylinder, Pinhole
from opv2v_doctor.geometry.lookups import depth_at
from opv2v_doctor.geometry.rigs import MountedCamera

TRIED, KEPT, FEW = 400, 64, 20  # random points: drawn, compared, and compared in the coarse search
SIDE = 9  # samples across the neighbourhood of a point
DEGREES = 10.0  # across it
TEXTURE = 0.25  # of the image's deviation, within a neighbourhood that can be told from others
WIDEST_PANORAMA, WIDEST_IMAGE = 512, 400  # pixels: larger ones are reduced by a whole number
YAWS, PITCHES = np.linspace(-7, 7, 11), np.linspace(-4.5, 4.5, 7)
ZOOMS = (0.85, 0.92, 1.0, 1.09, 1.18)
STEP, ZOOM_STEP = 0.7, 0.05  # degrees, share: the first steps of the search; each next one is half as long
HALVINGS, STEPS, STARTS = 5, 8, 3  # of the step; of one length; placings from which the search goes on
SURE = 0.7  # points that land so well, and no better nearby, are looked for nowhere else

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Real = TypeVar("Real", np.float32, np.float64)


@dataclass(frozen=True)
class Placing:
    """Where the content of an image lies against where it belongs, seen from its camera."""

    yaw: float = 0.0  # degrees too far to the right
    pitch: float = 0.0  # degrees too high
    zoom: float = 1.0  # times too large, around the middle


class Landing(NamedTuple):
    """How well random points of an image land on their own content, and where they would do best."""

    points: int  # that could be compared
    here: float  # mean correlation, 0 to 1
    best: float
    placing: Placing


@dataclass(frozen=True, eq=False)
class Picture:
    """A panorama's brightness (H, W), its camera, the ranges that tell where near things lie, or zeros."""

    grey: Array
    cylinder: Cylinder
    ranges: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Seen:
    """One camera's image: brightness (h, w), z-depth or None, and where it alone is shown: (H, W)."""

    camera: MountedCamera
    grey: Array
    depth: NDArray[Any] | None
    alone: Bools


@dataclass(frozen=True, eq=False)
class Windows:
    """The neighbourhoods of random points in the panorama: what they show, and the points in space there."""

    shown: Array  # (N, n * n), of mean 0 and length 1
    points: Array  # (N, n * n, 3), in the LiDAR's frame, metres; or directions of unit length
    far: Bools  # (N, n * n): which are directions


def reduced_panorama(cylinder: Cylinder) -> Cylinder:
    """The panorama in the size in which it is probed."""
    step = max(1, -(-cylinder.width // WIDEST_PANORAMA))
    return replace(cylinder, width=cylinder.width // step, height=cylinder.height // step)


def reduced(grey: Array, width: int, height: int) -> Array:
    """A picture in a smaller size, each pixel the mean of those that it replaces."""
    import cv2

    if grey.shape == (height, width):
        return grey
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.float64)


def reduced_camera(camera: MountedCamera) -> MountedCamera:
    """The camera of an image in the size in which it is probed."""
    step = max(1, -(-camera.pinhole.width // WIDEST_IMAGE))
    return resized(camera, camera.pinhole.width // step, camera.pinhole.height // step)


def resized(camera: MountedCamera, width: int, height: int) -> MountedCamera:
    """The camera with an image of another size and the same view."""
    pinhole = camera.pinhole
    scale = np.diag([width / pinhole.width, height / pinhole.height, 1.0])
    return MountedCamera(Pinhole(scale @ pinhole.intrinsics, width, height), camera.camera_to_lidar)


def windows(picture: Picture, seen: Seen, random: np.random.Generator) -> Windows:
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
    return textured(found, seen)


def landing(found: Windows, seen: Seen) -> Landing:
    """Where the content of the windows' points lies in the panorama."""
    if not len(found.shown):
        return Landing(0, 0.0, 0.0, Placing())
    here, *near = likenesses(found, seen, [Placing(), *_near(Placing(), STEP, ZOOM_STEP)])
    if max(near) <= here and here > SURE:
        return Landing(len(found.shown), here, here, Placing())
    starts = [Placing()] if here > SURE else _starts(found, seen)  # what is nearly there is nearby
    best, most = max((_climbed(found, seen, start) for start in starts), key=lambda climbed: climbed[1])
    return Landing(len(found.shown), here, most, best)


def _starts(found: Windows, seen: Seen) -> list[Placing]:
    """The best of a coarse grid of placings, by a few of the windows."""
    grid = [Placing(float(y), float(p), float(z)) for y, p, z in product(YAWS, PITCHES, ZOOMS)]
    some = _some(found, np.arange(0, len(found.shown), max(1, len(found.shown) // FEW)))
    placings = [Placing(), *grid]
    best = np.argsort([-each for each in likenesses(some, seen, placings)], kind="stable")
    return [placings[place] for place in best[:STARTS]]


def likeness(found: Windows, seen: Seen) -> float:
    """The mean correlation of the windows with what the image shows where they belong."""
    return likenesses(found, seen, [Placing()])[0]


def likenesses(found: Windows, seen: Seen, placings: Sequence[Placing]) -> list[float]:
    """The same if the image were placed so, for each of some placings; all at once is much faster."""
    if not len(found.shown):
        return [0.0] * len(placings)
    values, known = _sampled(found, seen, placings)
    correlations = (normal(values) * found.shown.astype(np.float32)).sum(-1)
    return [float(each) for each in np.where(known, correlations, 0).clip(0, 1).mean(-1)]


def _climbed(found: Windows, seen: Seen, start: Placing) -> tuple[Placing, float]:
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


def _places(picture: Picture, seen: Seen, random: np.random.Generator) -> Array:
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


def textured(found: Windows, seen: Seen) -> Windows:
    """Those windows where the image has something to be told by."""
    values, known = _sampled(found, seen, [Placing()])
    telling = known[0] & (values[0].std(-1) > TEXTURE * seen.grey.std())
    return _some(found, np.flatnonzero(telling)[:KEPT])


def _some(found: Windows, chosen: NDArray[np.int64]) -> Windows:
    return Windows(found.shown[chosen], found.points[chosen], found.far[chosen])


def _sampled(found: Windows, seen: Seen, placings: Sequence[Placing]) -> tuple[Floats, Bools]:
    """What the image shows at the windows' points (P, N, n * n), and which windows in full (P, N)."""
    import cv2

    pinhole = seen.camera.pinhole
    columns, rows, depth = _projected(found, seen, placings)
    known = depth > 1e-3
    for places, size in ((columns, pinhole.width), (rows, pinhole.height)):
        known &= (places >= 0.5) & (places < size - 0.5)
    shape = (-1, found.shown.shape[1])  # a remapped picture has at most 32767 columns, and rows
    maps = [np.where(known, places - np.float32(0.5), 0).reshape(shape) for places in (columns, rows)]
    values = cv2.remap(seen.grey.astype(np.float32), maps[0], maps[1], cv2.INTER_LINEAR)
    return np.asarray(values, np.float32).reshape(known.shape), np.asarray(known.mean(-1) > 0.8)


def _projected(found: Windows, seen: Seen, placings: Sequence[Placing]) -> tuple[Floats, Floats, Floats]:
    """Column, row and z-depth of the windows' points for each placing: (P, N, n * n) each."""
    pose = seen.camera.camera_to_lidar
    points = (found.points - np.where(found.far[..., None], 0, pose[:3, 3])) @ pose[:3, :3]
    matrices = np.stack([_placed(seen.camera.pinhole, placing) for placing in placings], dtype=np.float32)
    axes: Floats = matrices @ points.reshape(-1, 3).T.astype(np.float32)  # (P, 3, N * n * n)
    shape = (len(placings), *found.far.shape)
    right, down, depth = (axes[:, axis].reshape(shape) for axis in range(3))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(right, depth), np.divide(down, depth), depth


def shift(found: Windows, seen: Seen, placing: Placing) -> float:
    """How many pixels of the image the placing moves the windows' points, on average."""
    if not len(found.shown):
        return 0.0
    columns, rows, depth = _projected(found, seen, [placing, Placing()])
    moved = np.hypot(columns[0] - columns[1], rows[0] - rows[1])
    return float(np.where((depth > 0).all(0), moved, 0).mean())


def _placed(pinhole: Pinhole, placing: Placing) -> Array:
    """From the camera's frame to pixels, times z-depth, of content that is placed so: (3, 3)."""
    zoomed = np.diag([1 / placing.zoom, 1 / placing.zoom, 1.0])
    zoomed[:2, 2] = pinhole.intrinsics[:2, 2] * (1 - 1 / placing.zoom)
    return zoomed @ pinhole.intrinsics @ _turned(placing)


def _turned(placing: Placing) -> Array:
    """From where content is shown to where it belongs, in the camera's frame: (3, 3)."""
    yaw, pitch = math.radians(-placing.yaw), math.radians(-placing.pitch)
    right = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    up = np.array([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
    return np.asarray(right @ up)


def normal(values: NDArray[Real]) -> NDArray[Real]:
    """Rows of mean 0 and length 1; rows without texture are 0."""
    centred = values - values.mean(-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.asarray(np.where(length > 1e-6, centred / np.maximum(length, 1e-6), 0))
