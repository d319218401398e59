"""Tests of rigs: what four cameras see, compared with an integral that knows no pixel."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opv2v_doctor.geometry.cameras import Cylinder, Pinhole
from opv2v_doctor.geometry.poses import invert, pose_matrix, to_opencv, transform
from opv2v_doctor.geometry.rigs import (
    MountedCamera,
    coverage,
    coverage_fraction,
    crop_to_aspect,
    rig_of,
)

FOCAL_LENGTH = 335.639852470912
INTRINSICS = [[FOCAL_LENGTH, 0.0, 400.0], [0.0, FOCAL_LENGTH, 300.0], [0.0, 0.0, 1.0]]
OPV2V = Pinhole(np.array(INTRINSICS), 800, 600)
PANORAMA = Cylinder(1008, 252)
MOUNTS = {  # metres ahead of, right of and above the LiDAR; yaw in degrees
    "camera0": (3.0, 0.0, -0.9, 0.0),
    "camera1": (0.5, 0.3, -0.1, 100.0),
    "camera2": (0.5, -0.3, -0.1, -100.0),
    "camera3": (-1.5, 0.0, -0.4, 180.0),
}
SIZES = dict.fromkeys(MOUNTS, (800, 600))


def frame(lidar_pose: list[float] | None = None) -> dict[str, Any]:
    """A frame file of an agent with OPV2V's rig; it stands level, at the LiDAR's pose."""
    lidar_pose = lidar_pose or [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    yaw, lidar_to_world = lidar_pose[4], pose_matrix(lidar_pose)
    entries: dict[str, Any] = {"lidar_pose": lidar_pose}
    for name, (*place, turn) in MOUNTS.items():
        cords = [*transform(lidar_to_world, [place])[0], 0.0, yaw + turn, 0.0]
        entries[name] = {"cords": cords, "intrinsic": INTRINSICS}
    return entries


def rig() -> list[MountedCamera]:
    return list(rig_of(frame(), SIZES).values())


def cropped(cameras: list[MountedCamera], width: int, height: int) -> list[MountedCamera]:
    return [MountedCamera(crop_to_aspect(pinhole, width, height), pose) for pinhole, pose in cameras]


def integral(half_height: float) -> float:
    """The share of a +-45 degree panorama that the rig sees, azimuth by azimuth, without pixels or poses."""
    azimuth = np.linspace(-180, 180, 36_001)
    highest = np.zeros_like(azimuth)
    for yaw in (0, 100, -100, 180):
        off_axis = np.radians((azimuth - yaw + 180) % 360 - 180)
        top = np.arctan(half_height / FOCAL_LENGTH * np.cos(off_axis))
        highest = np.maximum(highest, np.where(np.abs(off_axis) <= math.atan(400 / FOCAL_LENGTH), top, 0))
    return float((highest / (math.pi / 4)).mean())


def test_the_rig_sees_86_percent_of_the_panorama() -> None:
    assert coverage_fraction(PANORAMA, rig()) == pytest.approx(0.857, abs=5e-4)
    assert coverage_fraction(PANORAMA, rig()) == pytest.approx(integral(300), abs=3e-3)


@pytest.mark.parametrize("width", [504, 1008])
def test_images_cropped_to_the_panoramas_shape_see_33_percent(width: int) -> None:
    share = coverage_fraction(Cylinder(width, width // 4), cropped(rig(), width, width // 4))
    assert 0.328 <= share <= 0.331
    assert share == pytest.approx(integral(100), abs=4e-3)


@given(st.integers(0, 3), st.integers(-180, 180))
def test_a_rig_without_a_camera_sees_less(missing: int, yaw: int) -> None:
    small, entries = Cylinder(144, 36), frame([10.0, 20.0, 2.0, 0.0, float(yaw), 0.0])
    whole = coverage(small, rig_of(entries, SIZES).values())
    del entries[f"camera{missing}"]
    rest = coverage(small, rig_of(entries, SIZES).values())
    assert not (rest & ~whole).any()
    assert 0.1 < whole.mean() - rest.mean() < 0.3


@given(st.integers(-72, 72))
def test_turning_a_camera_by_columns_rolls_its_mask(columns: int) -> None:
    small = Cylinder(144, 36)
    ahead, turned = (
        coverage(small, [(OPV2V, to_opencv(pose_matrix([0, 0, 0, 0, yaw, 0])))]) for yaw in (0, columns * 2.5)
    )
    assert (np.roll(ahead, columns, axis=1) != turned).mean() < 1e-3


@given(st.floats(-80, 80), st.floats(-80, 80))
def test_where_a_camera_sits_does_not_count(x: float, z: float) -> None:
    small, pose = Cylinder(72, 18), np.eye(4)
    pose[[0, 2], 3] = x, z
    assert (coverage(small, [(OPV2V, pose)]) == coverage(small, [(OPV2V, np.eye(4))])).all()


def test_a_camera_does_not_see_behind_itself() -> None:
    seen = coverage(PANORAMA, [(OPV2V, np.eye(4))])
    azimuth = np.degrees(np.arctan2(*np.moveaxis(PANORAMA.rays()[..., [0, 2]], -1, 0)))
    assert np.abs(azimuth[seen]).max() <= 50


def test_no_camera_sees_nothing() -> None:
    assert coverage_fraction(PANORAMA, []) == 0


def test_the_crop_keeps_the_middle_third() -> None:
    crop = crop_to_aspect(OPV2V, 1008, 252)
    assert (crop.width, crop.height) == (1008, 252)
    expected = np.array([[FOCAL_LENGTH * 1.26, 0, 504], [0, FOCAL_LENGTH * 1.26, 126], [0, 0, 1]])
    np.testing.assert_allclose(crop.intrinsics, expected, atol=1e-4)


@given(*[st.integers(8, 2000)] * 4)
def test_a_crop_keeps_the_middle_within_a_pixel(w: int, h: int, width: int, height: int) -> None:
    middle = Pinhole(np.array([[100, 0, w / 2], [0, 100, h / 2], [0, 0, 1]]), w, h)
    crop = crop_to_aspect(middle, width, height)
    scale = max(width / w, height / h)
    assert crop.intrinsics[0, 0] == crop.intrinsics[1, 1] == pytest.approx(100 * scale, rel=1e-5)
    assert crop.intrinsics[:2, 2] == pytest.approx([width / 2, height / 2], abs=0.51)


@given(st.integers(8, 2000), st.integers(8, 2000))
def test_a_crop_to_the_same_shape_changes_nothing(width: int, height: int) -> None:
    camera = Pinhole(np.array([[90, 0, 1], [0, 80, 2], [0, 0, 1]]), width, height)
    np.testing.assert_allclose(crop_to_aspect(camera, width, height).intrinsics, camera.intrinsics, atol=1e-4)


@given(st.floats(-180, 180), st.floats(-300, 300))
def test_a_rig_is_the_same_wherever_the_agent_stands(yaw: float, x: float) -> None:
    moved = rig_of(frame([x, 20.0, 2.0, 0.0, yaw, 0.0]), SIZES)
    for expected, found in zip(rig(), moved.values(), strict=True):
        np.testing.assert_allclose(found.camera_to_lidar, expected.camera_to_lidar, atol=1e-9)


def test_the_front_camera_sits_ahead_of_and_below_the_lidar() -> None:
    camera_to_lidar = rig_of(frame(), SIZES)["camera0"].camera_to_lidar
    np.testing.assert_allclose(camera_to_lidar[:3, 3], [0, 0.9, 3.0], atol=1e-12)  # right, down, forward


def test_a_camera_on_the_right_looks_to_the_right() -> None:
    camera_to_lidar = rig_of(frame(), SIZES)["camera1"].camera_to_lidar
    expected = [math.sin(math.radians(100)), 0, math.cos(math.radians(100))]
    np.testing.assert_allclose(camera_to_lidar[:3, :3] @ [0, 0, 1], expected, atol=1e-12)


def test_a_missing_camera_is_absent() -> None:
    entries = frame()
    del entries["camera3"]
    assert list(rig_of(entries, SIZES)) == ["camera0", "camera1", "camera2"]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("lidar_pose",), None, "lidar_pose"),
        (("lidar_pose",), [1, 2, 3], "lidar_pose"),
        (("camera1", "cords"), [0, 0, 0, 0, math.nan, 0], r"camera1\.cords"),
        (("camera1", "cords"), "north", r"camera1\.cords"),
        (("camera2", "intrinsic"), [[1, 2], [3, 4]], r"camera2\.intrinsic"),
        (("camera2", "intrinsic"), None, r"camera2\.intrinsic"),
        (("camera2",), "none", r"camera2\.cords is missing"),
        (("camera3",), {"cords": [0] * 6}, r"camera3\.intrinsic is missing"),
    ],
)
def test_a_malformed_entry_is_named(place: tuple[str, ...], value: object, message: str) -> None:
    entries = frame()
    holder = entries if len(place) == 1 else entries[place[0]]
    holder[place[-1]] = value
    with pytest.raises(ValueError, match=message):
        rig_of(entries, SIZES)


def test_a_frame_without_a_lidar_pose_is_refused() -> None:
    with pytest.raises(ValueError, match="lidar_pose is missing"):
        rig_of({}, SIZES)


def test_a_real_rig_agrees_with_its_extrinsics(real_frames: dict[str, dict[str, Any]]) -> None:
    for entries in real_frames.values():
        for name, camera in rig_of(entries, SIZES).items():
            expected = to_opencv(invert(entries[name]["extrinsic"]))
            np.testing.assert_allclose(camera.camera_to_lidar, expected, atol=1e-4)


def test_a_real_rig_sees_86_percent_of_the_panorama(real_frames: dict[str, dict[str, Any]]) -> None:
    for entries in real_frames.values():
        cameras = list(rig_of(entries, SIZES).values())
        assert coverage_fraction(PANORAMA, cameras) == pytest.approx(0.857, abs=1e-3)
        assert coverage_fraction(PANORAMA, cropped(cameras, 1008, 252)) == pytest.approx(0.3305, abs=1e-3)
