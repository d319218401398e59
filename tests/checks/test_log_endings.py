"""How the last training ended."""

import os
import time
from typing import Any

import pytest

from opv2v_doctor import Severity
from opv2v_doctor.facts.past.logs.stops import KINDS
from opv2v_doctor.result import Status
from opv2v_doctor.testing import run_check

MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", "out_of_memory"),
        (
            "[E ProcessGroupNCCL.cpp:607] [Rank 2] Watchdog caught collective operation timeout: Work",
            "nccl_timeout",
        ),
        ("write failed: No space left on device", "disk_full"),
        (
            "slurmstepd: error: *** JOB 17 ON node3 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***",
            "killed",
        ),
        ("Killed", "killed"),
        ("torch.distributed.elastic: failed (exitcode: -9) local_rank: 0", "killed"),
    ],
)
def test_what_stopped_a_training_is_an_error_with_its_line(log: Any, text: str, kind: str) -> None:
    log.launch()
    log.epoch(0)
    line = log.say(text)
    log.say(text)
    result = run_check("LOG004", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.FAILED, line, line)
    assert finding.text.values["kind"] == kind
    assert finding.hint == KINDS[kind][1]
    assert finding.message.endswith(f"{text} (2 lines)")
    assert finding.hint is not None


def test_what_follows_from_an_exception_is_not_told_again(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.say("Traceback (most recent call last):")
    line = log.say("ValueError: the mask is empty")
    log.say("Sending process 12 closing signal SIGTERM")
    (finding,) = run_check("LOG004", log.write()).findings
    assert finding.message.endswith(f"(LOG002, line {line - 1})")  # where its traceback begins


def test_what_did_not_stop_a_training_is_a_warning(log: Any) -> None:
    log.launch()
    log.start()
    for epoch in range(8):
        if epoch == 2:
            line = log.say("write failed: No space left on device")
            log.say("write failed: No space left on device")
        log.epoch(epoch)
    log.end()
    result = run_check("LOG004", log.write())
    warned = [finding for finding in result.findings if finding.severity > Severity.NOTE]
    assert [finding.line for finding in warned] == [line]
    assert warned[0].message.endswith("(2 lines); the training went on")
    assert result.status is Status.WARNED


def test_what_stopped_an_earlier_launch_does_not_hide_how_the_last_one_stopped(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.say("CUDA out of memory. Tried to allocate 2.00 GiB")
    log.launch()
    log.epoch(1)
    log.epoch(2)
    del log.lines[-9:]
    found = run_check("LOG004", log.old()).findings
    assert [finding.severity for finding in found] == [Severity.NOTE, Severity.WARNING]
    assert found[0].message.startswith("out of memory")
    assert found[0].message.endswith("(1 line); a later launch went on")
    assert found[0].hint is None
    assert found[1].message.startswith("the log stops in epoch 2, step 600 of 1000")


def test_launches_that_were_ended_alike_are_told_once(log: Any) -> None:
    for epoch in range(4):
        log.launch()
        log.epoch(epoch)
        line = log.say("slurmstepd: error: *** JOB 17 ON node3 CANCELLED DUE TO PREEMPTION ***")
    found = run_check("LOG004", log.write()).findings
    assert [(finding.severity, finding.message.count("(3 lines)")) for finding in found] == [
        (Severity.NOTE, 1),
        (Severity.ERROR, 0),
    ]
    assert found[1].line == line


def test_what_follows_what_came_from_outside_is_not_told_again(log: Any) -> None:
    log.launch()
    log.epoch(0)
    line = log.say("CUDA out of memory. Tried to allocate 2.00 GiB")
    log.say("Sending process 12 closing signal SIGTERM")
    (finding,) = run_check("LOG004", log.write()).findings
    assert (finding.line, finding.text.values["kind"]) == (line, "out_of_memory")


def test_the_end_of_an_earlier_launch_is_not_that_of_the_last(healthy_log: Any) -> None:
    healthy_log.launch()
    healthy_log.start()
    healthy_log.epoch(7)
    del healthy_log.lines[-9:]
    (finding,) = run_check("LOG004", healthy_log.old()).findings
    assert finding.severity is Severity.WARNING
    assert "stops in epoch 7" in finding.message
    assert (finding.line, finding.event) == (len(healthy_log.lines), len(healthy_log.lines))


def test_a_launch_that_died_after_a_training_that_ended_is_no_pass(healthy_log: Any) -> None:
    line = len(healthy_log.lines) + 1
    healthy_log.launch()
    result = run_check("LOG004", healthy_log.old())
    assert (result.status, result.at and result.at.line) == (Status.BLOCKED, line)


@pytest.mark.parametrize("start", [True, False])
def test_a_launch_that_never_made_a_step_has_no_answer(log: Any, start: bool) -> None:
    log.launch()
    if start:
        log.start()
    result = run_check("LOG004", log.old())
    assert result.status is Status.BLOCKED
    assert "made no step" in str(result.reason)
    assert "launcher" in str(result.hint)


@pytest.mark.parametrize("code", ["LOG001", "LOG002", "LOG010"])
def test_a_launch_that_never_made_a_step_shows_nothing(log: Any, code: str) -> None:
    log.launch()
    assert run_check(code, log.old()).status is Status.SKIPPED


def test_a_training_that_ended_early_says_both_numbers(log: Any) -> None:
    log.launch()
    log.start()
    for epoch in range(7):
        log.epoch(epoch)
    line = log.end()
    result = run_check("LOG004", log.write(None))
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.WARNED, line, line)
    assert finding.message == "ended after 7 epochs of 8: the last one is epoch 6"


@pytest.mark.parametrize(("epochs", "status"), [(8, Status.PASSED), (7, Status.WARNED)])
def test_without_an_announcement_the_config_says_how_many(log: Any, epochs: int, status: Status) -> None:
    for epoch in range(epochs):
        log.epoch(epoch)
    log.end()
    assert run_check("LOG004", log.write()).status is status


def test_where_nobody_says_how_many_the_end_is_enough(log: Any) -> None:
    log.epoch(0)
    log.end()
    result = run_check("LOG004", log.write(None))
    assert result.status is Status.PASSED
    assert "how many epochs were planned is not in the log" in result.findings[0].message


def test_the_end_of_a_training_is_told(healthy_log: Any) -> None:
    result = run_check("LOG004", healthy_log.write())
    (finding,) = result.findings
    assert finding.message == "ended after epoch 7 and 0:16:35"
    assert [(one.count, one.unit) for one in result.examined] == [(1, "launch")]


def test_a_launch_with_nothing_left_to_do_ended_normally(healthy_log: Any) -> None:
    healthy_log.launch()
    healthy_log.start()
    healthy_log.end()
    assert run_check("LOG004", healthy_log.write()).status is Status.PASSED


def test_an_end_without_any_step_is_none(log: Any) -> None:
    log.launch()
    log.end()
    assert run_check("LOG004", log.write()).status is Status.SKIPPED


def test_a_power_cut_leaves_nul_bytes_at_the_end(healthy_log: Any) -> None:
    target = healthy_log.old()
    path = target.logs[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:50]) + bytes(5000))
    os.utime(path, (1, 1))
    result = run_check("LOG004", target)
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.FAILED, 51, 51)
    assert finding.message.startswith("5000 NUL bytes end the log")


def test_a_head_of_nul_bytes_is_a_note(healthy_log: Any) -> None:
    target = healthy_log.write()
    path = target.logs[0]
    path.write_bytes(bytes(1 << 20) + path.read_bytes())
    result = run_check("LOG004", target)
    assert (result.status, result.findings[0].severity) == (Status.PASSED, Severity.NOTE)
    assert run_check("LOG013", target).status is Status.PASSED


def test_nul_bytes_in_between_do_not_hide_that_a_log_stops(log: Any) -> None:
    log.launch()
    log.epoch(0)
    target = log.old()
    path = target.logs[0]
    path.write_bytes(bytes(100) + path.read_bytes())
    os.utime(path, (1, 1))
    assert run_check("LOG004", target).status is Status.WARNED


@pytest.mark.parametrize(("age", "status"), [(588, Status.SKIPPED), (612, Status.WARNED)])
def test_a_log_that_just_stops_is_a_warning_once_it_is_old(log: Any, age: float, status: Status) -> None:
    log.launch()
    log.epoch(0)
    target = log.write()
    os.utime(target.logs[0], (time.time() - age, time.time() - age))
    result = run_check("LOG004", target)
    assert result.status is status
    if status is Status.SKIPPED:
        assert str(result.reason) == "still written, in epoch 0, step 999 of 1000"


def test_a_young_log_without_a_step_is_still_written(log: Any) -> None:
    log.launch()
    result = run_check("LOG004", log.write())
    assert (result.status, str(result.reason)) == (Status.SKIPPED, "still written, before its first step")


def test_statistics_among_what_a_training_printed_have_no_steps_either(log: Any) -> None:
    log.launch()
    log.lines.append('{"epoch": 3, "train_loss": 2.5}')
    (finding,) = run_check("LOG004", log.old()).findings
    assert finding.message.startswith("the log stops in epoch 3, and")


def test_what_an_earlier_launch_announced_is_not_the_last_one_s(log: Any) -> None:
    log.launch()
    log.say("Start training for 20 epochs")
    log.launch()
    log.say("Starting main training")
    for epoch in range(8):
        log.epoch(epoch)
    log.end()
    assert run_check("LOG004", log.write()).status is Status.PASSED


def test_of_a_long_line_the_beginning_is_shown(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.say("CUDA out of memory " + "x" * 400)
    (finding,) = run_check("LOG004", log.write()).findings
    assert len(finding.message) == len("out of memory: ") + 200 + len(" (1 line)")
