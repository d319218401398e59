"""The schedule family: silent on a healthy repository, and each check fires where one thing is broken."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import Place, Severity
from opv2v_doctor.facts.launch.schedule import Curve, curves
from opv2v_doctor.result import Result, Status
from opv2v_doctor.sandbox.faults.fault import replace_text, set_value
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

from ..edges import assert_edge

LANDS: Any = importlib.import_module("opv2v_doctor.checks.schedule").LANDS  # an import hook serves it
Broken = Callable[..., Path]
TOOLS = Path("mapanything/utils/train_tools.py")
LOOP = Path("mapanything/train/training.py")
PARAMS = Path("configs/train_params/opv2v_cyl_coop.yaml")


def line_of(path: Path, text: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def assert_found_at(result: Result, path: Path, text: str) -> None:
    (finding,) = [finding for finding in result.findings if finding.severity is Severity.ERROR]
    assert result.status is Status.FAILED
    assert (finding.path, finding.line) == (path, line_of(path, text))


@pytest.mark.parametrize("code", ["SCH001", "SCH002", "SCH003"])
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("train_params.warmup_epochs=0",),
        ("train_params.warmup_epochs=0.25",),
        ("train_params.accum_iter=4",),
        ("train_params.epochs=300", "train_params.warmup_epochs=10"),
        ("dataset.train_dataset='80_000 @ ${dataset.opv2v.train.dataset_str}'",),
        ("++train_params.submodule_configs={encoder:{lr:0.001,min_lr:0.00001},heads:{lr:0}}",),
    ],
)
def test_a_healthy_schedule_passes(healthy: Path, code: str, overrides: tuple[str, ...]) -> None:
    result = run_check(code, make_target(repo=healthy, overrides=overrides))
    assert (result.status, result.reason) == (Status.PASSED, None)


def test_a_warmup_of_the_whole_training_is_found_in_the_config(broken: Broken) -> None:
    repo = broken()
    set_value(repo / PARAMS, "warmup_epochs", "3")
    assert_found_at(run_check("SCH001", make_target(repo=repo)), repo / PARAMS, "warmup_epochs")


def test_the_warmup_of_a_single_group_counts(healthy: Path) -> None:
    group = "++train_params.submodule_configs={encoder:{lr:0.001,warmup_epochs:40}}"
    result = run_check("SCH001", make_target(repo=healthy, overrides=(group,)))
    assert result.status is Status.FAILED
    values = result.findings[0].text.values
    assert (values["group"], values["warmup"], values["epochs"]) == ("encoder", 40.0, 3.0)


def test_groups_that_are_none_are_told(healthy: Path) -> None:
    for groups in ("{encoder:3}", "3"):
        target = make_target(repo=healthy, overrides=(f"++train_params.submodule_configs={groups}",))
        result = run_check("SCH001", target)
        assert result.status is Status.BLOCKED
        assert "train_params.submodule_configs" in str(result.reason)
        assert str(result.reason).endswith("is 3, expected keys and values below it")


def test_the_proposed_overrides_of_a_group_that_inherits_are_accepted(healthy: Path) -> None:
    group = "++train_params.submodule_configs={encoder:{lr:0.000001}}"
    overrides: tuple[str, ...] = (group, "train_params.warmup_epochs=5")
    found = run_check("SCH001", make_target(repo=healthy, overrides=overrides)).findings
    assert len(found) == 2
    overrides += tuple(str(finding.text.values["override"]) for finding in found)
    target = make_target(repo=healthy, overrides=overrides)
    assert run_check("SCH001", target).status is Status.PASSED
    (rising,) = [f for f in run_check("SCH002", target).findings if "min_lr" in f.text.values]
    target = make_target(repo=healthy, overrides=(*overrides, str(rising.text.values["override"])))
    assert run_check("SCH002", target).status is Status.PASSED


def test_a_training_of_one_epoch_is_proposed_a_warmup_of_a_part_of_it(healthy: Path) -> None:
    target = make_target(repo=healthy, overrides=("train_params.epochs=1",))
    assert run_check("SCH001", target).findings[0].text.values["override"] == "train_params.warmup_epochs=0.1"


def test_a_decay_that_stops_half_way_is_found_at_the_function(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / TOOLS, "math.cos(math.pi * progress)", "math.cos(math.pi * progress / 2)")
    result = run_check("SCH002", make_target(repo=repo))
    assert_found_at(result, repo / TOOLS, "def adjust_learning_rate")


def test_a_decay_that_lands_steeply_ends_where_its_last_step_leads(healthy: Path) -> None:
    target = make_target(repo=healthy)
    (curve,) = curves(target).values()

    def status_at(times: float) -> Status:
        fall = 0.05 * curve.plan.lr
        last = curve.plan.min_lr + times * fall
        steep = replace(curve, rates=(*curve.rates[:-2], last + fall * _steps(curve), last))
        return run_check("SCH002", target, {curves: {curve.plan.group: steep}}).status

    assert_edge(LANDS + 0.2, status_at)  # a hundredth of the rate, 0.2 falls, is near enough


def _steps(curve: Curve) -> float:
    """Between the last two rates of a curve."""
    return (curve.epochs[-1] - curve.epochs[-2]) / curve.step


def test_a_peak_that_is_not_reached_is_found(healthy: Path) -> None:
    target = make_target(repo=healthy, overrides=("train_params.warmup_epochs=5",))
    result = run_check("SCH002", target)
    assert result.status is Status.FAILED
    assert result.findings[0].text.values["expected"] == pytest.approx(0.01)


def test_a_minimum_above_the_rate_is_found(healthy: Path) -> None:
    group = "++train_params.submodule_configs={encoder:{lr:0.000001}}"
    result = run_check("SCH002", make_target(repo=healthy, overrides=(group,)))
    assert result.status is Status.FAILED
    assert {"lr", "min_lr"} <= result.findings[-1].text.values.keys()


def test_a_warmup_to_half_the_rate_jumps(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / TOOLS, "lr * epoch / warmup", "0.5 * lr * epoch / warmup")
    result = run_check("SCH003", make_target(repo=repo))
    assert_found_at(result, repo / TOOLS, "def adjust_learning_rate")


def test_a_schedule_that_is_stepped_once_per_process_jumps(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / LOOP, "epoch + step / len(data_loader)", "epoch + 2 * step / len(data_loader)")
    assert run_check("SCH003", make_target(repo=repo)).status is Status.FAILED


def test_a_loop_that_divides_by_its_samples_jumps_between_epochs(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / LOOP, "step / len(data_loader)", "step / len(data_loader.dataset)")
    result = run_check("SCH003", make_target(repo=repo))
    assert result.status is Status.FAILED
    assert result.findings[0].text.values["epoch"] in (1.0, 2.0)


def test_a_loop_that_asks_for_whole_epochs_is_found_where_it_does(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / LOOP, "epoch_f = epoch + step / len(data_loader)", "epoch_f = epoch")
    for code in ("SCH002", "SCH003"):
        assert_found_at(run_check(code, make_target(repo=repo)), repo / LOOP, "epoch_f = epoch")


def test_a_loop_whose_epoch_is_not_known_is_no_pass(broken: Broken) -> None:
    repo = broken()
    either = "total = len(data_loader) if step else 1\n        total = total * 1\n        epoch_f = "
    replace_text(repo / LOOP, "epoch_f = epoch + step / len(data_loader)", f"{either}epoch + step / total")
    for code in ("SCH002", "SCH003"):
        result = run_check(code, make_target(repo=repo))
        assert result.status is Status.BLOCKED
        assert result.at == Place(repo / LOOP, line_of(repo / LOOP, ".adjust_learning_rate("))


def test_a_schedule_that_nobody_calls_is_no_pass(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / LOOP, ".adjust_learning_rate(", ".another_schedule(")
    for code in ("SCH002", "SCH003"):
        result = run_check(code, make_target(repo=repo))
        assert result.status is Status.BLOCKED
        assert result.at == Place(repo / TOOLS, line_of(repo / TOOLS, "def adjust_learning_rate"))


def test_a_curve_over_steps_jumps_at_a_resume_with_other_steps(broken: Broken) -> None:
    repo = broken("other_world_size")
    replace_text(repo / LOOP, "epoch + step / len(data_loader)", "(epoch * len(data_loader) + step) / 10")
    result = run_check("SCH003", make_target(repo=repo))
    (finding,) = [finding for finding in result.findings if finding.severity is Severity.WARNING]
    assert result.status is Status.WARNED
    assert finding.path == repo / "experiments/opv2v_cyl_coop/train.log"


def test_another_kind_of_schedule_is_left_to_its_own_slope(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / TOOLS, 'schedule != "linear_warmup_half_cycle_cosine_decay"', "not schedule")
    set_value(repo / PARAMS.with_name("default.yaml"), "schedule_type", "steps")
    assert run_check("SCH003", make_target(repo=repo)).status is Status.SKIPPED


ADJUSTED = """            train_tools.adjust_learning_rate(
                optimizer, epoch_f, params, param_groups_idx_to_name_map, params.submodule_configs
            )
"""
MADE = """    scheduler = None
    if params.epochs > 1:
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=params.epochs * HORIZON)
"""


@pytest.mark.parametrize(
    ("stepped", "horizon", "problem"),
    [
        ("if scheduler is not None:\n            scheduler.step()", "1", ""),
        (
            "if isinstance(scheduler, torch.optim.lr_scheduler.StepLR):\n            scheduler.step()",
            "1",
            "idle",
        ),
        ("pass", "len(train_loader)", "idle"),
    ],
)
def test_a_scheduler_of_torch_is_stepped_as_the_loop_does(
    stepped: str, horizon: str, problem: str, broken: Broken
) -> None:
    repo = broken()
    replace_text(repo / LOOP, ADJUSTED, "            pass\n")
    replace_text(repo / LOOP, "    print(optimizer)\n", MADE.replace("HORIZON", horizon))
    replace_text(
        repo / LOOP,
        "            param_groups_idx_to_name_map=index_to_name,\n        )\n",
        f"            param_groups_idx_to_name_map=index_to_name,\n        )\n        {stepped}\n",
    )
    target = make_target(repo=repo)
    result = run_check("SCH002", target)
    assert (result.status, result.reason) == (Status.FAILED if problem else Status.PASSED, None)
    if problem:
        assert_found_at(result, repo / LOOP, "scheduler = torch.optim")
    else:
        (rates,) = [curve.rates for curve in curves(target).values()]
        assert sorted(set(rates), reverse=True) == pytest.approx([0.01, 0.0075, 0.0025])
    assert run_check("SCH003", target).status is Status.SKIPPED
