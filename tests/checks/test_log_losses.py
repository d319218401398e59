"""What robust losses mean: the errors that they were computed from."""

from typing import Any

import pytest

from opv2v_doctor import Severity
from opv2v_doctor.result import Status
from opv2v_doctor.testing import run_check


def test_a_robust_loss_is_turned_back(log: Any) -> None:
    log.epoch(0, metrics={"GeometryLoss_pose_trans_avg": 8.5, "GeometryLoss_pts3d_conf_loss_avg": 4.0})
    log.epoch(1, metrics={"GeometryLoss_pose_trans_avg": 7.5, "GeometryLoss_pts3d_conf_loss_avg": 4.0})
    result = run_check("LOG019", log.write())
    (finding,) = result.findings
    assert finding.severity is Severity.NOTE
    assert finding.text.values["residual"] == pytest.approx(0.7477, abs=1e-3)
    assert finding.message == (
        "pose_trans_avg 7.5 is a robust-loss value, not metres: a residual of 0.748 x the mean scene "
        "distance; 0.898 in epoch 0; rho with alpha 0.5, c 0.05, weight 1"
    )
    assert [(one.count, one.unit) for one in result.examined] == [(1, "robust loss")]


def test_the_bottom_95_percent_are_not_told_again(log: Any) -> None:
    log.epoch(0, metrics={"GeometryLoss_pose_quats_avg": 7.5, "GeometryLoss_pose_quats_bot95%_avg": 7.0})
    (finding,) = run_check("LOG019", log.write()).findings
    assert "pose_quats_avg 7.5 is a robust-loss value: a residual" in finding.message
    assert "epoch" not in finding.message  # there is none before


def test_a_negative_value_is_of_another_criterion(log: Any) -> None:
    log.epoch(0, metrics={"GeometryLoss_pose_trans_avg": -1.0})
    result = run_check("LOG019", log.write())
    assert (result.status, result.findings[0].line) == (Status.WARNED, len(log.lines) - 1)


def test_a_value_of_zero_is_of_this_criterion(log: Any) -> None:
    log.epoch(0, metrics={"GeometryLoss_pose_trans_avg": 0.0})
    assert run_check("LOG019", log.write()).status is Status.PASSED


def test_without_a_criterion_no_loss_is_turned_back(log: Any) -> None:
    log.epoch(0, metrics={"GeometryLoss_pose_trans_avg": 7.5})
    result = run_check("LOG019", log.write(None))
    assert (result.status, result.findings) == (Status.SKIPPED, ())


def test_the_criterion_that_was_created_comes_first(log: Any) -> None:
    log.say(">> Creating train criterion = L2Loss()")
    log.epoch(0, metrics={"GeometryLoss_pose_trans_avg": 7.5})
    assert run_check("LOG019", log.write()).status is Status.SKIPPED


def test_evaluations_alone_are_turned_back_too(log: Any) -> None:
    log.test(1, 1.0, {"GeometryLoss_pose_trans_avg": 7.5})
    assert run_check("LOG019", log.write()).status is Status.PASSED
