"""Checkpoint: epochs and steps, in each file by itself and from one to the next."""

from collections.abc import Sequence
from itertools import pairwise

from opv2v_doctor import (
    Blocked,
    Finding,
    Findings,
    Place,
    Skip,
    Target,
    Text,
    check,
    error,
    examined,
    note,
    warning,
)
from opv2v_doctor.facts.past.checkpoints import Checkpoint, resumable
from opv2v_doctor.facts.past.checkpoints.counters import (
    OptimizerCounters,
    counters,
    global_step_agrees,
    implied_steps_per_epoch,
)
from opv2v_doctor.facts.past.checkpoints.unreadable import copying, few
from opv2v_doctor.facts.past.runs import BEST, LAST, EpochLength, epoch_lengths

LENGTH = Text("put the run's train.log beside the checkpoints, or set steps_per_epoch in opv2v-doctor.toml")


@check("CKP002", tier="run", requires=["CFG001"])
def steps_and_epochs_agree(target: Target) -> Findings:
    """Epoch, optimizer steps and steps per epoch agree in every checkpoint that counts them.

    ## Why it matters
    These checkpoints hold no global step, but AdamW counts its own updates. Where they are not (epoch + 1)
    times the steps of an epoch, the optimizer was not restored at a resume, or epochs had different lengths
    because the number of GPUs changed. The learning rate follows the epoch: that is then another training.

    ## How to fix
    Keep the steps per epoch when the number of GPUs changes (choose the dataset config for that world size).
    Where the optimizer was not restored, resume again from the last checkpoint that agrees.
    """
    found = resumable(target)
    counted = [c for c in found if c.epoch is not None and c.optimizer_steps]
    if not counted:
        raise Skip("no checkpoint holds an epoch and optimizer steps")
    if uncounted := [c.path.name for c in found if c not in counted]:
        yield note("without an epoch or optimizer steps: {names}", names=few(uncounted))
    lengths = epoch_lengths(counted[0].path.parent)
    usual = lengths[0].steps if lengths else target.settings.steps_per_epoch
    yield from _changes(lengths)
    yield from _global_steps(counted)
    if usual is None:
        yield from _among(counted)
        return
    yield examined(len(counted), "checkpoint")
    every = [counters(checkpoint, lengths, usual) for checkpoint in counted]
    for each in every:
        if not each.agree:
            yield _disagreement(each, lengths, [one.checkpoint for one in every if one.agree])


def _changes(lengths: tuple[EpochLength, ...]) -> Findings:
    for before, after in pairwise(lengths):
        if before.steps != after.steps:
            yield warning(
                "{steps} steps per epoch from epoch {epoch} on, {before} until epoch {last}",
                at=Place(after.log, after.line),
                hint="resume on the number of GPUs, or with the dataset config, that gives {before} steps",
                event=after.line,
                steps=after.steps,
                epoch=after.epoch,
                before=before.steps,
                last=before.epoch,
            )


def _global_steps(counted: Sequence[Checkpoint]) -> Findings:
    """The recovered global step, and stored ones that contradict the optimizer."""
    for checkpoint in counted:
        if not global_step_agrees(checkpoint):
            yield error(
                "global step {stored}, but {steps} optimizer steps",
                at=checkpoint.path,
                hint="resume from a checkpoint whose counters agree",
                stored=checkpoint.global_step,
                steps=checkpoint.steps,
            )
    newest = max(counted, key=lambda c: c.steps)
    least, most = newest.optimizer_steps or (0, 0)
    if newest.global_step is None:
        yield note(
            "no global step is stored; the optimizer has counted {counted}",
            at=newest.path,
            counted=newest.counted,
            steps={c.path.name: c.steps for c in counted},
        )
    if least < most:
        yield note(
            "some parameters were updated only {least} of {most} times",
            at=newest.path,
            least=least,
            most=most,
        )


def _disagreement(
    found: OptimizerCounters, lengths: tuple[EpochLength, ...], agreeing: Sequence[Checkpoint]
) -> Finding:
    """Only a hazard where the log begins later: epochs before it may have had another length."""
    begins = lengths[0].epoch if lengths else 0
    said = Text(
        "{counted}, expected {expected} ({sum}); the log begins at epoch {begins}"
        if begins
        else "{counted}, expected {expected} ({sum})",
        counted=found.checkpoint.counted,
        expected=found.expected,
        sum=found.sum,
        begins=begins,
        epoch=found.checkpoint.epoch,
        optimizer_steps=found.checkpoint.steps,
    )
    hint = Text(
        "resume again from {newest}, whose counters agree"
        if agreeing
        else "find the resume that did not restore the optimizer, or changed the number of GPUs",
        newest=max(agreeing, key=lambda c: c.progress).path.name if agreeing else "",
    )
    return (warning if begins else error)(said, at=found.checkpoint.path, hint=hint)


def _among(counted: Sequence[Checkpoint]) -> Findings:
    """Without a log and a planned length, checkpoints can only be compared with one another."""
    implied = {c.path.name: implied_steps_per_epoch(c) for c in counted}
    shown = few([f"{name} {steps:g}" for name, steps in implied.items()])
    whole = all(float(steps).is_integer() for steps in implied.values())
    if len(set(implied.values())) > 1 or not whole:
        yield warning(
            "implied steps per epoch differ: {shown}"
            if whole
            else "implied steps per epoch are no whole number: {shown}",
            at=counted[-1].path,
            hint=LENGTH,
            shown=shown,
            implied=implied,
        )
    elif len({c.epoch for c in counted}) > 1:
        yield examined(len(counted), "checkpoint")
        yield note("implied steps per epoch: {shown}", shown=shown, implied=implied)
    else:
        raise Blocked(
            "neither a log nor a setting gives the steps per epoch, and all checkpoints are of epoch {epoch}",
            at=counted[-1].path,
            hint=LENGTH,
            epoch=counted[-1].epoch,
        )


@check("CKP003", tier="run", requires=["CFG001"])
def checkpoints_are_in_order(target: Target) -> Findings:
    """Numbered checkpoints are in order, and checkpoint-last.pth is the newest.

    ## Why it matters
    A resume takes checkpoint-last.pth, and only that. Where it is missing or older than a numbered one,
    epochs are trained twice or from scratch. Numbers out of order mean two runs in one directory.

    ## How to fix
    Give each run its own directory. Copy the newest intact checkpoint to checkpoint-last.pth before a resume.
    """
    found = [c for c in resumable(target) if c.epoch is not None and c.path.name != BEST]
    numbered = [c for c in found if c.path.name != LAST]
    last = next((c for c in found if c.path.name == LAST), None)
    if not numbered:
        raise Skip("no numbered checkpoint holds an epoch: there is nothing to compare")
    yield examined(len(found), "checkpoint")
    yield from _out_of_order(numbered)
    newest = max(numbered, key=lambda c: c.progress)
    path = newest.path.with_name(LAST)
    if last is None:
        yield warning(
            "{last} holds no epoch that can be read: a resume cannot go on from it"
            if path.exists()
            else "no {last} beside {newest}: a resume starts from scratch",
            at=path.parent,
            hint="before a resume: {command}",
            last=LAST,
            newest=newest.path.name,
            command=copying(newest.path, path),
        )
    elif last.is_behind(newest):
        yield error(
            "{last} holds {held}, {newest} holds {newer}",
            at=path,
            hint="before a resume: {command}",
            last=LAST,
            held=last.counted,
            newest=newest.path.name,
            newer=newest.counted,
            command=copying(newest.path, path),
        )


def _out_of_order(numbered: Sequence[Checkpoint]) -> Findings:
    for before, after in pairwise(numbered):
        if not before.is_behind(after):
            yield error(
                "{after} holds {later}, expected more than {before}, which holds {earlier}",
                at=after.path,
                hint="move the files of the other run away, and give each run its own hydra.run.dir",
                after=after.path.name,
                later=after.counted,
                before=before.path.name,
                earlier=before.counted,
            )
