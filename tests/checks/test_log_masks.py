"""What a mask loss means, against the entropy of its target."""

import math
from dataclasses import replace
from typing import Any

import pytest

from opv2v_doctor import Severity
from opv2v_doctor.result import Status
from opv2v_doctor.settings import Settings
from opv2v_doctor.testing import run_check

from ..edges import assert_edge
from ..log_text import masks

ENTROPY = -0.33 * math.log(0.33) - 0.67 * math.log(0.67)


@pytest.mark.parametrize(
    ("loss", "status", "verdict"),
    [
        (0.008, "passed", "is far below the best"),
        (0.4, "passed", "the mask is partly learned"),
        (ENTROPY, "warned", "the mean and nothing else"),
        (2.5, "failed", "collapsed"),
    ],
)
def test_a_mask_loss_is_judged_against_the_entropy(log: Any, loss: float, status: str, verdict: str) -> None:
    log.epoch(0, metrics=masks(loss))
    result = run_check("LOG017", log.write())
    (finding,) = result.findings
    assert result.status == status
    assert finding.line == len(log.lines) - 1
    assert finding.message.startswith(f"mask loss {round(loss, 4):.4g} (train, epoch 0) is ")
    assert "the best constant predictor (0.634 for a target mean of 0.33)" in finding.message
    assert verdict in finding.message
    assert ("its predictions is 0.33" in finding.message) == (status != "passed")
    assert [(one.count, one.unit) for one in result.examined] == [(1, "mask loss")]


def test_the_shares_of_the_entropy_are_bounds(log: Any) -> None:
    def status(share: float) -> Status:
        log.lines.clear()
        log.epoch(0, metrics=masks(share * ENTROPY))
        return run_check("LOG017", log.write()).status

    assert_edge(0.95, status, step=0.005)
    assert_edge(1.05, status, step=0.005, inside=Status.WARNED, outside={Status.FAILED})


def test_half_of_the_entropy_is_learned(log: Any) -> None:
    for share, verdict in ((0.495, "far below"), (0.505, "partly learned")):
        log.lines.clear()
        log.epoch(0, metrics=masks(share * ENTROPY))
        (finding,) = run_check("LOG017", log.write()).findings
        assert verdict in finding.message


def test_a_mask_that_collapsed_is_weighed(log: Any) -> None:
    log.epoch(0, metrics=masks(2.5))
    (finding,) = run_check("LOG017", log.write()).findings
    assert str(finding.hint) == "weigh the mask loss: pos_weight=2.03"


def test_a_prediction_without_a_mean_is_judged_all_the_same(log: Any) -> None:
    log.epoch(0, metrics={"MaskLoss_mask_avg": 2.5, "MaskLoss_gt_mask_mean": 0.33})
    (finding,) = run_check("LOG017", log.write()).findings
    assert finding.message.endswith("the mask head has collapsed")


@pytest.mark.parametrize("loss", [0.1, 2.5])
def test_each_phase_has_its_verdict(log: Any, loss: float) -> None:
    log.epoch(0, metrics=masks(0.1))
    log.test(1, 1.0, masks(loss))
    result = run_check("LOG017", log.write())
    assert ["(train" in result.findings[0].message, "(test" in result.findings[1].message] == [True, True]
    assert result.status == ("passed" if loss == 0.1 else "failed")


def test_the_last_epoch_with_a_mask_is_judged(log: Any) -> None:
    log.epoch(0, metrics=masks(2.5))
    log.epoch(1, metrics=masks(0.1))
    log.epoch(2)
    (finding,) = run_check("LOG017", log.write()).findings
    assert "epoch 1" in finding.message


@pytest.mark.parametrize("target", [0.0, 1.0, None])
def test_a_target_of_one_kind_has_no_entropy(log: Any, target: float | None) -> None:
    log.epoch(0, metrics=masks(2.5, target=target))
    assert run_check("LOG017", log.write()).status is Status.SKIPPED


def test_a_loss_that_is_not_finite_is_another_check_s(log: Any) -> None:
    log.epoch(0, metrics=masks(float("nan"), float("nan")))
    target = log.write()
    assert run_check("LOG017", target).status is Status.SKIPPED
    assert run_check("LOG018", target).status is Status.SKIPPED


@pytest.mark.parametrize(("steps", "early"), [(499, True), (500, False), (501, False)])
def test_a_mask_is_not_judged_after_a_few_updates(log: Any, steps: int, early: bool) -> None:
    log.epoch(0, steps=steps, every=10, metrics=masks(2.5, 0.9))
    target = log.write()
    for code, bad in (("LOG017", Status.FAILED), ("LOG018", Status.WARNED)):
        result = run_check(code, target)
        assert result.status is (Status.SKIPPED if early else bad)
        if early:
            assert "499 updates, at least 500 are needed" in str(result.reason)


def test_what_is_learned_after_a_few_updates_is_learned(log: Any) -> None:
    log.epoch(0, steps=12, every=1, metrics=masks(0.1))
    assert run_check("LOG017", log.write()).status is Status.PASSED


@pytest.mark.parametrize(
    ("predicted", "target", "status"),
    [(0.34, 0.33, "passed"), (0.86, 0.857, "passed"), (0.0, 0.33, "warned"), (0.3, None, "skipped")],
)
def test_predicted_masks_are_near_their_target(
    log: Any, predicted: float, target: float | None, status: str
) -> None:
    log.epoch(0, metrics=masks(0.1, predicted, target))
    assert run_check("LOG018", log.write()).status == status


@pytest.mark.parametrize("sign", [1, -1])
def test_a_tenth_of_the_panorama_is_the_bound(log: Any, sign: int) -> None:
    def status(distance: float) -> Status:
        log.lines.clear()
        log.epoch(0, metrics=masks(0.1, 0.4 + sign * distance, 0.4))
        return run_check("LOG018", log.write()).status

    assert_edge(0.1, status)


@pytest.mark.parametrize(
    ("predicted", "status"),
    [
        (0.19, "warned"),
        (0.2, "passed"),
        (0.21, "passed"),
        (0.39, "passed"),
        (0.4, "passed"),
        (0.41, "warned"),
    ],
)
def test_without_a_target_the_band_is_the_users(log: Any, predicted: float, status: str) -> None:
    log.epoch(0, metrics=masks(0.1, predicted, None))
    target = log.write()
    assert "masks.band" in str(run_check("LOG018", target).hint)
    banded = replace(target, settings=Settings.model_validate({"masks": {"band": [0.2, 0.4]}}))
    assert run_check("LOG018", banded).status == status


def test_the_masks_of_an_evaluation_are_judged_too(log: Any) -> None:
    log.epoch(0, metrics=masks(0.1))
    line = log.test(1, 1.0, masks(0.1, 0.9))
    result = run_check("LOG018", log.write())
    warned = [finding for finding in result.findings if finding.severity > Severity.NOTE]
    assert [finding.line for finding in warned] == [line]
    assert "is 0.9 (test, epoch 1), expected 0.23 to 0.43" in warned[0].message


def test_the_last_epoch_s_predictions_are_judged(log: Any) -> None:
    log.epoch(0, metrics=masks(0.1, 0.9))
    log.test(1, 1.0, masks(0.1, 0.9))
    log.epoch(1, metrics=masks(0.1))
    log.test(2, 1.0, masks(0.1))
    result = run_check("LOG018", log.write())
    assert result.status is Status.PASSED
    assert [(one.count, one.where["phase"]) for one in result.examined] == [(1, "train"), (1, "test")]


@pytest.mark.parametrize(
    ("code", "reason"), [("LOG017", "no mask loss"), ("LOG018", "no mean of predicted masks")]
)
def test_without_masks_there_is_nothing_to_judge(log: Any, code: str, reason: str) -> None:
    log.epoch(0)
    result = run_check(code, log.write())
    assert (result.status, reason in str(result.reason)) == (Status.SKIPPED, True)
