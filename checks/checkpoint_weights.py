"""Checkpoint: the weights themselves, read in bounded time."""

from opv2v_doctor import Blocked, Findings, Skip, Target, check, error, note, warning
from opv2v_doctor.facts.checkpoints import Checkpoint, CheckpointUnreadable, resumable
from opv2v_doctor.facts.checkpoints.models import weights_opened
from opv2v_doctor.facts.checkpoints.movement import Difference, Movement, by_module, moved
from opv2v_doctor.facts.checkpoints.scans import Scan, scanned
from opv2v_doctor.facts.runs import LAST

MOST_BYTES = 512 << 20  # of all weights; of larger models the first part of each tensor
MOST_VALUES = 1 << 16  # of each tensor: what an optimizer moves, it moves everywhere
FEW = 0.01  # of the trained tensors: a mask token, say, that this training never uses
SHOWN = 10  # the rest is in the evidence


@check("CKP007", tier="run")
def weights_are_finite(target: Target) -> Findings:
    """The newest checkpoint's weights are finite numbers.

    ## Why it matters
    A NaN in one weight is a NaN in every prediction, and a resume trains on with it for days. AdamW keeps it
    for ever.

    ## How to fix
    Resume from the last checkpoint whose weights are finite, with a lower learning rate or gradient clipping,
    and find the first step whose loss is NaN in the log.
    """
    newest = _newest(resumable(target))
    scans = _scanned(newest)
    path, name = newest.path, newest.path.name
    bad = [scan for scan in scans if scan.bad]
    if bad:
        total = sum(scan.bad for scan in bad)
        yield error(
            f"{total} values in {len(bad)} of {len(scans)} tensors of {name} are NaN or infinite, "
            f"first in {bad[0].name}",
            path=path,
            hint="resume from an earlier checkpoint that is finite: opv2v-doctor checkpoint --deep "
            f"'{path.parent}'",
            tensors={scan.name: scan.bad for scan in bad},
        )
    for scan in [scan for scan in scans if scan.problem][:1]:
        yield warning(
            f"{scan.name} of {name} was not read: {scan.problem}", path=path, hint="read the reason"
        )
    read, elements = sum(scan.read for scan in scans), sum(scan.elements for scan in scans)
    zeros = [scan.name for scan in scans if scan.is_zero]
    said = f"{read} values of {len(scans)} tensors were read"
    if read < elements:
        said += (
            f", the first of each, of {elements} in all: opv2v-doctor checkpoint --deep '{path}' reads all"
        )
    said += f"; all zero: {', '.join(zeros[:SHOWN])}" if zeros else ""
    yield note(said, path=path, read=read, elements=elements, all_zero=zeros)


def _newest(found: list[Checkpoint]) -> Checkpoint:
    with_model = [checkpoint for checkpoint in found if checkpoint.tensors]
    if not with_model:
        raise Skip("no checkpoint holds a model")
    return max(with_model, key=lambda c: (c.progress, c.path.name == LAST))


def _scanned(checkpoint: Checkpoint) -> tuple[Scan, ...]:
    try:
        with weights_opened(checkpoint.path) as weights:
            return scanned(weights, MOST_BYTES)
    except CheckpointUnreadable as reason:
        raise Blocked(f"{checkpoint.path.name}: {reason}") from None


@check("CKP008", tier="run")
def weights_moved_between_epochs(target: Target) -> Findings:
    """What the optimizer was given moved between the two newest epochs.

    ## Why it matters
    A parameter that stays bit by bit what it was, through thousands of steps, gets no gradient: it is frozen,
    detached, or not on the way to the loss. The log does not show it.

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
    yield from _judged(before, newest, _moved(before, newest))


def _moved(before: Checkpoint, newest: Checkpoint) -> Difference:
    try:
        with weights_opened(before.path) as old, weights_opened(newest.path) as new:
            return moved(old, new, MOST_VALUES)
    except CheckpointUnreadable as reason:
        raise Blocked(f"{before.path.name} and {newest.path.name}: {reason}") from None


def _judged(before: Checkpoint, newest: Checkpoint, difference: Difference) -> Findings:
    """More tensors than the optimizer was not given stayed as they were: some that it was given are stuck."""
    compared = [each for each in difference.movements if each.floating and not each.problem]
    still, between = difference.still, f"between {before.counted} and {newest.counted}"
    excess = len(still) - max(0, len(compared) - newest.trained) if newest.trained else 0
    moves = [each for each in compared if not each.still]
    where = ", ".join(_modules(compared)[:SHOWN])
    hint = "look why no gradient reaches it (requires_grad, detach, no_grad, lr 0), and resume from before"
    names = [name for each in still for name in each.still]
    if any(each.elements > MOST_VALUES for each in compared):
        between = f"in their first {MOST_VALUES} values {between}"
        hint += f"; compare all values: opv2v-doctor checkpoint diff '{before.path}' '{newest.path}'"
    if compared and not moves:
        said = f"none of {len(compared)} tensors moved {between}"
        yield error(said, path=newest.path, hint=hint, still=names)
    elif excess > max(1, FEW * newest.trained):
        said = (
            f"{len(still)} of {len(compared)} tensors did not move {between}, though the optimizer was given "
            f"{newest.trained}: {where}"
        )
        yield warning(said, path=newest.path, hint=hint, still=names)
    else:
        kept = f"; these did not: {', '.join(names[:SHOWN])}" if names else ""
        said = f"{len(moves)} of {len(compared)} tensors moved {between}{kept}"
        yield note(said, path=newest.path, still=names)


def _modules(compared: list[Movement]) -> list[str]:
    """The sub-modules of which a tensor did not move, the ones that did not move at all first."""
    found = sorted(
        (each for each in by_module(tuple(compared)) if each.still), key=lambda each: each.moved > 0
    )
    return [f"{each.name} ({len(each.still)} of {each.tensors})" for each in found]
