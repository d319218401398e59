"""Epochs: their length and order, evaluations, and the best checkpoint."""

from typing import Any

import pytest

from opv2v_doctor.result import Status
from opv2v_doctor.testing import run_check


def test_another_length_names_the_gpus_that_explain_it(log: Any) -> None:
    log.launch(4)
    log.epoch(0, steps=5000)
    log.launch(5)
    first = len(log.lines) + 2
    log.epoch(1, steps=4000)
    result = run_check("LOG005", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line) == (Status.FAILED, first)
    assert finding.evidence["gpus"] == [4, 5]
    assert "50_000" in finding.hint
    assert "8000 updates instead of 10000" in finding.message


def test_without_a_config_the_smallest_numbers_of_gpus_explain(log: Any) -> None:
    log.epoch(0, steps=5000)
    log.epoch(1, steps=2500)
    (finding,) = run_check("LOG005", log.write(None)).findings
    assert finding.evidence["gpus"] == [1, 2]


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
    assert [finding.line for finding in result.findings] == ([first] if status == "warned" else [])


@pytest.mark.parametrize("again", [0, 5])
def test_epochs_are_not_counted_anew_and_none_is_left_out(log: Any, again: int) -> None:
    log.launch()
    log.epoch(0)
    log.epoch(1)
    log.launch()
    log.epoch(again)
    assert run_check("LOG006", log.write()).status is Status.WARNED


def test_an_epoch_that_was_cut_off_may_be_trained_again(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.epoch(1)
    del log.lines[-8:]
    log.launch()
    log.epoch(1)
    assert run_check("LOG006", log.write()).status is Status.PASSED


def test_two_trainings_at_once_are_an_error(log: Any) -> None:
    one, other = type(log)(log.folder), type(log)(log.folder)
    one.epoch(0, steps=1000, every=100)
    other.epoch(0, steps=900, every=100)
    pairs = zip(one.lines, other.lines, strict=False)
    log.lines = [line for pair in pairs for line in pair]
    target = log.write()
    result = run_check("LOG007", target)
    assert (result.status, result.findings[0].line) == (Status.FAILED, 4)


def test_an_evaluation_that_never_came_is_a_warning(log: Any) -> None:
    for epoch in range(3):
        log.epoch(epoch)
    assert run_check("LOG008", log.write()).status is Status.WARNED


def test_an_evaluation_that_a_kill_came_before_is_not_missing(log: Any) -> None:
    log.epoch(0)
    assert run_check("LOG008", log.write()).status is Status.PASSED


def test_a_best_checkpoint_older_than_the_best_epoch_is_a_warning(log: Any) -> None:
    for epoch, loss in enumerate((50.0, 40.0, 45.0)):
        log.epoch(epoch)
        log.save("last")
        line = log.test(epoch + 1, loss)
        if loss == 50:
            log.save("best")
        if loss == 40:
            best = line
    log.end()
    result = run_check("LOG009", log.write())
    assert (result.status, result.findings[0].line) == (Status.WARNED, best)
    assert result.findings[0].evidence["epoch"] == 2
