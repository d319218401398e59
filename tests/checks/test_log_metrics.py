"""Numbers that are not as they should be: rates, NaN, a validation or a metric that stays."""

from typing import Any

import pytest

from opv2v_doctor.result import Status
from opv2v_doctor.testing import run_check


def test_a_rate_that_is_not_the_schedule_s_is_an_error(log: Any) -> None:
    log.epoch(0)
    first = len(log.lines) + 2
    log.epoch(1, rates=lambda epoch: 5e-5)
    result = run_check("LOG013", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line) == (Status.FAILED, first)
    assert finding.evidence["measured"] == 5e-5
    assert finding.evidence["expected"] == pytest.approx(2.5e-5)


def test_without_a_config_the_schedule_is_not_judged(log: Any) -> None:
    log.epoch(0)
    assert run_check("LOG013", log.write(None)).status is Status.SKIPPED


def test_the_config_may_be_printed_in_the_log(log: Any) -> None:
    from_hydra = log.write()
    import yaml

    config = yaml.safe_load((from_hydra.repo / ".hydra" / "config.yaml").read_text())
    (from_hydra.repo / ".hydra" / "config.yaml").unlink()
    log.say(str(config).replace(", ", ",\n"))
    log.epoch(0, rates=lambda epoch: 1e-3)
    assert run_check("LOG013", log.write(None)).status is Status.FAILED


def test_the_first_value_that_is_not_finite_is_an_error(log: Any) -> None:
    log.epoch(0)
    first = len(log.lines) + 2
    log.epoch(1, metrics={"depth_avg": float("nan")})
    log.epoch(2, loss=float("inf"))
    result = run_check("LOG014", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line) == (Status.FAILED, first)
    assert finding.message.startswith("depth_avg")


def test_a_training_that_stopped_at_nan_says_where(log: Any) -> None:
    line = log.say("Loss is nan, stopping training")
    log.say("Epoch: 21, Data Iteration: 7")
    result = run_check("LOG014", log.write())
    assert (result.status, result.findings[0].line) == (Status.FAILED, line)
    assert "epoch 21" in result.findings[0].message


def test_a_validation_that_stays_while_training_falls_is_a_warning(log: Any) -> None:
    lines = []
    for epoch, loss in enumerate((44, 42, 40, 43, 41, 39, 42, 44)):
        log.epoch(epoch)
        lines.append(log.test(epoch + 1, loss))
    result = run_check("LOG015", log.write())
    assert (result.status, result.findings[0].line) == (Status.WARNED, lines[0])


def test_a_validation_that_falls_less_than_training_is_none(log: Any) -> None:
    for epoch in range(8):
        log.epoch(epoch)
        log.test(epoch + 1, 44 - 2 * epoch)
    assert run_check("LOG015", log.write()).status is Status.PASSED


def test_negative_losses_may_fall(log: Any) -> None:
    for epoch in range(8):
        log.epoch(epoch, loss=-1.0 - epoch)
        log.test(epoch + 1, -1.0 - epoch)
    assert run_check("LOG015", log.write()).status is Status.PASSED


def test_a_metric_that_is_stuck_is_a_warning(log: Any) -> None:
    log.epoch(0, metrics={"pose_avg": 3.1})
    first = len(log.lines) + 2
    for epoch in range(1, 8):
        log.epoch(epoch, metrics={"pose_avg": 3.25})
    result = run_check("LOG016", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line) == (Status.WARNED, first)
    assert finding.message.startswith("pose_avg")


def test_a_loss_that_does_not_apply_is_not_stuck(log: Any) -> None:
    for epoch in range(8):
        log.epoch(epoch, metrics={"normal_avg": 0.0})
    assert run_check("LOG016", log.write()).status is Status.PASSED
