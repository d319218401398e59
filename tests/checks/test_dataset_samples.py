"""Dataset checks: views, their number, and poses, as the training's own code makes them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor.result import Status
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

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
    assert result.findings[0].evidence["allowed"] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", ["poses_in_centimetres", "scaled_rotation"])
def test_a_pose_that_is_none_is_an_error(broken: Broken, name: str) -> None:
    repo = broken(name)
    result = run_check("DAT006", make_target(repo=repo))
    (finding,) = result.findings
    assert result.status is Status.FAILED
    assert finding.path == repo / SOURCE
    assert finding.line
    assert finding.evidence["splits"] == ["train", "val", "test"]


def test_a_pose_that_is_not_finite_is_told_once(broken: Broken) -> None:
    repo = changed(broken(), '"camera_pose": pose,', '"camera_pose": pose * np.nan,')
    base = repo / "mapanything/datasets/base/base_dataset.py"
    base.write_text(base.read_text().replace("np.isfinite(pose).all()", "True"))
    result = run_check("DAT006", make_target(repo=repo, splits=("test",)))
    (finding,) = result.findings
    assert result.status is Status.FAILED
    assert "not finite" in finding.message and "nan m" not in finding.message
