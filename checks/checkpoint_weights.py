"""Checkpoint: the weights themselves, read in bounded time."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from opv2v_doctor import (
    Blocked,
    Command,
    Findings,
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
from opv2v_doctor.facts.past.checkpoints import Checkpoint, CheckpointUnreadable, resumable
from opv2v_doctor.facts.past.checkpoints.models import open_weights
from opv2v_doctor.facts.past.checkpoints.movement import ModelMovement, Movement, by_module, movement
from opv2v_doctor.facts.past.checkpoints.scans import Scan, scan
from opv2v_doctor.facts.past.checkpoints.unreadable import few, not_finite, not_read, scanning
from opv2v_doctor.facts.past.runs import LAST

MOST_BYTES = 512 << 20  # of all weights; of larger models the first part of each tensor
MOST_VALUES = 1 << 16  # of each tensor: what an optimizer moves, it moves everywhere
FEW = Threshold(
    0.01,
    "of the optimised tensors",
    "a mask token, say, that this training never uses",
    healthy=0.0,
    faulty=0.375,
)


@check("CKP007", tier="run")
def weights_are_finite(target: Target) -> Findings:
    """The newest checkpoint's weights are finite numbers, as far as they were read.

    ## Why it matters
    A NaN in one weight is a NaN in every prediction, and a resume trains on with it for days. AdamW keeps it
    for ever.

    Of a model of more than 512 MB, the first part of each tensor is read: what was read is said.

    ## How to fix
    Resume from the last checkpoint whose weights are finite, with a lower learning rate or gradient clipping,
    and find the first step whose loss is NaN in the log.
    """
    newest = _newest(resumable(target))
    scans = _scans(newest)
    read = sum(scan.read for scan in scans)
    elements = sum(scan.elements for scan in scans if not scan.unread)
    yield examined(read, "value")
    yield examined(sum(scan.read > 0 for scan in scans), "tensor")
    yield from not_finite(newest.path, scans)
    yield from not_read(newest.path, scans, warning)
    yield note(
        "{read} of {n:value|values} of {name} were read: the first of each tensor; {command} reads all"
        if read < elements
        else "{n:value|values} of {name} were read: all",
        at=newest.path,
        read=read,
        n=elements,
        name=newest.path.name,
        command=scanning(newest.path),
    )
    if zeros := [scan.name for scan in scans if scan.is_zero]:
        yield note("all zero: {names}", at=newest.path, names=few(zeros), all_zero=zeros)


def _newest(found: Sequence[Checkpoint]) -> Checkpoint:
    with_model = [checkpoint for checkpoint in found if checkpoint.tensors]
    if not with_model:
        raise Skip("no checkpoint holds a model")
    return max(with_model, key=lambda c: (c.progress, c.path.name == LAST))


def _scans(checkpoint: Checkpoint) -> tuple[Scan, ...]:
    try:
        with open_weights(checkpoint.path) as weights:
            return scan(weights, MOST_BYTES)
    except CheckpointUnreadable as problem:
        raise Blocked(
            "{name}: {problem}",
            at=checkpoint.path,
            hint="restore it from a copy",
            name=checkpoint.path.name,
            problem=problem.reason,
        ) from None


@check("CKP008", tier="run")
def weights_moved_between_epochs(target: Target) -> Findings:
    """All optimised parameters changed between the last two epochs.

    ## Why it matters
    A parameter that stays bit by bit what it was, through thousands of steps, gets no gradient: it is frozen,
    detached, or not on the way to the loss. The log does not show it.

    The checkpoint says how many parameters the optimizer has, not which: as many tensors must have changed,
    but for one in a hundred. Of each tensor the first 65536 values are compared.

    ## How to fix
    Look why the sub-module gets no gradient (`requires_grad`, `detach`, `no_grad`, a branch that is never
    taken), and whether its learning rate is 0. Where it is meant, do not give it to the optimizer.
    """
    found = resumable(target)
    newest = _newest(found)
    earlier = [c for c in found if c.tensors and c.epoch is not None and c.is_behind(newest)]
    if not earlier:
        raise Skip("no two checkpoints of different epochs")
    before = max(earlier, key=lambda c: c.progress)
    difference = _movement(before, newest)
    compared = [each for each in difference.movements if each.floating and not each.problem]
    yield examined(sum(min(each.elements, MOST_VALUES) for each in compared), "value")
    yield examined(len(compared), "tensor")
    yield from not_read(newest.path, difference.movements, warning)
    if compared:
        yield from _still_tensors(before, newest, compared)


def _movement(before: Checkpoint, newest: Checkpoint) -> ModelMovement:
    try:
        with open_weights(before.path) as old, open_weights(newest.path) as new:
            return movement(old, new, MOST_VALUES)
    except CheckpointUnreadable as problem:
        raise Blocked(
            "{before} and {newest} cannot be compared: {problem}",
            at=newest.path,
            hint="restore them from copies",
            before=before.path.name,
            newest=newest.path.name,
            problem=problem.reason,
        ) from None


def _still_tensors(before: Checkpoint, newest: Checkpoint, compared: Sequence[Movement]) -> Findings:
    """More tensors than the optimizer was not given stayed as they were: some that it was given are stuck."""
    still = [each for each in compared if each.still]
    names = [name for each in still for name in each.still]
    in_part = any(each.elements > MOST_VALUES for each in compared)
    told = Text(
        "in their first {most} values between {earlier} and {later}"
        if in_part
        else "between {earlier} and {later}",
        most=MOST_VALUES,
        earlier=before.counted,
        later=newest.counted,
    )
    hint = Text(
        "look why no gradient reaches it (requires_grad, detach, no_grad, lr 0); all values are compared by "
        "{command}"
        if in_part
        else "look why no gradient reaches it (requires_grad, detach, no_grad, lr 0)",
        command=_diff(before.path, newest.path),
    )
    n, tensors, path = len(still), len(compared), newest.path
    if n == tensors:
        yield error(
            "none of {tensors:tensor|tensors} moved {between}",
            at=path,
            hint=hint,
            tensors=tensors,
            between=told,
            still=names,
        )
    elif names and not newest.trained:
        raise Blocked(
            "{n:tensor|tensors} did not move; {name} holds no optimizer to tell whether they are trained",
            at=path,
            hint="save the optimizer with the model",
            name=path.name,
            n=n,
        )
    elif n - max(0, tensors - newest.trained) > max(1, FEW * newest.trained):
        yield warning(
            "{n} of {tensors} tensors did not move {between}, though the optimizer has {trained}: {modules}",
            at=path,
            hint=hint,
            n=n,
            tensors=tensors,
            between=told,
            trained=newest.trained,
            modules=few(_modules(compared)),
            still=names,
        )
    else:
        yield note(
            "{moves} of {tensors} tensors moved {between}; these did not: {names}"
            if names
            else "{moves} of {tensors} tensors moved {between}",
            at=path,
            moves=tensors - n,
            tensors=tensors,
            between=told,
            names=few(names),
            still=names,
        )


def _diff(before: Path, newest: Path) -> Command:
    return Command(f"opv2v-doctor checkpoint diff {shlex.quote(str(before))} {shlex.quote(str(newest))}")


def _modules(compared: Sequence[Movement]) -> list[Text]:
    """The sub-modules of which a tensor did not move, the ones that did not move at all first."""
    found = sorted(
        (each for each in by_module(tuple(compared)) if each.still), key=lambda each: each.moved > 0
    )
    return [
        Text("{module} ({n} of {tensors})", module=each.name, n=len(each.still), tensors=each.tensors)
        for each in found
    ]
