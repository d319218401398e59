"""Log: what numbers show without any config: the rate, the loss, gradients, speed and memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from opv2v_doctor import (
    Finding,
    Findings,
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
from opv2v_doctor.facts.past.logs import alone, each_log, judged_logs
from opv2v_doctor.facts.past.logs.courses import Course, course, last_training, main_loss, memory_growth
from opv2v_doctor.facts.past.logs.epoch_parts import Row
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.metric_names import is_gradient_norm
from opv2v_doctor.facts.past.logs.summaries import planned_epochs

FEWEST_RATES = Threshold(10, "lines with a rate", "fewer show no schedule")
UNUSED = Threshold(
    0.25, "of the training's lines", "a cosine is printed as 0 in less, from a rate of 1e-4 on"
)
CHANGED = Threshold(
    0.3, "of the rate", "what two steps of a schedule explain is allowed for beside it", healthy=0.02
)
RISEN = Threshold(
    0.5, "of the highest rate", "a warm-up comes before any fall, and nothing later rises so far"
)
JUMP = Threshold(
    2.5, "times the rate one line before", "steps of a warm-up are at most twice as high", healthy=2.0
)
PRINTED = 1e-4  # a highest rate from which on six decimals show a cosine to its end


@check("LOG020", tier="run")
def learning_rate_is_that_of_one_schedule(target: Target) -> Findings:
    """The learning rate is above zero, and goes on from launch to launch without a break.

    ## Why it matters
    With a rate of zero nothing is learned. A rate that is another after a restart, or that rises again long
    after the warm-up, is a schedule that was begun anew, stepped past its end or once for each process, or
    given another config. No config is needed to see that.

    ## How to fix
    Resume with the config of the first launch, and load the scheduler's state, too; step the scheduler once
    a step.
    """
    yield from each_log(judged_logs(target), _rate)


def _rate(log: Log) -> Findings:
    alone(log)
    rates = course(log, "lr")
    if len(rates) < FEWEST_RATES:
        raise Skip("{n:learning rate|learning rates} in {log}, too few to judge", n=len(rates), log=log.path)
    yield examined(len(rates), "learning rate")
    zero = _zero(log, rates)
    if zero is not None:
        yield zero
        return
    yield from _between_launches(log, rates)
    for segment in last_training(log):
        yield from _within(log, rates.part(rates.segment == segment.number))


def _zero(log: Log, rates: Course) -> Finding | None:
    """A rate of 0 throughout, or long before the end. Where the loss falls, its digits may not be printed."""
    used = np.flatnonzero(rates.value != 0)
    since = int(used[-1]) + 1 if len(used) else 0
    if not len(used):
        return (warning if _falls(log) else error)(
            "the learning rate is 0 in all {n:line|lines}, or smaller than what is printed",
            hint="set train_params.lr, and see that the schedule's length is more than 0",
            at=Place(log.path, int(rates.line[0])),
            event=int(rates.line[0]),
            n=len(rates),
        )
    if len(used) and rates.value.max() >= PRINTED and len(rates) - since > UNUSED * len(rates):
        return warning(
            "the learning rate is 0 from epoch {epoch} on, in {n} of {all:line|lines}: what follows "
            "trains nothing",
            hint="make the schedule as long as the training, or give it a minimum",
            at=Place(log.path, int(rates.line[since])),
            event=int(rates.line[since]),
            epoch=int(rates.epoch[since]),
            n=len(rates) - since,
            all=len(rates),
        )
    return None


def _falls(log: Log) -> bool:
    name = main_loss(log)
    levels = _levels(course(log, name)) if name else None
    return levels is not None and levels[0] - levels[-1] > STILL * abs(levels[0])


def _between_launches(log: Log, rates: Course) -> Findings:
    """Whether each launch goes on with the rate that the one before had at its place, or ended with."""
    for before, after in pairwise(last_training(log)):
        old, new = (rates.part(rates.segment == one.number) for one in (before, after))
        if len(old) < 2 or len(new) < 1:
            continue
        expected, slack = _expected(old, float(new.at[0]))
        now, peak = float(new.value[0]), float(old.value.max())
        off = max(0.0, abs(now - expected) - slack)
        if off > CHANGED * max(now, expected) and off > 0.02 * peak:
            yield warning(
                "the learning rate is {now:g} where this launch begins, and was {expected:g} there, or at "
                "the end of "
                "the launch before",
                hint="resume with the config of the first launch, and with the scheduler's state",
                at=Place(log.path, int(new.line[0])),
                event=int(new.line[0]),
                now=now,
                expected=expected,
            )


def _expected(old: Course, at: float) -> tuple[float, float]:
    """The rate that a launch had at a place or ended with, and by how much two of its lines differ there."""
    index = min(int(np.searchsorted(old.at, at)), len(old) - 1)
    near = old.value[max(0, index - 2) : index + 3]
    return float(old.value[index]), float(2 * np.abs(np.diff(near)).max()) if len(near) > 1 else 0.0


def _within(log: Log, rates: Course) -> Findings:
    """Whether a launch's rate rises again after it had come down from its highest so far."""
    if len(rates) < FEWEST_RATES:
        return
    before, now = rates.value[:-1], rates.value[1:]
    jumps = np.flatnonzero((before > 0) & (now > JUMP * before)) + 1
    jumps = jumps[jumps >= FEWEST_RATES]  # a warm-up is over, or its steps are small by then
    highest = np.maximum.accumulate(rates.value)
    if len(jumps) and rates.value[jumps[0]] > highest[jumps[0] - 1]:
        line = int(rates.line[jumps[0]])
        yield warning(
            "the learning rate jumps from {before:g} to {now:g}, in the middle of a launch",
            hint="see what sets the rate at this step: the scheduler, or a group that is added",
            at=Place(log.path, line),
            event=line,
            before=float(before[jumps[0] - 1]),
            now=float(now[jumps[0] - 1]),
        )
        return
    lowest = np.full(len(rates), np.inf)  # since the highest
    for index in range(1, len(rates)):
        at_top = rates.value[index] >= highest[index]
        lowest[index] = np.inf if at_top else min(lowest[index - 1], rates.value[index])
    again = (rates.value[1:] - lowest[:-1] > RISEN * highest[:-1]) & (
        lowest[:-1] < (1 - RISEN) * highest[:-1]
    )
    found = np.flatnonzero(again) + 1
    if not len(found):
        return
    first = int(found[0])
    cycles = 1 + int((np.diff(found) > 1).sum())
    restarts = rates.epoch[first] != rates.epoch[first - 1] and rates.value[first] > 0.9 * highest[first - 1]
    said = Text(
        "the learning rate rises again, from {low:g} to {now:g}",
        low=float(lowest[first - 1]),
        now=float(rates.value[first]),
    )
    at = Place(log.path, int(rates.line[first]))
    if restarts:
        yield note(
            "{said}: a warm restart, {n:time|times}", at=at, event=int(rates.line[first]), said=said, n=cycles
        )
        return
    yield warning(
        "{said}, in the middle of a launch",
        hint="see that the scheduler is stepped once a step, and not past its end",
        at=at,
        event=int(rates.line[first]),
        said=said,
    )


STILL = Threshold(0.01, "of the loss", "less in ten epochs is noise", healthy=0.05, faulty=0.0005)
FEWEST_FOR_STILL = Threshold(10, "epochs", "warm-ups are shorter")
ROSE = Threshold(
    0.5, "of the first loss", "no curriculum or weighting that was seen adds as much", faulty=999.0
)
LOST = Threshold(0.5, "of what the loss had fallen", "spikes come back within an epoch", healthy=0.2)
NOISY = 0.15  # of the first loss: the mean of an epoch of a noisy one moves by less
FELL = 0.1  # of the first loss: what it has to have fallen before it can be lost


@check("LOG021", tier="run")
def training_loss_falls(target: Target) -> Findings:
    """The training loss falls from where it began, and stays down.

    ## Why it matters
    A loss that rises has diverged, one that stays at its start learns nothing, one that is exactly 0 from
    one line to the next is no longer computed, and one that lost what it had gained after a spike will not
    find it again by itself.

    ## How to fix
    Rising or spiking: a lower learning rate, clipped gradients, and a resume from before. Still: see that the
    optimizer has the parameters, and that the rate is above 0. Zero: see what masks or weights leave of it.
    """
    yield from each_log(judged_logs(target), _loss)


def _levels(found: Course) -> Row | None:
    """A mean for each epoch, or for each tenth; None where there are too few lines."""
    pieces = found.pieces()
    return np.array([piece.value.mean() for piece in pieces]) if pieces else None


def _loss(log: Log) -> Findings:
    alone(log)
    name = main_loss(log)
    if name is None:
        raise Skip("no loss of a training in {log}", log=log.path)
    found = course(log, name)
    pieces, levels = found.pieces(), _levels(found)
    if levels is None:
        raise Skip(
            "{n:line|lines} with a finite {metric} in {log}, too few to judge",
            n=len(found),
            metric=name,
            log=log.path,
        )
    yield examined(len(levels), "part of the training")
    yield from _judge_loss(log, name, found, pieces, levels)


def _judge_loss(log: Log, name: str, found: Course, pieces: list[Course], levels: Row) -> Iterator[Finding]:
    first, last = float(levels[0]), float(np.median(levels[-max(1, len(levels) // 5) :]))
    lowest, size = float(levels.min()), max(abs(float(levels[0])), 1e-12)
    at_lowest = int(levels.argmin())
    noise = float(np.median(np.abs(np.diff(levels))))
    zero = _end_of_zeros(found, size)
    if zero is not None:
        yield error(
            "{metric} is exactly 0 from here on, and was {before:g} in the line before",
            hint="see what is left of it: masks, weights, a target that went away",
            at=Place(log.path, int(found.line[zero])),
            event=int(found.line[zero]),
            metric=name,
            before=float(found.value[zero - 1]),
        )
    elif last - first > max(ROSE * size, 3 * noise):
        above = next(i for i in range(len(levels)) if levels[i] - first > ROSE * size)
        yield error(
            "{metric} rises: from {first:.4g} to {last:.4g} at the end, above where it began since epoch "
            "{epoch}",
            hint="resume from a checkpoint from before with a lower train_params.lr",
            at=Place(log.path, int(pieces[above].line[0])),
            event=int(pieces[above].line[0]),
            epoch=int(pieces[above].epoch[0]),
            metric=name,
            first=first,
            last=last,
            lowest=lowest,
        )
    elif (
        first - lowest > FELL * size
        and at_lowest < 0.8 * len(levels)
        and (levels[-max(2, len(levels) // 10) :] - lowest > LOST * (first - lowest)).all()
    ):
        up = at_lowest + int(np.argmax(levels[at_lowest:] - lowest > LOST * (first - lowest)))
        yield warning(
            "{metric} was down to {lowest:.4g} in epoch {epoch} and comes back up: {last:.4g} at the end, "
            "{first:.4g} "
            "at the beginning",
            hint=(
                "resume from the checkpoint of epoch {epoch} with a lower train_params.lr, or clip the "
                "gradients"
            ),
            at=Place(log.path, int(pieces[up].line[0])),
            event=int(pieces[up].line[0]),
            epoch=int(pieces[at_lowest].epoch[0]),
            metric=name,
            first=first,
            last=last,
            lowest=lowest,
        )
    elif _is_still(log, pieces, levels):
        yield warning(
            "{metric} stays where it began: {first:.4g}, and {last:.4g} after {n:epoch|epochs}",
            hint="see that the optimizer has the parameters, and that gradients reach them",
            at=Place(log.path, int(found.line[0])),
            event=int(found.line[0]),
            n=len(levels),
            metric=name,
            first=first,
            last=last,
            lowest=lowest,
        )


ZEROS = Threshold(10, "lines of exactly 0", "as many are no chance")


def _end_of_zeros(found: Course, size: float) -> int | None:
    """Where a loss falls to exactly 0 from one line to the next, and stays; one that crept there does not."""
    used = np.flatnonzero(found.value != 0)
    if not len(used) or len(found) - 1 - used[-1] < ZEROS:
        return None
    return int(used[-1]) + 1 if abs(found.value[used[-1]]) > FELL * size else None


def _is_still(log: Log, pieces: list[Course], levels: Row) -> bool:
    """Whether nothing was learned since the first epoch. Where the beginning is missing, it may be done."""
    whole = pieces[0].epoch[0] <= 1 and len({piece.epoch[0] for piece in pieces}) >= FEWEST_FOR_STILL
    third = max(1, len(levels) // 3)
    moved = abs(levels[:third].mean() - levels[-third:].mean())
    widest = levels.max() - levels.min()
    rates = course(log, "lr")
    return bool(
        whole
        and moved < STILL * abs(levels[0])
        and widest < NOISY * abs(levels[0])
        and (not len(rates) or rates.value.any())
    )


GROWN = Threshold(100, "times the norm before", "training raises it by ten, hardly by more", healthy=12.0)


@check("LOG022", tier="run")
def gradient_norms_stay_bounded(target: Target) -> Findings:
    """The norm of the gradients neither grows by orders of magnitude nor is without a finite value.

    ## Why it matters
    A norm that grows a hundredfold comes before a loss that is not finite. A norm that is not finite in a
    step now and then is a loss scaler at work; one that never is leaves out every step.

    ## How to fix
    Clip the gradients, lower the rate, or train in bfloat16.
    """
    yield from each_log(judged_logs(target), _gradients)


def _gradients(log: Log) -> Findings:
    alone(log)
    names = dict.fromkeys(
        name for part in log.phase("train") for name in part.names if is_gradient_norm(name)
    )
    if not names:
        raise Skip("no norm of gradients in {log}", log=log.path)
    for name in names:
        parts = [part for part in log.phase("train") if name in part.names]
        spans = [span for part in parts if (span := part.span(name))]
        finite = [bool(np.isfinite([span.lowest, span.last_median]).any()) for span in spans]
        yield examined(len(spans), "epoch", metric=name)
        never = next((i for i in range(len(finite)) if not any(finite[i:])), len(finite))
        if log.source == "text" and len(finite) - never >= 2:
            yield error(
                "{metric} is never finite from epoch {epoch} on: every step is left out",
                hint="train in bfloat16, or start the loss scaler lower",
                at=Place(log.path, spans[never].first_line),
                event=spans[never].first_line,
                metric=name,
                epoch=parts[never].epoch,
            )
            continue
        found = course(log, name)
        pieces, levels = found.pieces(), np.array([np.median(piece.value) for piece in found.pieces()])
        if not len(levels):
            continue
        before, after = float(np.median(levels[: max(1, len(levels) // 3)])), float(levels[-2:].min())
        if before > 0 and after > GROWN * before:
            above = next(i for i in range(len(levels)) if levels[i] > GROWN * before)
            yield warning(
                "{metric} grows from {before:.3g} to {after:.3g}",
                hint="clip the gradients, or lower train_params.lr",
                at=Place(log.path, int(pieces[above].line[0])),
                event=int(pieces[above].line[0]),
                metric=name,
                before=before,
                after=after,
            )


FEWEST_TIMES = Threshold(20, "metric lines", "quarters of fewer hold chance")
SLOWER = Threshold(
    2.0, "times the time of a step at first", "other jobs on the machine explain less", healthy=1.3
)
FIRST_STEPS = 20  # the average of `time` holds the start of the workers before


@check("LOG023", tier="run")
def steps_keep_their_speed(target: Target) -> Findings:
    """Steps take as long at the end of a launch as at its beginning.

    ## Why it matters
    Steps that become ever slower have a cause that grows: a list that is kept, a disk that fills, memory
    that is swapped, a GPU that is throttled. The training will not end when its first hour said.

    ## How to fix
    See whether `data` grows with `time` (the loader, the disk) or not (the step itself, the GPU's clock).
    """
    yield from each_log(judged_logs(target), _speed)


def _speed(log: Log) -> Findings:
    alone(log)
    found = course(log, "time", log.trained[-1:])
    long = (found.step >= FIRST_STEPS) & (found.value > 0)
    found = found.part(long if long.sum() >= FEWEST_TIMES else found.value > 0)
    if len(found) < FEWEST_TIMES:
        raise Skip(
            "{n:line|lines} with the time of a step in {log}, too few to judge", n=len(found), log=log.path
        )
    yield examined(len(found), "metric line")
    quarters = [float(np.median(part)) for part in np.array_split(found.value, 4)]
    if quarters[-1] > SLOWER * quarters[0] and quarters[-1] > 0.9 * max(quarters):
        line = int(found.line[np.flatnonzero(found.value > SLOWER * quarters[0])[0]])
        loads = course(log, "data", log.trained[-1:])
        load = (
            [float(np.median(part)) for part in np.array_split(loads.value, 4)] if len(loads) else [0.0] * 4
        )
        by_loading = load[-1] - load[0] > 0.5 * (quarters[-1] - quarters[0])
        yield warning(
            "steps become slower: {first:.3g} s at first, {last:.3g} s at the end",
            hint="see why loading becomes slower: it takes most of what was added"
            if by_loading
            else "see what grows with each step, and whether the GPU's clock falls: nvidia-smi -q -d CLOCK",
            at=Place(log.path, line),
            event=line,
            first=quarters[0],
            last=quarters[-1],
        )


FEWEST_RECORDS = Threshold(12, "metric lines", "quarters of fewer show no trend")
LEAST_GROWTH = Threshold(0.1, "of the memory at first", "the caching allocator moves by less", healthy=0.04)


@check("LOG024", tier="run")
def memory_does_not_grow(target: Target) -> Findings:
    """The memory that a launch holds does not grow evenly with its steps.

    ## Why it matters
    `max mem` is a record: it steps up when a larger batch is drawn, and then stays. What grows by the same
    in every epoch is kept: a loss that is summed up with its graph, a list of outputs. It ends out of memory,
    and no smaller batch helps.

    ## How to fix
    Sum up `loss.item()`, detach what is kept, and empty lists after each epoch.
    """
    yield from each_log(judged_logs(target), _memory)


def _memory(log: Log) -> Findings:
    alone(log)
    found = course(log, "max mem", log.trained[-1:])
    if len(found) < FEWEST_RECORDS:
        raise Skip("{n:line|lines} with `max mem` in {log}, too few to judge", n=len(found), log=log.path)
    yield examined(len(found), "metric line")
    growth = memory_growth(log)
    if growth is None or growth.last - growth.first <= LEAST_GROWTH * growth.first:
        return
    epochs = planned_epochs(log)
    said = Text(
        "max mem rises by {each:.0f} MiB an epoch, from {first:.0f} to {last:.0f} MiB in {epochs:.3g} "
        "epochs of equal "
        "work: something keeps graphs or outputs",
        each=growth.per_epoch,
        first=growth.first,
        last=growth.last,
        epochs=growth.epochs,
    )
    if epochs and epochs - found.at[-1] > 0.5:
        said = Text(
            "{said}; after all {epochs:g} epochs it would be {then:.0f} MiB",
            said=said,
            epochs=epochs,
            then=growth.last + growth.per_epoch * (epochs - float(found.at[-1])),
        )
    yield warning(
        said,
        hint="sum up loss.item() instead of the loss, and detach what is kept",
        at=Place(log.path, growth.line),
        event=growth.line,
    )
