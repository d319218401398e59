"""Restitching: the depth of a view that a reading makes of depth maps, right or wrong.

What a repair would bring can be told before anybody repairs: the view is made as the dataset does, with some
of its faults left out.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Cylinder, Pinhole
from opv2v_doctor.geometry.poses import Matrix
from opv2v_doctor.geometry.ranges import Float, panorama_ranges
from opv2v_doctor.geometry.readings import LENGTHENED, DepthMaps, Reading, depth_made, file_pixels, real_rays
from opv2v_doctor.geometry.rigs import MountedCamera

MANY_PIXELS = 60_000  # a panorama or an image that has more is stitched at a half or a third of its size


def ranges_by(
    reading: Reading, cameras: Sequence[MountedCamera], depths: DepthMaps, cylinder: Cylinder
) -> tuple[Float, Cylinder]:
    """Ranges (h, w) of a panorama that the reading makes, 0 where unknown, and the cylinder of its size."""
    small = replace(cylinder, width=_small_size(cylinder)[0], height=_small_size(cylinder)[1])
    mounted = [_small_camera(reading, camera, depth) for camera, depth in zip(cameras, depths, strict=True)]
    files = [None if depth is None else _files(depth) for depth in depths]
    stitched = panorama_ranges([camera for camera, _ in mounted], small, _z_depths(reading, mounted, files))
    ranges = stitched.ranges.copy()
    if reading.offsets == "added":
        for index, camera in enumerate(cameras):
            along = small.rays() @ camera.camera_to_lidar[:3, 3]
            ranges += np.where(stitched.camera == index, along, 0).astype(np.float32)
    return _orientation(
        reading, depth_made(reading, ranges.astype(np.float64)).astype(np.float32), small
    ), small


def depth_by(reading: Reading, camera: Pinhole, file: Pinhole, depth: NDArray[Any]) -> Float:
    """The z-depth (h, w) of a view's camera that the reading makes of the map of the file's camera."""
    places = file.project(camera.rays())[0]
    inside = file.inside(places)
    columns, rows = np.where(inside[..., None], places, 0).astype(int).transpose(2, 0, 1)
    values = np.where(inside, depth[rows, columns], 0).astype(np.float64)
    if reading.depth != "z":
        length = camera.range_per_depth()
        values = values * length if reading.depth == LENGTHENED else values / length
    values = values[:: -1 if reading.flipped else 1, :: -1 if reading.mirrored else 1]
    values = depth_made(reading, values)
    return np.where(np.isfinite(values) & (values > 0), values, 0).astype(np.float32)


def _small_size(cylinder: Cylinder) -> tuple[int, int]:
    """The size at which a panorama is restitched."""
    step = max(1, round((cylinder.width * cylinder.height / MANY_PIXELS) ** 0.5))
    return cylinder.width // step, cylinder.height // step


def _files(depth: NDArray[Any]) -> NDArray[Any]:
    """Every second or third pixel of a large depth map."""
    step = max(1, round((depth.size / MANY_PIXELS) ** 0.5))
    return depth[step // 2 :: step, step // 2 :: step]


def _small_camera(
    reading: Reading, camera: MountedCamera, depth: NDArray[Any] | None
) -> tuple[MountedCamera, float]:
    """Where the reading takes the camera to be, with an image of the reduced size."""
    pinhole, pose = camera.pinhole, camera.camera_to_lidar.copy()
    if reading.offsets != "kept":
        pose[:3, 3] = 0
    if depth is None:
        return MountedCamera(pinhole, pose), 1.0
    step = max(1, round((depth.size / MANY_PIXELS) ** 0.5))
    height, width = _files(depth).shape
    return MountedCamera(
        sparse_camera(_file_intrinsics(reading, pinhole, depth), step, width, height), pose
    ), float(step)


def _file_intrinsics(reading: Reading, pinhole: Pinhole, depth: NDArray[Any]) -> Matrix:
    """Intrinsics (3, 3) that look up the file's pixels as a reading does that does not follow its crop."""
    zero, one = (file_pixels(reading.crop, np.array([p, p]), depth.shape) for p in (0.0, 1.0))
    affine = np.diag([one[0] - zero[0], one[1] - zero[1], 1.0])
    affine[:2, 2] = zero
    return np.asarray(affine @ pinhole.intrinsics)


def sparse_camera(intrinsics: Matrix, step: int, width: int, height: int) -> Pinhole:
    """The camera of an image of which every step-th pixel is kept, from step // 2 on."""
    fewer = intrinsics.copy()
    fewer[:2] /= step
    fewer[:2, 2] += 0.5 - (step // 2 + 0.5) / step
    return Pinhole(fewer, width, height)


def _z_depths(
    reading: Reading, mounted: Sequence[tuple[MountedCamera, float]], depths: Sequence[NDArray[Any] | None]
) -> list[NDArray[Any] | None]:
    """What the reading takes for z-depth."""
    if reading.depth == "z":
        return list(depths)
    return [
        None if depth is None else depth / camera.pinhole.range_per_depth()
        for (camera, _), depth in zip(mounted, depths, strict=True)
    ]


def _orientation(reading: Reading, ranges: Float, cylinder: Cylinder) -> Float:
    """The panorama mirrored, flipped and turned as the reading says."""
    pixels, _ = cylinder.project(real_rays(reading, cylinder.rays()))
    inside = cylinder.inside(pixels)
    columns, rows = np.where(inside[..., None], pixels, 0).astype(int).transpose(2, 0, 1)
    return np.where(inside, ranges[rows, columns], 0).astype(np.float32)
