"""Alarms: which events of a watch raise one, and that nothing of the user's command touches the training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor.facts.past.mask_bounds import FEWEST_UPDATES, NEAR
from opv2v_doctor.runs.alarms import Rules
from opv2v_doctor.settings import MaskSettings

from .conftest import Stub


def rules_of(*events: dict[str, Any], masks: MaskSettings | None = None) -> list[str]:
    """The rules that a training with these events breaks, in their order."""
    rules = Rules(masks or MaskSettings())
    return [alarm.rule for event in events for alarm in rules.of(event)]


def evaluations(*losses: float, name: str = "loss_avg") -> list[dict[str, Any]]:
    return [
        {"event": "averages", "split": "test_val", "epoch": epoch, "values": {name: loss, "lr": 0.1}}
        for epoch, loss in enumerate(losses)
    ]


def masks(predicted: float, true: float | None, updates: float = FEWEST_UPDATES) -> list[dict[str, Any]]:
    means = {"pred_mask_mean": predicted, **({} if true is None else {"gt_mask_mean": true})}
    return [
        {"event": "epoch end", "updates": updates},
        {"event": "masks", "split": "test_val", "epoch": 3, **means},
    ]


@pytest.mark.parametrize("name", ["loss", "loss_avg", "loss_med"])
def test_validation_that_rises_three_times_in_a_row_is_told_once(name: str) -> None:
    assert rules_of(*evaluations(9, 5, 6, 7, 8, 9, 10, name=name)) == ["validation rises"]


@pytest.mark.parametrize("losses", [(9, 5, 6, 7), (5, 6, 7, 6, 7, 8), (5, 6, 7, 7, 8, 9), (9, 8, 7, 6)])
def test_validation_that_rises_less_often_is_not_told(losses: tuple[float, ...]) -> None:
    assert rules_of(*evaluations(*losses)) == []


def test_the_training_loss_may_rise() -> None:
    events = evaluations(5, 6, 7, 8, 9)
    assert rules_of(*({**event, "split": "train"} for event in events)) == []


def test_an_average_that_is_no_number_is_told() -> None:
    assert rules_of({"event": "averages", "split": "train", "values": {"loss": "nan"}}) == ["not finite"]
    assert rules_of({"event": "averages", "split": "train", "values": {"loss": -3.0}}) == []


@pytest.mark.parametrize(("off", "told"), [(0.99, []), (1.01, ["masks out of bounds"])])
def test_masks_are_held_against_their_target(off: float, told: list[str]) -> None:
    assert rules_of(*masks(0.8 + off * NEAR, 0.8)) == told
    assert rules_of(*masks(0.8 - off * NEAR, 0.8)) == told


@pytest.mark.parametrize(("predicted", "told"), [(0.31, []), (0.29, ["masks out of bounds"])])
def test_without_a_target_the_band_of_the_settings_counts(predicted: float, told: list[str]) -> None:
    assert rules_of(*masks(predicted, None), masks=MaskSettings(band=(0.3, 0.5))) == told
    assert rules_of(*masks(predicted, None)) == []  # nobody has said where it should lie


def test_masks_that_had_no_time_to_be_learned_are_not_judged() -> None:
    assert rules_of(*masks(0.0, 0.8, FEWEST_UPDATES - 1)) == []
    assert rules_of(*masks(0.0, 0.8, FEWEST_UPDATES)) == ["masks out of bounds"]


def test_what_the_watch_warns_of_is_told_once_for_each_group() -> None:
    warning = {"event": "warning", "what": "gradients are zero", "message": "m", "epoch": 0, "group": "a"}
    later = {**warning, "epoch": 1}
    assert rules_of(warning, later, {**warning, "group": "b"}) == ["gradients are zero"] * 2


def test_a_stop_and_an_exception_are_told() -> None:
    assert rules_of({"event": "stopped", "reason": "8 steps, expected 10"}) == ["training stopped"]
    assert rules_of({"event": "raised", "error": "ValueError: x", "rank": 1}) == ["exception"]
    assert rules_of({"event": "beat"}, {"event": "step"}, {"event": "note", "what": "x"}) == []


def test_the_command_hears_of_an_exception_and_of_the_end(stub: Stub, tmp_path: Path) -> None:
    told = tmp_path / "told.jsonl"
    code, _ = stub.train(ranks=1, epochs=1, fault="raise", notify=f"cat >> '{told}'")
    assert code == 1
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["exception", "end"]
    assert [line["message"] for line in lines] == ["ValueError: the loss is NaN", "failed, exit code 1"]
    assert lines[0]["run"] == str(stub.run) and lines[0]["schema"] == 1


@pytest.mark.parametrize("command", ["exit 7", "sleep 600", "/no/such/program", "kill -9 $PPID"])
def test_a_command_that_fails_or_hangs_does_not_touch_the_training(stub: Stub, command: str) -> None:
    code, said = stub.train(ranks=1, epochs=1, notify=command)
    assert (code, stub.record().last.exit_code) == (0, 0)
    assert said.count("watch.notify: the command") == 1
    assert not stub.living()
