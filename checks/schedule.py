"""Schedule: the learning rate of every parameter group over all steps, by the repository's own function."""

import math
from collections.abc import Iterator
from itertools import pairwise

from opv2v_doctor import (
    Blocked,
    Finding,
    Findings,
    Override,
    Place,
    Skip,
    Target,
    Text,
    Threshold,
    check,
    error,
    examined,
    note,
    warning,
)
from opv2v_doctor.facts.launch.config import place
from opv2v_doctor.facts.launch.schedule import (
    DEFAULT,
    Curve,
    GroupSchedule,
    asked_at,
    assumption,
    curves,
    epoch_starts,
    idle_scheduler,
    plans,
    resume_shift,
    schedule_place,
    steps_per_epoch,
)
from opv2v_doctor.facts.past.runs import last_run, steps_per_epoch_of
from opv2v_doctor.facts.source.names import name_of

CLOSE = Threshold(0.01, "of the configured rate", "rounding, and a curve that is sampled")
STEEPEST = Threshold(
    3, "times the slope of the schedule's formula", "a sampled step may span several updates"
)
LANDS = Threshold(
    1.5,
    "times what the last step falls by",
    "a power of 0.9 of what is left has 1.15 times it to go",
)
KNOWN = "linear_warmup_half_cycle_cosine_decay"


@check("SCH001", tier="static", requires=["CFG002"])
def warmup_is_shorter_than_training(target: Target) -> Findings:
    """The warm-up ends before the training does, in every parameter group.

    ## Why it matters
    A warm-up of more epochs than the training has never reaches the configured learning rate: the model
    trains on a fraction of it, never decays, and nothing says so.

    ## How to fix
    Lower `train_params.warmup_epochs`, or raise `train_params.epochs`.
    """
    yield examined(len(_trained_groups(target)), "parameter group")
    for plan in _trained_groups(target):
        if plan.warmup >= plan.epochs:
            yield error(
                "{group}: a warm-up of {warmup:g} epochs in a training of {epochs:g}",
                at=place(target, plan.key("warmup_epochs")) or place(target, "train_params.warmup_epochs"),
                hint="lower it: {override}",
                group=plan.group,
                override=_override(target, plan, "warmup_epochs", plan.epochs / 10),
                warmup=plan.warmup,
                epochs=plan.epochs,
            )
    if frozen := [plan.group for plan in plans(target) if plan.frozen]:
        yield note("not trained, with a learning rate of 0: {groups}", groups=frozen)


def _override(target: Target, plan: GroupSchedule, name: str, value: float) -> Override:
    """The override that Hydra takes: a group that inherits the value has no such key yet."""
    key = plan.key(name)
    is_there = place(target, key) is not None or plan.group == DEFAULT
    return Override(f"{key}={value:.3g}" if is_there else f"++{key}={value:.3g}")


def _trained_groups(target: Target) -> list[GroupSchedule]:
    return [plan for plan in plans(target) if not plan.frozen]


def _trained_curves(target: Target) -> list[Curve]:
    return [curve for curve in curves(target).values() if not curve.plan.frozen]


@check("SCH002", tier="static", requires=["SCH001"])
def learning_rate_reaches_its_peak_and_its_minimum(target: Target) -> Findings:
    """The learning rate starts near zero, reaches its configured peak, and ends at its minimum.

    ## Why it matters
    The rate that the optimizer gets is what the repository's function returns, not what the config says. A
    peak that is never reached or a decay that stops half-way looks like a model that will not learn.

    ## How to fix
    Compare the function with the schedule's formula, and what the training loop calls it with: the epoch plus
    the share of its steps that are done.
    """
    function = schedule_place(target)
    if made := idle_scheduler(target):
        yield error(
            "{scheduler} is made, and never stepped under this config: the learning rate stays as it is",
            at=function,
            hint="call its step() after each epoch or each step, as it counts",
            scheduler=made,
        )
    _require_known_epoch(target)
    yield examined(len(_trained_curves(target)), "parameter group")
    for curve in _trained_curves(target):
        if curve.plan.min_lr > curve.plan.lr:
            yield _rising(target, curve.plan)
            continue
        for what, measured, expected in _misses(curve):
            yield error(
                "{group}: the learning rate {what} {measured:.3g}, expected {expected:.3g}",
                at=asked_at(target) if _is_of_whole_epochs(curve) else function,
                hint="compare the function with its schedule, and with what the training loop passes to it",
                group=curve.plan.group,
                what=what,
                measured=measured,
                expected=expected,
            )
        yield note(
            "{group}: {first:.3g} to {peak:.3g} in {warmup:g} epochs, then to {last:.3g} after {epochs:g}",
            group=curve.plan.group,
            first=curve.rates[0],
            peak=max(curve.rates),
            last=curve.rates[-1],
            warmup=curve.plan.warmup,
            epochs=curve.plan.epochs,
        )


def _require_known_epoch(target: Target) -> None:
    """Raise Blocked where the curves would rest on an assumption: which epoch the loop asks a rate for."""
    if assumed := assumption(target):
        problem, loop = assumed
        raise Blocked(
            "which epoch the training loop asks a learning rate for is not known: {problem}",
            at=loop,
            hint="call {name} in the loop over the batches, with a plain expression of the "
            "epoch, the step and len(loader)",
            name=name_of(target, "schedule"),
            problem=problem,
        )


def _rising(target: Target, plan: GroupSchedule) -> Finding:
    """A minimum above the peak: a group with a small rate of its own inherits the minimum of the others."""
    return error(
        "{group}: the minimum {min_lr:.3g} is above the learning rate {lr:.3g}: the rate will rise",
        at=place(target, plan.key("lr")),
        hint="give the group its own minimum: {override}",
        group=plan.group,
        override=_override(target, plan, "min_lr", plan.lr / 100),
        lr=plan.lr,
        min_lr=plan.min_lr,
    )


def _misses(curve: Curve) -> Iterator[tuple[Text, float, float]]:
    """What the curve should touch and does not: (what, measured, expected)."""
    plan, close = curve.plan, CLOSE * curve.plan.lr
    one_step = min(1.0, curve.step / plan.warmup) if plan.warmup else 0.0
    peak, last = max(curve.rates), curve.rates[-1]
    if "warmup" in plan.kind and one_step and curve.rates[0] > plan.lr * one_step + close:
        yield Text("starts at"), curve.rates[0], 0.0
    if not plan.lr * (1 - (0 if plan.warmup.is_integer() else one_step)) - close <= peak <= plan.lr + close:
        yield Text("peaks at"), peak, plan.lr
    before_end = 0.5 * (
        1 - math.cos(math.pi * min(1.0, curve.step / max(plan.epochs - plan.warmup, curve.step)))
    )
    floor = plan.min_lr + max((plan.lr - plan.min_lr) * before_end, LANDS * _last_fall(curve))
    if "cosine" in plan.kind and not plan.min_lr - close <= last <= max(floor, plan.min_lr) + close:
        yield Text("ends at"), last, floor


def _last_fall(curve: Curve) -> float:
    """By how much the last step lowers the rate; other decays than a cosine end with a steep one."""
    if len(curve.rates) < 2:
        return 0.0
    span = curve.epochs[-1] - curve.epochs[-2]
    return max(0.0, curve.rates[-2] - curve.rates[-1]) * curve.step / span if span > 0 else 0.0


@check("SCH003", tier="static", requires=["SCH001"])
def learning_rate_has_no_jump(target: Target) -> Findings:
    """The learning rate changes from step to step by no more than its schedule's slope.

    ## Why it matters
    A jump throws the optimizer out of where it was: the loss leaps, and AdamW's moments are those of another
    rate. A curve that depends on steps instead of epochs jumps when a run is resumed on other GPUs.

    ## How to fix
    Let the function depend on the epoch (with its fraction) only, and hand it `epoch + step / len(loader)`.
    """
    function = schedule_place(target)
    unknown = {curve.plan.kind for curve in _trained_curves(target)} - {KNOWN}
    if unknown:
        raise Skip("the slope of a schedule of type {types} is not known", types=sorted(unknown))
    _require_known_epoch(target)
    for curve in _trained_curves(target):
        yield examined(len(curve.rates), "learning rate", group=curve.plan.group)
        jumps = list(_jumps(curve))
        if jumps and _is_of_whole_epochs(curve):
            yield error(
                "{group}: the learning rate changes {jumps:time|times}, where an epoch begins: the training "
                "loop asks for that of a whole epoch",
                at=asked_at(target),
                hint="ask for epoch + step / len(loader)",
                group=curve.plan.group,
                jumps=len(jumps),
            )
        elif jumps:
            epoch, before, after = max(jumps, key=lambda jump: abs(jump[2] - jump[1]))
            yield error(
                "{group}: the learning rate jumps from {before:.3g} to {after:.3g} at epoch {epoch:.3f} "
                "({jumps:jump|jumps} in all)",
                at=function,
                hint="make the schedule continuous in the epoch, and pass it epoch + step / len(loader)",
                group=curve.plan.group,
                jumps=len(jumps),
                epoch=epoch,
                before=before,
                after=after,
            )
    if shift := resume_shift(target):
        epoch, whole, resumed, line = shift
        yield error(
            "a training that is resumed at epoch {epoch:g} asks for the learning rate of epoch {resumed:g}, "
            "expected {whole:g}: its schedule begins anew",
            at=line,
            hint="ask for the epoch of the training, not for that since the resume",
            epoch=epoch,
            whole=whole,
            resumed=resumed,
        )
    yield from _jumps_at_resume(target)


def _is_of_whole_epochs(curve: Curve) -> bool:
    """Whether the rate stays as it is within each epoch, and no epoch is a single step."""
    neighbours = pairwise(zip(curve.epochs, curve.rates, strict=True))
    changes = [end for (_, before), (end, after) in neighbours if before != after]
    return bool(changes) and curve.step < 1 and all(abs(end - round(end)) < curve.step / 2 for end in changes)


def _jumps(curve: Curve) -> Iterator[tuple[float, float, float]]:
    """Neighbours that are further apart than the schedule's own slope allows: (epoch, before, after)."""
    plan = curve.plan
    rise = plan.lr / plan.warmup if plan.warmup else 0.0
    fall = math.pi / 2 * abs(plan.lr - plan.min_lr) / max(plan.epochs - plan.warmup, curve.step)
    neighbours = list(zip(curve.epochs, curve.rates, strict=True))
    for (start, before), (end, after) in pairwise(neighbours):
        slope = max(rise if start < plan.warmup else 0.0, fall if end >= plan.warmup else 0.0)
        if abs(after - before) > STEEPEST * slope * (end - start) + CLOSE * plan.lr / 10:
            yield end, before, after


def _jumps_at_resume(target: Target) -> Findings:
    """Epochs that begin at another rate with the steps of the last run; what an epoch is in updates."""
    run, now = last_run(target), steps_per_epoch(target)
    logged = steps_per_epoch_of(run) if run else None
    if logged is None or now is None or logged[0] == now:
        return
    before, at = logged[0], Place(*logged[1:])
    for plan in _trained_groups(target):
        pairs = zip(epoch_starts(target)[plan.group], epoch_starts(target, before)[plan.group], strict=False)
        apart = [(epoch, rate, old) for (epoch, rate), (_, old) in pairs if abs(rate - old) > CLOSE * plan.lr]
        if apart:
            epoch, rate, old = apart[0]
            yield warning(
                "{group}: epoch {epoch} begins at {rate:.3g} with {now} steps per epoch, at {old:.3g} with "
                "the last run's {before}: a resume there jumps",
                at=at,
                hint="keep the steps per epoch, or make the schedule depend on the epoch only",
                group=plan.group,
                epoch=epoch,
                rate=rate,
                old=old,
                now=now,
                before=before,
            )
    yield note(
        "the last run had {before} steps per epoch, this launch has {now}: the same epoch comes after "
        "another number of updates",
        at=at,
        before=before,
        now=now,
    )
