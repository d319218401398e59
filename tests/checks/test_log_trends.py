"""What the numbers of a log show without any config: faults of the corpus, and edges."""

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import Severity
from opv2v_doctor.registry import installed_checks, select
from opv2v_doctor.result import Status
from opv2v_doctor.runner import run
from opv2v_doctor.target import Target
from opv2v_doctor.testing import run_check

from ..edges import assert_edge

CORPUS = Path(__file__).parents[1] / "corpus" / "logs"
FAULTS = {  # the only finding of each log: code, line, and a part of what is said
    "loss_rises.log": ("LOG021", 14, "loss rises: from 2.822 to 91.63"),
    "loss_stays.log": ("LOG021", 4, "loss stays where it began: 2.293, and 2.297 after 12 epochs"),
    "loss_falls_to_zero.log": ("LOG021", 41, "exactly 0 from here on, and was 0.72 in the line before"),
    "loss_spikes_and_stays.log": ("LOG021", 34, "down to 0.9063 in epoch 5 and comes back up: 1.995"),
    "gradient_grows.log": ("LOG022", 39, "grad_norm grows from 1.5 to 4.93e+05"),
    "gradient_is_never_finite.log": ("LOG022", 44, "grad_norm is never finite from epoch 8 on"),
    "rate_is_zero.log": ("LOG020", 4, "the learning rate is 0 in all 48 lines"),
    "rate_ends_early.log": ("LOG020", 32, "0 from epoch 5 on, in 25 of 48 lines"),
    "rate_is_another_after_the_restart.log": ("LOG020", 39, "is 0.000571 where this launch begins"),
    "rate_warms_up_again.log": ("LOG020", 39, "is 1e-06 where this launch begins, and was 5.7e-05"),
    "rate_rises_again.log": ("LOG020", 50, "rises again, from 0 to 5.9e-05, in the middle of a launch"),
    "steps_become_slower.log": ("LOG023", 35, "0.992 s at first, 4.31 s at the end"),
    "memory_grows.log": ("LOG024", 4, "rises by 3000 MiB an epoch, from 10000 to 45970 MiB in 12 epochs"),
    "loading_in_short_epochs.log": ("LOG012", 32, "80% of a step is spent waiting for data"),
    "one_step_per_epoch.log": ("LOG012", 122, "84% of a step is spent waiting for data"),
    "validation_turns.log": ("LOG015", 9, "best 1.736 (epoch 4), last 2.878 (epoch 11)"),
    "score_turns.log": ("LOG015", 9, "acc1 40 (epoch 0), best 76.82 (epoch 4), last 60.72 (epoch 11)"),
    "two_jobs_at_once.log": ("LOG007", 5, "another training starts here, while the one of line 4 goes on"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_of_the_corpus_is_the_only_one_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_bytes((CORPUS / name).read_bytes())
    os.utime(path, (1, 1))
    target = Target(repo=tmp_path, python=Path(sys.executable), logs=(path,))
    told = [
        (result.check.code, finding)
        for result in run(select(installed_checks(), ["LOG"]), target)
        for finding in result.findings
        if finding.severity > Severity.NOTE
    ]
    code, line, said = FAULTS[name]
    assert [(found, finding.line) for found, finding in told] == [(code, line)]
    assert said in told[0][1].message


def lines(
    log: Any,
    count: int = 48,
    epochs: int = 12,
    loss: Callable[[float], float] = lambda at: 2.0 - at,
    **numbers: Callable[[float], float],
) -> Any:
    """A training of so many lines; each number is a function of the share of it that is done."""
    log.lines.clear()
    each = count // epochs
    for index in range(count):
        at = index / (count - 1)
        said = {"lr": 1e-4, "loss": loss(at), "time": 1.0, "max mem": 1000.0}
        said |= {name.replace("_mem", " mem"): value(at) for name, value in numbers.items()}
        told = "  ".join(f"{name}: {value:.6f}" for name, value in said.items())
        log.say(f"Epoch: [{index // each}]  [{index % each * 25:3d}/{each * 25}]  eta: 0:01:00  {told}")
    return log.write(None)


def status(code: str) -> Callable[..., Status]:
    return lambda log, **words: run_check(code, lines(log, **words)).status


RATE, LOSS, GRADIENT, SPEED, MEMORY = map(status, ("LOG020", "LOG021", "LOG022", "LOG023", "LOG024"))


def test_a_loss_may_rise_by_half(log: Any) -> None:
    assert_edge(0.5, lambda rise: LOSS(log, loss=lambda at: 1.0 + rise * (at > 0.5)))


def test_a_loss_may_lose_half_of_what_it_gained(log: Any) -> None:
    def back(share: float) -> Status:
        return LOSS(log, loss=lambda at: 2.0 if at < 0.2 else 1.0 if at < 0.5 else 1.0 + share)

    assert_edge(0.5, back)


def test_what_a_loss_gained_has_to_be_worth_it(log: Any) -> None:
    assert LOSS(log, loss=lambda at: 1.0 if at < 0.3 else 0.93 if at < 0.5 else 0.97) is Status.PASSED


def test_a_hundredth_of_the_loss_is_a_fall(log: Any) -> None:
    assert_edge(0.01, lambda fall: LOSS(log, loss=lambda at: 1.0 - fall * (at > 0.5)), good="above")


@pytest.mark.parametrize(("epochs", "expected"), [(9, Status.PASSED), (10, Status.WARNED)])
def test_a_few_epochs_may_stay_where_they_are(log: Any, epochs: int, expected: Status) -> None:
    assert LOSS(log, count=4 * epochs, epochs=epochs, loss=lambda at: 2.3) is expected


def test_of_a_training_without_its_beginning_nobody_knows_whether_it_learned(log: Any) -> None:
    target = lines(log, loss=lambda at: 2.3)
    text = target.logs[0].read_text()
    for epoch in reversed(range(12)):
        text = text.replace(f"Epoch: [{epoch}]", f"Epoch: [{epoch + 40}]")
    target.logs[0].write_text(text)
    assert run_check("LOG021", target).status is Status.PASSED


@pytest.mark.parametrize(("zeros", "expected"), [(9, Status.PASSED), (10, Status.FAILED)])
def test_a_few_zeros_are_chance(log: Any, zeros: int, expected: Status) -> None:
    assert LOSS(log, loss=lambda at: 0.0 if at * 47 > 47.5 - zeros else 2.0 - at) is expected


def test_a_loss_of_ten_lines_is_not_judged(log: Any) -> None:
    assert LOSS(log, count=10, epochs=2) is Status.SKIPPED


def test_a_gradient_may_grow_a_hundredfold(log: Any) -> None:
    assert_edge(100, lambda times: GRADIENT(log, grad_norm=lambda at: 1.0 if at < 0.5 else times))


def test_a_schedule_that_ends_early_has_a_quarter_to_do_so(log: Any) -> None:
    def ends(zeros: float) -> Status:
        return RATE(log, count=200, epochs=10, lr=lambda at: 1e-4 if at * 199 < 199.5 - zeros * 200 else 0.0)

    assert_edge(0.25, ends)


def test_a_rate_that_is_too_small_to_be_printed_may_end_as_zero(log: Any) -> None:
    assert RATE(log, lr=lambda at: 5e-5 if at < 0.5 else 0.0) is Status.PASSED
    assert RATE(log, lr=lambda at: 1e-4 if at < 0.5 else 0.0) is Status.WARNED


@pytest.mark.parametrize(("count", "expected"), [(9, Status.SKIPPED), (10, Status.PASSED)])
def test_a_few_rates_show_no_schedule(log: Any, count: int, expected: Status) -> None:
    assert RATE(log, count=count, epochs=1) is expected


def test_a_rate_may_rise_by_half_of_its_highest(log: Any) -> None:
    def rises(share: float) -> Status:
        return RATE(log, lr=lambda at: 1.0 if at < 0.3 else 0.2 if at < 0.61 else 0.2 + share)

    assert_edge(0.5, rises)


def test_a_warm_restart_is_a_note(log: Any) -> None:
    found = run_check("LOG020", lines(log, lr=lambda at: math.cos(at * 12 % 3 / 3) ** 9))
    assert (found.status, [finding.severity for finding in found.findings]) == (
        Status.PASSED,
        [Severity.NOTE],
    )
    assert found.findings[0].message.endswith("a warm restart, 4 times")


def test_a_later_launch_goes_on_within_a_third_of_the_rate(log: Any) -> None:
    def goes_on(change: float) -> Status:
        lines(log)
        first, second = log.lines[:24], log.lines[24:]
        log.lines.clear()
        log.lines += first
        log.launch()
        log.lines += [line.replace("lr: 0.000100", f"lr: {1e-4 / (1 - change):.12f}") for line in second]
        return run_check("LOG020", log.write(None)).status

    assert_edge(0.3, goes_on)


def test_steps_may_take_twice_as_long(log: Any) -> None:
    assert_edge(2.0, lambda times: SPEED(log, time=lambda at: 1.0 if at < 0.5 else times))


def test_who_is_to_blame_for_slow_steps_is_told(log: Any) -> None:
    slow = lines(log, time=lambda at: 1.0 + 4 * at, data=lambda at: 0.1 + 4 * at)
    (finding,) = run_check("LOG023", slow).findings
    assert "loading becomes slower" in str(finding.hint)


@pytest.mark.parametrize(("count", "expected"), [(19, Status.SKIPPED), (20, Status.PASSED)])
def test_a_few_times_show_no_trend(log: Any, count: int, expected: Status) -> None:
    assert SPEED(log, count=count, epochs=1) is expected


@pytest.mark.parametrize(
    ("count", "expected"), [(11, Status.SKIPPED), (12, Status.WARNED), (24, Status.WARNED)]
)
def test_a_few_records_of_memory_show_no_trend(log: Any, count: int, expected: Status) -> None:
    assert MEMORY(log, count=count, epochs=1, max_mem=lambda at: 1000 * (1 + at)) is expected


def test_a_rate_may_double_from_line_to_line(log: Any) -> None:
    assert_edge(2.5, lambda times: RATE(log, lr=lambda at: 1e-4 if at < 0.5 else times * 1e-4))


def test_noise_of_a_loss_that_stays_is_no_learning(log: Any) -> None:
    assert LOSS(log, loss=lambda at: 2.3 + 0.12 * math.sin(40 * at)) is Status.WARNED


def test_memory_may_grow_by_a_tenth(log: Any) -> None:
    assert_edge(0.1, lambda share: MEMORY(log, max_mem=lambda at: 1e4 * (1 + share * at)))


def test_memory_that_grows_with_random_sizes_is_no_leak(log: Any) -> None:
    assert MEMORY(log, max_mem=lambda at: 1000 + 400 * math.log(1 + 40 * at)) is Status.PASSED


def test_validation_may_lose_a_quarter_of_what_it_gained(log: Any) -> None:
    def turned(share: float) -> Status:
        log.lines.clear()
        for epoch in range(20):
            log.epoch(epoch, every=500, loss=100.0 - 2 * epoch)
            log.test(epoch + 1, 60.0 if epoch < 7 else 40.0 if epoch < 12 else 40.0 + 20 * share)
        return run_check("LOG015", log.write()).status

    assert_edge(0.25, turned)


def test_a_validation_that_ends_above_its_beginning_is_told_whatever_its_scores_say(log: Any) -> None:
    for epoch in range(20):
        log.epoch(epoch, every=500, loss=100.0 - 2 * epoch)
        log.test(epoch + 1, 40.0 + epoch, metrics={"acc1": 10.0 + epoch})
    assert run_check("LOG015", log.write()).status is Status.WARNED


def test_a_score_may_lose_a_tenth_where_the_loss_turned_as_well(log: Any) -> None:
    def turned(share: float) -> Status:
        log.lines.clear()
        for epoch in range(20):
            score = 10.0 if epoch < 7 else 60.0 if epoch < 12 else 60.0 - 50 * share
            log.epoch(epoch, every=500, loss=100.0 - 2 * epoch)
            loss = 60.0 if epoch < 7 else 40.0 if epoch < 12 else 50.0
            log.test(epoch + 1, loss, metrics={"acc1": score})
        return run_check("LOG015", log.write()).status

    assert_edge(0.1, turned)


def test_a_score_that_never_moves_decides_nothing(log: Any) -> None:
    for epoch in range(20):
        log.epoch(epoch, every=500, loss=100.0 - 2 * epoch)
        log.test(epoch + 1, 40.0, metrics={"AP": 0.0})
    assert run_check("LOG015", log.write()).status is Status.WARNED


def test_seconds_of_waiting_are_not_worth_a_word(log: Any) -> None:
    def waits(seconds: float) -> Status:
        log.lines.clear()
        for epoch in range(10):
            log.say(
                f"Epoch: [{epoch}]  [0/1]  eta: 0:00:01  time: {seconds / 8:.4f}  data: {seconds / 10:.4f}"
            )
        return run_check("LOG012", log.write()).status

    assert_edge(10, waits)
