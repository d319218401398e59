"""Checkpoint: what the last run saved, read without running anything that is in it."""

import datetime
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from opv2v_doctor import (
    Command,
    Findings,
    Target,
    Text,
    check,
    error,
    examined,
    note,
    warning,
)
from opv2v_doctor.facts.past.checkpoints import (
    Checkpoint,
    CheckpointUnreadable,
    read_checkpoint,
    resumable,
    strangers,
)
from opv2v_doctor.facts.past.checkpoints.presence import presence
from opv2v_doctor.facts.past.checkpoints.unreadable import (
    LEGACY,
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
    checkpoints,
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
    system: find out who wrote it.
    """
    paths = saved_checkpoints(target)
    for path in paths:
        try:
            checkpoint = read_checkpoint(path)
            found = presence(checkpoint)
        except CheckpointNotExamined as reason:
            yield warning(
                "{name} was not examined: {reason}",
                at=path,
                hint=LEGACY,
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
            yield examined(1, "checkpoint")
            yield examined(found.tensors, "tensor")
            yield from _contents(target, checkpoint, found.absent or checkpoint.problems)
    yield note(
        "{n:checkpoint|checkpoints} in {folder}: {names}",
        n=len(paths),
        folder=paths[0].parent,
        names=few([path.name for path in paths], NAMED),
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
