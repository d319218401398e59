"""Checkpoint: what the last run saved, read without running anything that is in it."""

import datetime
import time
from itertools import pairwise

from opv2v_doctor import Finding, Findings, Skip, Target, check, error, note, warning
from opv2v_doctor.facts.checkpoints import (
    Checkpoint,
    CheckpointUnreadable,
    read_checkpoint,
    resumable,
    strangers,
)
from opv2v_doctor.facts.checkpoints.counters import (
    Counters,
    counters,
    global_step_agrees,
    implied_steps_per_epoch,
)
from opv2v_doctor.facts.runs import BEST, LAST, EpochLength, epoch_lengths, last_run, leftovers, saved

SHOWN = 10  # the rest is in the evidence


@check("CKP001", tier="run", requires=["CFG001"])
def checkpoints_can_be_read(target: Target) -> Findings:
    """Every checkpoint can be read, and loading it would run nothing but torch.

    ## Why it matters
    A truncated checkpoint shows when the resume needs it. And a checkpoint is a pickle: `torch.load` with
    `weights_only=False`, which these trainings need, calls whatever function the file names.

    ## How to fix
    Restore the file from a copy, or resume from an intact one. Never load a file that names a function of the
    system: find out who wrote it.
    """
    paths = saved(target)
    for path in paths:
        try:
            yield from _contents(target, read_checkpoint(path))
        except CheckpointUnreadable as reason:
            hint = f"remove it, and resume from an intact checkpoint: rm '{path}'"
            yield error(f"{path.name} cannot be read: {reason}", path=path, hint=hint)
    yield note(f"{len(paths)} checkpoints in {paths[0].parent}: {', '.join(path.name for path in paths)}")


def _contents(target: Target, checkpoint: Checkpoint) -> Findings:
    strange = strangers(target, checkpoint)
    ours = [name for name in checkpoint.foreign if name not in strange]
    path, name, problems = checkpoint.path, checkpoint.path.name, checkpoint.problems
    if strange:
        hint = "do not load it; find out who wrote it, and restore the checkpoint from a copy"
        said = f"loading {name} would run {', '.join(strange[:SHOWN])}"
        yield error(said, path=path, hint=hint, names=strange)
    if problems:
        said = f"{name} is damaged: {problems[0]} ({len(problems)} of this kind)"
        yield error(said, path=path, hint="resume from an intact checkpoint")
    if ours:
        yield note(f"loading {name} needs the repository's own {', '.join(ours)}", path=path)


@check("CKP002", tier="run", requires=["CFG001"])
def steps_and_epochs_agree(target: Target) -> Findings:
    """Epoch, optimizer steps and steps an epoch agree in every checkpoint.

    ## Why it matters
    These checkpoints hold no global step, but AdamW counts its own updates. Where they are not (epoch + 1)
    times the steps of an epoch, the optimizer was not restored at a resume, or epochs had different lengths
    because the number of GPUs changed. The learning rate follows the epoch: that is then another training.

    ## How to fix
    Keep the steps an epoch when the number of GPUs changes (choose the dataset config for that world size).
    Where the optimizer was not restored, resume again from the last checkpoint that agrees.
    """
    counted = [c for c in resumable(target) if c.epoch is not None and c.optimizer_steps]
    if not counted:
        raise Skip("no checkpoint holds an epoch and optimizer steps")
    lengths = epoch_lengths(counted[0].path.parent)
    usual = lengths[0].steps if lengths else target.settings.steps_per_epoch
    yield from _changes(lengths)
    yield from _global_steps(counted)
    if usual is None:
        yield _among(counted)
        return
    for checkpoint in counted:
        found = counters(checkpoint, lengths, usual)
        if not found.agree:
            yield _disagreement(found, lengths)


def _changes(lengths: tuple[EpochLength, ...]) -> Findings:
    for before, after in pairwise(lengths):
        if before.steps != after.steps:
            said = f"epoch {after.epoch} has {after.steps} steps, epoch {before.epoch} had {before.steps}"
            hint = f"keep the number of GPUs, or choose the dataset length that gives {before.steps} steps"
            yield warning(said, path=after.log, line=after.line, hint=hint)


def _global_steps(counted: list[Checkpoint]) -> Findings:
    """The recovered global step, and stored ones that contradict the optimizer."""
    for checkpoint in counted:
        if not global_step_agrees(checkpoint):
            said = f"global step {checkpoint.global_step}, but {checkpoint.steps} optimizer steps"
            hint = "resume from a checkpoint whose counters agree"
            yield error(said, path=checkpoint.path, hint=hint)
    newest = max(counted, key=lambda c: c.steps)
    least, most = newest.optimizer_steps or (0, 0)
    if newest.global_step is None:
        said = f"no global step is stored; recovered from the optimizer: {newest.counted}"
        yield note(said, path=newest.path, steps={c.path.name: c.steps for c in counted})
    if least < most:
        yield note(f"some parameters were updated only {least} of {most} times", path=newest.path)


def _disagreement(found: Counters, lengths: tuple[EpochLength, ...]) -> Finding:
    """Only a hazard where the log begins later: epochs before it may have had another length."""
    begins = f"; the log begins at epoch {lengths[0].epoch}" if lengths and lengths[0].epoch else ""
    return (warning if begins else error)(
        f"{found.checkpoint.counted}, expected {found.expected} ({found.sum}){begins}",
        path=found.checkpoint.path,
        hint="find the resume that did not restore the optimizer or changed the number of GPUs, "
        "and resume again from a checkpoint before it",
        epoch=found.checkpoint.epoch,
        optimizer_steps=found.checkpoint.steps,
        expected=found.expected,
    )


def _among(counted: list[Checkpoint]) -> Finding:
    """Without a log and a planned length, checkpoints can only be compared with one another."""
    implied = {c.path.name: implied_steps_per_epoch(c) for c in counted}
    said = ", ".join(f"{name} {steps:g}" for name, steps in implied.items())
    if len(set(implied.values())) == 1 and float(implied[counted[0].path.name]).is_integer():
        return note(f"implied steps an epoch: {said}", implied=implied)
    hint = "put the run's train.log beside them, or set steps_per_epoch in opv2v-doctor.toml"
    said = f"implied steps an epoch differ or are no whole number: {said}"
    return warning(said, path=counted[-1].path, hint=hint, implied=implied)


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
    yield from _out_of_order(numbered)
    if not numbered:
        return
    newest = max(numbered, key=lambda c: c.progress)
    copy = f"cp '{newest.path}' '{newest.path.with_name(LAST)}'"
    if last is None:
        said = f"no readable {LAST} beside {newest.path.name}: a resume starts from scratch"
        yield warning(said, path=newest.path.parent, hint=copy)
    elif last.is_behind(newest):
        said = f"{LAST} holds {last.counted}, {newest.path.name} {newest.counted}"
        yield error(said, path=last.path, hint=f"before a resume: {copy}")


def _out_of_order(numbered: list[Checkpoint]) -> Findings:
    for before, after in pairwise(numbered):
        if not before.is_behind(after):
            said = f"{after.path.name} holds {after.counted}, {before.path.name} {before.counted}"
            hint = "give each run its own directory (hydra.run.dir=DIR); move the older run's files away"
            yield error(said, path=after.path, hint=hint)


@check("CKP004", tier="run", requires=["CFG001"])
def no_killed_save_is_left(target: Target) -> Findings:
    """No save that was killed left its temporary file behind.

    ## Why it matters
    The training writes `NAME.pth.tmp` and renames it. One that stays means that the run was killed while it
    saved: the checkpoint before it is what a resume gets, and the leftover takes its room on the disk.

    ## How to fix
    When no training runs in that directory any more, remove the file.
    """
    if last_run(target) is None:
        saved(target)
    for path in leftovers(target):
        stat = path.lstat()
        age = datetime.timedelta(seconds=max(0, int(time.time() - stat.st_mtime)))
        said = f"{path.name}: {stat.st_size / 1e6:.1f} MB, written {age} ago"
        hint = f"when no training runs there any more: rm '{path}'"
        yield warning(said, path=path, hint=hint, bytes=stat.st_size)


@check("CKP005", tier="run", requires=["CFG001"])
def a_resume_finds_optimizer_and_scaler(target: Target) -> Findings:
    """Every checkpoint that a resume may take holds the optimizer and the scaler.

    ## Why it matters
    Without AdamW's moments the first steps after a resume are those of a cold start, at the full rate.

    ## How to fix
    Save `optimizer` and `scaler` with the model; resume from a checkpoint that has them.
    """
    for checkpoint in resumable(target):
        held = {"optimizer": checkpoint.has_optimizer, "scaler": checkpoint.has_scaler}
        if missing := [part for part, there in held.items() if not there]:
            said = f"{checkpoint.path.name} holds no state of {' and '.join(missing)}"
            hint = "save the state of model, optimizer and scaler; resume from a checkpoint that has all"
            judged = note if checkpoint.path.name == BEST else error  # a resume takes the last one
            yield judged(said, path=checkpoint.path, hint=hint, missing=missing)
