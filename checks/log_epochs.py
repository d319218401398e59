"""Log: epochs and their lines, their lengths and order from one launch to the next, and their evaluations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePosixPath

from opv2v_doctor import (
    Blocked,
    Finding,
    Findings,
    Override,
    Place,
    Skip,
    Target,
    Text,
    check,
    counted,
    error,
    examined,
    note,
    sentence,
    warning,
)
from opv2v_doctor.facts.past.logs import alone, config_of, each_log, judged_logs, text_logs, unknown_logs
from opv2v_doctor.facts.past.logs.epoch_parts import EpochPart
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.metric_names import is_score
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
    alone(log)
    for before, after in pairwise(counted):
        if before.steps != after.steps and not _is_another(log, before, after):
            yield _other_length(log, before, after, run_config(log))
    for segment in counted:
        parts = [part for part in log.phase("train") if part.segment == segment.number]
        yield examined(len(parts), "epoch", launch=segment.number)


def _is_another(log: Log, before: Segment, after: Segment) -> bool:
    """Whether a training came to its end before, and what follows does not go on from there."""
    ended = any(before.last_line < end.line < after.first_line for end in log.of("end"))
    return ended and after.first[0] != before.last[0] + 1


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
    alone(log)
    odd = [(after, what) for before, after in pairwise(log.trained) if (what := _oddity(before, after))]
    if odd and not _is_every_so_many(log):
        yield _renumbering(log, *odd[0], more=len(odd) - 1)
    yield examined(max(0, len(log.phase("train")) - 1), "epoch change")


def _is_every_so_many(log: Log) -> bool:
    """Whether only every so many epochs are logged."""
    gaps = {after.first[0] - before.last[0] for before, after in pairwise(log.trained)}
    return len(gaps) == 1 and min(gaps) > 1 and len(log.trained) > 2


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
    ignored = bool(loaded) and segment.first[0] == 0
    if ignored:
        what = Text("{what}, though {file} was loaded", what=what, file=PurePosixPath(loaded[-1].value).name)
    return (error if ignored else warning)(
        "the launch that trains from here {what}; {more:other launch does|other launches do} not go on either"
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
    overlap = log.overlap
    if overlap is None:
        judged = [launch for launch in log.trained if launch.stride]
        if log.trained and not judged:
            raise Skip("{log} has one line per epoch: two trainings at once would not show", log=log.path)
        yield examined(len(judged), "launch")
        return
    one, other = overlap
    yield error(
        "another training starts here, while the one of line {start} goes on"
        if not (one.steps and other.steps)
        else "another training starts here, while the one of line {start} goes on to line {end} "
        "({one} and {other} steps per epoch)",
        hint="stop one of them, and give it another hydra.run.dir",
        at=Place(log.path, other.first_line),
        event=other.first_line,
        start=one.first_line,
        end=one.last_line,
        one=one.steps,
        other=other.steps,
    )


SHOWN = 5  # launches
SHOWN_LINES = 3


@check("LOG003", tier="run")
def every_metric_line_can_be_read(target: Target) -> Findings:
    """Every line that looks like metrics can be read.

    ## Why it matters
    What cannot be read is not guessed at: it is missing from the table and from every verdict. docs/logs.md
    lists the layouts that are known. Lines of other trainers are said to be unread.

    ## How to fix
    See what the lines that are shown have that the expected ones have not: often another text runs into them.
    """
    for log in unknown_logs(target):
        raise (Blocked if target.logs else Skip)(
            "nothing in {log} is known here, such as {lines}; expected {expected}",
            hint=Text("metrics of {trainer} are not read", trainer=log.unread[0])
            if log.unread
            else Text("name a log that a training printed: docs/logs.md lists what is read"),
            at=Place(log.path, log.sample[0][0]) if log.sample else log.path,
            log=log.path,
            lines=[text for _, text in log.sample],
            expected=EXPECTED,
        )
    yield from each_log(judged_logs(target), _lines)


EXPECTED = "Epoch: [0]  [ 20/100]  eta: 0:01:20  lr: 0.0001  loss: 2.3 (2.4)"


def _lines(log: Log) -> Findings:
    if log.source == "events":
        raise Skip("{log} holds events, not lines", log=log.path)
    if log.unparsed_count:
        yield warning(
            "{n:line looks|lines look} like metrics and cannot be read, first: {said}; expected {expected}",
            hint="see what these lines have that others have not: often another text runs into them",
            at=Place(log.path, log.unparsed[0][0]),
            n=log.unparsed_count,
            said=[text[:160] for _, text in log.unparsed[:SHOWN_LINES]],
            expected=EXPECTED,
        )
    if log.unread:
        trainer, line, count = log.unread
        yield note(
            "{n:line|lines} of metrics of {trainer}, which are not read",
            at=Place(log.path, line),
            n=count,
            trainer=trainer,
        )
    if log.cut:
        line, text = log.cut
        yield note(
            "the last line lacks its end: {said}", at=Place(log.path, line), event=line, said=text[:80]
        )
    yield note(_summary(log.lines, log.trained), at=log.path)
    yield examined(log.unparsed_count + sum(part.count for part in log.parts), "metric line")


def _summary(lines: int, launches: Sequence[Segment]) -> Text:
    """What was read."""
    read = Text(
        "{lines}, {launches} that trained",
        lines=counted(lines, "line"),
        launches=counted(len(launches), "launch"),
    )
    return sentence([read, *map(_launch, launches[:SHOWN])])


def _launch(launch: Segment) -> Text:
    return Text(
        "line {line}: {cause}, epoch {first} to {last}, {steps} steps per epoch"
        if launch.steps
        else "line {line}: {cause}, epoch {first} to {last}",
        line=launch.place,
        cause=launch.cause,
        first=launch.first[0],
        last=launch.last[0],
        steps=launch.steps,
    )


BEST = "checkpoint-best.pth"


@check("LOG008", tier="run")
def configured_evaluation_ran(target: Target) -> Findings:
    """The evaluation that the config asks for ran.

    ## Why it matters
    Without it no best checkpoint is chosen, and nothing tells that the training learns by heart.

    ## How to fix
    `train_params.eval_freq=1`, and a set in `dataset.test_dataset`.
    """
    yield from each_log(text_logs(target), _evaluations)


def _evaluations(log: Log) -> Findings:
    config = config_of(log)
    every = int(config.number("train_params.eval_freq") or 0)
    if every <= 0:
        raise Skip("train_params.eval_freq asks for no evaluation", at=config.place)
    if not any(mark in config.text("dataset.test_dataset") for mark in "(@"):
        raise Skip("the config in the log names no set in dataset.test_dataset", at=config.place)
    due = _due(log, every)
    if not due:
        raise Skip("the training did not go on after an epoch that an evaluation was due after")
    missing = [part for part, until in due if not _has_evaluation(log, part.last_line, until)]
    ran = len(due) - len(missing)
    yield examined(ran, "evaluation")
    if ran == 0 or len(missing) > 1:  # one less may be the first or the last epoch's
        yield warning(
            "{ran} of {due:evaluation|evaluations} ran that eval_freq={every} asks for; the first that is "
            "missing was due after epoch {epoch}",
            hint="see whether dataset.test_dataset gets a loader: `check CFG006` in the training repository",
            at=Place(log.path, missing[0].last_line),
            event=missing[0].last_line,
            ran=ran,
            due=len(due),
            every=every,
            epoch=missing[0].epoch,
        )


def _due(log: Log, every: int) -> list[tuple[EpochPart, int]]:
    """The epochs after which an evaluation was due, and the line before which: a kill may have come first."""
    parts = log.phase("train")
    ends = [end.line for end in log.of("end") if parts and end.line > parts[-1].last_line]
    followed = [(part, after.first_line) for part, after in pairwise(parts) if part.segment == after.segment]
    followed += [(parts[-1], ends[-1])] if ends else []
    return [(part, line) for part, line in followed if part.is_whole and (part.epoch + 1) % every == 0]


def _has_evaluation(log: Log, after: int, before: int) -> bool:
    return any(after < part.first_line < before for part in log.phase("test"))


@check("LOG009", tier="run")
def best_checkpoint_is_the_best(target: Target) -> Findings:
    """checkpoint-best.pth was written after the best epoch.

    ## Why it matters
    What is evaluated and published is that file. Where it was never written, or after another epoch, it is
    not what it is called.

    ## How to fix
    Evaluate the numbered checkpoint of the best epoch instead.
    """
    yield from each_log(text_logs(target), _best)


def _best(log: Log) -> Findings:
    if not log.of("save"):
        raise Skip("no line of {log} says that a checkpoint was saved", log=log.path)
    tests = log.phase("test")
    if any(part.number for part in tests):  # the training averages them, each weighing the same
        raise Skip("several sets are evaluated: the mean that chooses the best is not in {log}", log=log.path)
    written = [save.line for save in log.of("save") if save.value.endswith(BEST)]
    judged = [one for name in _deciding(tests) if (one := _best_of(tests, name, written))]
    if not judged:
        raise Skip("no evaluation with a loss in {log}", log=log.path)
    name, value, best, _ = judged[0]
    if not _goes_on(log, best):
        raise Skip(
            "the log ends before checkpoint-best.pth could be written", at=Place(log.path, best.last_line)
        )
    spans = [span for part in tests if (span := part.span(name))]
    yield examined(sum(math.isfinite(span.last_median) for span in spans), "evaluation")
    if not any(fits for *_, fits in judged):
        last = Text("never written")
        if written:
            last = Text("last written in line {line}", line=written[-1])
        yield warning(
            "epoch {epoch} is the best (median {name} {value:g}); checkpoint-best.pth was {last}",
            hint=_instead(log, best.epoch),
            at=Place(log.path, best.last_line),
            event=best.last_line,
            epoch=best.epoch,
            name=name,
            value=value,
            last=last,
        )


def _deciding(tests: Sequence[EpochPart]) -> list[str]:
    """What may decide which evaluation is the best: the loss, and every score."""
    return ["loss", *dict.fromkeys(name for part in tests for name in part.names if is_score(name))]


def _best_of(
    tests: Sequence[EpochPart], name: str, written: Sequence[int]
) -> tuple[str, float, EpochPart, bool] | None:
    """The best evaluation by a metric, and whether the best checkpoint was last written after its equal."""
    values = [(span.last_median, part) for part in tests if (span := part.span(name))]
    finite = [(value, part) for value, part in values if math.isfinite(value)]
    if not finite:
        return None
    best_of = max if is_score(name) else min
    value, best = best_of(finite, key=lambda test: test[0])
    before = [test for test in finite if written and test[1].last_line < written[-1]]
    return name, value, best, bool(before) and before[-1][0] == value


def _goes_on(log: Log, test: EpochPart) -> bool:
    """Whether the training went on after an evaluation, so that it had the time to save."""
    return bool(log.of("end")) or any(part.first_line > test.last_line for part in log.phase("train"))


def _instead(log: Log, epoch: int) -> Text:
    """The checkpoint of an epoch, if one was kept."""
    name = f"checkpoint-{epoch}.pth"
    if any(PurePosixPath(save.value).name == name for save in log.of("save")):
        return Text("use {file}", file=name)
    return Text("keep every epoch in the next training: {keep}", keep=Override("train_params.keep_freq=1"))
