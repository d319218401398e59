"""Tracing: the values of one sample are seen at the lines that make them."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from opv2v_doctor.inside import tracing

SOURCE = """
import numpy as np

class Sample:
    def __init__(self, pose):
        self.pose = pose

def moved(pose):
    pose = pose.copy()
    pose[0, 3] = 7.0
    return pose

class Dataset:
    def __getitem__(self, index):
        pose = np.eye(4)
        sample = Sample(moved(pose))
        depth = np.full((64, 96), 2.0)
        depth[:, 0] = 0.0
        return [{"camera_pose": sample.pose, "depthmap": depth, "label": "a/1"}]
"""


def test_each_new_value_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "loader.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("loader_that_is_followed", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(tracing, "dataset_of", lambda *_: module.Dataset())
    found = tracing.followed("", "", [0], str(tmp_path / "arrays"), str(tmp_path), 32)
    lines = SOURCE.splitlines()
    at = [(each, lines[each["line"] - 1].strip()) for each in found["sightings"]]
    first = next(line for each, line in at if each["shape"] == [4, 4] and each["numbers"][3] == 7.0)
    assert first == "pose[0, 3] = 7.0"
    large = [(each, line) for each, line in at if each["shape"] == [64, 96]]
    assert [line for _, line in large][:2] == ["depth = np.full((64, 96), 2.0)", "depth[:, 0] = 0.0"]
    kept = np.load(tmp_path / "arrays" / f"{large[1][0]['grid']}.npy")
    assert kept.shape == (32, 32)
    assert (kept[:, 0] == 0).all()
    assert found["views"][0]["identity"]["label"] == "a/1"
