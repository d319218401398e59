"""Rigs: the cameras of one agent, and how much of its panorama they can see.

A rig is a sequence of ``MountedCamera``: a pinhole, and where it sits in the agent's LiDAR frame (OpenCV
axes, metres).
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Cylinder, Pinhole
from opv2v_doctor.geometry.poses import Matrix, pose_matrix, relative, to_opencv


class MountedCamera(NamedTuple):
    """A camera, and its pose in the LiDAR frame: (4, 4), OpenCV axes, metres."""

    pinhole: Pinhole
    camera_to_lidar: Matrix


def rig_of(frame: Mapping[str, Any], sizes: Mapping[str, tuple[int, int]]) -> dict[str, MountedCamera]:
    """The cameras of a parsed OPV2V frame file, by name, of whose images the width and height are given.

    Each pose is ``inv(T(lidar_pose)) @ T(cords)`` in OpenCV axes; ``extrinsic`` says the inverse, in UE axes,
    and is not read. A camera that the frame lacks is absent. Raises ValueError naming the entry that is
    missing or malformed.
    """
    lidar_to_world = _pose(frame, "lidar_pose", "lidar_pose")
    return {
        name: _mounted_camera(frame[name], name, lidar_to_world, *size)
        for name, size in sizes.items()
        if frame.get(name) is not None
    }


def coverage(
    cylinder: Cylinder, cameras: Iterable[tuple[Pinhole, Matrix]], margin: float = 1e-3
) -> NDArray[np.bool_]:
    """Which directions of the panorama at least one camera sees: (H, W).

    Seen from far away: only the rotation of each (4, 4) ``camera_to_lidar`` counts. A camera sees a unit
    direction that has ``z > margin`` in its frame and falls between the centres of its outermost pixels,
    where its image can be interpolated. An empty rig sees nothing.
    """
    rays = cylinder.rays()
    seen = np.zeros(rays.shape[:2], dtype=np.bool_)
    for pinhole, camera_to_lidar in cameras:
        pixels, depth = pinhole.project(rays @ np.asarray(camera_to_lidar)[:3, :3])  # row vectors: R^T d
        seen |= (depth > margin) & pinhole.inside(pixels, border=0.5)
    return seen


def coverage_fraction(
    cylinder: Cylinder, cameras: Iterable[tuple[Pinhole, Matrix]], margin: float = 1e-3
) -> float:
    """The share of the panorama's pixels that at least one camera sees, 0 to 1."""
    return float(coverage(cylinder, cameras, margin).mean())


def crop_to_aspect(pinhole: Pinhole, width: int, height: int) -> Pinhole:
    """The camera of an image rescaled until it covers ``width`` x ``height``, then cropped to its middle.

    This is what map-anything's loaders do to every image without ``aug_crop`` (``_crop_resize_if_necessary``,
    after DUSt3R): one scale for both axes, the rescaled size rounded down, the crop's corner rounded to whole
    pixels. The intrinsics follow exactly. Cropping 800 x 600 to 4:1 keeps a third of the height.
    """
    size = np.array([pinhole.width, pinhole.height])
    scale = max(width / pinhole.width, height / pinhole.height) + 1e-8  # lest rounding down lose a pixel
    rescaled = np.floor(size * scale)
    corner = np.round((rescaled - [width, height]) / 2)
    intrinsics = pinhole.intrinsics.copy()
    intrinsics[:2] *= scale
    intrinsics[:2, 2] -= corner + (size * scale - rescaled) / 2
    return Pinhole(intrinsics, width, height)


def _mounted_camera(
    entry: Mapping[str, Any], name: str, lidar_to_world: Matrix, width: int, height: int
) -> MountedCamera:
    """The camera of one ``cameraN`` entry of a frame file."""
    camera_to_world = _pose(entry, "cords", f"{name}.cords")
    try:
        pinhole = Pinhole(np.array(entry["intrinsic"], dtype=np.float64), width, height)
    except KeyError:
        raise ValueError(f"{name}.intrinsic is missing") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}.intrinsic: {error}") from error
    return MountedCamera(pinhole, to_opencv(relative(camera_to_world, lidar_to_world)))


def _pose(entry: Mapping[str, Any], key: str, place: str) -> Matrix:
    """The pose (4, 4), to the world, UE axes, that stands under ``key``; messages call it ``place``."""
    if not isinstance(entry, Mapping) or key not in entry:
        raise ValueError(f"{place} is missing")
    try:
        pose = pose_matrix(entry[key])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}: {error}") from error
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise ValueError(f"{place} is not six finite numbers: {entry[key]}")
    return pose
