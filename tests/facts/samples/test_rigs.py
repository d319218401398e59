"""Rigs: each camera has the size of its own image and its own intrinsics, wherever a rig is asked for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from opv2v_doctor import Blocked, Skip
from opv2v_doctor.facts.disk.frames import Disk, Frame
from opv2v_doctor.facts.disk.scenarios import scenarios
from opv2v_doctor.facts.geometry.depth_maps import depth_maps, rigs
from opv2v_doctor.facts.geometry.references import stitching
from opv2v_doctor.facts.launch.datasets import parts_of
from opv2v_doctor.facts.samples.rigs import panorama_camera, rig, rig_coverage
from opv2v_doctor.geometry.cameras import Cylinder, Pinhole
from opv2v_doctor.geometry.rigs import MountedCamera, coverage_fraction
from opv2v_doctor.sandbox import write_scene
from opv2v_doctor.target import Target

PANORAMA = Cylinder(252, 63)
SMALL = (120, 60)  # width and height of one camera's images; all others have (200, 150)


def smaller(image: Any) -> NDArray[Any]:
    """An image or a depth map in 0.6 of its size, without its highest and lowest rows."""
    return np.asarray(cv2.resize(image, (120, 90), interpolation=cv2.INTER_NEAREST))[15:75]


@pytest.fixture
def where(tmp_path: Path) -> Disk:
    """A scene of one agent, whose camera1 has smaller images of another shape."""
    images, depths = tmp_path / "OPV2V", tmp_path / "depth"
    write_scene(images, depths, scenarios={"train": (1,)}, frames=1)
    scale = SMALL[0] / 200
    for path in images.rglob("*_camera1.png"):
        cv2.imwrite(str(path), smaller(cv2.imread(str(path), cv2.IMREAD_COLOR)))
    for path in depths.rglob("*_camera1_depth.npy"):
        np.save(path, smaller(np.load(path)))
    for path in images.rglob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        if "camera1" in content:
            matrix = np.diag([scale, scale, 1]) @ content["camera1"]["intrinsic"] - [
                [0] * 3,
                [0, 0, 15],
                [0] * 3,
            ]
            content["camera1"]["intrinsic"] = matrix.tolist()
            path.write_text(yaml.safe_dump(content))
    (part,) = parts_of("Panoramas(split='train', panorama_resolution=(252, 63))")
    folders = images / "train", depths / "train"
    found = scenarios(Target(repo=images, python=images), *folders)
    return Disk(part=part, folder=folders[0], depth_folder=folders[1], scenarios=found)


def frame_in(where: Disk) -> Frame:
    return where.scenarios[0].agents[0].frames[0]


def test_each_camera_has_the_size_of_its_own_image(where: Disk) -> None:
    found = rig(where, frame_in(where))
    sizes = {name: (camera.pinhole.width, camera.pinhole.height) for name, camera in found.items()}
    assert sizes == {"camera0": (200, 150), "camera1": SMALL, "camera2": (200, 150), "camera3": (200, 150)}
    focal = {name: camera.pinhole.intrinsics[0, 0] for name, camera in found.items()}
    assert focal["camera1"] == pytest.approx(0.6 * focal["camera0"])
    right = rigs(where, frame_in(where), {})["right"]
    assert [(camera.pinhole.width, camera.pinhole.height) for camera in right] == list(sizes.values())


def test_a_rig_sees_what_each_of_its_images_shows(where: Disk) -> None:
    found = rig(where, frame_in(where))
    matrix = found["camera1"].pinhole.intrinsics
    taken_for_another = MountedCamera(Pinhole(matrix, 200, 150), found["camera1"].camera_to_lidar)
    seen = rig_coverage(PANORAMA, found)
    assert seen == pytest.approx(coverage_fraction(PANORAMA, found.values()), abs=1e-3)
    assert seen < rig_coverage(PANORAMA, {**found, "camera1": taken_for_another}) - 0.05
    assert rig_coverage(PANORAMA, found, cropped=True) < seen


def test_images_and_depth_of_different_sizes_are_stitched(where: Disk) -> None:
    frame = frame_in(where)
    done = stitching(where, panorama_camera(where), frame)
    shapes = [depth.shape for depth in depth_maps(frame, done.rig) if depth is not None]
    assert shapes == [(150, 200), (60, 120), (150, 200), (150, 200)]
    assert done.far.mask.mean() == pytest.approx(rig_coverage(PANORAMA, done.rig), abs=1e-3)
    assert done.near is not None
    behind = done.near.measured == list(done.rig).index("camera1")
    assert behind.mean() > 0.05


def test_a_dataset_that_uses_no_camera_of_the_frame_is_blocked(where: Disk) -> None:
    (part,) = parts_of("Panoramas(split='train', camera_ids=(7,))")
    with pytest.raises(Blocked, match="none of the cameras"):
        rig(replace(where, part=part), frame_in(where))


def test_a_dataset_without_panoramas_has_no_camera_of_one(where: Disk) -> None:
    (part,) = parts_of("Cameras(split='train')")
    with pytest.raises(Skip, match="panorama_resolution"):
        panorama_camera(replace(where, part=part))
