"""The layout tells what a file is by its name, in OPV2V's names and in those of others."""

from collections import Counter
from pathlib import Path

import pytest

from opv2v_doctor.layout import FileKind, Layout, dataset_root, unknown_name
from opv2v_doctor.settings import read_settings

OTHERS = Layout(
    image=("{frame}_{camera}.jpeg",), cameras=("cam1", "cam2"), lidar_pose="pose", intrinsic="K", cords="xyz"
)


@pytest.mark.parametrize(
    ("name", "kind", "camera"),
    [
        ("000069.yaml", FileKind.FRAME, ""),
        ("000069_camera0.png", FileKind.IMAGE, "camera0"),
        ("000069_camera3.jpg", FileKind.IMAGE, "camera3"),
        ("000069_camera1_depth.npy", FileKind.DEPTH, "camera1"),
        ("000069_camera1_depth.exr", FileKind.DEPTH, "camera1"),
        ("000069_depth2.png", FileKind.DEPTH, "camera2"),
        ("000069.pcd", FileKind.CLOUD, ""),
        ("000069.bin", FileKind.CLOUD, ""),
    ],
)
def test_files_are_known_by_their_names(name: str, kind: FileKind, camera: str) -> None:
    assert Layout().parse(name) == (kind, "000069", camera)


@pytest.mark.parametrize(
    "name", ["000069_additional.yaml", "000069_bev_dynamic.png", "_camera0.png", "notes.yaml", "000069"]
)
def test_other_files_are_not_taken_for_a_frames(name: str) -> None:
    assert Layout().parse(name) is None


def test_many_unknown_files_have_one_name() -> None:
    names = ["000069_additional.yaml", "000071_additional.yaml", "notes.txt"]
    assert set(map(unknown_name, names)) == {"FRAME_additional.yaml", "notes.txt"}


def test_words_of_others_are_told_in_ours() -> None:
    said = {"pose": [1], "cam1": {"xyz": [2], "K": [3], "more": 4}, "speed": 5}
    expected = {"lidar_pose": [1], "camera0": {"cords": [2], "intrinsic": [3], "more": 4}, "speed": 5}
    assert OTHERS.canonical(said) == expected
    assert OTHERS.parse("000069_cam2.jpeg") == (FileKind.IMAGE, "000069", "camera1")
    assert OTHERS.file(FileKind.IMAGE, "000069", "camera1") == "000069_cam2.jpeg"
    assert OTHERS.camera("cam2") == "camera1"


def test_cameras_that_are_counted_from_one_are_not_mixed_up() -> None:
    shifted = Layout(cameras=("camera1", "camera2", "camera3", "camera4"))
    names = [f"000069_camera{number}.png" for number in (1, 2, 3, 4)]
    assert [(shifted.parse(name) or "")[2] for name in names] == ["camera0", "camera1", "camera2", "camera3"]
    assert shifted.camera("camera4") == "camera3"


@pytest.mark.parametrize(
    ("endings", "code", "image", "depth"),
    [
        ({"_camera0.jpg": 5, "_camera1.png": 4}, [], ".jpg", ".npy"),  # most
        ({"_camera0.png": 5, "_camera0.jpg": 5}, [], ".png", ".npy"),  # the first of as many
        ({"_camera0.png": 5, "_camera0.jpg": 5}, [".jpg"], ".jpg", ".npy"),  # what the loader reads
        ({"_camera0.jpg": 5}, [".png"], ".jpg", ".npy"),  # that is not there at all
        (
            {"_camera0.png": 5, "_camera0_depth.npy": 5, "_camera0_depth.png": 9},
            [".png"],
            ".png",
            "_depth.png",
        ),
        (
            {"_camera0.png": 5, "_camera0_depth.npy": 5, "_camera0_depth.png": 9},
            [".png", "_depth.npy"],
            ".png",
            ".npy",
        ),
        ({}, [], ".png", ".npy"),
    ],
)
def test_of_several_names_the_split_has_one(
    endings: dict[str, int], code: list[str], image: str, depth: str
) -> None:
    settled = Layout().settled(Counter(endings), code)
    assert settled.file(FileKind.IMAGE, "1", "camera0").endswith(image)
    assert settled.file(FileKind.DEPTH, "1", "camera0").endswith(depth)


def test_settings_name_files_and_keys(tmp_path: Path) -> None:
    path = tmp_path / "opv2v-doctor.toml"
    path.write_text(
        '[files]\nimage = "{frame}_{camera}.jpeg"\ndepth_scale = 0.01\n'
        '[keys]\ncameras = ["cam1", "cam2"]\nlidar_pose = "pose"\ncords = "xyz"\nintrinsic = "K"\n'
    )
    found = read_settings(path).layout
    assert (found.image, found.cameras, found.depth_scale) == (OTHERS.image, OTHERS.cameras, 0.01)
    assert found.canonical({"pose": 1}) == {"lidar_pose": 1}


@pytest.mark.parametrize("inside", ["", "train", "train/2021_08_16", "train/2021_08_16/-1", ".."])
def test_the_root_is_found_from_within_and_from_above(tmp_path: Path, inside: str) -> None:
    root = tmp_path / "OPV2V"
    (root / "train/2021_08_16/-1").mkdir(parents=True)
    assert dataset_root(root / inside) is None
    (root / "train/2021_08_16/-1/000069.yaml").touch()
    found = dataset_root(root / inside)
    assert found is not None and found.resolve() == root
