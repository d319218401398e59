"""Faults of the data: files that are missing, broken or in the wrong place."""

import shutil
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from opv2v_doctor.sandbox.faults.fault import fault, replace_text

IMAGES, DEPTH = "data/OPV2V", "data/opv2v_depth"


@fault("DAT003")
def scenario_in_two_splits(directory: Path) -> None:
    """A training scenario is in the validation split, too."""
    scenario = _training_frame(directory).parents[1].name
    for root in (directory / IMAGES, directory / DEPTH):
        shutil.copytree(root / "train" / scenario, root / "validate" / scenario)


@fault("DAT009")
def missing_camera(directory: Path) -> None:
    """One image of one agent is missing; training would silently take another sample."""
    _beside(_training_frame(directory), "_camera2.png").unlink()


@fault("DAT009")
def truncated_image(directory: Path) -> None:
    """One image ends in the middle."""
    _cut(_beside(_training_frame(directory), "_camera1.png"))


@fault("DAT009")
def truncated_yaml(directory: Path) -> None:
    """One frame file ends in the middle, before the LiDAR's pose."""
    frame = _training_frame(directory)
    text = frame.read_text(encoding="utf-8")
    frame.write_text(text[: text.index("lidar_pose") - 100], encoding="utf-8")


@fault("DAT009")
def truncated_depth(directory: Path) -> None:
    """One depth map ends in the middle."""
    _cut(_depth_files(directory)[0])


@fault("DAT010")
def nan_depth(directory: Path) -> None:
    """All depth maps of one agent of each training scenario are NaN."""
    for path in _depth_files(directory):
        np.save(path, np.full_like(np.load(path), np.nan))


@fault("DAT010")
def zero_depth(directory: Path) -> None:
    """All depth maps of one agent of each training scenario are zero."""
    for path in _depth_files(directory):
        np.save(path, np.zeros_like(np.load(path)))


@fault("DAT011")
def one_pose_turned(directory: Path) -> None:
    """One agent's lidar_pose is turned by five degrees in all its frames; its cameras' poses are not."""
    for path in chain(*_of_second_agents(directory, ".yaml")):
        pose = yaml.safe_load(path.read_text(encoding="utf-8"))["lidar_pose"]
        replace_text(path, f"- {pose[4]}\n- {pose[5]}\npl", f"- {pose[4] + 5}\n- {pose[5]}\npl")


@fault("DAT012")
def frame_file_of_the_frame_before(directory: Path) -> None:
    """One agent's second frame file is its first one: the agent drives, and its pose does not."""
    for first, second in _of_second_agents(directory, ".yaml"):
        shutil.copyfile(first, second)


@fault("GEO016")
def one_agents_lidar_turned(directory: Path) -> None:
    """The point clouds of one agent are turned by a quarter: its axes are exchanged."""
    for path in chain(*_of_second_agents(directory, ".pcd")):
        head, body = path.read_text(encoding="ascii").split("DATA ascii\n")
        rows = [line.split() for line in body.splitlines()]
        turned = "".join(f"{-float(y):.4f} {x} {z} {rgb}\n" for x, y, z, rgb in rows)
        path.write_text(f"{head}DATA ascii\n{turned}", encoding="ascii")


@fault("GEO016")
def two_cameras_depth_exchanged(directory: Path) -> None:
    """The depth files of one agent's left and right camera are exchanged."""
    for frame in chain(*_of_second_agents(directory, ".yaml")):
        place = directory / DEPTH / frame.parent.relative_to(directory / IMAGES)
        one, two = (place / f"{frame.stem}_camera{number}_depth.npy" for number in (1, 2))
        first, second = one.read_bytes(), two.read_bytes()
        one.write_bytes(second)
        two.write_bytes(first)


@fault("GEO025")
def one_agents_images_inverted(directory: Path) -> None:
    """All images of one agent are negatives: what is bright in the others' is dark in its own."""
    for path in chain(*_of_second_agents(directory, ".png")):
        cv2.imwrite(str(path), 255 - _picture(path))


@fault("GEO025")
def one_cameras_images_blue_first(directory: Path) -> None:
    """The images of one camera of one agent were written with red and blue exchanged."""
    for path in chain(*_of_second_agents(directory, "_camera0.png")):
        cv2.imwrite(str(path), _picture(path)[..., ::-1])


def _picture(path: Path) -> NDArray[Any]:
    picture: Any = cv2.imread(str(path))
    return np.asarray(picture)


def _of_second_agents(directory: Path, suffix: str) -> list[list[Path]]:
    """Files of the second agent of each split's first scenario, frame by frame."""
    scenarios = [min(path for path in split.iterdir()) for split in sorted((directory / IMAGES).iterdir())]
    agents = [sorted(path for path in each.iterdir() if path.is_dir())[1] for each in scenarios]
    return [sorted(agent.glob(f"*{suffix}")) for agent in agents]


def _training_frame(directory: Path) -> Path:
    """The frame file of the first agent, frame and scenario of the training split."""
    return min((directory / IMAGES / "train").glob("*/*/*.yaml"))


def _beside(frame: Path, ending: str) -> Path:
    return frame.with_name(frame.stem + ending)


def _depth_files(directory: Path) -> list[Path]:
    """All depth maps of the first agent's id in the training split."""
    agent = _training_frame(directory).parent.name
    return sorted((directory / DEPTH / "train").glob(f"*/{agent}/*_depth.npy"))


def _cut(path: Path) -> None:
    """Keep the first half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
