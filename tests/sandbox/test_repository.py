"""The healthy repository trains, and can be copied as if it had always been there."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import torch

from opv2v_doctor.sandbox import copy_repository, train_briefly, write_repository

RUN = "experiments/opv2v_cyl_coop"


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def statistics(directory: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (directory / RUN / "log.txt").read_text().splitlines()]


def test_the_loss_falls_in_training_and_in_validation(healthy: Path) -> None:
    _, first, *_, last = statistics(healthy)
    for name in ("train_loss", "OPV2VCoopCylindricalDataset_validate_loss_med"):
        assert last[name] < 0.9 * first[name]
    assert last["train_NonAmbiguousMaskLoss_gt_mask_mean"] == pytest.approx(0.85, abs=0.02)
    assert last["train_NonAmbiguousMaskLoss_mask_avg"] < 0.3  # a constant would cost 0.43


def test_both_evaluation_sets_are_evaluated(healthy: Path) -> None:
    for split in ("validate", "test"):
        assert f"OPV2VCoopCylindricalDataset_{split}_loss_med" in statistics(healthy)[-1]


def test_the_log_has_the_lines_that_such_logs_have(healthy: Path) -> None:
    lines = (healthy / RUN / "train.log").read_text(encoding="utf-8").splitlines()
    prefix = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\]\[\S+\]\[(INFO|WARNING|ERROR)\] - ")
    assert all(prefix.match(line) for line in lines)
    steps = [
        found
        for line in lines
        if (found := re.search(r"- Epoch: \[(\d)\]  \[ (\d)/10\]  eta: \S+  lr: ", line))
    ]
    assert [(int(step[1]), int(step[2])) for step in steps] == [(e, s) for e in range(3) for s in range(10)]
    assert not any("Traceback" in line or "[ERROR]" in line for line in lines)


def test_checkpoints_hold_what_resuming_needs(healthy: Path) -> None:
    assert {path.name for path in (healthy / RUN).glob("checkpoint-*")} == {
        f"checkpoint-{name}.pth" for name in ("1", "2", "3", "best", "last", "final")
    }
    last = torch.load(healthy / RUN / "checkpoint-last.pth", weights_only=False)
    assert set(last) == {"model", "optimizer", "scaler", "args", "epoch", "best_so_far"}
    assert last["epoch"] == 2
    assert {int(state["step"]) for state in last["optimizer"]["state"].values()} == {30}


def test_the_run_directory_also_has_config_and_events(healthy: Path) -> None:
    assert (healthy / RUN / ".hydra/overrides.yaml").is_file()
    assert list((healthy / RUN).glob("events.out.tfevents.*"))


def test_git_is_clean_and_always_the_same(healthy: Path) -> None:
    assert git(healthy, "status", "--porcelain") == ""
    assert git(healthy, "log", "--format=%an %ad", "--date=short") == "Ada Example 2025-12-01"


def test_a_copy_lives_where_it_is(healthy: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a longer path" / "copy"
    copy_repository(healthy, copy)
    for path in (path for path in copy.rglob("*") if path.is_file() and ".git" not in path.parts):
        assert str(healthy).encode() not in path.read_bytes(), path
    args = torch.load(copy / RUN / "checkpoint-last.pth", weights_only=False, mmap=True)["args"]
    assert args.machine.opv2v_images_root == f"{copy}/data/OPV2V"
    assert git(copy, "status", "--porcelain") == ""


def test_a_directory_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FileExistsError):
        write_repository(tmp_path)


def test_a_training_that_fails_says_why(healthy: Path, tmp_path: Path) -> None:
    copy_repository(healthy, tmp_path / "copy")
    (tmp_path / "copy/mapanything/models/mapanything.py").write_text("raise SystemError('out of cheese')\n")
    with pytest.raises(RuntimeError, match="out of cheese"):
        train_briefly(tmp_path / "copy")
