"""Epochs: their length and order, from one launch to the next."""

from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor.result import Status
from opv2v_doctor.state import State
from opv2v_doctor.target import Target
from opv2v_doctor.testing import run_check

from ..log_text import config, events


def test_another_length_names_the_gpus_that_explain_it(log: Any) -> None:
    log.launch(4)
    before = len(log.lines) + 2
    log.epoch(0, steps=5000)
    log.launch(5)
    first = len(log.lines) + 2
    log.epoch(1, steps=4000)
    result = run_check("LOG005", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.FAILED, first, first)
    assert finding.text.values["gpus"] == [4, 5]
    assert finding.message == (
        f"steps per epoch dropped from 5000 (line {before}) to 4000, as when resuming on 5 GPUs instead of "
        "4; the warm-up of 2 epochs then takes 8000 updates instead of 10000, all 8 epochs take 32000 "
        "instead of 40000"
    )
    assert str(finding.hint) == "resume on 4 GPUs, or give an epoch 50_000 samples on 5"


def test_without_a_config_the_smallest_numbers_of_gpus_explain(log: Any) -> None:
    log.epoch(0, steps=2500)
    log.epoch(1, steps=5000)
    (finding,) = run_check("LOG005", log.write(None)).findings
    assert finding.text.values["gpus"] == [2, 1]
    assert "rose from 2500 (line 2) to 5000, as when resuming on 1 GPU instead of 2" in finding.message
    assert finding.message.endswith("the schedule then takes 2.00 times as many updates")
    assert str(finding.hint) == "resume on 2 GPUs, or give an epoch 2_500 x batch samples on 1"


@pytest.mark.parametrize(("after", "gpus"), [(1500, [15, 16]), (1412, [])])
def test_large_numbers_of_gpus_explain_anything(log: Any, after: int, gpus: list[int]) -> None:
    log.epoch(0, steps=1600 if gpus else 1588)
    log.epoch(1, steps=after)
    (finding,) = run_check("LOG005", log.write(None)).findings
    assert finding.text.values["gpus"] == gpus
    assert bool(gpus) == ("as when" in finding.message)


def test_epochs_of_one_length_are_counted(healthy_log: Any) -> None:
    result = run_check("LOG005", healthy_log.write())
    assert [(one.count, one.unit) for one in result.examined] == [(8, "epoch")]


@pytest.mark.parametrize(("epochs", "status"), [((0, 1, 2, 3), "passed"), ((0, 1, 2, 2), "warned")])
def test_an_epoch_that_was_finished_is_not_trained_again(
    log: Any, epochs: tuple[int, ...], status: str
) -> None:
    *before, last = epochs
    log.launch()
    for epoch in before:
        log.epoch(epoch)
    log.launch()
    first = len(log.lines) + 2
    log.epoch(last)
    result = run_check("LOG006", log.write())
    assert result.status == status
    if status == "warned":
        (finding,) = result.findings
        assert (finding.line, finding.event) == (first, first)
        assert finding.message == "the launch that trains from here trains epoch 2 again"
        assert finding.text.values["epoch"] == 2
        assert "train_params.resume=true" in str(finding.hint)
    else:
        assert [(one.count, one.unit) for one in result.examined] == [(3, "epoch change")]


@pytest.mark.parametrize(
    ("again", "what"),
    [
        (0, "counts from epoch 0 again; epoch 3 was finished"),
        (1, "trains epochs 1 to 3 again"),
        (6, "starts at epoch 6; epoch 3 was finished last"),
        (5, "starts at epoch 5; epoch 3 was finished last"),
    ],
)
def test_epochs_are_not_counted_anew_and_none_is_left_out(log: Any, again: int, what: str) -> None:
    log.launch()
    for epoch in range(4):
        log.epoch(epoch)
    log.launch()
    log.epoch(again)
    (finding,) = run_check("LOG006", log.write()).findings
    assert finding.message == f"the launch that trains from here {what}"


def test_a_first_epoch_may_be_trained_again_from_the_start(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.launch()
    log.epoch(0)
    (finding,) = run_check("LOG006", log.write()).findings
    assert finding.message.endswith("trains epoch 0 again")


def test_what_is_alike_is_told_once(log: Any) -> None:
    for epoch in (0, 1, 1, 1, 1):
        log.launch()
        log.epoch(epoch)
    (finding,) = run_check("LOG006", log.write()).findings
    assert finding.message == (
        "the launch that trains from here trains epoch 1 again; 2 other launches do not go on either"
    )
    assert run_check("LOG007", log.write()).status is Status.PASSED


def test_what_was_resumed_is_not_told_to_be_resumed(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.epoch(1)
    log.launch()
    line = log.say("Resume checkpoint /runs/one/checkpoint-last.pth")
    log.epoch(0)
    (finding,) = run_check("LOG006", log.write()).findings
    hint = f"see why the epoch stored in /runs/one/checkpoint-last.pth is not used: line {line} loads it"
    assert str(finding.hint) == hint


def test_an_epoch_that_was_cut_off_may_be_trained_again(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.epoch(1)
    del log.lines[-8:]
    log.launch()
    log.epoch(1)
    target = log.write()
    assert run_check("LOG006", target).status is Status.PASSED
    assert run_check("LOG007", target).status is Status.PASSED


def interleaved(log: Any, steps: int) -> Target:
    one, other = type(log)(log.folder), type(log)(log.folder)
    one.epoch(0, steps=1000, every=100)
    other.epoch(0, steps=steps, every=100)
    pairs = zip(one.lines, other.lines, strict=False)
    log.lines = [line for pair in pairs for line in pair]
    target: Target = log.write()
    return target


@pytest.mark.parametrize("steps", [900, 1000])
def test_two_trainings_at_once_are_an_error(log: Any, steps: int) -> None:
    target = interleaved(log, steps)
    result = run_check("LOG007", target)
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.FAILED, 4, 4)
    assert finding.message.startswith(
        "another training starts here, while the one of line 3 goes on to line "
    )
    assert f"(1000 and {steps} steps per epoch)" in finding.message
    for code in ("LOG005", "LOG006"):  # say nothing about launches that have nothing to do with each other
        other = run_check(code, target)
        assert other.status is Status.SKIPPED
        assert "see LOG007" in str(other.reason)


def test_two_trainings_show_in_one_line_per_epoch_once_they_took_turns(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    lines = "".join(f'{{"epoch": {epoch}, "train_loss": 2.5}}\n' * 2 for epoch in range(8))
    path.write_text(lines)
    target = Target(repo=tmp_path, python=path, logs=(path,))
    (finding,) = run_check("LOG007", target).findings
    assert finding.message == "another training starts here, while the one of line 1 goes on"
    assert "see LOG007" in str(run_check("LOG006", target).reason)
    path.write_text("\n".join(lines.splitlines()[:4]) + "\n")
    result = run_check("LOG007", Target(repo=tmp_path / ".", python=path, logs=(path,), state=State()))
    assert result.status is Status.SKIPPED
    assert "one line per epoch" in str(result.reason)


def test_launches_after_one_another_are_counted(log: Any) -> None:
    for epoch in range(3):
        log.launch()
        log.epoch(epoch)
    result = run_check("LOG007", log.write())
    assert [(one.count, one.unit) for one in result.examined] == [(3, "launch")]


def test_after_the_first_epoch_comes_the_second(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.launch()
    log.epoch(2)
    (finding,) = run_check("LOG006", log.write()).findings
    assert finding.message.endswith("starts at epoch 2; epoch 0 was finished last")


def test_from_the_second_epoch_on_a_count_from_0_is_anew(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.epoch(1)
    log.launch()
    log.epoch(0)
    (finding,) = run_check("LOG006", log.write()).findings
    assert finding.message.endswith("counts from epoch 0 again; epoch 1 was finished")


def test_a_config_without_a_warm_up_says_how_much_longer_the_schedule_is(log: Any) -> None:
    for params in ({"warmup_epochs": None}, {"epochs": None}):
        log.lines.clear()
        log.epoch(0, steps=1000)
        log.epoch(1, steps=500)
        (finding,) = run_check("LOG005", log.write(config(**params))).findings
        assert finding.message.endswith("the schedule then takes 0.50 times as many updates")


def lines(log: Any, epoch: int, *steps: int) -> None:
    for step in steps:
        log.metrics(f"Epoch: [{epoch}]  [{step:2d}/10]  eta: 0:03:44  lr: 0.1", {"loss": 1.0}, 1.0, 0.1)


@pytest.mark.parametrize(
    ("steps", "what"),
    [
        ((0, 5, 9), None),
        ((0, 5), None),  # the next line would be in the next epoch
        ((0, 4), "no epoch was finished"),
        ((8,), "no epoch was finished"),
        ((9,), None),
    ],
)
def test_an_epoch_is_finished_where_no_line_of_it_is_missing(
    log: Any, steps: tuple[int, ...], what: str | None
) -> None:
    log.launch()
    lines(log, 0, *steps)
    log.launch()
    lines(log, 1, 0, 5, 9)
    found = run_check("LOG006", log.write()).findings
    assert [finding.message.rpartition("; ")[2] for finding in found] == ([what] if what else [])


@pytest.mark.parametrize("code", ["LOG005", "LOG006", "LOG007"])
def test_what_has_no_epochs_is_not_judged(log: Any, tmp_path: Path, code: str) -> None:
    log.launch()
    assert run_check(code, log.write()).status is Status.SKIPPED
    result = run_check(code, events(tmp_path))
    assert result.status is Status.SKIPPED
    assert ("no steps per epoch" if code == "LOG005" else "holds events") in str(result.reason)


@pytest.mark.parametrize(("first", "status"), [(0, Status.PASSED), (1, Status.PASSED), (2, Status.FAILED)])
def test_a_training_that_follows_one_that_ended_may_have_another_length(
    log: Any, first: int, status: Status
) -> None:
    for number in range(2):
        log.epoch(number)
    log.end()
    log.epoch(first, steps=900)
    assert run_check("LOG005", log.write()).status is status
