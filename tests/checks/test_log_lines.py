"""What can be read of a log."""

from pathlib import Path
from typing import Any

from opv2v_doctor import Severity
from opv2v_doctor.result import Status
from opv2v_doctor.target import Target
from opv2v_doctor.testing import run_check

from ..log_text import events


def test_a_line_that_two_ranks_wrote_is_counted(healthy_log: Any) -> None:
    line = healthy_log.say("Epoch: [0]  [ 100/1000]  eta: 0:03:44  lr: 0.0Epoch: [0]  [ 100/1000]")
    result = run_check("LOG003", healthy_log.write())
    finding = next(f for f in result.findings if f.severity is Severity.WARNING)
    assert (result.status, finding.line, finding.text.values["n"]) == (Status.WARNED, line, 1)
    assert finding.message.startswith("1 line looks like metrics and cannot be read, first: [2026")


def test_what_was_read_is_told(healthy_log: Any) -> None:
    result = run_check("LOG003", healthy_log.write())
    (read,) = result.findings
    launch = "line 1: launched, epoch 0 to 7, 1000 steps per epoch"
    assert read.message == f"{len(healthy_log.lines)} lines, 1 launch that trained; {launch}"
    assert [(one.count, one.unit) for one in result.examined] == [(8 * 11 + 8, "metric line")]


def test_statistics_have_no_steps(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text('{"epoch": 0, "train_loss": 2.5}\n{"epoch": 1, "train_loss": 1.5}\n')
    (read,) = run_check("LOG003", Target(repo=tmp_path, python=path, logs=(path,))).findings
    assert read.message == "2 lines, 1 launch that trained; line 1: the log begins, epoch 0 to 1"


def test_a_last_line_without_its_end_is_a_note(healthy_log: Any) -> None:
    target = healthy_log.write()
    line = "Epoch: [0]  [ 100/1000]  eta: 0:03:44  lr: 0.0001  loss: 1.0"
    target.logs[0].write_text(target.logs[0].read_text() + line)
    cut = run_check("LOG003", target).findings[0]
    assert (cut.severity, cut.message) == (Severity.NOTE, f"the last line lacks its end: {line}")
    assert cut.event == len(healthy_log.lines) + 1


def test_of_long_lines_the_beginning_is_shown(log: Any) -> None:
    log.lines.append("Epoch: [0]  [ 100/1000]  eta: 0:03:44  lr: 0.0Epoch: " + "x" * 400)
    log.launch()
    target = log.write()
    target.logs[0].write_text(
        target.logs[0].read_text() + "Epoch: [0]  [ 1/2]  eta: 0:03:44  a: 1" + "1" * 99
    )
    unread, cut, _ = run_check("LOG003", target).findings
    assert "x" * 50 in unread.message
    assert len(unread.message) < 400
    assert len(cut.message) == len("the last line lacks its end: ") + 80


def test_of_many_launches_some_are_named(log: Any) -> None:
    for epoch in range(8):
        log.launch()
        log.epoch(epoch)
    (read,) = run_check("LOG003", log.write()).findings
    assert "8 launches that trained" in read.message
    assert read.message.count("1000 steps per epoch") == 5


def test_events_are_no_lines(tmp_path: Path) -> None:
    result = run_check("LOG003", events(tmp_path))
    assert (result.status, "holds events" in str(result.reason)) == (Status.SKIPPED, True)
