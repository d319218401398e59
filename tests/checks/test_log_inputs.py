"""What went into a training: samples, weights, and waiting for data."""

from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import Severity
from opv2v_doctor.result import Status
from opv2v_doctor.target import Target
from opv2v_doctor.testing import run_check

from ..edges import assert_edge

WEIGHTS = {"model": {"pretrained": "/weights/model.pth"}, "train_params": {"epochs": 8}}
FAILED = "Error in Data.__getitem__ for scene_idx={}: cannot read 000069_camera2.png"


def test_samples_that_were_replaced_are_a_warning(healthy_log: Any) -> None:
    line = healthy_log.say(FAILED.format(12))
    healthy_log.say("Retrying with scene_idx=7 (1 of 3)")
    healthy_log.say(FAILED.format(31))
    healthy_log.say("Error in Data.__getitem__ for scene_idx=32: another reason")
    result = run_check("LOG010", healthy_log.write())
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.WARNED, line, line)
    assert finding.message == (
        "3 samples failed to load and were replaced, first Data.__getitem__ for scene_idx=12; most often: "
        "cannot read 000069_camera2.png"
    )
    assert (finding.text.values["count"], finding.text.values["most_often"]) == (3, 2)
    assert finding.hint is not None


def test_samples_that_a_later_launch_did_not_replace_are_history(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.say(FAILED.format(12))
    log.launch()
    log.epoch(1)
    result = run_check("LOG010", log.write())
    (finding,) = result.findings
    assert (result.status, finding.severity, finding.hint) == (Status.PASSED, Severity.NOTE, None)
    assert finding.message.endswith("; a later launch replaced none")


def test_weights_that_no_line_loads_are_an_error(log: Any) -> None:
    line = log.start()
    result = run_check("LOG011", log.write(WEIGHTS))
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.FAILED, line, line)
    assert (
        finding.message == "model.pretrained is /weights/model.pth, and no line says that weights were loaded"
    )


def test_weights_that_a_line_loads_are_fine(log: Any) -> None:
    log.say("Loading pretrained:")
    log.say("/weights/model.pth")
    line = log.say("_IncompatibleKeys(missing_keys=['head.weight', 'head.bias'], unexpected_keys=['old'])")
    log.start()
    result = run_check("LOG011", log.write(WEIGHTS))
    (finding,) = result.findings
    assert (result.status, finding.event) == (Status.PASSED, line)
    assert finding.message == "the weights lack 2 parameters or more, such as 'head.weight'"
    assert [(one.count, one.unit) for one in result.examined] == [(1, "weights file")]


def test_keys_that_all_match_need_no_word(log: Any) -> None:
    log.say("Loading pretrained weights from /elsewhere/model.pth ...")
    log.say("<All keys matched successfully>")
    result = run_check("LOG011", log.write(WEIGHTS))
    assert (result.status, result.findings) == (Status.PASSED, ())


def test_other_weights_are_no_pass(log: Any) -> None:
    line = log.say("Loading pretrained weights from /weights/other.pth ...")
    log.start()
    result = run_check("LOG011", log.write(WEIGHTS))
    assert (result.status, result.at and result.at.line) == (Status.BLOCKED, line)
    assert "/weights/other.pth" in str(result.reason)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (WEIGHTS, "came to the start"),
        ({"model": {}}, "names no pretrained weights"),
        (None, "no .hydra/config"),
    ],
)
def test_without_a_start_or_weights_none_are_missed(log: Any, config: Any, reason: str) -> None:
    log.launch()
    result = run_check("LOG011", log.write(config))
    assert result.status is Status.SKIPPED
    assert reason in str(result.reason)


def test_a_training_that_waits_for_data_is_a_warning(log: Any) -> None:
    for epoch in range(6):
        log.epoch(epoch, time=1.0, data=0.8)
    result = run_check("LOG012", log.write())
    (finding,) = result.findings
    assert (result.status, finding.message) == (
        Status.WARNED,
        "80% of a step is spent waiting for data, 80% at worst",
    )


def test_half_of_a_step_is_the_bound(log: Any) -> None:
    def status(share: float) -> Status:
        log.lines.clear()
        for epoch in range(6):
            log.epoch(epoch, time=1.0, data=share)
        return run_check("LOG012", log.write()).status

    assert_edge(0.5, status)


def test_the_worst_line_is_told(log: Any) -> None:
    for epoch in range(6):
        log.epoch(epoch, time=1.0, data=0.6 if epoch == 3 else 0.1)
    (finding,) = run_check("LOG012", log.write()).findings
    assert finding.severity is Severity.NOTE
    assert finding.message == "18% of a step is spent waiting for data, 60% at worst"


def timed(log: Any, steps: list[int], start: int = 0) -> None:
    for number, step in enumerate(steps):
        log.metrics(
            f"Epoch: [{start + number}]  [{step:4d}/1000]  eta: 0:03:44  lr: 0.1", {"loss": 1.0}, 1.0, 0.9
        )


@pytest.mark.parametrize(("lines", "status"), [(9, Status.SKIPPED), (10, Status.WARNED), (11, Status.WARNED)])
def test_a_few_lines_do_not_show_how_long_loading_takes(log: Any, lines: int, status: Status) -> None:
    timed(log, [500] * lines)
    result = run_check("LOG012", log.write())
    assert result.status is status
    if status is Status.SKIPPED:
        assert "of step 20 or later, or at the end of a shorter epoch, at least 10 are needed" in str(
            result.reason
        )


@pytest.mark.parametrize(("step", "status"), [(19, Status.SKIPPED), (20, Status.WARNED), (21, Status.WARNED)])
def test_the_first_steps_hold_the_start_of_the_workers(log: Any, step: int, status: Status) -> None:
    timed(log, [step] * 50)
    assert run_check("LOG012", log.write()).status is status


def test_a_step_without_a_duration_is_left_out(log: Any) -> None:
    timed(log, [500] * 50)
    log.metrics("Epoch: [60]  [ 500/1000]  eta: 0:03:44  lr: 0.1", {"loss": 1.0}, 0.0, 0.0)
    result = run_check("LOG012", log.write())
    assert sum(one.count for one in result.examined) == 50


def test_evaluations_are_not_the_training(log: Any) -> None:
    for _ in range(60):
        log.metrics("Test Epoch: [1]  [ 500/1000]  eta: 0:00:36", {"loss": 1.0}, 1.0, 0.9)
    assert run_check("LOG012", log.write()).status is Status.SKIPPED


def test_without_times_loading_is_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text('{"epoch": 0, "train_loss": 2.5, "train_time": 1.0}\n')
    result = run_check("LOG012", Target(repo=tmp_path, python=path, logs=(path,)))
    assert "no `time` and `data`" in str(result.reason)


def test_lines_of_times_alone_are_enough(log: Any) -> None:
    for step in range(60):
        log.say(f"Epoch: [0]  [{step + 20:4d}/1000]  eta: 0:03:44  time: 1.0  data: 0.9")
    assert run_check("LOG012", log.write()).status is Status.WARNED


def test_of_a_long_reason_the_beginning_is_shown(log: Any) -> None:
    log.say("Error in Data.__getitem__ for scene_idx=12: " + "x" * 400)
    (finding,) = run_check("LOG010", log.write()).findings
    assert finding.message.endswith("most often: " + "x" * 200)
