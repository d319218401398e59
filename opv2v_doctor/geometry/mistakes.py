"""Mistakes: what may have been done to right poses, or to the numbers that they are made of, to name it.

They are tried where no convention yields the poses there are. A mistake with a number of its own (a factor, a
turn, an offset) takes it from the poses, and explains them only where they all have the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.conventions import Convention, pose_errors
from opv2v_doctor.geometry.poses import Matrix, invert, rotation_angle

NAMES = ("x", "y", "z", "roll", "yaw", "pitch")


@dataclass(frozen=True)
class Mistake:
    """What was done: a word of `reading_names.MISTAKES`, what it was done to, and numbers that it has."""

    kind: str
    what: str = ""
    numbers: tuple[float, ...] = ()
    turns: bool = False  # whether rotations are wrong by it


def explanation(
    poses: Matrix, own: Matrix, first: Matrix, right: Convention, least: float
) -> tuple[Mistake | None, float]:
    """The first mistake that yields the poses (N, 4, 4) of mounts at [x, y, z, ...] (N, 6), and its error.

    The error is the mean in metres at 50 m, below ``least``; None where no mistake does.
    """
    for mistake, found in _candidates(poses, own, first, right):
        error = float(pose_errors(poses, found)[1].mean())
        if error < least:
            return mistake, error
    return None, float(pose_errors(poses, right.relative_pose(own, first))[1].mean())


def _candidates(
    poses: Matrix, own: Matrix, first: Matrix, right: Convention
) -> Iterator[tuple[Mistake, Matrix]]:
    expected = right.relative_pose(own, first)
    yield from _of_rotations(expected)
    yield from _of_positions(poses, expected)
    for mistake, change in _of_numbers():
        yield mistake, right.relative_pose(change(own), change(first))
    for mistake, change in _of_numbers():  # in one of the two places where numbers become poses
        yield mistake, right.relative_pose(change(own), first)
        yield replace(mistake, what=f"{mistake.what} of the first"), right.relative_pose(own, change(first))
    other_way = right.pose(own) @ invert(right.pose(first))
    yield Mistake("multiplied the other way"), right.in_axes(other_way)
    if len(poses) > 1:
        yield from _constant(poses, expected)


def _of_rotations(expected: Matrix) -> Iterator[tuple[Mistake, Matrix]]:
    turned = np.swapaxes(expected[..., :3, :3], -1, -2)
    yield Mistake("transposed", turns=True), _with(expected, rotation=turned)
    quaternions = _quaternions(expected[..., :3, :3])
    for name, order in (("w first", [3, 0, 1, 2]), ("w last", [1, 2, 3, 0])):
        yield (
            Mistake("quaternion", name, turns=True),
            _with(expected, rotation=_rotations(quaternions[:, order])),
        )
    yield (
        Mistake("not turned", turns=True),
        _with(expected, rotation=np.broadcast_to(np.eye(3), turned.shape)),
    )
    forward = expected[..., :3, 2]  # of the camera's axes: only what turns about the vertical is left
    yaw = np.arctan2(forward[..., 0], forward[..., 2])
    cos, sin, zero, one = np.cos(yaw), np.sin(yaw), np.zeros_like(yaw), np.ones_like(yaw)
    level = [[cos, zero, sin], [zero, one, zero], [-sin, zero, cos]]
    levelled = np.stack([np.stack(row, -1) for row in level], -2)
    yield Mistake("level", turns=True), _with(expected, rotation=levelled)


def _of_positions(poses: Matrix, expected: Matrix) -> Iterator[tuple[Mistake, Matrix]]:
    right, seen = expected[..., :3, 3], poses[..., :3, 3]
    turned = np.swapaxes(expected[..., :3, :3], -1, -2)
    yield Mistake("not moved"), _with(expected, position=np.zeros_like(right))
    yield Mistake("no height"), _with(expected, position=right * [1, 0, 1])
    yield Mistake("position of the inverse"), _with(expected, position=-(turned @ right[..., None])[..., 0])
    factor = float((right * seen).sum() / max((right * right).sum(), 1e-12))
    if abs(factor) > 1e-9:
        yield Mistake("scaled", numbers=(factor,)), _with(expected, position=right * factor)
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        words = ", ".join(
            f"{'-' if sign < 0 else ''}{'xyz'[axis]}" for axis, sign in zip(order, signs, strict=True)
        )
        yield Mistake("axes of the position", words), _with(expected, position=right[..., order] * signs)


def _of_numbers() -> Iterator[tuple[Mistake, Callable[[Matrix], Matrix]]]:
    """What may be done to [x, y, z, roll, yaw, pitch] before a pose is made of them."""
    for place, name in enumerate(NAMES):
        kept = np.ones(6)
        kept[place] = 0
        yield Mistake("dropped", name, turns=place > 2), _times(kept)
        kept = np.ones(6)
        kept[place] = np.rad2deg(1) if place > 2 else -1
        kind = "radians" if place > 2 else "sign"
        yield Mistake(kind, name, turns=place > 2), _times(kept)
        if place > 2:
            yield Mistake("wrapped", name, turns=True), _at(place, lambda angle: angle % 180)
        yield Mistake("unsigned", name, turns=place > 2), _at(place, np.abs)
    yield Mistake("whole", "x, y, z, roll, yaw and pitch", turns=True), np.trunc
    for one, two in ((0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)):
        order = np.arange(6)
        order[[one, two]] = two, one
        what = f"{NAMES[one]} and {NAMES[two]}"
        yield Mistake("exchanged", what, turns=one > 2), _ordered(order)


def _times(factors: Matrix) -> Callable[[Matrix], Matrix]:
    return lambda cords: cords * factors


def _at(place: int, change: Callable[[Matrix], Matrix]) -> Callable[[Matrix], Matrix]:
    def changed(cords: Matrix) -> Matrix:
        found = np.array(cords, dtype=np.float64)
        found[..., place] = change(found[..., place])
        return found

    return changed


def _ordered(order: NDArray[np.int64]) -> Callable[[Matrix], Matrix]:
    return lambda cords: np.asarray(cords[..., order])


def _constant(poses: Matrix, expected: Matrix) -> Iterator[tuple[Mistake, Matrix]]:
    """The same turn or offset for all, in the axes of each or in those that they lead to."""
    change = invert(expected) @ poses
    yield _turned(change[0], expected @ change[0], "its own")
    change = poses @ invert(expected)
    yield _turned(change[0], change[0] @ expected, "the common")


def _turned(change: Matrix, poses: Matrix, axes: str) -> tuple[Mistake, Matrix]:
    angle, moved = float(rotation_angle(change)), tuple(change[:3, 3].tolist())
    if np.linalg.norm(moved) < 1e-2:
        return Mistake("turned", axes, (angle,), turns=True), poses
    if angle < 1e-2:
        return Mistake("moved", axes, moved), poses
    return Mistake("turned and moved", axes, (angle, *moved), turns=True), poses


def _with(poses: Matrix, rotation: Matrix | None = None, position: Matrix | None = None) -> Matrix:
    found = poses.copy()
    if rotation is not None:
        found[..., :3, :3] = rotation
    if position is not None:
        found[..., :3, 3] = position
    return found


def _quaternions(rotations: Matrix) -> Matrix:
    """Unit quaternions (N, 4), x y z w: the eigenvector of the largest eigenvalue (Bar-Itzhack 2000)."""
    a, b, c, d, e, f, g, h, i = np.moveaxis(rotations.reshape(-1, 9), -1, 0)
    rows = [
        [a - e - i, d + b, g + c, h - f],
        [d + b, e - a - i, h + f, c - g],
        [g + c, h + f, i - a - e, d - b],
        [h - f, c - g, d - b, a + e + i],
    ]
    symmetric = np.stack([np.stack(row, -1) for row in rows], -2) / 3
    vectors = np.linalg.eigh(symmetric)[1][:, :, -1]
    return np.asarray(vectors * np.where(vectors[:, 3:] < 0, -1, 1))


def _rotations(quaternions: Matrix) -> Matrix:
    """Rotations (N, 3, 3) of unit quaternions (N, 4), x y z w."""
    x, y, z, w = quaternions.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)
