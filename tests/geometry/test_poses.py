"""Tests of the pose formulas: over sweeps of every angle, since one pose proves nothing."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from opv2v_doctor.geometry.poses import (
    UE_TO_OPENCV,
    Matrix,
    invert,
    is_rigid,
    pose_matrix,
    relative,
    rotation_angle,
    to_opencv,
    transform,
)

ANGLES = st.floats(-360, 360)
CORDS = arrays(np.float64, array_shapes(max_dims=3, max_side=3).map(lambda s: (*s, 6)), elements=ANGLES)
SWEEP = np.array(  # (4913, 6): roll, yaw and pitch all around the circle
    [
        [1.0, -2.0, 3.0, roll, yaw, pitch]
        for roll in np.linspace(-180, 180, 17)
        for yaw in np.linspace(-180, 180, 17)
        for pitch in np.linspace(-180, 180, 17)
    ]
)


def turn(axis: int, degrees: float) -> Matrix:
    """The right-handed rotation (3, 3) about one axis."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    matrix[[first, first, second, second], [first, second, first, second]] = cosine, -sine, sine, cosine
    return matrix


def composed(roll: float, yaw: float, pitch: float) -> Matrix:
    """Unreal's rotation, turn by turn: about Z by yaw, about the new Y by -pitch, the new X by -roll."""
    return turn(2, yaw) @ turn(1, -pitch) @ turn(0, -roll)


def misread(roll: float, yaw: float, pitch: float) -> Matrix:
    """The fixed-axes "zyx" reading of [yaw, pitch, roll] that some training code has: another rotation."""
    return turn(0, roll) @ turn(1, pitch) @ turn(2, yaw)


def misreading(roll: float, yaw: float, pitch: float) -> float:
    """How far the two readings of the same angles are apart, in degrees."""
    truth = pose_matrix([0, 0, 0, roll, yaw, pitch])[:3, :3]
    return float(rotation_angle(misread(roll, yaw, pitch).T @ truth))


def test_a_pose_is_the_composition_of_its_three_turns() -> None:
    expected = np.array([composed(*cords[3:]) for cords in SWEEP])
    poses = pose_matrix(SWEEP)
    np.testing.assert_allclose(poses[:, :3, :3], expected, atol=1e-12)
    np.testing.assert_array_equal(poses[:, :3, 3], SWEEP[:, :3])


def test_a_pose_is_what_scipy_makes_of_intrinsic_turns() -> None:
    transforms = pytest.importorskip("scipy.spatial.transform", reason="no scipy: make test")
    turns = SWEEP[:, [4, 5, 3]] * [1, -1, -1]
    expected = transforms.Rotation.from_euler("ZYX", turns, degrees=True).as_matrix()
    np.testing.assert_allclose(pose_matrix(SWEEP)[:, :3, :3], expected, atol=1e-12)


def test_the_misreading_is_scipys_zyx() -> None:
    transforms = pytest.importorskip("scipy.spatial.transform", reason="no scipy: make test")
    scipys = transforms.Rotation.from_euler("zyx", SWEEP[:, [4, 5, 3]], degrees=True).as_matrix()
    np.testing.assert_allclose(np.array([misread(*cords[3:]) for cords in SWEEP]), scipys, atol=1e-12)


@pytest.mark.parametrize(
    ("angle", "axis", "expected"),
    [
        ("yaw", [1, 0, 0], [0, 1, 0]),  # a turn to the right takes forward to the right
        ("pitch", [1, 0, 0], [0, 0, 1]),  # nose up takes forward up
        ("roll", [0, 0, 1], [0, 1, 0]),  # to the right takes up to the right
    ],
)
def test_a_quarter_turn_goes_where_unreal_says(angle: str, axis: list[int], expected: list[int]) -> None:
    cords = [0.0, 0.0, 0.0, *(90.0 * (name == angle) for name in ("roll", "yaw", "pitch"))]
    np.testing.assert_allclose(pose_matrix(cords)[:3, :3] @ axis, expected, atol=1e-12)


@given(ANGLES)
def test_the_misreading_is_harmless_on_level_ground(yaw: float) -> None:
    assert misreading(0, yaw, 0) < 1e-6


@given(st.floats(-180, 180), st.floats(-3, 3), st.booleans())
def test_the_misreading_doubles_the_tilt_and_cancels_at_yaw_180(yaw: float, tilt: float, rolls: bool) -> None:
    error = misreading(tilt, yaw, 0) if rolls else misreading(0, yaw, tilt)
    assert error == pytest.approx(2 * abs(tilt) * np.cos(np.radians(yaw) / 2), abs=5e-3)


def test_the_misreading_is_four_degrees_at_pitch_two() -> None:
    assert misreading(0, 25, 2) == pytest.approx(3.9, abs=0.01)
    assert misreading(0, 180, 2) < 1e-9


@given(CORDS)
def test_every_pose_is_rigid_in_either_axes(cords: Matrix) -> None:
    pose = pose_matrix(cords)
    assert pose.shape == (*cords.shape[:-1], 4, 4)
    assert is_rigid(pose, 1e-9).all()
    assert is_rigid(to_opencv(pose), 1e-9).all()


@given(CORDS, arrays(np.float64, (5, 3), elements=ANGLES))
def test_a_point_moves_alike_in_either_axes(cords: Matrix, points: Matrix) -> None:
    moved = transform(pose_matrix(cords), points) @ UE_TO_OPENCV.T
    np.testing.assert_allclose(
        transform(to_opencv(pose_matrix(cords)), points @ UE_TO_OPENCV.T), moved, atol=1e-9
    )


def test_opencv_axes_are_right_down_forward() -> None:
    forward, right, up = UE_TO_OPENCV.T
    assert (forward.tolist(), right.tolist(), up.tolist()) == ([0, 0, 1], [1, 0, 0], [0, -1, 0])


@given(CORDS)
def test_a_pose_after_its_inverse_is_nothing(cords: Matrix) -> None:
    pose = pose_matrix(cords)
    np.testing.assert_allclose(invert(pose), np.linalg.inv(pose), atol=1e-9)
    np.testing.assert_allclose(relative(pose, pose) - np.eye(4), 0, atol=1e-9)


@given(*[arrays(np.float64, (6,), elements=ANGLES)] * 2, arrays(np.float64, (4, 3), elements=ANGLES))
def test_relative_takes_points_of_the_first_to_the_second(a: Matrix, b: Matrix, points: Matrix) -> None:
    a_to_world, b_to_world = pose_matrix(a), pose_matrix(b)
    in_b = transform(relative(a_to_world, b_to_world), points)
    np.testing.assert_allclose(transform(b_to_world, in_b), transform(a_to_world, points), atol=1e-8)


@given(st.integers(0, 2), st.floats(-180, 180))
def test_the_angle_of_a_turn_is_its_size(axis: int, degrees: float) -> None:
    assert rotation_angle(turn(axis, degrees)) == pytest.approx(abs(degrees), abs=1e-12)


def test_a_tiny_angle_keeps_its_digits() -> None:
    assert rotation_angle(turn(0, 1e-9)) == pytest.approx(1e-9, rel=1e-6)


def test_what_is_not_rigid_is_told_apart() -> None:
    poses = np.tile(np.eye(4), (6, 1, 1))
    poses[1, 0, 0] = 1.01  # stretched
    poses[2, 0, 0] = -1.0  # mirrored
    poses[3, 3, 0] = 0.01  # projective
    poses[4, 0, 3] = np.nan
    poses[5, 0, 3] = 1e6  # far, but rigid
    assert is_rigid(poses).tolist() == [True, False, False, False, False, True]


@pytest.mark.parametrize(
    ("function", "shape"),
    [(pose_matrix, (5,)), (to_opencv, (3, 3)), (invert, (4, 3)), (rotation_angle, (2, 2)), (is_rigid, (4,))],
)
def test_a_wrong_shape_is_named(function: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
        function(np.zeros(shape))


def test_a_single_point_is_refused() -> None:
    with pytest.raises(ValueError, match="points have shape"):
        transform(np.eye(4), [1.0, 2.0, 3.0])


def test_the_extrinsics_of_a_real_frame_follow_from_its_poses(real_frames: dict[str, dict[str, Any]]) -> None:
    for frame in real_frames.values():
        for name in ("camera0", "camera1", "camera2", "camera3"):
            lidar_to_camera = relative(pose_matrix(frame["lidar_pose"]), pose_matrix(frame[name]["cords"]))
            np.testing.assert_allclose(lidar_to_camera, frame[name]["extrinsic"], atol=1e-4)


def test_the_misreading_shows_on_a_real_frame(real_frames: dict[str, dict[str, Any]]) -> None:
    worst = []
    for frame in real_frames.values():
        lidar = misread(*frame["lidar_pose"][3:])
        cameras = [(misread(*frame[f"camera{i}"]["cords"][3:]), frame[f"camera{i}"]) for i in range(4)]
        errors = [rotation_angle(c @ np.array(e["extrinsic"])[:3, :3] @ lidar.T) for c, e in cameras]
        worst.append(float(max(errors)))
    assert sorted(worst) == pytest.approx([0.0, 0.271, 0.4376], abs=1e-3)  # the first agent stands level
