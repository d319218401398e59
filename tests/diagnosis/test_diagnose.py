"""`diagnose` on the embedded repository: honest where it is healthy, and each fault named first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor.sandbox import FAULTS

from ..forked import doctors

FIRST = {name: fault.code for name, fault in FAULTS.items() if fault.code.startswith("DGN")}
BY_DAY = ("unnormalised_validation", "pose_head_without_gradient")  # one of the data, one of the weights
DOCTOR = (sys.executable, "-m", "opv2v_doctor")


def diagnosis(repo: Path, *words: object) -> tuple[int, dict[str, Any]]:
    """The exit code, and each check's result by its code."""
    few = ("--num-samples", 3, "--overfit-steps", 6, "--format", "json")
    (ended,) = doctors([["diagnose", "--repo", repo, *few, *words]], seconds=280)
    assert ended.stdout, ended.stderr
    return ended.returncode, {one["code"]: one for one in json.loads(ended.stdout)["results"]}


def test_a_healthy_training_of_three_epochs_is_too_short_and_nothing_else(healthy: Path) -> None:
    before = {path: path.stat().st_mtime for path in healthy.rglob("*")}
    code, found = diagnosis(healthy, "--all-checkpoints")
    assert {path: path.stat().st_mtime for path in healthy.rglob("*")} == before
    statuses = {code: one["status"] for code, one in found.items() if one["status"] != "passed"}
    assert (code, statuses) == (0, {"DGN008": "warned", "DGN012": "warned"}), found
    (last,) = found["DGN012"]["findings"]
    assert "1. DGN008" in last["message"] and "2." not in last["message"]
    assert len([one for one in found["DGN011"]["findings"] if "poses" in one["message"]]) == 6


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in BY_DAY else pytest.mark.nightly) for name in FIRST]
)
def test_a_fault_that_only_makes_validation_high_is_named_first(
    name: str, broken: Callable[..., Path]
) -> None:
    _, found = diagnosis(
        broken(name), *(() if name in BY_DAY else ("--num-samples", 6, "--overfit-steps", 12))
    )
    (last,) = found["DGN012"]["findings"]
    assert f"Largest contributions: 1. {FIRST[name]}" in last["message"]
    assert last["hint"]


@pytest.mark.nightly
def test_a_checkpoint_of_another_model_and_want_of_memory_leave_what_can_be_measured(
    broken: Callable[..., Path],
) -> None:
    repo = broken()
    model = repo / "mapanything/models/mapanything.py"
    text = model.read_text().replace(
        '        shape = views[0]["img"].shape[-2:]\n',
        '        shape = views[0]["img"].shape[-2:]\n'
        '        if len(views[0]["img"]) > 1:\n'
        '            raise torch.OutOfMemoryError("CUDA out of memory")\n',
        1,
    )
    model.write_text(text)
    code, found = diagnosis(
        repo,
        "model.model_config.width=8",
        "model.model_config.pretrained_checkpoint_path=null",
        "train_params.max_num_of_imgs_per_gpu=16",
    )
    assert (code, found["DGN001"]["status"]) == (1, "failed")
    assert {found[code]["status"] for code in ("DGN003", "DGN004")} <= {"passed", "failed"}
    assert {found[code]["status"] for code in ("DGN006", "DGN007", "DGN008")} == {"blocked"}
    assert found["DGN010"]["status"] == "passed"
    assert "does not fit into memory" in str(found["DGN010"]["findings"])


@pytest.mark.nightly
def test_a_run_without_its_data_says_so(broken: Callable[..., Path]) -> None:
    repo = broken()
    (repo / "data/OPV2V").rename(repo / "data/elsewhere")
    code, found = diagnosis(repo)
    assert code in (1, 3)
    assert "OPV2V" in str(found["DGN001"]["reason"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--checkpoint", "none.pth"), "no such file"),
        (("--split", "train"), "name one evaluation split"),
        (("--split", "val", "--split", "test"), "name one evaluation split"),
        (("--overfit-steps", -1), "overfit-steps"),
    ],
)
def test_what_cannot_be_asked_is_refused(healthy: Path, words: tuple[object, ...], said: str) -> None:
    (ended,) = doctors([["diagnose", "--repo", healthy, *words]])
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr


@pytest.mark.nightly
def test_ctrl_c_leaves_nothing_behind(healthy: Path, tmp_path: Path) -> None:
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    for seconds in (2.0, 8.0, 16.0):
        process = subprocess.Popen(
            [*DOCTOR, "diagnose", "--repo", healthy],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and any(tmp_path.iterdir()):
            time.sleep(0.2)
        assert not any(tmp_path.iterdir())
