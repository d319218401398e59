"""Mistakes: each explains the poses that it makes, and right poses need none."""

from collections.abc import Callable

import numpy as np
import pytest

from opv2v_doctor.geometry.conventions import RIGHT
from opv2v_doctor.geometry.mistakes import Mistake, explanation
from opv2v_doctor.geometry.poses import Matrix, invert

OWN = np.array([[30.0, 8, 1, 2, 40, 3], [-12, 20, 2, -3, 200, 1], [5, -9, 0, 1, 300, -2]])
FIRST = np.array([[1.0, 2, 0.5, 1, 100, -2]] * 3)
EXPECTED = RIGHT.relative_pose(OWN, FIRST)
LEAST = 0.02


def made(*, rotation: Matrix | None = None, position: Matrix | None = None) -> Matrix:
    poses = EXPECTED.copy()
    if rotation is not None:
        poses[:, :3, :3] = rotation
    if position is not None:
        poses[:, :3, 3] = position
    return poses


def found(poses: Matrix) -> Mistake | None:
    return explanation(poses, OWN, FIRST, RIGHT, LEAST)[0]


def numbers(place: int, times: float) -> Matrix:
    change = np.ones(6)
    change[place] = times
    return RIGHT.relative_pose(OWN * change, FIRST * change)


TURN = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])


@pytest.mark.parametrize(
    ("poses", "kind", "turns"),
    [
        (made(rotation=EXPECTED[:, :3, :3].swapaxes(1, 2)), "transposed", True),
        (made(rotation=np.eye(3)), "not turned", True),
        (made(position=np.zeros(3)), "not moved", False),
        (made(position=EXPECTED[:, :3, 3] * [1, 0, 1]), "no height", False),
        (made(position=invert(EXPECTED)[:, :3, 3]), "position of the inverse", False),
        (made(position=EXPECTED[:, :3, 3] * 100), "scaled", False),
        (made(position=EXPECTED[:, [2, 1, 0], 3]), "axes of the position", False),
        (numbers(4, 180 / np.pi), "radians", True),
        (numbers(2, 0), "dropped", False),
        (numbers(1, -1), "sign", False),
        (RIGHT.in_axes(RIGHT.pose(OWN) @ invert(RIGHT.pose(FIRST))), "multiplied the other way", False),
        (made(rotation=EXPECTED[:, :3, :3] @ TURN), "turned", True),
    ],
)
def test_a_mistake_is_told_by_the_poses_that_it_makes(poses: Matrix, kind: str, turns: bool) -> None:
    mistake = found(poses)
    assert mistake is not None
    assert (mistake.kind, mistake.turns) == (kind, turns)


BROKEN = OWN + np.array(
    [[0.4, 0.3, 0.6, 0.2, 0.7, 0.5], [0.1, 0.2, 0.3, 0.4, -360.5, 0.6], [0.6, 0, 0, 0, 0.1, 0]]
)


def wrapped(cords: Matrix) -> Matrix:
    return np.concatenate([cords[..., :4], cords[..., 4:5] % 180, cords[..., 5:]], -1)


def unsigned(cords: Matrix) -> Matrix:
    return np.concatenate([cords[..., :4], np.abs(cords[..., 4:5]), cords[..., 5:]], -1)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("change", "kind"), [(wrapped, "wrapped"), (unsigned, "unsigned"), (np.trunc, "whole")]
)
def test_numbers_that_are_cut_are_told_also_where_only_one_of_both_poses_is(
    change: Callable[[Matrix], Matrix], kind: str, first: bool
) -> None:
    other = FIRST + 0.3
    poses = RIGHT.relative_pose(change(BROKEN), change(other) if first else other)
    mistake, _ = explanation(poses, BROKEN, other, RIGHT, LEAST)
    assert mistake is not None
    assert (mistake.kind, mistake.turns) == (kind, True)


def test_a_factor_is_measured() -> None:
    mistake = found(made(position=EXPECTED[:, :3, 3] * 0.01))
    assert mistake is not None
    assert mistake.numbers == pytest.approx((0.01,))


def test_noise_is_no_mistake() -> None:
    random = np.random.default_rng(0)
    poses = made(position=EXPECTED[:, :3, 3] + random.normal(0, 3, (3, 3)))
    assert found(poses) is None
