"""The scene is what OPV2V would have on disk, and its depth is exact."""

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from opv2v_doctor.geometry.cameras import Pinhole
from opv2v_doctor.geometry.poses import invert, pose_matrix, relative, to_opencv, transform
from opv2v_doctor.sandbox import write_scene
from opv2v_doctor.sandbox.scene import CAMERAS_IN_LIDAR, angles

ONE_SCENARIO = {"train": (4,)}
CAMERAS = tuple(CAMERAS_IN_LIDAR)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("scene")
    write_scene(directory / "OPV2V", directory / "depth", scenarios=ONE_SCENARIO, frames=1)
    return directory


def frames(scene: Path) -> list[Path]:
    return sorted((scene / "OPV2V").glob("*/*/*/*.yaml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def depth_of(scene: Path, frame: Path, camera: str) -> Any:
    place = frame.relative_to(scene / "OPV2V").with_name(f"{frame.stem}_{camera}_depth.npy")
    return np.load(scene / "depth" / place)


def points_of(frame: Path) -> np.ndarray:
    return np.loadtxt(frame.with_suffix(".pcd"), skiprows=11)[:, :3]


def digest(directory: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        found.update(str(path.relative_to(directory)).encode() + path.read_bytes())
    return found.hexdigest()


def test_the_same_seed_gives_the_same_bytes(scene: Path, tmp_path: Path) -> None:
    for name, seed in (("again", 0), ("other", 1)):
        write_scene(
            tmp_path / name / "OPV2V", tmp_path / name / "depth", seed=seed, scenarios=ONE_SCENARIO, frames=1
        )
    assert digest(tmp_path / "again") == digest(scene)
    assert digest(tmp_path / "other") != digest(scene)


def test_every_file_of_a_frame_is_there(scene: Path) -> None:
    assert len(frames(scene)) == 4
    for frame in frames(scene):
        assert frame.with_suffix(".pcd").is_file()
        assert (frame.parents[1] / "data_protocol.yaml").is_file()
        for camera in CAMERAS:
            image = cv2.imread(str(frame.with_name(f"{frame.stem}_{camera}.png")))
            depth = depth_of(scene, frame, camera)
            assert image is not None
            assert image.shape == (150, 200, 3)
            assert depth.shape == (150, 200)
            assert depth.dtype == np.float32
            assert 0.5 < (depth > 0).mean() < 1.0


def test_extrinsics_are_lidar_to_camera_and_agents_lean(scene: Path) -> None:
    for frame in frames(scene):
        content = read(frame)
        assert max(map(abs, (content["lidar_pose"][3], content["lidar_pose"][5]))) > 0.2
        for camera in CAMERAS:
            expected = relative(pose_matrix(content["lidar_pose"]), pose_matrix(content[camera]["cords"]))
            np.testing.assert_allclose(content[camera]["extrinsic"], expected, atol=1e-9)


def test_angles_undo_the_pose_matrix() -> None:
    pose = pose_matrix([1.0, 2.0, 3.0, 2.5, 170.0, -3.0])
    np.testing.assert_allclose(angles(pose[:3, :3]), [2.5, 170.0, -3.0], atol=1e-9)


def test_lidar_points_have_the_depth_that_the_cameras_measured(scene: Path) -> None:
    differences = np.concatenate(
        [lidar_differences(scene, frame, name) for frame in frames(scene) for name in CAMERAS]
    )
    assert len(differences) > 5000
    assert np.median(differences) < 0.002
    assert (differences < 0.05).mean() > 0.97  # the rest lies at edges, half a pixel from the next surface


def lidar_differences(scene: Path, frame: Path, name: str) -> np.ndarray:
    """Relative differences at the points that the camera sees, its depth read between the pixels."""
    content = read(frame)
    lidar_to_camera = invert(
        to_opencv(relative(pose_matrix(content[name]["cords"]), pose_matrix(content["lidar_pose"])))
    )
    pinhole = Pinhole(np.array(content[name]["intrinsic"]), 200, 150)
    forward_right_up = points_of(frame)
    points = np.stack([forward_right_up[:, 1], -forward_right_up[:, 2], forward_right_up[:, 0]], axis=1)
    pixels, depth = pinhole.project(transform(lidar_to_camera, points))
    shown = pinhole.inside(pixels, border=0.5) & (depth > 0)
    places = (pixels[shown] - 0.5).astype(np.float32)
    image = depth_of(scene, frame, name)
    inverse = np.where(image > 0, 1 / np.where(image > 0, image, 1), 0).astype(np.float32)
    between = cv2.remap(inverse, places[:, 0:1], places[:, 1:2], cv2.INTER_LINEAR)[:, 0]
    ratio = between * depth[shown]
    return np.abs(ratio - 1)[ratio < 1.1]  # beyond: hidden from the camera by something nearer


def test_agents_are_apart_but_see_the_same_street(scene: Path) -> None:
    positions = np.array([read(frame)["lidar_pose"][:3] for frame in frames(scene)])
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    assert distances.max() < 60
    assert distances[distances > 0].min() > 3


def test_the_size_of_the_images_is_a_parameter(tmp_path: Path) -> None:
    write_scene(
        tmp_path / "OPV2V", tmp_path / "depth", image_size=(800, 600), scenarios={"test": (1,)}, frames=1,
        sky_depth=1000.0,
    )  # fmt: skip
    (frame,) = frames(tmp_path)
    assert depth_of(tmp_path, frame, "camera0").shape == (600, 800)
    assert depth_of(tmp_path, frame, "camera0").max() == 1000.0
    assert read(frame)["camera0"]["intrinsic"][0][0] == pytest.approx(335.639852470912)
