"""Curves over the epochs: a validation that does not fall, a metric that does not move."""

from typing import Any

import pytest

from opv2v_doctor.result import Status
from opv2v_doctor.testing import run_check

from ..edges import assert_edge


def trained(log: Any, losses: Any, tests: Any) -> list[int]:
    """A training with its losses, and an evaluation after each epoch; the lines of the evaluations."""
    log.lines.clear()
    lines = []
    for epoch, loss in enumerate(losses):
        for step in range(0, 1000, 100):
            head = f"Epoch: [{epoch}]  [{step:4d}/1000]  eta: 0:03:44  lr: 0.1"
            log.metrics(head, {"loss": loss}, 1.0, 0.1)
        if epoch < len(tests):
            lines.append(log.test(epoch + 1, tests[epoch]))
    return lines


def test_a_validation_that_stays_while_training_falls_is_a_warning(log: Any) -> None:
    lines = trained(log, range(100, 20, -10), (44, 42, 40, 43, 41, 39, 42, 44))
    result = run_check("LOG015", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line) == (Status.WARNED, lines[0])
    assert finding.message == (
        "validation loss 44 (epoch 1), best 39 (epoch 6), last 44 (epoch 8); "
        "training loss 100 (epoch 0), best 30 (epoch 7), last 30 (epoch 7)"
    )


def test_a_validation_that_falls_less_than_training_is_none(log: Any) -> None:
    lines = trained(log, range(100, 20, -10), range(44, 28, -2))
    result = run_check("LOG015", log.write())
    assert (result.status, result.findings[0].line) == (Status.PASSED, lines[-1])
    assert [(one.count, one.unit) for one in result.examined] == [(8, "evaluation")]


def test_criteria_that_differ_are_compared_by_what_both_have(log: Any) -> None:
    def status(pose: float) -> Any:
        log.lines.clear()
        for epoch in range(8):
            own = {
                "loss": 40.0 - 3 * epoch,
                "Loss_pose_avg": 10.0 - epoch,
                "Loss_pts_conf_loss_avg": 30.0 - epoch,
            }
            for step in range(0, 1000, 100):
                log.metrics(f"Epoch: [{epoch}]  [{step:4d}/1000]  eta: 0:03:44  lr: 0.1", own, 1.0, 0.1)
            theirs = {"Loss_pose_avg": 10.0 - pose * epoch, "Loss_pts_bot95%_loss_avg": 30.0 + pose * epoch}
            log.test(epoch + 1, 40.0, theirs)
        return run_check("LOG015", log.write())

    assert status(0.0).status is Status.WARNED
    result = status(1.0)
    assert result.status is Status.PASSED
    assert result.findings[0].message.endswith(
        "; the criteria differ, so these are sums of the 1 term that both have, without pts_conf_loss_avg of "
        "training and pts_bot95%_loss_avg of validation"
    )


def test_negative_losses_may_fall(log: Any) -> None:
    trained(log, range(-1, -9, -1), range(-1, -9, -1))
    assert run_check("LOG015", log.write()).status is Status.PASSED


def test_validation_is_compared_with_a_training_that_fell(log: Any) -> None:
    def status(fall: float) -> Status:
        trained(log, [1000.0] * 3 + [1000.0 * (1 - fall)] * 3, [44.0] * 6)
        return run_check("LOG015", log.write()).status

    assert_edge(0.1, status, inside=Status.SKIPPED, outside={Status.WARNED})


def test_a_training_that_rises_is_not_compared(log: Any) -> None:
    trained(log, range(100, 180, 10), [44.0] * 8)
    assert "the training loss changed by +57.1%" in str(run_check("LOG015", log.write()).reason)


def test_a_tenth_of_the_fall_of_the_training_is_the_bound(log: Any) -> None:
    def status(fall: float) -> Status:
        trained(log, [1000.0] * 3 + [500.0] * 3, [1000.0] * 3 + [1000.0 * (1 - 0.5 * fall)] * 3)
        return run_check("LOG015", log.write()).status

    assert_edge(0.1, status, good="above")


@pytest.mark.parametrize(
    ("epochs", "tests", "status"),
    [(8, 4, "skipped"), (8, 5, "warned"), (4, 5, "warned"), (3, 5, "skipped"), (8, 0, "skipped")],
)
def test_a_few_epochs_show_no_trend(log: Any, epochs: int, tests: int, status: str) -> None:
    losses = [1000.0 / (epoch + 1) for epoch in range(epochs)]
    trained(log, losses, [44.0] * min(tests, epochs))
    for number in range(epochs, tests):
        log.test(number + 1, 44.0)
    result = run_check("LOG015", log.write())
    assert result.status == status
    if status == "skipped":
        assert f"{epochs} epochs and {tests} evaluations" in str(result.reason)


def test_losses_that_are_not_finite_are_another_check_s(log: Any) -> None:
    trained(log, range(100, 20, -10), [44.0] * 7 + [float("nan")])
    assert "see LOG014" in str(run_check("LOG015", log.write()).reason)
    trained(log, [*range(100, 30, -10), float("nan")], [44.0] * 8)
    assert "see LOG014" in str(run_check("LOG015", log.write()).reason)


def stuck(log: Any, value: float, epochs: int = 5, lines: int = 11, name: str = "pose_avg") -> None:
    log.lines.clear()
    for epoch in range(epochs):
        for step in range(lines):
            log.metrics(f"Epoch: [{epoch}]  [{step:4d}/{lines}]  eta: 0:03:44", {name: value}, 1.0, 0.1)


def test_a_metric_that_is_stuck_is_a_warning(log: Any) -> None:
    log.epoch(0, metrics={"pose_avg": 3.1})
    first = len(log.lines) + 2
    for epoch in range(1, 8):
        log.epoch(epoch, metrics={"pose_avg": 3.25})
    result = run_check("LOG016", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.WARNED, first, first)
    assert finding.message == "pose_avg is 3.25 in all 77 lines since epoch 1 (train)"


def test_a_metric_that_moved_in_one_epoch_is_not_stuck(log: Any) -> None:
    for epoch in range(8):
        log.epoch(epoch, metrics={"pose_avg": 3.1 if epoch == 5 else 3.25})
    result = run_check("LOG016", log.write())
    assert result.status is Status.PASSED
    assert [(one.count, one.where["phase"]) for one in result.examined] == [(2, "train"), (0, "test")]


def test_a_metric_that_moves_within_an_epoch_is_not_stuck(log: Any) -> None:
    for epoch in range(5):
        for step in range(11):
            head = f"Epoch: [{epoch}]  [{step:4d}/11]  eta: 0:03:44"
            log.metrics(head, {"pose_avg": 3.25 - (step == 4), "rot_avg": 3.25 + (step == 4)}, 1.0, 0.1)
    assert run_check("LOG016", log.write()).status is Status.PASSED


@pytest.mark.parametrize(
    ("epochs", "lines", "status"),
    [(3, 20, "skipped"), (4, 13, "warned"), (5, 10, "warned"), (4, 12, "skipped"), (7, 7, "skipped")],
)
def test_a_few_equal_values_are_chance(log: Any, epochs: int, lines: int, status: str) -> None:
    stuck(log, 3.25, epochs, lines)
    assert run_check("LOG016", log.write()).status == status


def test_a_metric_that_has_only_just_stopped_moving_is_not_stuck(log: Any) -> None:
    for epoch in range(8):
        log.epoch(epoch, every=50, metrics={"pose_avg": min(epoch, 5) + 0.25})
    assert run_check("LOG016", log.write()).status is Status.PASSED
    log.epoch(8, every=50, metrics={"pose_avg": 5.25})
    target = log.write()
    (finding,) = run_check("LOG016", target).findings
    assert finding.text.values["epochs"] == 4


def test_small_values_are_not_judged(log: Any) -> None:
    def status(value: float) -> Status:
        stuck(log, value)
        return run_check("LOG016", log.write()).status

    assert_edge(0.01, status, inside=Status.SKIPPED, outside={Status.WARNED})
    assert status(-0.021) is Status.WARNED
    assert status(0.011) is Status.WARNED


@pytest.mark.parametrize(
    "name", ["lr", "lr_head", "weight_wd", "momentum", "NonAmbiguousMaskLoss_gt_mask_mean"]
)
def test_what_is_not_learned_may_stay(log: Any, name: str) -> None:
    stuck(log, 3.25, name=name)
    assert run_check("LOG016", log.write()).status is Status.SKIPPED


def test_what_is_not_finite_is_another_check_s(log: Any) -> None:
    stuck(log, float("inf"))
    assert run_check("LOG016", log.write()).status is Status.SKIPPED


def test_what_an_earlier_launch_said_is_not_judged(log: Any) -> None:
    log.launch()
    for epoch in range(5):
        log.epoch(epoch, metrics={"pose_avg": 3.25})
    log.launch()
    for epoch in range(5, 10):
        log.epoch(epoch, metrics={"pose_avg": 3.25 + epoch})
    assert run_check("LOG016", log.write()).status is Status.PASSED


@pytest.mark.parametrize(("tests", "status"), [(4, "skipped"), (5, "warned")])
def test_a_validation_that_is_stuck_needs_fewer_lines(log: Any, tests: int, status: str) -> None:
    for number in range(tests):
        log.test(number + 1, 3.25)
    assert run_check("LOG016", log.write()).status == status


def test_a_metric_that_the_last_epoch_lacks_is_not_judged(log: Any) -> None:
    for epoch in range(6):
        log.epoch(epoch, metrics={"pose_avg": 3.25})
    log.epoch(6)
    result = run_check("LOG016", log.write())
    assert [(one.count, one.where["phase"]) for one in result.examined] == [(1, "train"), (0, "test")]


@pytest.mark.parametrize(("name", "value"), [("weight_decay", 0.05), ("acc1", 100.0), ("class_error", 0.0)])
def test_settings_and_scores_at_their_bounds_are_not_stuck(log: Any, name: str, value: float) -> None:
    for epoch in range(8):
        log.epoch(epoch, metrics={name: value})
    assert run_check("LOG016", log.write()).status is Status.PASSED


def test_a_score_may_stop_where_it_is_best_and_not_where_it_began(log: Any) -> None:
    for epoch in range(12):
        log.epoch(epoch)
        log.test(epoch + 1, 50.0 - epoch, metrics={"acc1": min(96.25, 90.25 + epoch), "acc5": 48.5})
    (finding,) = run_check("LOG016", log.write()).findings
    assert finding.message == "acc5 is 48.5 in all 12 lines since epoch 1 (test)"


def test_metrics_that_are_stuck_together_are_one_finding(log: Any) -> None:
    for epoch in range(8):
        log.epoch(epoch, metrics={"pose_avg": 3.25, "depth_loss": 2.5})
    (finding,) = run_check("LOG016", log.write()).findings
    assert finding.message.endswith("; so are depth_loss")


def test_a_training_in_which_nothing_moves_has_no_stuck_metric(log: Any) -> None:
    for epoch in range(8):
        for step in range(20):
            head = f"Epoch: [{epoch}]  [{step:4d}/20]  eta: 0:03:44"
            log.metrics(head, {"loss": 0.0312, "pose_avg": 0.0156}, 1.0, 0.1)
    assert run_check("LOG016", log.write()).status is Status.PASSED
