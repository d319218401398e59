"""Wrong conventions of poses are found and named, on real frames too."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from opv2v_doctor.geometry.conventions import RIGHT, Convention, alternatives, pose_errors
from opv2v_doctor.geometry.poses import pose_matrix, relative, to_opencv

FORKS = Convention(order="xyz", signs=(1, 1, 1))  # from_euler("zyx", [yaw, pitch, roll])


def sweep(count: int = 12, tilt: float = 3.0) -> NDArray[np.float64]:
    random = np.random.default_rng(0)
    cords = random.uniform(-1, 1, (count, 6)) * [300, 300, 2, tilt, 180, tilt]
    return np.asarray(cords)


def simplest(cords: NDArray[np.float64], poses: NDArray[np.float64]) -> Convention:
    first = np.broadcast_to(cords[0], cords.shape)
    errors = [(pose_errors(poses, c.relative_pose(cords, first))[1].mean(), c) for c in alternatives()]
    fitting = [convention for error, convention in errors if error < 1e-6]
    return min(fitting, key=lambda convention: convention.cost(RIGHT))


def test_the_right_convention_is_that_of_the_reference() -> None:
    cords = sweep()
    assert np.allclose(RIGHT.pose(cords), pose_matrix(cords))
    expected = to_opencv(relative(pose_matrix(cords), pose_matrix(cords[:1])))
    assert np.allclose(RIGHT.relative_pose(cords, np.broadcast_to(cords[0], cords.shape)), expected)
    assert RIGHT.rotation == "Rz(yaw) Ry(-pitch) Rx(-roll)"


def test_conventions_are_tried_once_and_never_the_right_one() -> None:
    tried = list(alternatives())
    assert len(tried) == len(set(tried))
    assert RIGHT not in tried


@pytest.mark.parametrize(
    "wrong",
    [
        FORKS,
        Convention(signs=(1, 1, 1)),
        Convention(signs=(0, 0, 1)),
        Convention(degrees=False),
        Convention(names=("roll", "pitch", "yaw")),
        Convention(axes="mirrored"),
        Convention(axes="unconverted"),
        Convention(axes="upside down"),
        Convention(axes="opengl"),
        Convention(relation="first to agent"),
        Convention(relation="agent to world"),
        Convention(order="xyz", signs=(1, 1, 1), relation="first to agent"),
        Convention(axes="mirrored", relation="world to agent"),
    ],
)
def test_a_wrong_convention_is_named_from_its_poses(wrong: Convention) -> None:
    cords = sweep()
    poses = wrong.relative_pose(cords, np.broadcast_to(cords[0], cords.shape))
    assert simplest(cords, poses) == wrong


def test_errors_are_told_in_degrees_and_in_metres_at_fifty() -> None:
    turned = Convention().pose([0, 0, 0, 0, 1, 0])
    degrees, metres = pose_errors(turned, np.eye(4))
    assert degrees == pytest.approx(1.0)
    assert metres == pytest.approx(50 * 2 * np.sin(np.deg2rad(0.5)))


def test_on_the_real_frame_euler_angles_of_another_order_are_off(
    real_frames: dict[str, dict[str, Any]],
) -> None:
    cords = np.array([frame["lidar_pose"] for frame in real_frames.values()])
    first = np.broadcast_to(cords[0], cords.shape)
    poses = FORKS.relative_pose(cords, first).astype(np.float32)
    degrees, metres = pose_errors(poses, RIGHT.relative_pose(cords, first))
    assert 0.15 < degrees.max() < 0.45
    assert 0.1 < metres.max() < 0.5
    errors = {c: pose_errors(poses, c.relative_pose(cords, first))[1].mean() for c in alternatives()}
    assert errors[FORKS] < 1e-3
    assert min(errors.values()) > errors[FORKS] / 2


def test_the_cameras_of_the_real_frame_are_where_the_right_convention_puts_them(
    real_frames: dict[str, dict[str, Any]],
) -> None:
    for frame in real_frames.values():
        for number in range(4):
            camera = frame[f"camera{number}"]
            found = RIGHT.relative_pose(camera["cords"], frame["lidar_pose"])
            expected = np.linalg.inv(to_opencv(camera["extrinsic"]))
            assert pose_errors(found, expected)[1] < 1e-2


def test_cameras_of_the_real_frame_look_elsewhere_by_another_convention(
    real_frames: dict[str, dict[str, Any]],
) -> None:
    degrees = [
        pose_errors(
            FORKS.relative_pose(frame[name]["cords"], frame["lidar_pose"]),
            RIGHT.relative_pose(frame[name]["cords"], frame["lidar_pose"]),
        )[0]
        for frame in real_frames.values()
        for name in ("camera0", "camera1", "camera2", "camera3")
    ]
    assert 0.4 < max(degrees) < 0.5
    assert min(degrees) < 1e-6  # it cancels at some angles: one pose proves nothing
