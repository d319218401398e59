"""What losses mean: masks against the entropy of their target, robust losses as residuals."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from opv2v_doctor import Severity
from opv2v_doctor.result import Status
from opv2v_doctor.testing import run_check

ENTROPY = -0.33 * math.log(0.33) - 0.67 * math.log(0.67)


def masks(loss: float, predicted: float = 0.33, target: float | None = 0.33) -> Mapping[str, float]:
    values = {"NonAmbiguousMaskLoss_mask_avg": loss, "NonAmbiguousMaskLoss_pred_mask_mean": predicted}
    return values if target is None else {**values, "NonAmbiguousMaskLoss_gt_mask_mean": target}


@pytest.mark.parametrize(
    ("loss", "status"),
    [(0.008, "passed"), (0.4, "passed"), (ENTROPY, "warned"), (2.5, "failed")],
)
def test_a_mask_loss_is_judged_against_the_entropy(log: Any, loss: float, status: str) -> None:
    log.epoch(0, metrics=masks(loss))
    result = run_check("LOG017", log.write())
    assert result.status == status
    assert result.findings[0].line == len(log.lines) - 1


def test_a_mask_loss_is_not_judged_after_a_few_updates(log: Any) -> None:
    log.epoch(0, steps=12, every=1, metrics=masks(0.6957, 0.504))
    target = log.write()
    assert run_check("LOG017", target).status is Status.PASSED
    assert run_check("LOG018", target).status is Status.PASSED


@pytest.mark.parametrize(
    ("predicted", "target", "status"),
    [
        (0.34, 0.33, "passed"),
        (0.86, 0.857, "passed"),
        (0.0, 0.33, "warned"),
        (0.3, None, "passed"),
        (0.8, None, "warned"),
    ],
)
def test_predicted_masks_are_near_their_target(
    log: Any, predicted: float, target: float | None, status: str
) -> None:
    log.epoch(0, metrics=masks(0.1, predicted, target))
    assert run_check("LOG018", log.write()).status == status


def test_a_robust_loss_is_turned_back(log: Any) -> None:
    log.epoch(0, metrics={"GeometryLoss_pose_trans_avg": 7.5, "GeometryLoss_pts3d_conf_loss_avg": 4.0})
    result = run_check("LOG019", log.write())
    (finding,) = result.findings
    assert finding.severity is Severity.NOTE
    assert finding.evidence["residual"] == pytest.approx(0.7477, abs=1e-3)


def test_without_a_criterion_no_loss_is_turned_back(log: Any) -> None:
    log.epoch(0, metrics={"GeometryLoss_pose_trans_avg": 7.5})
    assert not run_check("LOG019", log.write(None)).findings
