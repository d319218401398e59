"""Dataset checks: views, their number, and poses, as the training's own code makes them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor.result import Status
from opv2v_doctor.sandbox import copy_repository
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

from ..edges import assert_edge

Broken = Callable[..., Path]
SOURCE = "mapanything/datasets/opv2v_cyl.py"


def changed(repo: Path, old: str, new: str) -> Path:
    """The repository with one word of its dataset class changed."""
    text = (repo / SOURCE).read_text()
    assert old in text
    (repo / SOURCE).write_text(text.replace(old, new))
    return repo


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"camera_model": "cyl"', '"camera_model": "pinhole"'),
        ("""f"{scene['sequence']}/{main_agent}\"""", "f\"{scene['sequence']}\""),
        ('"agent_id": agent,', '"agent_id": "7",'),
    ],
)
def test_a_view_that_is_not_an_agents_panorama_is_an_error(broken: Broken, old: str, new: str) -> None:
    repo = changed(broken(), old, new)
    result = run_check("DAT004", make_target(repo=repo, splits=("test",)))
    assert result.status is Status.FAILED
    assert result.findings[0].path == repo / SOURCE
    assert result.findings[0].line


def test_a_sample_of_other_views_than_asked_for_is_an_error(broken: Broken) -> None:
    repo = broken("view_counts_ignored")
    result = run_check("DAT005", make_target(repo=repo, splits=("train",)))
    assert result.status is Status.FAILED
    assert result.findings[0].path == repo / SOURCE


def test_a_number_of_views_that_no_scenario_has_is_an_error(healthy: Path) -> None:
    overrides = ("dataset.num_views=6", "dataset.opv2v.train.max_num_views=6")
    result = run_check("DAT005", make_target(repo=healthy, splits=("train",), overrides=overrides))
    assert result.status is Status.FAILED
    assert result.findings[0].text.values["allowed"] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", ["poses_in_centimetres", "scaled_rotation"])
def test_a_pose_that_is_none_is_an_error(broken: Broken, name: str) -> None:
    repo = broken(name)
    result = run_check("DAT006", make_target(repo=repo))
    (finding,) = result.findings
    assert result.status is Status.FAILED
    assert finding.path == repo / SOURCE
    assert finding.line
    assert finding.subjects == ("train", "val", "test")


def test_a_pose_that_is_not_finite_is_told_once(broken: Broken) -> None:
    repo = changed(broken(), '"camera_pose": pose,', '"camera_pose": pose * np.nan,')
    base = repo / "mapanything/datasets/base/base_dataset.py"
    base.write_text(base.read_text().replace("np.isfinite(pose).all()", "True"))
    result = run_check("DAT006", make_target(repo=repo, splits=("test",)))
    (finding,) = result.findings
    assert result.status is Status.FAILED
    assert "not finite" in finding.message and "nan m" not in finding.message


def test_a_pose_that_is_missing_is_no_pass(broken: Broken) -> None:
    """Not one view without a pose is examined."""
    repo = broken()
    base = repo / "mapanything/datasets/base/base_dataset.py"
    text = base.read_text().replace("**view,", "**{k: v for k, v in view.items() if k != 'camera_pose'},")
    base.write_text(text.replace('"camera_pose": pose,', '"pose": pose,'))
    result = run_check("DAT006", make_target(repo=repo, splits=("val",), num_samples=1))
    assert result.status is Status.BLOCKED
    assert result.at is not None and result.hint is not None


def another(healthy: Path, folder: Path, value: float) -> Path:
    """A copy for one value: facts about a repository are remembered by its path."""
    copy_repository(healthy, folder / f"at_{value}")
    return folder / f"at_{value}"


def with_pose(healthy: Path, folder: Path, value: float, pose: str) -> Status:
    """What DAT006 says where the dataset gives this pose, VALUE being the value."""
    new = f'"camera_pose": {pose},'.replace("VALUE", str(value))
    repo = changed(another(healthy, folder, value), '"camera_pose": pose,', new)
    return run_check("DAT006", make_target(repo=repo, splits=("val",), num_samples=1)).status


def test_an_agent_may_be_a_hundred_metres_away(healthy: Path, tmp_path: Path) -> None:
    pose = "np.eye(4) + np.eye(4, k=3) * VALUE"
    assert_edge(100, lambda metres: with_pose(healthy, tmp_path, metres, pose))


def test_a_rotation_may_be_as_inexact_as_float32(healthy: Path, tmp_path: Path) -> None:
    pose = "np.diag([(1 + VALUE) ** 0.5, 1, 1, 1])"
    assert_edge(1e-4, lambda off: with_pose(healthy, tmp_path, off, pose))
