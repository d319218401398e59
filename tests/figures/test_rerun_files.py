"""Recordings for rerun's viewer: what they hold, and what is said where the library is not there."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from opv2v_doctor.figures.frame_page import ShownAgent
from opv2v_doctor.figures.rerun_files import record_frame, record_sample, recording, rerun
from opv2v_doctor.user_error import UsageError
from tests.figures.sights import reference_of, sample_of_views, shown_of, view_of


@pytest.mark.skipif(importlib.util.find_spec("rerun") is not None, reason="rerun is installed")
def test_without_the_library_the_command_that_brings_it_is_named() -> None:
    with pytest.raises(UsageError, match=r"pip install 'opv2v-doctor\[rerun\]'"):
        rerun()


def printed(path: Path) -> str:
    """What rerun's own program reads of a recording."""
    command = [sys.executable, "-m", "rerun_cli", "rrd", "print", "-v", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def cameras(said: str) -> set[str]:
    """The entities that are cameras without distortion."""
    return set(re.findall(r"/(\S+)@Pinhole:image_from_camera", said))


def test_a_recording_holds_each_view_at_its_sample(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="no rerun: pip install rerun-sdk")
    views = (view_of(tmp_path, 0), view_of(tmp_path, 1, agent="650/a b"))
    shown = [shown_of(view, reference_of(tmp_path)) for view in views]
    path = tmp_path / "val.rrd"
    with recording(path) as stream:
        record_sample(stream, sample_of_views(views), shown)
        assert not path.exists()
    said = printed(path)
    for agent in ("1045", "650_a_b"):
        shown_as, world = f"/views/{agent}", f"/world/scenario/{agent}"
        for entity in (f"{world} ", f"{shown_as}/image", f"{shown_as}/depth", f"{world}/camera3/image"):
            assert entity in said
    assert len(cameras(said)) == 8


def test_the_image_of_a_single_camera_is_a_camera(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="no rerun: pip install rerun-sdk")
    drawn = view_of(tmp_path)
    intrinsics = ((80.0, 0.0, 64.0), (0.0, 80.0, 16.0), (0.0, 0.0, 1.0))
    drawn = replace(drawn, view=replace(drawn.view, camera_model="pinhole", intrinsics=intrinsics))
    reference = replace(reference_of(tmp_path), cylinder=None, cameras=("camera1",))
    with recording(tmp_path / "one.rrd") as stream:
        record_sample(stream, sample_of_views((drawn,)), [shown_of(drawn, reference)])
    said = printed(tmp_path / "one.rrd")
    assert cameras(said) == {"world/scenario/1045_camera1"}
    assert "/world/scenario/1045_camera1/image" in said


def test_a_frame_of_a_dataset_has_its_cameras_and_its_lidar(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="no rerun: pip install rerun-sdk")
    rig = reference_of(tmp_path).rig
    images = {name: np.zeros((150, 200, 3), np.uint8) for name in rig}
    agents = [
        ShownAgent(name=name, pictures={}, told=(), pose=pose, points=np.ones((5, 3)), rig=rig, images=images)
        for name, pose in (("650", np.eye(4)), ("lost", None))
    ]
    with recording(tmp_path / "frames.rrd") as stream:
        record_frame(stream, 3, "000069", "2021_08", agents)
    said = printed(tmp_path / "frames.rrd")
    assert "/world/2021_08/650/lidar" in said and "/world/2021_08/650/camera0/image" in said
    assert cameras(said) == {f"world/2021_08/650/camera{number}" for number in range(4)}
    assert "lost" not in said
