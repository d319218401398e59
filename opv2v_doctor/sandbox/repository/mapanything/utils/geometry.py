"""Rotations as matrices and as quaternions (x, y, z, w); the rays of pinhole cameras."""

import numpy as np
import torch


def matrix_to_quaternion(rotation):
    """Unit quaternion (4,) of a rotation (3, 3), with w >= 0."""
    r = rotation.astype(np.float64)
    squares = np.array(
        [
            1 + r[0, 0] - r[1, 1] - r[2, 2],
            1 - r[0, 0] + r[1, 1] - r[2, 2],
            1 - r[0, 0] - r[1, 1] + r[2, 2],
            1 + r[0, 0] + r[1, 1] + r[2, 2],
        ]
    )
    x, y, z = np.sqrt(np.maximum(squares[:3], 0.0)) / 2
    w = np.sqrt(max(squares[3], 0.0)) / 2
    signs = np.sign([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    if w < 1e-6:  # half a turn: the signs come from the products
        signs = np.sign([1.0, r[0, 1], r[0, 2]] if x > 1e-6 else [1.0, 1.0, r[1, 2]])
    return np.array([*(np.array([x, y, z]) * np.where(signs == 0, 1, signs)), w], dtype=np.float32)


def quaternion_to_matrix(quaternions):
    """Rotations (..., 3, 3) of unit quaternions (..., 4), torch."""
    x, y, z, w = quaternions.unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).reshape(*quaternions.shape[:-1], 3, 3)


def pinhole_rays(intrinsics, shape):
    """Unit directions (H, W, 3) through the pixel centres of an image, x right, y down, z forward."""
    columns, rows = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    plane = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(intrinsics).T
    return plane / np.linalg.norm(plane, axis=-1, keepdims=True)
