"""Numbers that are not as they should be: learning rates, and values that are not finite."""

from typing import Any

import pytest
import yaml

from opv2v_doctor import Severity
from opv2v_doctor.result import Status
from opv2v_doctor.testing import run_check

from ..edges import assert_edge
from ..log_text import config, rate

NAN = float("nan")


def test_a_rate_that_is_not_the_schedule_s_is_an_error(log: Any) -> None:
    log.epoch(0)
    first = len(log.lines) + 2
    log.epoch(1, rates=lambda epoch: 5e-5)
    result = run_check("LOG013", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.FAILED, first, first)
    assert finding.text.values["measured"] == 5e-5
    assert finding.text.values["expected"] == pytest.approx(2.5e-5)
    assert finding.message == (
        "lr is 5e-05, the schedule gives 0.000025; 10 of 22 lines differ, most of all line "
        f"{first} with 5e-05 instead of 0.000025"
    )


def test_a_rate_within_rounding_is_the_schedule_s(log: Any) -> None:
    def status(share: float) -> Status:
        log.lines.clear()
        log.epoch(0, rates=lambda epoch: 0.1 * (1 + share))  # large, so that six decimals do not matter
        return run_check("LOG013", log.write(config(lr=0.1, min_lr=0.1, warmup_epochs=0))).status

    assert_edge(1e-3, status, step=0.05)


@pytest.mark.parametrize(("off", "status"), [(0.5e-6, "passed"), (0.6e-6, "failed")])
def test_a_rate_is_printed_with_six_decimals(log: Any, off: float, status: str) -> None:
    """A rate of 0 is shown as 0.000000 or as 0.000001, by rounding."""
    log.epoch(0, rates=lambda epoch: 1e-6)
    assert (
        run_check("LOG013", log.write(config(lr=1e-6 - off, min_lr=1e-6 - off, warmup_epochs=0))).status
        == status
    )


def test_a_rate_stays_within_an_accumulation_of_gradients(log: Any) -> None:
    log.epoch(0, rates=lambda epoch: rate(int(epoch * 1000) // 500 * 500 / 1000))
    assert run_check("LOG013", log.write(config(accum_iter=500))).status is Status.PASSED
    assert run_check("LOG013", log.write()).status is Status.FAILED


def test_without_a_word_gradients_are_not_accumulated(log: Any) -> None:
    log.epoch(0, steps=10, every=1)
    assert run_check("LOG013", log.write(config(accum_iter=None))).status is Status.PASSED


def test_a_rate_that_is_no_number_is_not_compared(log: Any) -> None:
    log.epoch(0, rates=lambda epoch: NAN if epoch > 0.5 else rate(epoch))
    result = run_check("LOG013", log.write())
    assert sum(one.count for one in result.examined) == 6


def test_the_last_launch_is_judged(log: Any) -> None:
    log.launch()
    log.epoch(0, rates=lambda epoch: 1e-3)
    log.launch()
    log.epoch(1)
    result = run_check("LOG013", log.write())
    assert result.status is Status.PASSED
    assert [(one.count, one.unit) for one in result.examined] == [(11, "learning rate")]


def test_groups_have_rates_of_their_own(log: Any) -> None:
    for step in range(0, 1000, 100):
        log.metrics(f"Epoch: [2]  [{step:4d}/1000]  eta: 0:03:44", {"lr_head": 1e-3}, 1.0, 0.1)
    params = config(submodule_configs={"head": {"lr": 1e-3, "min_lr": 1e-3, "warmup_epochs": 0}})
    result = run_check("LOG013", log.write(params))
    assert [(one.count, one.where["group"]) for one in result.examined] == [(0, ""), (10, "head")]
    assert result.status is Status.PASSED
    params["train_params"]["submodule_configs"]["head"]["lr"] = 2e-3
    (finding,) = run_check("LOG013", log.write(params)).findings
    assert finding.message.startswith("lr_head is 0.001, the schedule gives 0.001854")


def test_a_schedule_that_nobody_names_is_not_assumed(log: Any) -> None:
    log.epoch(0, rates=lambda epoch: 1e-3)
    assert run_check("LOG013", log.write(config(schedule_type=None))).status is Status.BLOCKED
    named = {"head": {"schedule_type": "linear_warmup_half_cycle_cosine_decay"}}
    unnamed = config(schedule_type=None, submodule_configs=named)
    assert run_check("LOG013", log.write(unnamed)).status is Status.BLOCKED
    log.lines.clear()
    log.epoch(0)
    assert run_check("LOG013", log.write(config(schedule_type=None))).status is Status.PASSED


@pytest.mark.parametrize("params", [{"schedule_type": "step"}, {"lr": None}, {"epochs": None}])
def test_a_schedule_that_is_not_known_is_not_judged(log: Any, params: Any) -> None:
    log.epoch(0, rates=lambda epoch: 1e-3)
    result = run_check("LOG013", log.write(config(**params)))
    assert (result.status, str(result.reason)) == (
        Status.SKIPPED,
        "the config names no schedule that is known here",
    )


def test_without_rates_or_config_the_schedule_is_not_judged(log: Any) -> None:
    log.epoch(0)
    assert run_check("LOG013", log.write(None)).status is Status.SKIPPED
    log.lines.clear()
    log.launch()
    assert run_check("LOG013", log.write()).status is Status.SKIPPED
    log.lines[:] = ['{"epoch": 0, "train_lr": 0.5}', '{"epoch": 1, "train_lr": 0.5}']
    assert "rate of each step" in str(run_check("LOG013", log.write()).reason)


def test_the_config_may_be_printed_in_the_log(log: Any) -> None:
    from_hydra = log.write()
    settings = yaml.safe_load((from_hydra.repo / ".hydra" / "config.yaml").read_text())
    (from_hydra.repo / ".hydra" / "config.yaml").unlink()
    log.say(str(settings).replace(", ", ",\n"))
    log.epoch(0, rates=lambda epoch: 1e-3)
    assert run_check("LOG013", log.write(None)).status is Status.FAILED


def test_the_first_value_that_is_not_finite_is_an_error(log: Any) -> None:
    log.epoch(0)
    first = len(log.lines) + 2
    log.epoch(1, metrics={"depth_avg": NAN})
    log.epoch(2, loss=float("inf"))
    result = run_check("LOG014", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.FAILED, first, first)
    assert finding.message == (
        "depth_avg is not a finite number, first in epoch 1 (train); in all 2 metrics are not finite"
    )
    assert str(finding.hint) == "launch again with a lower train_params.lr"


def test_a_checkpoint_from_before_is_what_to_resume_from(log: Any) -> None:
    log.epoch(0)
    log.save("last")
    log.epoch(1, loss=NAN)
    (finding,) = run_check("LOG014", log.write()).findings
    assert str(finding.hint).startswith("resume from a checkpoint that was saved before this line")


def test_every_value_is_counted(healthy_log: Any) -> None:
    (one,) = run_check("LOG014", healthy_log.write()).examined
    trained, tested = 11, 4  # lr, epoch, loss, three of the mask, pose, grad_norm; time, data, max mem
    assert (one.count, one.unit) == (8 * 11 * trained + 8 * tested, "value")


def test_a_training_that_stopped_at_nan_says_where(log: Any) -> None:
    log.epoch(0)
    line = log.say("Loss is nan, stopping training")
    log.say("Epoch: 21, Data Iteration: 7")
    result = run_check("LOG014", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.FAILED, line, line)
    assert finding.message == "the loss was nan, and the training stopped, epoch 21, Data Iteration: 7"


def test_a_stop_after_values_that_are_not_finite_is_the_same_event(log: Any) -> None:
    first = len(log.lines) + 2
    log.epoch(0, metrics={"depth_avg": NAN})
    log.say("Loss is nan, stopping training")
    result = run_check("LOG014", log.write())
    assert (result.status, [finding.event for finding in result.findings]) == (Status.FAILED, [first])


def test_a_stop_before_values_that_are_not_finite_is_another_event(log: Any) -> None:
    log.launch()
    line = log.say("Loss is nan, stopping training")
    log.epoch(0, loss=NAN, metrics={"depth_avg": NAN})
    found = run_check("LOG014", log.write()).findings
    assert sorted(finding.event or 0 for finding in found) == [line, line + 2]


def test_the_first_of_several_metrics_is_told(log: Any) -> None:
    first = len(log.lines) + 2
    log.epoch(0, metrics={"z_avg": NAN, "a_avg": 1.0})
    log.epoch(1, metrics={"z_avg": NAN, "a_avg": NAN})
    (finding,) = run_check("LOG014", log.write()).findings
    assert (finding.event, finding.message[:5]) == (first, "z_avg")


def test_values_that_a_later_launch_overcame_are_history(log: Any) -> None:
    log.launch()
    first = len(log.lines) + 2
    log.epoch(0, loss=NAN)
    log.launch()
    log.epoch(0)
    result = run_check("LOG014", log.write())
    (finding,) = result.findings
    assert (result.status, finding.severity, finding.event) == (Status.PASSED, Severity.NOTE, first)
    assert finding.message.endswith("; a later launch went on with finite values")


def test_a_later_launch_that_goes_on_with_nan_overcame_nothing(log: Any) -> None:
    log.launch()
    first = len(log.lines) + 2
    log.epoch(0, loss=NAN)
    log.launch()
    log.epoch(1, loss=NAN)
    (finding,) = run_check("LOG014", log.write()).findings
    assert (finding.severity, finding.event) == (Severity.ERROR, first)


def test_a_stop_that_a_later_launch_overcame_is_history(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.say("Loss is nan, stopping training")
    log.launch()
    log.epoch(1)
    result = run_check("LOG014", log.write())
    assert (result.status, [finding.severity for finding in result.findings]) == (
        Status.PASSED,
        [Severity.NOTE],
    )


def test_a_stop_that_was_overcome_does_not_hide_one_that_was_not(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.say("Loss is nan, stopping training")
    log.say("Epoch: 1, Data Iteration: 7")
    log.launch()
    log.epoch(1)
    line = log.say("Loss is inf, stopping training")
    log.say("Loss is inf, stopping training")
    log.say("Epoch: 2, Data Iteration: 8")
    result = run_check("LOG014", log.write())
    (finding,) = result.findings
    assert (result.status, finding.event) == (Status.FAILED, line)
    assert finding.message == "the loss was inf, and the training stopped, epoch 2, Data Iteration: 8"


def test_what_was_overcome_does_not_hide_what_was_not(log: Any) -> None:
    log.launch()
    log.epoch(0, loss=NAN, metrics={"depth_avg": NAN})
    log.launch()
    log.epoch(0)
    log.launch()
    again = len(log.lines) + 2
    log.epoch(1, loss=NAN)
    (finding,) = run_check("LOG014", log.write()).findings
    assert (finding.severity, finding.event) == (Severity.ERROR, again)
    assert finding.message.endswith("in all 1 metric is not finite")


def test_a_gradient_that_overflows_under_a_loss_scaler_is_normal(log: Any) -> None:
    log.epoch(0)
    first = len(log.lines) + 2
    log.epoch(1, metrics={"grad_norm": float("inf"), "loss_scale": 32768.0})
    log.epoch(2, metrics={"grad_norm": 1.5, "loss_scale": 16384.0})
    result = run_check("LOG014", log.write())
    (finding,) = result.findings
    assert (result.status, finding.severity, finding.event) == (Status.PASSED, Severity.NOTE, first)


def test_a_score_of_no_samples_is_aside_and_a_loss_is_not(log: Any) -> None:
    log.epoch(0)
    log.test(1, 3.0, metrics={"AP_rider": NAN})
    assert run_check("LOG014", log.write()).status is Status.PASSED
    log.test(2, NAN, metrics={"AP_rider": NAN, "grad_norm": NAN})
    assert run_check("LOG014", log.write()).status is Status.FAILED


def test_one_epoch_that_is_not_finite_was_survived(log: Any) -> None:
    log.epoch(0)
    log.epoch(1, metrics={"depth_avg": NAN})
    log.epoch(2)
    result = run_check("LOG014", log.write())
    assert (result.status, result.findings[0].severity) == (Status.PASSED, Severity.NOTE)
    assert result.findings[0].message.endswith("the training went on with finite values")
