"""Worlds whose range along every ray is known by a formula, and OPV2V's rig to look at them with."""

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Pinhole
from opv2v_doctor.geometry.poses import pose_matrix, to_opencv
from opv2v_doctor.geometry.rigs import MountedCamera

Array = NDArray[np.float64]

FOCAL_LENGTH = 335.639852470912
MOUNTS = {  # metres ahead of, right of and above the LiDAR; yaw in degrees
    "camera0": (3.0, 0.0, -0.9, 0.0),
    "camera1": (0.5, 0.3, -0.1, 100.0),
    "camera2": (0.5, -0.3, -0.1, -100.0),
    "camera3": (-1.5, 0.0, -0.4, 180.0),
}
LOW, HIGH = np.array([-9.0, -12.0, -15.0]), np.array([14.0, 1.9, 31.0])  # a hall; the LiDAR hangs 1.9 m high


def rig(width: int = 800, height: int = 600) -> dict[str, MountedCamera]:
    """OPV2V's four cameras, with images of another size and the same view."""
    focal = FOCAL_LENGTH * width / 800
    pinhole = Pinhole(np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]), width, height)
    return {
        name: MountedCamera(pinhole, to_opencv(pose_matrix([x, y, z, 0, yaw, 0])))
        for name, (x, y, z, yaw) in MOUNTS.items()
    }


def hall(origin: Array, directions: Array) -> Array:
    """Length of each direction (..., 3), OpenCV axes, from inside to the walls, floor or ceiling."""
    with np.errstate(divide="ignore"):
        lengths = np.where(directions > 0, HIGH - origin, LOW - origin) / directions
    return np.asarray(lengths.min(-1))


def ball(origin: Array, directions: Array, radius: float = 20.0) -> Array:
    """Length of each direction (..., 3) to a ball around the LiDAR, from inside."""
    along, square = directions @ origin, (directions**2).sum(-1)
    return np.asarray((-along + np.sqrt(along**2 - square * (origin @ origin - radius**2))) / square)


def pillar(origin: Array, directions: Array, x: float = 2.0, z: float = 9.0, radius: float = 0.8) -> Array:
    """Length of each direction (..., 3) to an upright pillar at (x, z), infinite where it is missed."""
    flat, to = directions[..., [0, 2]], origin[[0, 2]] - [x, z]
    square, along = (flat**2).sum(-1), flat @ to
    root = along**2 - square * (to @ to - radius**2)
    with np.errstate(invalid="ignore"):
        length = (-along - np.sqrt(root)) / square
    return np.where(length > 0, length, np.inf)


def views(camera: MountedCamera) -> tuple[Array, Array]:
    """The camera's place (3,) and its directions (h, w, 3) a metre of z-depth, in the LiDAR's frame."""
    shape = (camera.pinhole.height, camera.pinhole.width)
    plane = camera.pinhole.back_project(camera.pinhole.pixels(), np.ones(shape))
    return camera.camera_to_lidar[:3, 3], plane @ camera.camera_to_lidar[:3, :3].T
