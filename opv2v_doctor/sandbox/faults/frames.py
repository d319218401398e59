"""Faults of the data: files that are missing, broken or in the wrong place."""

import shutil
from pathlib import Path

import numpy as np

from opv2v_doctor.sandbox.faults.fault import fault

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
