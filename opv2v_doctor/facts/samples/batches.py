"""Batches: what the launch's own loaders give in two epochs, and who is given what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.interpreter.probe import has_second
from opv2v_doctor.facts.launch.config import config, entry_point
from opv2v_doctor.facts.launch.datasets import asked_eval_parts
from opv2v_doctor.facts.launch.epochs import epoch_start
from opv2v_doctor.facts.launch.evaluation import TEST, TRAIN, building, seeding
from opv2v_doctor.facts.launch.loaders import MOST_RANKS, loader_module
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target

EPOCHS = {"train_epoch": (0, 1), "test_epoch": (1, 2)}  # that are begun: an evaluation follows an epoch


def begin(target: Target) -> None:
    """Let the batches of all loaders be drawn."""
    _drawing(target, "train_epoch")
    if asked_eval_parts(target):
        _drawing(target, "test_epoch")
    _sharing(target)


@fact
def train_batches(target: Target) -> questions.DrawnLoader:
    """The first batches of the training in two epochs. Raises Blocked where its loader is not known."""
    return _drawing(target, "train_epoch")()[0]


@fact
def eval_batches(target: Target) -> tuple[questions.DrawnLoader, ...]:
    """The first batches of each evaluation loader in two epochs; none where the config asks for none."""
    return _drawing(target, "test_epoch")() if asked_eval_parts(target) else ()


@fact
def shares(target: Target) -> questions.Shares:
    """Which rank is given which indices. Raises Blocked for more ranks than are gone through."""
    return _sharing(target)()


@fact
def _drawing(target: Target, part: str) -> Callable[[], tuple[questions.DrawnLoader, ...]]:
    key = TRAIN if part == "train_epoch" else TEST
    begun = epoch_start(target, part)
    return questions.batches.ahead_in(
        target,
        key == TEST and has_second(target),
        lines=building(target, key).lines,
        expression=_expression(target) if key == TRAIN else "",
        epochs=begun.lines if begun else None,
        numbers=list(EPOCHS[part]),
        **_launch(target),
    )


@fact
def _sharing(target: Target) -> Callable[[], questions.Shares]:
    if target.gpus > MOST_RANKS:
        raise Blocked(
            "who draws what is gone through for up to {most} ranks, this launch has {gpus}",
            most=MOST_RANKS,
            gpus=target.gpus,
        )
    begun = {part: epoch_start(target, part) for part in EPOCHS}
    train, test = begun["train_epoch"], begun["test_epoch"]
    return questions.shares.ahead(
        target,
        train=building(target, TRAIN).lines,
        expression=_expression(target),
        evals=building(target, TEST).lines if asked_eval_parts(target) else None,
        train_epochs=train.lines if train else None,
        eval_epochs=test.lines if test else None,
        **_launch(target),
    )


def _expression(target: Target) -> str:
    return str(config(target).get(f"dataset.{TRAIN}")).strip()


def _launch(target: Target) -> dict[str, Any]:
    """What every question about loaders is told of the launch."""
    main = entry_point(target)
    return {
        "config_dir": str(main.config_dir),
        "config_name": main.config_name,
        "overrides": list(target.launch_overrides),
        "module_name": loader_module(target),
        "seeding": seeding(target),
        "world_size": target.gpus,
    }
