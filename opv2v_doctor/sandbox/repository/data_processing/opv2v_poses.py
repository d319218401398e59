"""OPV2V poses and frame files: from six numbers to matrices, in CARLA or OpenCV axes."""

from pathlib import Path

import numpy as np
import yaml

# CARLA: X forward, Y right, Z up (left-handed). OpenCV: x right, y down, z forward.
CARLA_TO_OPENCV = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


def cords_to_pose(cords):
    """Local-to-world matrix (4, 4), CARLA axes, of `[x, y, z, roll, yaw, pitch]` in metres and degrees."""
    pose = np.eye(4)
    pose[:3, :3] = rotation_from_angles(*np.deg2rad(np.asarray(cords[3:], dtype=np.float64)))
    pose[:3, 3] = cords[:3]
    return pose


def rotation_from_angles(roll, yaw, pitch):
    """Rotation (3, 3) of the simulator's roll, yaw and pitch, radians."""
    cr, sr, cy, sy, cp, sp = (f(a) for a in (roll, yaw, pitch) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cr, sr], [0, -sr, cr]])
    about_y = np.array([[cp, 0, -sp], [0, 1, 0], [sp, 0, cp]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def pose_to_opencv(pose):
    """The pose (4, 4) with both of its frames in OpenCV axes."""
    converted = np.eye(4)
    converted[:3, :3] = CARLA_TO_OPENCV @ pose[:3, :3] @ CARLA_TO_OPENCV.T
    converted[:3, 3] = CARLA_TO_OPENCV @ pose[:3, 3]
    return converted


def relative_pose(pose, reference):
    """The pose in the frame of the reference pose; both are local-to-world."""
    return np.linalg.inv(reference) @ pose


def load_frame_metadata(path):
    """The parsed YAML file of one agent and frame."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with Path(path).open(encoding="utf-8") as file:
        return yaml.load(file, Loader=loader)
