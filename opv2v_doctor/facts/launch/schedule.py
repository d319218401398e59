"""The learning rate over all steps, as the repository's own function gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.launch.config import config, entry_point, place
from opv2v_doctor.facts.launch.loaders import Length, computed_length, wanted_size
from opv2v_doctor.facts.launch.torch_schedule import torch_scheduler
from opv2v_doctor.facts.source.names import the
from opv2v_doctor.facts.source.training_loop import epoch_progress
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

UNKNOWN_STEPS = (
    1000  # an epoch, where only the data can tell: the curve is one of the epoch, hardly of its steps
)
BY_TORCH = "a scheduler of torch"
DEFAULT, GROUPS = "default", "train_params.submodule_configs"
LONGEST_SHOWN = 200  # characters of a value


@dataclass(frozen=True, kw_only=True)
class GroupSchedule:
    """What the config asks of one parameter group."""

    group: str
    lr: float
    min_lr: float
    warmup: float  # epochs
    epochs: float
    kind: str

    @property
    def frozen(self) -> bool:
        """Whether the group is not trained at all."""
        return self.lr == 0

    def key(self, name: str) -> str:
        """Where the config says it for this group."""
        return (
            f"train_params.{name}"
            if self.group == DEFAULT
            else f"train_params.submodule_configs.{self.group}.{name}"
        )


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The learning rate of one parameter group, at every step or at a sample of them."""

    plan: GroupSchedule
    epochs: tuple[float, ...]
    rates: tuple[float, ...]
    step: float  # epochs between two changes of the rate


@fact
def plans(target: Target) -> tuple[GroupSchedule, ...]:
    """What the config asks of each parameter group; the default one comes first.

    Raises Blocked where one of the numbers is not given.
    """
    given = _values(target, "train_params", config(target).get("train_params"))
    own = {"schedule_type": BY_TORCH, "min_lr": 0.0, "warmup_epochs": 0.0} if torch_scheduler(target) else {}
    groups = {DEFAULT: {}, **_values(target, GROUPS, given.get("submodule_configs"))}
    return tuple(
        _plan(group, {**given, **_values(target, f"{GROUPS}.{group}", words), **own}, given)
        for group, words in groups.items()
    )


def _values(target: Target, key: str, found: Any) -> Mapping[str, Any]:
    """What stands below a key, nothing where it has no value. Raises Blocked where that is a single value."""
    found = found or {}
    if not isinstance(found, Mapping):
        raise Blocked(
            "{key} is {given}, expected keys and values below it",
            at=place(target, key),
            hint="give {key} its values by name, as lr and warmup_epochs, or take it out",
            key=key,
            given=str(found)[:LONGEST_SHOWN],
        )
    return found


def _plan(group: str, words: Mapping[str, Any], given: Mapping[str, Any]) -> GroupSchedule:
    try:
        return GroupSchedule(
            group=group,
            lr=float(words["lr"]),
            min_lr=float(words["min_lr"]),
            warmup=float(words["warmup_epochs"]),
            epochs=float(given["epochs"]),
            kind=str(words["schedule_type"]),
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise Blocked(
            "the learning rate of {group!r} needs a number that train_params does not give: {problem}",
            hint="where it has another name, add it to the launch's overrides: +train_params.lr=NUMBER",
            group=group,
            problem=str(problem),
        ) from None


@fact
def steps_per_epoch(target: Target) -> int | None:
    """The steps of this launch's epoch, None where only the data can tell."""
    length = _length(target)
    return max(1, length.steps) if length else None


def _length(target: Target) -> Length | None:
    """The length of this launch's epoch; None where only the data, or a call that is not known, can tell."""
    try:
        return computed_length(target, target.gpus)
    except Blocked:
        return None


def schedule_place(target: Target) -> Place:
    """The repository's function, or what makes its scheduler. Raises Blocked where it has neither."""
    scheduler = torch_scheduler(target)
    return scheduler.place if scheduler else the(target, "schedule").place


def idle_scheduler(target: Target) -> str:
    """The class of a scheduler that this launch makes and never steps; empty where there is none."""
    answer = _answer(target, _usual_steps(target))
    return answer.made if isinstance(answer, questions.Scheduled) and not answer.stepped else ""


@fact
def curves(target: Target, steps: int | None = None) -> Mapping[str, Curve]:
    """Group -> curve, with this launch's steps an epoch or with other ones."""
    steps = steps or _usual_steps(target)
    answer, accumulated = _answer(target, steps), _accumulation(target)
    return {
        plan.group: Curve(plan=plan, epochs=answer.epochs, rates=rates, step=accumulated / steps)
        for plan, rates in zip(plans(target), answer.rates, strict=True)
    }


def assumption(target: Target) -> tuple[str, Place] | None:
    """Why the curves are not by the training loop's own expression, and its place; None where they are."""
    problem = _answer(target, _usual_steps(target)).problem
    progress = epoch_progress(target)
    return (problem, progress.place if progress else schedule_place(target)) if problem else None


def resume_shift(target: Target) -> tuple[float, float, float, Place] | None:
    """An epoch, what the loop asks a rate for there, and what once it is resumed there; None where alike."""
    found, progress = _answer(target, _usual_steps(target)).resumed, epoch_progress(target)
    if len(found) != 3 or found[1] == found[2] or progress is None:
        return None
    return found[0], found[1], found[2], progress.decided


def asked_at(target: Target) -> Place:
    """Where the loop decides for which epoch it asks; else the schedule itself."""
    progress = epoch_progress(target)
    return progress.decided if progress else schedule_place(target)


def _usual_steps(target: Target) -> int:
    return steps_per_epoch(target) or UNKNOWN_STEPS


def _accumulation(target: Target) -> int:
    return max(1, int(config(target).get("train_params.accum_iter", 1)))


def _samples(target: Target, steps: int) -> int:
    """The length of the dataset that gives so many steps."""
    length = _length(target)
    if length and length.steps == steps:
        return length.samples
    return wanted_size(steps, target.gpus, length.batch if length else 1)


@fact
def _answer(target: Target, steps: int) -> questions.Curves:
    main, progress = entry_point(target), epoch_progress(target)
    if scheduler := torch_scheduler(target):
        return questions.scheduled(
            target,
            config_dir=str(main.config_dir),
            config_name=main.config_name,
            overrides=list(target.launch_overrides),
            lines=scheduler.lines,
            variable=scheduler.variable,
            optimizer=scheduler.optimizer,
            sized=list(scheduler.sized),
            calls=list(scheduler.calls),
            rates=[plan.lr for plan in plans(target)],
            epochs=int(plans(target)[0].epochs),
            steps=steps,
            samples=_samples(target, steps),
            accumulated=_accumulation(target),
        )
    return questions.curves(
        target,
        config_dir=str(main.config_dir),
        config_name=main.config_name,
        overrides=list(target.launch_overrides),
        schedule=the(target, "schedule").reference,
        steps=steps,
        samples=_samples(target, steps),
        accumulated=_accumulation(target),
        groups=[plan.group for plan in plans(target)],
        progress={
            "expression": progress.expression,
            "counter": progress.counter,
            "sized": list(progress.sized),
            "module": progress.module,
        }
        if progress
        else None,
        world_size=target.gpus,
    )


def epoch_starts(target: Target, steps: int | None = None) -> Mapping[str, tuple[tuple[int, float], ...]]:
    """Group -> (epoch, rate at its first step)."""
    return {
        group: tuple(
            (int(epoch), rate)
            for epoch, rate in zip(curve.epochs, curve.rates, strict=True)
            if epoch == int(epoch)
        )
        for group, curve in curves(target, steps).items()
    }
