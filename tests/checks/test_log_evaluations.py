"""Evaluations, and the best checkpoint that follows from them."""

from typing import Any

import pytest

from opv2v_doctor.result import Status
from opv2v_doctor.testing import run_check

from ..log_text import CONFIG, config


def test_an_evaluation_that_never_came_is_a_warning(log: Any) -> None:
    first = log.epoch(0) - 1
    log.epoch(1)
    log.epoch(2)
    result = run_check("LOG008", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.WARNED, first, first)
    assert finding.message == (
        "0 of 2 evaluations ran that eval_freq=1 asks for; the first that is missing was due after epoch 0"
    )


def test_an_evaluation_that_a_kill_came_before_is_not_missing(log: Any) -> None:
    log.epoch(0)
    assert run_check("LOG008", log.write()).status is Status.SKIPPED


def test_an_evaluation_that_another_launch_should_have_made_is_not_missing(log: Any) -> None:
    for epoch in range(4):
        log.launch()
        log.epoch(epoch)
    assert run_check("LOG008", log.write()).status is Status.SKIPPED


def test_the_last_epoch_is_evaluated_before_the_end(log: Any) -> None:
    log.epoch(0)
    log.end()
    assert run_check("LOG008", log.write()).status is Status.WARNED


def test_an_epoch_that_is_not_finished_is_not_evaluated(log: Any) -> None:
    log.epoch(0)
    del log.lines[-4:]
    log.end()
    assert run_check("LOG008", log.write()).status is Status.SKIPPED


@pytest.mark.parametrize(("missing", "status"), [(0, "passed"), (1, "passed"), (2, "warned")])
def test_one_evaluation_less_may_be_a_matter_of_counting(log: Any, missing: int, status: str) -> None:
    for epoch in range(6):
        log.epoch(epoch)
        if epoch >= missing:
            log.test(epoch + 1, 5 - epoch)
    log.end()
    result = run_check("LOG008", log.write())
    assert result.status == status
    assert [(one.count, one.unit) for one in result.examined] == [(6 - missing, "evaluation")]


def test_an_evaluation_is_due_as_often_as_the_config_says(log: Any) -> None:
    for epoch in range(8):
        log.epoch(epoch)
        if epoch % 4 == 3:
            log.test(epoch + 1, 5)
    log.end()
    assert run_check("LOG008", log.write(config(eval_freq=4))).status is Status.PASSED
    assert run_check("LOG008", log.write(config(eval_freq=2))).status is Status.WARNED


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (config(eval_freq=0), "train_params.eval_freq asks for no evaluation"),
        ({**CONFIG, "dataset": {"test_dataset": ""}}, "names no set in dataset.test_dataset"),
        (None, "no .hydra/config.yaml beside"),
    ],
)
def test_without_a_configured_evaluation_none_is_missed(log: Any, settings: Any, reason: str) -> None:
    for epoch in range(3):
        log.epoch(epoch)
    result = run_check("LOG008", log.write(settings))
    assert result.status is Status.SKIPPED
    assert reason in str(result.reason)


def evaluated(log: Any, losses: tuple[float, ...], saved: tuple[int, ...], kept: bool = False) -> list[int]:
    """A training with an evaluation after each epoch; the lines of the evaluations."""
    lines = []
    for epoch, loss in enumerate(losses, 1):
        log.epoch(epoch - 1)
        log.save("last")
        lines.append(log.test(epoch, loss))
        if kept:
            log.save(str(epoch))
        if epoch in saved:
            log.save("best")
    log.end()
    return lines


@pytest.mark.parametrize(
    ("saved", "status"), [((1, 2), "passed"), ((1,), "warned"), ((), "warned"), ((1, 2, 3), "warned")]
)
def test_the_best_checkpoint_is_that_of_the_best_epoch(log: Any, saved: tuple[int, ...], status: str) -> None:
    lines = evaluated(log, (50.0, 40.0, 45.0), saved)
    result = run_check("LOG009", log.write())
    assert result.status == status
    assert [(one.count, one.unit) for one in result.examined] == [(3, "evaluation")]
    if status == "warned":
        (finding,) = result.findings
        assert (finding.line, finding.event, finding.text.values["epoch"]) == (lines[1], lines[1], 2)
        assert ("never written" in finding.message) == (not saved)
        assert "train_params.keep_freq=1" in str(finding.hint)


def test_the_checkpoint_that_was_kept_is_named(log: Any) -> None:
    evaluated(log, (50.0, 40.0, 45.0), (1,), kept=True)
    (finding,) = run_check("LOG009", log.write()).findings
    assert str(finding.hint) == "use checkpoint-2.pth"


def test_of_equal_epochs_either_is_the_best(log: Any) -> None:
    evaluated(log, (50.0, 40.0, 40.0), (1, 3))
    assert run_check("LOG009", log.write()).status is Status.PASSED


def test_an_evaluation_that_is_not_finite_is_not_the_best(log: Any) -> None:
    evaluated(log, (float("nan"), 40.0, 45.0), (2,))
    result = run_check("LOG009", log.write())
    assert result.status is Status.PASSED
    assert sum(one.count for one in result.examined) == 2


def test_what_does_not_show_the_best_is_no_pass(log: Any) -> None:
    log.epoch(0)
    log.test(1, 50.0)
    assert "no line" in str(run_check("LOG009", log.write()).reason)
    log.save("last")
    assert "ends before" in str(run_check("LOG009", log.write()).reason)
    log.epoch(1)
    assert run_check("LOG009", log.write()).status is Status.WARNED
    log.test(1, 40.0)
    log.test(1, 41.0)
    log.epoch(2)
    assert "several sets" in str(run_check("LOG009", log.write()).reason)


def test_without_an_evaluation_there_is_no_best(log: Any) -> None:
    log.epoch(0)
    log.save("best")
    assert "no evaluation" in str(run_check("LOG009", log.write()).reason)


def test_an_end_without_any_epoch_has_no_evaluation(log: Any) -> None:
    log.launch()
    log.end()
    assert run_check("LOG008", log.write()).status is Status.SKIPPED
