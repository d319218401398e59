"""Schedule: the learning rate of every parameter group over all steps, by the repository's own function."""

import math
from collections.abc import Iterator
from itertools import pairwise

from opv2v_doctor import Finding, Findings, Skip, Target, check, error, note, warning
from opv2v_doctor.facts.config import place
from opv2v_doctor.facts.runs import last_run, steps_per_epoch_of
from opv2v_doctor.facts.schedule import (
    DEFAULT,
    Curve,
    Plan,
    assumption,
    curves,
    epoch_starts,
    plans,
    schedule_place,
    steps_per_epoch,
)

CLOSE = 0.01  # of the configured rate
STEEPEST = 3  # times the slope that the schedule has by its own formula
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
    for plan in _trained(target):
        if plan.warmup >= plan.epochs:
            path, line = place(target, plan.key("warmup_epochs"))
            if path is None:  # the group inherits it
                path, line = place(target, "train_params.warmup_epochs")
            yield error(
                f"{plan.group}: a warm-up of {plan.warmup:g} epochs in a training of {plan.epochs:g}",
                path=path,
                line=line,
                hint=f"lower it: {_override(target, plan, 'warmup_epochs', plan.epochs / 10)}",
                warmup=plan.warmup,
                epochs=plan.epochs,
            )
    frozen = [plan.group for plan in plans(target) if plan.frozen]
    if frozen:
        yield note(f"not trained, with a learning rate of 0: {', '.join(frozen)}")


def _override(target: Target, plan: Plan, name: str, value: float) -> str:
    """The override that Hydra takes: a group that inherits the value has no such key yet."""
    key = plan.key(name)
    is_there = place(target, key)[0] is not None
    return f"{key}={value:.3g}" if is_there or plan.group == DEFAULT else f"++{key}={value:.3g}"


def _trained(target: Target) -> list[Plan]:
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
    for curve in _trained_curves(target):
        if curve.plan.min_lr > curve.plan.lr:
            yield _rising(target, curve.plan)
            continue
        for what, measured, expected in _misses(curve):
            yield error(
                f"{curve.plan.group}: the learning rate {what} {measured:.3g}, expected {expected:.3g}",
                path=function.path,
                line=function.line,
                hint="compare the function with its schedule, and with what the training loop hands to it",
                measured=measured,
                expected=expected,
            )
        yield note(
            f"{curve.plan.group}: from {curve.rates[0]:.3g} to {max(curve.rates):.3g} in "
            f"{curve.plan.warmup:g} epochs, then to {curve.rates[-1]:.3g} after {curve.plan.epochs:g}",
            peak=max(curve.rates),
            last=curve.rates[-1],
        )
    yield from _assumed(target)


def _assumed(target: Target) -> Findings:
    """What the curves rest on where the training loop's own expression does not tell."""
    assumed = assumption(target)
    if assumed:
        problem, loop = assumed
        said = f"the training loop's own epoch is not known: {problem}"
        usual = "the schedule was computed with epoch + step / len(loader)"
        yield note(f"{said}; {usual}", path=loop.path, line=loop.line)


def _rising(target: Target, plan: Plan) -> Finding:
    """A minimum above the peak: a group with a small rate of its own inherits the minimum of the others."""
    path, line = place(target, plan.key("lr"))
    return error(
        f"{plan.group}: the minimum {plan.min_lr:.3g} lies above the rate {plan.lr:.3g}: it will rise",
        path=path,
        line=line,
        hint=f"give it a minimum of its own: {_override(target, plan, 'min_lr', plan.lr / 100)}",
        lr=plan.lr,
        min_lr=plan.min_lr,
    )


def _misses(curve: Curve) -> Iterator[tuple[str, float, float]]:
    """What the curve should touch and does not: (what, measured, expected)."""
    plan, close = curve.plan, CLOSE * curve.plan.lr
    one_step = min(1.0, curve.step / plan.warmup) if plan.warmup else 0.0
    peak, last = max(curve.rates), curve.rates[-1]
    if "warmup" in plan.kind and one_step and curve.rates[0] > plan.lr * one_step + close:
        yield "starts at", curve.rates[0], 0.0
    if not plan.lr * (1 - (0 if plan.warmup.is_integer() else one_step)) - close <= peak <= plan.lr + close:
        yield "peaks at", peak, plan.lr
    before_end = 0.5 * (
        1 - math.cos(math.pi * min(1.0, curve.step / max(plan.epochs - plan.warmup, curve.step)))
    )
    floor = plan.min_lr + (plan.lr - plan.min_lr) * before_end
    if "cosine" in plan.kind and not plan.min_lr - close <= last <= max(floor, plan.min_lr) + close:
        yield "ends at", last, floor


@check("SCH003", tier="static", requires=["SCH001"])
def learning_rate_has_no_jump(target: Target) -> Findings:
    """The learning rate changes from step to step by no more than its schedule's slope, a resume included.

    ## Why it matters
    A jump throws the optimizer out of where it was: the loss leaps, and AdamW's moments are those of another
    rate. A curve that depends on steps instead of epochs jumps when a run is resumed on other GPUs.

    ## How to fix
    Let the function depend on the epoch (with its fraction) only, and hand it `epoch + step / len(loader)`.
    """
    function = schedule_place(target)
    unknown = {curve.plan.kind for curve in _trained_curves(target)} - {KNOWN}
    if unknown:
        raise Skip(f"the slope of {', '.join(sorted(unknown))} is not known here")
    for curve in _trained_curves(target):
        jumps = list(_jumps(curve))
        if jumps:
            epoch, before, after = max(jumps, key=lambda jump: abs(jump[2] - jump[1]))
            yield error(
                f"{curve.plan.group}: the learning rate jumps at epoch {epoch:.3f}, from {before:.3g} to "
                f"{after:.3g} ({len(jumps)} jumps in all)",
                path=function.path,
                line=function.line,
                hint="let the schedule be continuous in the epoch, and hand it epoch + step / len(loader)",
                epoch=epoch,
                before=before,
                after=after,
            )
    yield from _jumps_at_resume(target)
    yield from _assumed(target)


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
    before, path, line = logged
    for plan in _trained(target):
        pairs = zip(epoch_starts(target)[plan.group], epoch_starts(target, before)[plan.group], strict=False)
        apart = [(epoch, rate, old) for (epoch, rate), (_, old) in pairs if abs(rate - old) > CLOSE * plan.lr]
        if apart:
            epoch, rate, old = apart[0]
            yield warning(
                f"{plan.group}: epoch {epoch} begins at {rate:.3g} with {now} steps an epoch, at {old:.3g} "
                f"with the last run's {before}: a resume there jumps",
                path=path,
                line=line,
                hint="keep the steps an epoch, or let the schedule depend on the epoch only",
            )
    yield note(
        f"the last run had {before} steps an epoch, this launch has {now}: "
        f"a rate belongs to an epoch, so each now comes after another number of updates",
        path=path,
        line=line,
        before=before,
        now=now,
    )
