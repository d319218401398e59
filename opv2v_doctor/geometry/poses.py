"""Poses: from OPV2V's six numbers to rigid matrices, in UE/CARLA or in OpenCV axes.

A pose is a matrix ``(..., 4, 4)`` that takes points of one frame to another; its name says from where to
where (``camera_to_world``). Lengths are metres, angles degrees. Two sets of axes are in use:

- UE/CARLA, in OPV2V's files: X forward, Y right, Z up; left-handed.
- OpenCV, in the training code: x right, y down, z forward; right-handed.

Every function takes any leading shape and returns new arrays of float64; NaN goes in and comes out.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]

UE_TO_OPENCV: Matrix = np.array([[0.0, 1, 0], [0, 0, -1], [1, 0, 0]])  # (3, 3), determinant -1
UE_TO_OPENCV.setflags(write=False)


def pose_matrix(cords: ArrayLike) -> Matrix:
    """Pose (..., 4, 4), local to world, UE axes, of ``[x, y, z, roll, yaw, pitch]`` (..., 6).

    The order of the numbers is that of OPV2V's ``cords`` and ``lidar_pose``; the rotation is Unreal's
    FRotator, which is ``Rz(yaw) Ry(-pitch) Rx(-roll)`` in the usual right-handed formulas. A real frame
    confirms it: ``extrinsic == inv(pose_matrix(cords)) @ pose_matrix(lidar_pose)``. Raises ValueError where
    the last axis is not six long.
    """
    numbers = np.asarray(cords, dtype=np.float64)
    if numbers.shape[-1:] != (6,):
        raise ValueError(
            f"a pose is [x, y, z, roll, yaw, pitch] along the last axis; got shape {numbers.shape}"
        )
    roll, yaw, pitch = np.moveaxis(np.deg2rad(numbers[..., 3:]), -1, 0)
    return _rigid_matrix(_unreal_rotation(roll, yaw, pitch), numbers[..., :3])


def to_opencv(pose: ArrayLike) -> Matrix:
    """The pose (..., 4, 4) with both its frames changed from UE to OpenCV axes: ``B R B^T`` and ``B t``."""
    matrix = _pose(pose)
    return _rigid_matrix(
        UE_TO_OPENCV @ matrix[..., :3, :3] @ UE_TO_OPENCV.T, matrix[..., :3, 3] @ UE_TO_OPENCV.T
    )


def invert(pose: ArrayLike) -> Matrix:
    """The inverse of a rigid pose (..., 4, 4): ``R^T`` and ``-R^T t``; that it is rigid is not tested."""
    matrix = _pose(pose)
    transposed = np.swapaxes(matrix[..., :3, :3], -1, -2)
    return _rigid_matrix(transposed, -(transposed @ matrix[..., :3, 3:])[..., 0])


def relative(a_to_world: ArrayLike, b_to_world: ArrayLike) -> Matrix:
    """``a_to_b = inv(b_to_world) @ a_to_world``, (..., 4, 4), in the axes of both; the shapes broadcast.

    ``relative(lidar_to_world, camera_to_world)`` is what OPV2V writes down as the camera's ``extrinsic``.
    """
    return np.asarray(invert(b_to_world) @ _pose(a_to_world))


def transform(pose: ArrayLike, points: ArrayLike) -> Matrix:
    """Points (..., N, 3), metres, through the pose (..., 4, 4): ``R p + t``, (..., N, 3), in the pose's axes.

    One pose moves any (..., N, 3), an image (H, W, 3) too; poses (M, 4, 4) go with points (M, N, 3) or (1, N,
    3).
    """
    matrix, vectors = _pose(pose), np.asarray(points, dtype=np.float64)
    if vectors.ndim < 2 or vectors.shape[-1] != 3:
        raise ValueError(f"points have shape (..., N, 3); got {vectors.shape}")
    return np.asarray(vectors @ np.swapaxes(matrix[..., :3, :3], -1, -2) + matrix[..., None, :3, 3])


def rotation_angle(rotation: ArrayLike) -> Matrix:
    """Angle in degrees, 0 to 180, of rotations (..., 3, 3), or of those of poses (..., 4, 4): shape (...).

    ``atan2(2 sin, 2 cos)`` of the skew part and the trace: exact near 0 and 180, where an arc cosine loses
    digits.
    """
    matrix = np.asarray(rotation, dtype=np.float64)
    if matrix.shape[-2:] not in {(3, 3), (4, 4)}:
        raise ValueError(f"a rotation has shape (..., 3, 3) or (..., 4, 4); got {matrix.shape}")
    skew = matrix[..., [2, 0, 1], [1, 2, 0]] - matrix[..., [1, 2, 0], [2, 0, 1]]  # (..., 3)
    trace = matrix[..., 0, 0] + matrix[..., 1, 1] + matrix[..., 2, 2]
    return np.asarray(np.rad2deg(np.arctan2(np.linalg.norm(skew, axis=-1), trace - 1.0)))


def is_rigid(pose: ArrayLike, tolerance: float = 1e-6) -> NDArray[np.bool_]:
    """Which poses (..., 4, 4) are a rotation and a translation: shape (...).

    That is: finite, ``R R^T`` is the identity within ``tolerance`` in each entry, the determinant is positive
    (a mirror image is not rigid), and the last row is ``0 0 0 1`` within ``tolerance``.
    """
    matrix = _pose(pose)
    finite = np.asarray(np.isfinite(matrix).all((-2, -1)))
    matrix = np.where(finite[..., None, None], matrix, np.eye(4))
    rotation = matrix[..., :3, :3]
    orthogonal = np.abs(rotation @ np.swapaxes(rotation, -1, -2) - np.eye(3)).max((-2, -1)) <= tolerance
    homogeneous = np.abs(matrix[..., 3, :] - [0.0, 0.0, 0.0, 1.0]).max(-1) <= tolerance
    return np.asarray(finite & orthogonal & homogeneous & (np.linalg.det(rotation) > 0.0))


def _unreal_rotation(roll: Matrix, yaw: Matrix, pitch: Matrix) -> Matrix:
    """Rotation (..., 3, 3) of Unreal's FRotator, radians; the columns are the forward, right and up axes."""
    cos_roll, sin_roll = np.cos(roll), np.sin(roll)
    cos_yaw, sin_yaw = np.cos(yaw), np.sin(yaw)
    cos_pitch, sin_pitch = np.cos(pitch), np.sin(pitch)
    forward = [cos_pitch * cos_yaw, cos_pitch * sin_yaw, sin_pitch]
    right = [
        cos_yaw * sin_pitch * sin_roll - sin_yaw * cos_roll,
        sin_yaw * sin_pitch * sin_roll + cos_yaw * cos_roll,
        -cos_pitch * sin_roll,
    ]
    up = [
        -cos_yaw * sin_pitch * cos_roll - sin_yaw * sin_roll,
        -sin_yaw * sin_pitch * cos_roll + cos_yaw * sin_roll,
        cos_pitch * cos_roll,
    ]
    return np.stack([np.stack(axis, axis=-1) for axis in (forward, right, up)], axis=-1)


def _rigid_matrix(rotation: Matrix, translation: Matrix) -> Matrix:
    """The pose (..., 4, 4) of a rotation (..., 3, 3) and a translation (..., 3)."""
    matrix = np.zeros((*rotation.shape[:-2], 4, 4))
    matrix[..., :3, :3] = rotation
    matrix[..., :3, 3] = translation
    matrix[..., 3, 3] = 1.0
    return matrix


def _pose(pose: ArrayLike) -> Matrix:
    """The argument as float64, (..., 4, 4), or a ValueError that names its shape."""
    matrix = np.asarray(pose, dtype=np.float64)
    if matrix.shape[-2:] != (4, 4):
        raise ValueError(f"a pose has shape (..., 4, 4); got {matrix.shape}")
    return matrix
