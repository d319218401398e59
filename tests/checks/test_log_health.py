"""Logs in which nothing is wrong are silent, and the mission's log tells its problems."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import Severity
from opv2v_doctor.registry import installed_checks, select
from opv2v_doctor.result import Result, Status, exit_code, first_to_fix
from opv2v_doctor.runner import run
from opv2v_doctor.target import Target, make_target

from ..log_text import events

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("OPV2V_DOCTOR_SHARED", ROOT.parent / "shared"))
OURS = sorted((ROOT / "tests" / "corpus" / "logs").glob("healthy_*"))
OTHERS = (
    "data/real_run/train.log",
    "data/real_run/log.txt",
    "data/public_logs/2025-11-20_16-32-18_no_pred_norm/log.txt",
    "data/public_logs/2025-11-23_08-35-29_dinov2_feature_mlp_dense_head/log.txt",
    "cases/logs/h_good.log",
)
FAMILY = [f"LOG{number:03d}" for number in range(1, 25)]


def judged(path: Path) -> dict[str, Result]:
    target = Target(repo=path.parent, python=Path(sys.executable), logs=(path,))
    return {result.check.code: result for result in run(select(installed_checks(), ["LOG"]), target)}


def of(results: dict[str, Result], *statuses: Status) -> set[str]:
    return {code for code, result in results.items() if result.status in statuses}


def test_a_healthy_log_passes_every_check(healthy_log: Any) -> None:
    target = healthy_log.write()
    assert of(judged(target.logs[0]), Status.PASSED) == set(FAMILY)


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_healthy_logs_are_silent(path: Path) -> None:
    results = judged(path)
    assert of(results, Status.PASSED, Status.SKIPPED) == set(FAMILY)
    assert {"LOG003", "LOG006", "LOG014"} <= of(results, Status.PASSED)
    assert path.suffix == ".txt" or {"LOG001", "LOG002", "LOG004", "LOG005"} <= of(results, Status.PASSED)


@pytest.mark.parametrize("name", OTHERS)
def test_the_real_healthy_logs_are_silent(name: str) -> None:
    path = SHARED / name
    if not path.is_file():
        pytest.skip("no real logs outside the clone: export OPV2V_DOCTOR_SHARED=FOLDER")
    results = judged(path)
    assert of(results, Status.PASSED, Status.SKIPPED) == set(FAMILY)
    assert exit_code(results.values()) == 0


@pytest.mark.parametrize("run", ["20_16-32-18_no_pred_norm", "23_08-35-29_dinov2_feature_mlp_dense_head"])
def test_real_runs_of_one_step_per_epoch_wait_for_data_and_nothing_else(run: str) -> None:
    path = SHARED / "data" / "public_logs" / f"2025-11-{run}" / "train_one_sample.log"
    if not path.is_file():
        pytest.skip("no real logs outside the clone: export OPV2V_DOCTOR_SHARED=FOLDER")
    results = judged(path)
    assert (of(results, Status.WARNED), of(results, Status.FAILED)) == ({"LOG012"}, set())


@pytest.mark.parametrize("name", ["died.log", "h_short_end.log"])
def test_what_died_or_ended_early_does_not_pass(name: str, tmp_path: Path) -> None:
    path = SHARED / "cases" / "logs" / name
    if not path.is_file():
        pytest.skip("no real logs outside the clone: export OPV2V_DOCTOR_SHARED=FOLDER")
    old = tmp_path / name
    old.write_bytes(path.read_bytes())
    os.utime(old, (1, 1))
    expected = {"died.log": Status.FAILED, "h_short_end.log": Status.WARNED}[name]
    assert judged(old)["LOG004"].status is expected


@pytest.mark.parametrize(
    ("name", "text", "passed"),
    [
        ("empty.log", "", set()),
        ("averages.log", "Averaged stats: lr: 0.000100  loss: 1.0 (1.0)\n", {"LOG003", "LOG014"}),
        ("end.log", "torch.OutOfMemoryError: CUDA out of memory\nTraining time 0:17:05\n", set()),
        (
            "log.txt",
            "".join(f'{{"epoch": {epoch}, "train_loss": {9 - epoch}.5}}\n' for epoch in range(6)),
            {"LOG003", "LOG006", "LOG014", "LOG021"},
        ),
    ],
)
def test_what_was_not_looked_at_does_not_pass(tmp_path: Path, name: str, text: str, passed: set[str]) -> None:
    path = tmp_path / name
    path.write_text(text)
    os.utime(path, (1, 1))
    results = judged(path)
    assert of(results, Status.PASSED) == passed
    assert of(results, Status.SKIPPED, Status.BLOCKED) == set(FAMILY) - passed
    assert all(str(results[code].reason) for code in set(FAMILY) - passed)


def test_events_show_neither_launches_nor_lines(tmp_path: Path) -> None:
    (path,) = events(tmp_path).logs
    results = judged(path)
    assert of(results, Status.PASSED) == {"LOG014"}
    assert sum(one.count for one in results["LOG014"].examined) == 20


def test_no_log_is_a_skip(tmp_path: Path) -> None:
    target = Target(repo=tmp_path, python=Path(sys.executable), run=tmp_path)
    results = list(run(select(installed_checks(), ["LOG"]), target))
    assert {str(result.reason) for result in results} == {
        "no log yet: nothing was trained, or the log is elsewhere"
    }
    assert {result.status for result in results} == {Status.SKIPPED}


def test_one_log_of_a_folder_is_enough(tmp_path: Path) -> None:
    """What one of several logs does not show, another does: the others' reasons are no answer."""
    paths = []
    for number, name in enumerate(("healthy_detr.log", "healthy_masks.log")):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "train.log"
        path.write_bytes((ROOT / "tests" / "corpus" / "logs" / name).read_bytes())
        paths.append(path)
    target = Target(repo=tmp_path, python=Path(sys.executable), logs=tuple(paths))
    results = {result.check.code: result for result in run(select(installed_checks(), ["LOG"]), target)}
    assert results["LOG017"].status is Status.PASSED  # of masks tells one of them only
    assert results["LOG011"].status is Status.SKIPPED


def test_the_sandbox_s_own_training_is_silent(healthy: Path) -> None:
    target = make_target(repo=healthy)
    for result in run(select(installed_checks(), ["LOG"]), target):
        assert result.status in (Status.PASSED, Status.SKIPPED), result


def test_the_log_of_the_mission_tells_its_problems() -> None:
    path = ROOT / "examples" / "mission" / "train.log"
    lines = path.read_text().splitlines()
    found = judged(path)
    assert of(found, Status.FAILED) == {"LOG005"}
    assert of(found, Status.WARNED) == {"LOG015"}
    chosen = first_to_fix(found.values())
    assert chosen is not None
    assert chosen[0].check.code == "LOG005"

    (absent,) = found["LOG001"].findings  # overcome by the second launch
    assert absent.severity is Severity.NOTE
    assert "'OPV2VCoopCylindricalDataset' is not defined" in lines[(absent.line or 0) - 1]
    (length,) = found["LOG005"].findings
    assert "Epoch: [1]  [   0/4000]" in lines[(length.line or 0) - 1]
    values = length.text.values
    assert (values["before"], values["after"], values["gpus"]) == (5000, 4000, [4, 5])
    (stays,) = found["LOG015"].findings
    assert "Test Epoch: [1]" in lines[(stays.line or 0) - 1]

    mask = found["LOG017"].findings[0]  # 0.008 is learned, not collapsed
    assert mask.severity is Severity.NOTE
    assert "NonAmbiguousMaskLoss_mask_avg: 0.008" in lines[(mask.line or 0) - 1]
    pose = next(finding for finding in found["LOG019"].findings if "pose_trans" in finding.message)
    assert 0.7 < float(str(pose.text.values["residual"])) < 0.85  # 7 to 8 is not metres
    assert "pose_trans_avg: 7." in lines[(pose.line or 0) - 1]
