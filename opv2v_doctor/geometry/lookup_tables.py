"""Tables: which pixel of which image each pixel of a panorama shows, computed once for each rig.

Seen from far away, as ``rigs.coverage`` is: only the cameras' rotations count, so the tables need no depth.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Array, Cylinder, Pinhole
from opv2v_doctor.geometry.rigs import MountedCamera, coverage

DIGITS = 4  # numbers that agree so far are one rig: frame files round. It moves no pixel by more than 0.05
FAINT = 1e-4  # the least weight of a camera that sees a pixel

ROW = 256  # cv2.remap takes no more than 32 767 rows or columns: a list of pixels is folded

Bools = NDArray[np.bool_]
Maps = tuple[NDArray[np.int16], NDArray[np.uint16]]  # (h, w, 2) and (h, w): cv2.remap's own fixed point


class CameraNumbers(NamedTuple):
    """A mounted camera in plain numbers: what a cache can compare."""

    name: str
    width: int
    height: int
    intrinsics: tuple[float, ...]
    camera_to_lidar: tuple[float, ...]

    @property
    def camera(self) -> MountedCamera:
        """The camera that these numbers describe."""
        pinhole = Pinhole(np.reshape(self.intrinsics, (3, 3)), self.width, self.height)
        return MountedCamera(pinhole, np.reshape(self.camera_to_lidar, (4, 4)))


RigNumbers = tuple[CameraNumbers, ...]


def numbers_of(rig: Mapping[str, MountedCamera]) -> RigNumbers:
    """The rig's numbers, rounded: equal for rigs that differ by the rounding of their files only."""
    return tuple(
        CameraNumbers(
            name,
            pinhole.width,
            pinhole.height,
            tuple((pinhole.intrinsics.round(DIGITS) + 0.0).ravel().tolist()),
            tuple((np.asarray(pose).round(DIGITS) + 0.0).ravel().tolist()),
        )
        for name, (pinhole, pose) in rig.items()
    )


@dataclass(frozen=True, eq=False)
class Tile:
    """A part of the panorama that one camera sees, without gaps between its columns."""

    camera: int  # the camera's place in the rig
    place: tuple[slice, slice]  # rows and columns of the panorama
    maps: Maps  # (h, w)
    alone: NDArray[np.uint8]  # (h, w): 255 where no other camera sees


@dataclass(frozen=True, eq=False)
class Blend:
    """Pixels of the panorama that the same cameras see, in rows of ROW; the last pixel fills the last row."""

    pixels: NDArray[np.int64]  # (n,): flat
    cameras: tuple[int, ...]
    maps: tuple[Maps, ...]  # one for each camera, (r, ROW)
    weights: tuple[NDArray[np.float32], ...]  # (r, ROW): each camera's part of the colour


@dataclass(frozen=True, eq=False)
class Tables:
    """All tiles of a rig, what several of its cameras see, and which camera shows most of each pixel."""

    tiles: tuple[Tile, ...]
    blends: tuple[Blend, ...]
    mask: Bools  # (H, W)
    source: NDArray[np.int8]  # (H, W): the camera with the largest weight, -1 where none sees


@lru_cache(maxsize=16)
def tables(rig: RigNumbers, cylinder: Cylinder) -> Tables:
    """The tables of a rig and a panorama; the last sixteen asked for are kept."""
    cameras = [numbers.camera for numbers in rig]
    pixels = [_pixels(camera, cylinder) for camera in cameras]
    seen = [coverage(cylinder, [camera]) for camera in cameras]
    weights = np.zeros((len(rig), cylinder.height, cylinder.width), np.float32)
    for weight, camera, place, sees in zip(weights, cameras, pixels, seen, strict=True):
        weight[sees] = feather(camera.pinhole, place[sees])
    total, count = weights.sum(0), np.sum(seen, axis=0, dtype=np.int64)
    mask, several = np.asarray(count > 0), np.asarray(count > 1)
    source = np.where(mask, weights.argmax(0) if rig else -1, -1).astype(np.int8)
    weights /= np.where(mask, total, 1)
    tiles = [
        _tile(index, place, part, several)
        for index, (place, each) in enumerate(zip(pixels, seen, strict=True))
        for part in _without_gaps(each)
    ]
    return Tables(tuple(tiles), tuple(_blends(pixels, seen, several, weights)), mask, source)


def feather(pinhole: Pinhole, pixels: Array) -> NDArray[np.float32]:
    """Weight of a camera for its pixels (..., 2): 1 in the middle, falling to 0 at an edge: (...)."""
    size = np.array([pinhole.width, pinhole.height])
    inward = 1 - np.abs(pixels / size * 2 - 1)
    return np.asarray(np.clip(inward.min(-1), FAINT, 1), dtype=np.float32)


def _pixels(camera: MountedCamera, cylinder: Cylinder) -> Array:
    """The camera's pixel in the direction of each of the panorama's: (H, W, 2), NaN behind the camera."""
    return camera.pinhole.project(cylinder.rays() @ camera.camera_to_lidar[:3, :3])[0]


def _without_gaps(seen: Bools) -> Iterator[tuple[Bools, slice]]:
    """The mask with each run of columns that it touches: a camera that looks back fills both ends."""
    touched = np.flatnonzero(seen.any(0))
    for run in np.split(touched, np.flatnonzero(np.diff(touched) > 1) + 1):
        if run.size:
            yield seen, slice(int(run[0]), int(run[-1]) + 1)


def _tile(camera: int, pixels: Array, part: tuple[Bools, slice], several: Bools) -> Tile:
    seen, columns = part
    touched = np.flatnonzero(seen[:, columns].any(1))
    place = (slice(int(touched[0]), int(touched[-1]) + 1), columns)
    sees, both = seen[place], (seen & several)[place]
    maps = _maps(np.where(sees[..., None], pixels[place] - 0.5, 0))
    return Tile(camera, place, maps, np.where(sees & ~both, 255, 0).astype(np.uint8))


def _blends(
    pixels: Sequence[Array], seen: Sequence[Bools], several: Bools, weights: NDArray[np.float32]
) -> Iterator[Blend]:
    """What several cameras see, one blend for each set of them."""
    sets = sum(
        (each.astype(np.int64) << index for index, each in enumerate(seen)), np.zeros_like(several, int)
    )
    for code in np.unique(sets[several]):
        chosen = np.flatnonzero(sets == code)
        cameras = tuple(index for index in range(len(seen)) if code >> index & 1)
        folded = np.pad(chosen, (0, -chosen.size % ROW), mode="edge").reshape(-1, ROW)
        yield Blend(
            chosen,
            cameras,
            tuple(_maps(pixels[index].reshape(-1, 2)[folded] - 0.5) for index in cameras),
            tuple(np.ascontiguousarray(weights[index].ravel()[folded]) for index in cameras),
        )


def _maps(where: Array) -> Maps:
    """cv2.remap's own maps of index coordinates (h, w, 2)."""
    import cv2

    columns, rows = np.moveaxis(where.astype(np.float32), -1, 0)
    fixed, fraction = cv2.convertMaps(np.ascontiguousarray(columns), np.ascontiguousarray(rows), cv2.CV_16SC2)
    return np.asarray(fixed, np.int16), np.asarray(fraction, np.uint16)
