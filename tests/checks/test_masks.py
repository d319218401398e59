"""Mask checks: measured means against the floor, and against what the rig sees."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor import Severity
from opv2v_doctor.result import Status
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

Broken = Callable[..., Path]
SOURCE = "mapanything/datasets/opv2v_cyl.py"
MASK = '"non_ambiguous_mask": panorama.mask'


def line_of(path: Path, words: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if words in line)


@pytest.mark.parametrize("code", ["MSK001", "MSK002", "MSK003"])
def test_healthy_masks_pass(healthy: Path, code: str) -> None:
    assert run_check(code, make_target(repo=healthy)).status is Status.PASSED


def test_an_empty_mask_is_found_where_it_is_built(broken: Broken) -> None:
    repo = broken("empty_mask")
    result = run_check("MSK001", make_target(repo=repo))
    assert [f.evidence["splits"] for f in result.findings if f.severity is Severity.ERROR] == [
        ["train", "val", "test"]
    ]
    assert result.status is Status.FAILED
    assert result.findings[0].path == repo / SOURCE
    assert result.findings[0].line == line_of(repo / SOURCE, MASK)
    assert result.findings[0].evidence["mean"] == 0


def test_a_cropped_field_of_view_is_explained(broken: Broken) -> None:
    repo = broken("cropped_before_stitching")
    result = run_check("MSK002", make_target(repo=repo, splits=("val",)))
    (finding,) = result.findings
    assert result.status is Status.FAILED
    assert finding.path == repo / SOURCE
    assert finding.evidence["measured"] == pytest.approx(0.32, abs=0.02)
    assert finding.evidence["seen"] == pytest.approx(0.85, abs=0.02)
    assert finding.evidence["cropped"] == pytest.approx(finding.evidence["measured"], abs=0.02)


def test_a_mask_that_marks_everything_covers_more_than_the_rig_sees(broken: Broken) -> None:
    repo = broken()
    (repo / SOURCE).write_text((repo / SOURCE).read_text().replace(MASK, MASK + " | True"))
    result = run_check("MSK002", make_target(repo=repo, splits=("test",)))
    assert result.status is Status.FAILED
    assert result.findings[0].line == line_of(repo / SOURCE, MASK)


def test_a_rig_with_fewer_cameras_is_expected_to_see_less(healthy: Path) -> None:
    target = make_target(repo=healthy, splits=("test",), overrides=("dataset.opv2v.camera_ids=[0,3]",))
    result = run_check("MSK002", target)
    assert result.status is Status.PASSED
    assert result.findings[0].evidence["seen"] == pytest.approx(0.45, abs=0.1)


def test_another_field_of_view_changes_what_is_expected(healthy: Path) -> None:
    overrides = (
        "dataset.opv2v.test.panorama_vertical_fov_deg=60",
        "dataset.opv2v.test.panorama_elevation_center_deg=10",
    )
    target = make_target(repo=healthy, splits=("test",), overrides=overrides)
    assert run_check("MSK002", target).status is Status.PASSED


def test_valid_pixels_outside_of_the_mask_are_a_warning(broken: Broken) -> None:
    repo = broken("valid_outside_mask")
    result = run_check("MSK003", make_target(repo=repo, splits=("test",)))
    assert result.status is Status.WARNED
    assert result.findings[0].path == repo / SOURCE
