"""Checkpoint: what the last run saved: its files, counters and arguments, read without running anything."""

from __future__ import annotations

import datetime
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from opv2v_doctor import (
    Blocked,
    Command,
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
    note,
    warning,
)
from opv2v_doctor.facts.launch.config import config, place
from opv2v_doctor.facts.launch.datasets import mean_the_same
from opv2v_doctor.facts.launch.leaves import ABSENT, Difference
from opv2v_doctor.facts.launch.loaders import differ_in_length_only
from opv2v_doctor.facts.launch.schedule import steps_per_epoch
from opv2v_doctor.facts.past.checkpoints import (
    Checkpoint,
    CheckpointUnreadable,
    read_checkpoint,
    readable,
    resumable,
    strangers,
)
from opv2v_doctor.facts.past.checkpoints.arguments import argument_differences, launch_config, launched_with
from opv2v_doctor.facts.past.checkpoints.counters import (
    OptimizerCounters,
    counters,
    global_step_agrees,
    implied_steps_per_epoch,
)
from opv2v_doctor.facts.past.checkpoints.presence import presence
from opv2v_doctor.facts.past.checkpoints.resuming import resuming_load
from opv2v_doctor.facts.past.checkpoints.unreadable import (
    CheckpointNotExamined,
    copying,
    few,
    remedy,
    stand_in,
)
from opv2v_doctor.facts.past.runs import (
    BEST,
    CHECKPOINTS,
    LAST,
    EpochLength,
    checkpoints,
    epoch_lengths,
    leftovers,
    number_of,
    saved_checkpoints,
)

NAMED = 12  # files in a sentence


@check("CKP001", tier="run", requires=["CFG001"])
def checkpoints_can_be_read(target: Target) -> Findings:
    """Every checkpoint holds all its tensors, and loading it would run nothing but torch.

    ## Why it matters
    A truncated checkpoint shows when the resume needs it. And a checkpoint is a pickle: `torch.load` with
    `weights_only=False`, which these trainings need, calls whatever function the file names.

    The pickle is read and its checksum compared, and each tensor that it names must be in the file at full
    length. The values of the tensors are not read here: CKP007 reads those of the newest checkpoint.

    ## How to fix
    Restore the file from a copy, or resume from an intact one. Never load a file that names a function of the
    system: find out who wrote it. Since torch 2.6, `torch.load` takes weights only, and refuses a file that
    holds more: give that of the resume `weights_only=False`, for files that you trust.
    """
    paths = saved_checkpoints(target)
    read: list[Checkpoint] = []
    for path in paths:
        try:
            checkpoint = read_checkpoint(path)
            found = presence(checkpoint)
        except CheckpointNotExamined as reason:
            yield warning(
                "{name} was not examined: {reason}",
                at=path,
                hint=reason.hint,
                name=path.name,
                reason=reason.reason,
            )
        except CheckpointUnreadable as reason:
            yield error(
                "{name} cannot be read: {reason}",
                at=path,
                hint=_cure(path),
                name=path.name,
                reason=reason.reason,
            )
        else:
            read.append(checkpoint)
            yield examined(1, "checkpoint")
            yield examined(found.tensors, "tensor")
            yield from _contents(target, checkpoint, found.absent or checkpoint.problems)
    yield from _refusal(target, read)
    yield note(
        "{n:checkpoint|checkpoints} in {folder}: {names}",
        n=len(paths),
        folder=paths[0].parent,
        names=few([path.name for path in paths], NAMED),
    )


def _refusal(target: Target, read: Sequence[Checkpoint]) -> Findings:
    """What the resume's own `torch.load` would not take."""
    refused = [checkpoint for checkpoint in read if checkpoint.refused]
    call = resuming_load(target) if refused else None
    if call is None:
        return
    newest = max(refused, key=lambda c: (c.path.name == LAST, *c.progress))
    yield error(
        "a resume stops here: {load} takes weights only, and {name} holds {names}",
        at=call,
        hint="give it weights_only=False, for files that you trust, or call torch.serialization."
        "add_safe_globals with these before it",
        load=call.text,
        name=newest.path.name,
        names=few(newest.refused),
        refused=list(newest.refused),
    )


def _contents(target: Target, checkpoint: Checkpoint, damage: Sequence[Text]) -> Findings:
    strange = strangers(target, checkpoint)
    ours = [name for name in checkpoint.foreign if name not in strange]
    path, name = checkpoint.path, checkpoint.path.name
    if strange:
        yield error(
            "loading {name} would run {shown}",
            at=path,
            hint="do not load it; find out who wrote it, and restore the checkpoint from a copy",
            name=name,
            shown=few(strange),
            names=strange,
        )
    if damage:
        yield error(
            "{name} is damaged in {n:place|places}: {problem}",
            at=path,
            hint=_cure(path),
            name=name,
            problem=damage[0],
            n=len(damage),
        )
    if ours:
        yield note("loading {name} needs the repository's own {ours}", at=path, name=name, ours=few(ours))


def _cure(path: Path) -> Text:
    """What brings back a checkpoint that is damaged."""
    if stand_in(path):
        return remedy(path)
    if not os.access(path, os.R_OK):
        return Text("make it a file that can be read, or remove it")
    intact = [other for other in sorted(path.parent.glob(CHECKPOINTS)) if _is_intact(other)]
    if path.name != LAST or not intact:
        return Text("restore it from a copy, or remove it")
    newest = max(map(read_checkpoint, intact), key=lambda other: other.progress)
    return Text("resume from the newest intact one: {command}", command=copying(newest.path, path))


def _is_intact(path: Path) -> bool:
    """Whether a numbered checkpoint can be read and holds all its tensors."""
    try:
        return number_of(path) is not None and not presence(read_checkpoint(path)).absent
    except CheckpointUnreadable:
        return False


@check("CKP004", tier="run", requires=["CFG001"])
def no_killed_save_is_left(target: Target) -> Findings:
    """No save that was killed left its temporary file behind.

    ## Why it matters
    The training writes `NAME.pth.tmp` and renames it. One that stays means that the run was killed while it
    saved: the checkpoint before it is what a resume gets, and the leftover takes its room on the disk.

    ## How to fix
    When no training runs in that directory any more, remove the file.
    """
    found = leftovers(target)
    whole = checkpoints(target) if found else saved_checkpoints(target)
    yield examined(len(found) + len(whole), "saved file")
    for path in found:
        stat = path.lstat()
        written = datetime.datetime.fromtimestamp(stat.st_mtime)
        yield warning(
            "{name} is left of a save that did not end: {megabytes:.1f} MB, last written {written}",
            at=path,
            hint="when no training runs there any more: {command}",
            name=path.name,
            megabytes=stat.st_size / 1e6,
            written=written.isoformat(" ", "seconds"),
            command=Command(f"rm {shlex.quote(str(path))}"),
            bytes=stat.st_size,
        )


@check("CKP005", tier="run", requires=["CFG001"])
def a_resume_finds_optimizer_and_scaler(target: Target) -> Findings:
    """Every checkpoint that a resume may take holds the optimizer and the scaler.

    ## Why it matters
    Without AdamW's moments the first steps after a resume are those of a cold start, at the full rate.

    ## How to fix
    Save `optimizer` and `scaler` with the model; resume from a checkpoint that has them.
    """
    found = resumable(target)
    taken = [c for c in found if c.path.name != BEST]  # a resume takes the last one
    yield examined(len(taken), "checkpoint")
    whole = [c.path.name for c in taken if c.has_optimizer and c.has_scaler]
    for checkpoint in found:
        held = {"optimizer": checkpoint.has_optimizer, "scaler": checkpoint.has_scaler}
        missing = [part for part, there in held.items() if not there]
        if missing:
            said = Text("{name} holds no state of {missing}", name=checkpoint.path.name, missing=missing)
            hint = Text(
                "resume from {whole}, and save {missing} with the model"
                if whole
                else "save {missing} with the model",
                whole=whole[-1] if whole else "",
                missing=missing,
            )
            yield (error if checkpoint in taken else note)(said, at=checkpoint.path, hint=hint)


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


RESUME = "train_params.resume"
SECTIONS = ("train_params", "model", "loss", "dataset")
SET_BY_THE_TRAINING = (RESUME, "train_params.resume_ckpt", "train_params.start_epoch")
SHOWN = 3
LONGEST = 80  # characters of an override in a hint
WORD = re.compile(r"(?!(?:null|true|false|nan|inf)$)[A-Za-z_./][\w./:-]*", re.ASCII | re.IGNORECASE)


@check("CKP006", tier="run", requires=["CFG002"])
def stored_arguments_are_todays(target: Target) -> Findings:
    """A resume would continue the newest checkpoint with the config that it was trained with.

    ## Why it matters
    A resume takes weights and optimizer from the file and all else from today's config: another learning
    rate, loss or model then continues another training, without a word. A dataset length that keeps the steps
    per epoch on another number of GPUs is no other training.

    ## How to fix
    Give the run's own values as overrides, or start a new run where the change is meant.
    """
    stored = [c for c in readable(target) if c.args]
    if not stored:
        raise Skip("no checkpoint stores its arguments")
    newest = max(stored, key=lambda c: (c.path.name == LAST, *c.progress))
    known = _differences(target, newest)
    unequal = [each for each in known if each.before != each.after]
    found = [each for each in unequal if not mean_the_same(str(each.before), str(each.after))]
    resized = [each for each in found if _keeps_the_steps(target, newest, each)]
    changed = [each for each in found if each not in resized]
    yield examined(len(known), "config value")
    if resized:
        yield note(
            "{difference}: the steps per epoch are those of {name}",
            difference=resized[0].told,
            name=newest.path.name,
            differences=_values(resized),
        )
    if changed:
        yield _change(target, newest, changed)
    if not _resumes(target):
        raise Skip("this launch does not resume: {key} is false", at=place(target, RESUME), key=RESUME)


def _resumes(target: Target) -> bool:
    return bool(config(target).get(RESUME, True))


def _differences(target: Target, newest: Checkpoint) -> list[Difference]:
    """Every value of both configs that is known in both."""
    today = config(target)
    unknown = {*SET_BY_THE_TRAINING, *today.missing, *today.unresolved}
    found = (
        each for name in SECTIONS for each in argument_differences(newest.args or {}, today.values, name)
    )
    return [each for each in found if each.key not in unknown]


def _keeps_the_steps(target: Target, newest: Checkpoint, difference: Difference) -> bool:
    """Whether it is the length of the training set alone, and an epoch has as many steps as it had."""
    resized = differ_in_length_only(str(difference.before), str(difference.after))
    if difference.key != "dataset.train_dataset" or not resized:
        return False
    logged = {length.epoch: length.steps for length in epoch_lengths(newest.path.parent)}
    with suppress(Blocked):
        return logged.get(newest.epoch or 0, implied_steps_per_epoch(newest)) == steps_per_epoch(target)
    return False  # not known: another value then, as any other


def _change(target: Target, newest: Checkpoint, found: Sequence[Difference]) -> Finding:
    """A hazard where this launch would resume."""
    at = next((where for each in found if (where := place(target, each.key))), None)
    said = Text(
        "{n:value differs|values differ} from those of {name}: {shown}",
        n=len(found),
        name=newest.path.name,
        shown=few([each.told for each in found], SHOWN),
        differences=_values(found),
        overrides=[_override(each) for each in found],
    )
    if not _resumes(target):
        return note(said, at=at)
    return warning(said, at=at, hint=_remedy(newest, found, config(target).values))


def _remedy(newest: Checkpoint, found: Sequence[Difference], today: Mapping[str, Any]) -> Text:
    """The one override that gives the run's own value, else the keys, and the file with their values."""
    override = _override(found[0])
    if len(found) == 1 and len(override) <= LONGEST and shlex.quote(override) == override:
        return Text(
            "add {override} to continue that training, or start a new run in another hydra.run.dir",
            override=override,
        )
    launched = launched_with(newest.path) or {}
    own = {one.key: one.before for name in SECTIONS for one in argument_differences(launched, today, name)}
    is_there = all(own.get(each.key, ABSENT) == each.before for each in found)
    return Text(
        "to continue that training, copy {keys} from {file}"
        if is_there
        else "to continue that training, set {keys} to the values that {file} stores",
        keys=few([each.key for each in found], SHOWN),
        file=launch_config(newest.path) if is_there else newest.path,
    )


def _values(found: Sequence[Difference]) -> dict[str, Any]:
    return {each.key: {"then": each.before, "now": each.after} for each in found}


def _override(difference: Difference) -> Override:
    """What gives the checkpoint's own value."""
    if difference.before == ABSENT:
        return Override(f"~{difference.key}")
    add = "+" if difference.after == ABSENT else ""
    return Override(f"{add}{difference.key}={_value(difference.before)}")


def _value(value: Any) -> str:
    """A value in Hydra's grammar of overrides."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_value, value))}]"
    if not isinstance(value, str) or WORD.fullmatch(value):
        return str(value)
    # a backslash counts only before a quote and at the end
    escaped = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + (r"\"" if found[2] else ""), value)
    return f'"{escaped}"'
