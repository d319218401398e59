"""The learning rate as the repository's own function gives it."""

from pathlib import Path

import pytest

from opv2v_doctor.facts.launch.schedule import curves, epoch_starts
from opv2v_doctor.target import make_target


def test_every_step_of_a_short_training_is_asked_for(healthy: Path) -> None:
    (curve,) = curves(make_target(repo=healthy)).values()
    assert len(curve.rates) == 30
    assert curve.rates[0] == 0
    assert max(curve.rates) == pytest.approx(curve.plan.lr)


def test_a_long_epoch_is_sampled_and_keeps_its_seams(healthy: Path) -> None:
    (curve,) = curves(make_target(repo=healthy), 100_000).values()
    assert len(curve.rates) < 1000
    seams = {round(epoch * 100_000) for epoch in curve.epochs}
    assert {0, 1, 99_999, 100_000, 100_001, 199_999, 200_000, 299_999} <= seams


def test_a_rate_changes_only_where_gradients_are_applied(healthy: Path) -> None:
    (curve,) = curves(make_target(repo=healthy, overrides=("train_params.accum_iter=2",))).values()
    assert len(curve.rates) == 15
    assert curve.step == pytest.approx(0.2)


def test_each_group_has_a_curve_of_its_own(healthy: Path) -> None:
    group = "++train_params.submodule_configs={encoder:{lr:0.001,min_lr:0.00001},heads:{lr:0}}"
    found = curves(make_target(repo=healthy, overrides=(group,)))
    assert list(found) == ["default", "encoder", "heads"]
    assert max(found["encoder"].rates) == pytest.approx(0.001)
    assert found["heads"].plan.frozen


def test_epochs_start_where_the_curve_does(healthy: Path) -> None:
    starts = epoch_starts(make_target(repo=healthy))["default"]
    assert [epoch for epoch, _ in starts] == [0, 1, 2]
    assert starts[0][1] == 0
