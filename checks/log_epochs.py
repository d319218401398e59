"""Log: epochs, their lengths and their order, from one launch to the next."""

from itertools import pairwise

from opv2v_doctor import (
    Finding,
    Findings,
    Override,
    Place,
    Skip,
    Target,
    Text,
    check,
    error,
    examined,
    sentence,
    warning,
)
from opv2v_doctor.facts.past.logs import each_log, judged_logs
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.run_configs import RunConfig, explaining_gpus, run_config
from opv2v_doctor.facts.past.logs.segments import Segment


@check("LOG005", tier="run")
def epochs_keep_their_length(target: Target) -> Findings:
    """All launches of one training have the same number of steps per epoch.

    ## Why it matters
    Steps per epoch follow from the number of GPUs. The learning rate follows the epoch: the same warm-up and
    the same cosine are then another number of updates, and the run is not the one that was planned.

    ## How to fix
    Resume on the number of GPUs that it began with, or choose the dataset config whose epoch has the old
    length on the new number: samples = steps * GPUs * batch.
    """
    yield from each_log(judged_logs(target), _lengths)


def _lengths(log: Log) -> Findings:
    counted = [segment for segment in log.trained if segment.steps]
    if not counted:
        raise Skip("no steps per epoch in {log}", log=log.path)
    _alone(log)
    for before, after in pairwise(counted):
        if before.steps != after.steps:
            yield _other_length(log, before, after, run_config(log))
    for segment in counted:
        parts = [part for part in log.phase("train") if part.segment == segment.number]
        yield examined(len(parts), "epoch", launch=segment.number)


def _alone(log: Log) -> None:
    """Raises Skip where two trainings are at work at once: their epochs say nothing about each other."""
    if _at_work_at_once(log):
        raise Skip("two trainings write into {log}: see LOG007", log=log.path)


def _at_work_at_once(log: Log) -> tuple[Segment, Segment] | None:
    """The first launch that goes on after the next one has begun, and that one."""
    pairs = pairwise(log.segments)
    return next(((one, other) for one, other in pairs if other.first_line < one.last_line), None)


def _other_length(log: Log, before: Segment, after: Segment, config: RunConfig | None) -> Finding:
    gpus, batch = explaining_gpus(before.steps, after.steps, config)
    change = Text(
        "steps per epoch dropped from {before} (line {line}) to {after}"
        if after.steps < before.steps
        else "steps per epoch rose from {before} (line {line}) to {after}",
        before=before.steps,
        line=before.first_line,
        after=after.steps,
    )
    hint = Text("keep the samples of an epoch, the batch and the number of GPUs as they were")
    if gpus:
        samples = (
            Text("{n:_}", n=before.steps * gpus[1] * batch)
            if batch
            else Text("{n:_} x batch", n=before.steps * gpus[1])
        )
        hint = Text(
            "resume on {before:GPU|GPUs}, or give an epoch {samples} samples on {after}",
            before=gpus[0],
            samples=samples,
            after=gpus[1],
        )
        change = Text(
            "{change}, as when resuming on {after:GPU|GPUs} instead of {before}",
            change=change,
            before=gpus[0],
            after=gpus[1],
        )
    return error(
        sentence([change, _effect(before.steps, after.steps, config)]),
        hint=hint,
        at=Place(log.path, after.first_line),
        event=after.first_line,
        before=before.steps,
        after=after.steps,
        gpus=list(gpus),
    )


def _effect(before: int, after: int, config: RunConfig | None) -> Text:
    """What another length of an epoch does to a schedule that follows the epoch."""
    keys = ("train_params.warmup_epochs", "train_params.epochs")
    warmup, epochs = (config.number(key) if config else None for key in keys)
    if warmup is None or epochs is None:
        return Text("the schedule then takes {ratio:.2f} times as many updates", ratio=after / before)
    return Text(
        "the warm-up of {warmup:g} epochs then takes {now:.0f} updates instead of {then:.0f}, all {epochs:g} "
        "epochs take {all_now:.0f} instead of {all_then:.0f}",
        warmup=warmup,
        now=warmup * after,
        then=warmup * before,
        epochs=epochs,
        all_now=epochs * after,
        all_then=epochs * before,
    )


@check("LOG006", tier="run")
def epochs_follow_each_other(target: Target) -> Findings:
    """Epochs follow each other, from one launch to the next as well.

    ## Why it matters
    Epochs that are trained again, left out or counted anew make another schedule, and a second meaning for
    each number in the log and on the checkpoints.

    ## How to fix
    Resume from the last checkpoint (`train_params.resume=true`, the same run directory), or give a training
    that starts anew a directory of its own.
    """
    yield from each_log(judged_logs(target), _order)


def _order(log: Log) -> Findings:
    if log.source == "events":
        raise Skip("{log} holds events, without the order of launches", log=log.path)
    _alone(log)
    odd = [
        (after, what)
        for before, after in pairwise(log.trained)
        if (what := _oddity(before, after)) is not None
    ]
    for template in dict.fromkeys(what.template for _, what in odd):
        alike = [one for one in odd if one[1].template == template]
        yield _renumbering(log, *alike[0], more=len(alike) - 1)
    yield examined(max(0, len(log.phase("train")) - 1), "epoch change")


def _oddity(before: Segment, after: Segment) -> Text | None:
    """What is wrong with the epoch that a launch begins with."""
    finished = before.last[0] if _is_finished(before) else before.last[0] - 1
    first = after.first[0]
    if first == 0 and finished > 0:
        return Text("counts from epoch 0 again; epoch {finished} was finished", finished=finished)
    if first == finished:
        return Text("trains epoch {first} again", first=first)
    if first < finished:
        return Text("trains epochs {first} to {finished} again", first=first, finished=finished)
    if first > finished + 1:
        return Text(
            "starts at epoch {first}; epoch {finished} was finished last"
            if finished >= 0
            else "starts at epoch {first}; no epoch was finished",
            first=first,
            finished=finished,
        )
    return None


def _is_finished(segment: Segment) -> bool:
    """Whether a launch finished the last epoch that it speaks of."""
    return not segment.steps or segment.last[1] + max(segment.stride, 1) >= segment.steps


def _renumbering(log: Log, segment: Segment, what: Text, *, more: int) -> Finding:
    launch = log.launch_of(segment.first_line)
    loaded = [one for one in log.of("resume") if log.launch_of(one.line) == launch]
    hint = Text(
        "resume from checkpoint-last.pth in the same run directory: {resume}",
        resume=Override("train_params.resume=true"),
    )
    if loaded:  # it was resumed already
        hint = Text(
            "see why the epoch stored in {file} is not used: line {line} loads it",
            file=loaded[-1].value,
            line=loaded[-1].line,
        )
    return warning(
        "the launch that trains from here {what}; so do {more} more"
        if more
        else "the launch that trains from here {what}",
        hint=hint,
        at=Place(log.path, segment.first_line),
        event=segment.first_line,
        what=what,
        more=more,
        epoch=segment.first[0],
    )


@check("LOG007", tier="run")
def one_training_writes_the_log(target: Target) -> Findings:
    """One training at a time writes into the log.

    ## Why it matters
    Two trainings in one run directory overwrite each other's checkpoints: what is left is from neither.

    ## How to fix
    Give each launch a directory of its own: `hydra.run.dir=DIR`.
    """
    yield from each_log(judged_logs(target), _at_once)


def _at_once(log: Log) -> Findings:
    if log.source == "events":
        raise Skip("{log} holds events, without the order of launches", log=log.path)
    overlap = _at_work_at_once(log)
    if overlap is None:
        judged = [launch for launch in log.trained if launch.stride]
        if log.trained and not judged:
            raise Skip("{log} has one line per epoch: two trainings at once would not show", log=log.path)
        yield examined(len(judged), "launch")
        return
    one, other = overlap
    yield error(
        "another training starts here, while the one of line {start} goes on to line {end} "
        "({one} and {other} steps per epoch)",
        hint="stop one of them, and give it another hydra.run.dir",
        at=Place(log.path, other.first_line),
        event=other.first_line,
        start=one.first_line,
        end=one.last_line,
        one=one.steps,
        other=other.steps,
    )
