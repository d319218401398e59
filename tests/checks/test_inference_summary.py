"""What a prediction's summary says leads to a verdict: pose, depth, scale or mask."""

import json
import os
from pathlib import Path

import pytest

from opv2v_doctor.result import Status, examined_text
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

from ..edges import assert_edge


def summary_of(run: Path, poses: object = "none", **total: object) -> Path:
    """A run with one checkpoint, and a summary of its predictions."""
    (run / "checkpoint-1.pth").write_bytes(b"")
    folder = run / "eval_runs/one"
    folder.mkdir(parents=True, exist_ok=True)
    points = {
        "as_predicted": 20.0,
        "with_true_poses": 18.0,
        "with_true_depth": 19.0,
        "with_fitted_scale": 2.0,
    }
    content = {
        "schema": 1,
        "checkpoint": str(run / "checkpoint-1.pth"),
        "split": "val",
        "index": 0,
        "inputs": {"poses": poses, "depth": "none"},
        "total": {
            "pose_rmse": 1.0,
            "pred_mask_mean": 0.8,
            "gt_mask_mean": 0.8,
            "point_rmse": points,
            **total,
        },
    }
    (folder / "summary.json").write_text(json.dumps(content))
    return folder / "summary.json"


@pytest.mark.parametrize(
    ("total", "verdict"),
    [
        ({"pred_mask_mean": 0.01}, "mask"),
        ({"pose_rmse": 12.0}, "scale"),
        (
            {
                "pose_rmse": 12.0,
                "point_rmse": {"as_predicted": 9, "with_true_poses": 1, "with_true_depth": 8},
            },
            "pose",
        ),
        (
            {
                "pose_rmse": 12.0,
                "point_rmse": {"as_predicted": 9, "with_true_poses": 8, "with_true_depth": 1},
            },
            "depth",
        ),
    ],
)
def test_bad_predictions_get_a_verdict(
    healthy: Path, tmp_path: Path, total: dict[str, object], verdict: str
) -> None:
    path = summary_of(tmp_path, **total)
    result = run_check("INF008", make_target(repo=healthy, run=tmp_path))
    assert result.status is (Status.FAILED if verdict == "mask" else Status.WARNED)
    assert (result.findings[0].path, result.findings[0].text.values["verdict"]) == (path, verdict)


def test_good_predictions_pass_and_a_summary_of_an_older_checkpoint_does_not_count(
    healthy: Path, tmp_path: Path
) -> None:
    path = summary_of(tmp_path)
    good = run_check("INF008", make_target(repo=healthy, run=tmp_path))
    assert good.status is Status.PASSED
    assert str(examined_text(good.examined)) == "1 mask mean, 1 pose error"
    later = path.stat().st_mtime + 60
    os.utime(tmp_path / "checkpoint-1.pth", (later, later))
    result = run_check("INF008", make_target(repo=healthy, run=tmp_path, num_samples=5))
    assert result.status is Status.SKIPPED


@pytest.mark.parametrize(
    "total",
    [
        {"pose_rmse": None, "pred_mask_mean": None},
        {"pose_rmse": None, "gt_mask_mean": 0.0},  # an empty mask may be empty
        {"poses": "truth", "pred_mask_mean": None},  # given poses come back
    ],
)
def test_a_summary_in_which_nothing_was_measured_is_no_answer(
    healthy: Path, tmp_path: Path, total: dict[str, str | None]
) -> None:
    summary_of(tmp_path, **total)
    result = run_check("INF008", make_target(repo=healthy, run=tmp_path))
    assert (result.status, str(result.reason)) == (
        Status.SKIPPED,
        "nothing to examine: 0 mask means, 0 pose errors",
    )


def test_the_bounds_are_those_of_the_settings(healthy: Path, tmp_path: Path) -> None:
    settings = make_target(repo=healthy).settings
    numbers = iter(range(1, 9))

    def at(name: str, value: float) -> Status:
        summary_of(tmp_path, **{name: value})
        return run_check("INF008", make_target(repo=healthy, run=tmp_path, num_samples=next(numbers))).status

    assert_edge(settings.masks.floor, lambda value: at("pred_mask_mean", value), good="above")
    assert_edge(settings.poses.error, lambda value: at("pose_rmse", value))
