"""What changed from one checkpoint to another: counters, configs, and how far the weights moved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from opv2v_doctor.check import Findings, error, examined, note, warning
from opv2v_doctor.facts.past.checkpoints import CheckpointUnreadable
from opv2v_doctor.facts.past.checkpoints.arguments import changes
from opv2v_doctor.facts.past.checkpoints.models import open_states, open_weights
from opv2v_doctor.facts.past.checkpoints.movement import (
    WRAPPERS,
    ModelMovement,
    Movement,
    by_module,
    movement,
)
from opv2v_doctor.facts.past.checkpoints.unreadable import few, not_read
from opv2v_doctor.forensics.exhibit import Exhibit
from opv2v_doctor.forensics.tables import Changes, config_changes, short_value
from opv2v_doctor.neutral import aligned
from opv2v_doctor.text import Text

if TYPE_CHECKING:
    from opv2v_doctor.reporters import Say

COUNTERS = ("epoch", "steps", "global_step", "best_so_far", "loss_scale", "world_size", "trained")


def movements_between(before: Exhibit, after: Exhibit) -> tuple[ModelMovement, ModelMovement] | None:
    """How far the weights moved, and what is beside them: moments, averages.

    None, and a finding of the later one, where they cannot be read.
    """
    try:
        with open_weights(before.path) as old, open_weights(after.path) as new:
            weights = movement(old, new)
        with open_states(before.path) as old, open_states(after.path) as new:
            return weights, movement(old, new)
    except CheckpointUnreadable as problem:
        said = "the weights cannot be compared: {problem}"
        hint = "compare intact checkpoints"
        after.add(error(said, at=after.path, hint=hint, problem=problem.reason))
        return None


def counter_changes(before: Exhibit, after: Exhibit) -> Changes:
    """Counters, and what the optimizer was told for each group, where they are not the same."""
    one, other = before.checkpoint, after.checkpoint
    if not one or not other:
        return {}
    old, new = ({name: getattr(each, name) for name in COUNTERS} for each in (one, other))
    for values, each in ((old, one), (new, other)):
        groups = {f"group {number}": dict(group) for number, group in enumerate(each.groups)}
        values.update({"optimizer": groups, "scaler": each.has_scaler})
    return changes(old, new)


def findings_between(
    before: Exhibit, after: Exhibit, found: ModelMovement, states: ModelMovement
) -> Findings:
    """What did not move though it should have, and what is only in one."""
    yield from _of_weights(before, after, found)
    for one in (found, states):
        worst = [each.name for each in one.movements if not math.isfinite(each.furthest)]
        if worst:
            yield error(
                "NaN or infinite in {n:tensor|tensors}: {names}",
                at=after.path,
                hint="resume from a checkpoint whose weights are finite",
                n=len(worst),
                names=few(worst),
            )
        yield from not_read(after.path, one.movements)
    yield from _of_states(before, after, states)


def _of_states(before: Exhibit, after: Exhibit, found: ModelMovement) -> Findings:
    """Averages that are no longer made, and what differs beside the model."""
    compared = [each for each in found.movements if not each.unread]
    if compared:
        yield examined(sum(each.elements for each in compared), "compared value")
    modules = by_module(tuple(compared))
    still = [each.name for each in modules if each.before and each.floating and not each.moved]
    if still and _has_later_steps(before, after):
        yield warning(
            "did not move with the steps: {names}",
            at=after.path,
            hint="look whether each step updates it",
            names=few(still),
        )
    if moved := sum(each.moved for each in modules):
        yield note(
            "beside the model, {moved} of {n:tensor|tensors} differ, in {names}",
            at=after.path,
            moved=moved,
            n=len(compared),
            names=few([each.name for each in modules if each.moved]),
        )
    for names, where in ((found.only_before, before.path), (found.only_after, after.path)):
        if names:
            yield note(
                "{n:tensor beside the model is|tensors beside the model are} only here: {names}",
                at=where,
                n=len(names),
                names=few(names),
            )


def _of_weights(before: Exhibit, after: Exhibit, found: ModelMovement) -> Findings:
    path = after.path
    compared = [each for each in found.movements if each.floating and not each.problem]
    yield examined(sum(each.elements for each in compared), "compared value")
    still = [name for each in found.still for name in each.still]
    if compared and len(still) == len(compared):
        if _has_later_steps(before, after):
            yield error(
                "none of {n:tensor|tensors} moved",
                at=path,
                hint="look whether the optimizer holds the model's parameters and whether its rate is 0",
                n=len(compared),
                still=still,
            )
        else:
            unread = sum(each.unread for each in found.movements)
            yield note(
                "none of {n:tensor|tensors} differs; {unread} were not read"
                if unread
                else "the same weights: none of {n:tensor|tensors} differs",
                at=path,
                n=len(compared),
                unread=unread,
            )
    elif still:
        yield note(
            "{n} of {tensors} tensors did not move at all: {names} (frozen, or without gradients)",
            at=path,
            n=len(still),
            tensors=len(compared),
            names=few(still),
            still=still,
        )
    if found.renamed:
        yield note(
            "{n:name was|names were} paired without {wrappers}: a wrapper of the model adds them, and "
            "neither loads into the other's model",
            at=path,
            n=found.renamed,
            wrappers=[f"{word}." for word in WRAPPERS[:2]],
        )
    for names, where in ((found.only_before, before.path), (found.only_after, after.path)):
        if names:
            yield warning(
                "{n:tensor is|tensors are} only here: {names}",
                at=where,
                hint="compare checkpoints of the same model; strict=False would hide this",
                n=len(names),
                names=few(names),
            )
    if found.reshaped:
        yield warning(
            "{n:tensor has|tensors have} another shape: {names}",
            at=path,
            hint="compare checkpoints of the same model",
            n=len(found.reshaped),
            names=few(found.reshaped),
        )


def _has_later_steps(before: Exhibit, after: Exhibit) -> bool:
    one, other = before.checkpoint, after.checkpoint
    return bool(one and other and one.steps and other.steps > one.steps)


def lines(
    before: Exhibit, after: Exhibit, found: ModelMovement | None, states: ModelMovement | None, say: Say
) -> Iterator[str]:
    """The difference, to be read."""
    yield from _sections(say("counters and optimizer"), counter_changes(before, after), say)
    yield from _sections(say("config"), config_changes(after, before), say)
    if found:
        yield ""
        head = (say("sub-module"), say("tensors"), say("moved"), say("furthest"), say("relative norm"))
        beside = by_module(states.movements) if states else ()
        yield from aligned([head, *(_cells(each, say) for each in (*by_module(found.movements), *beside))])


def _sections(title: str, found: Changes, say: Say) -> Iterator[str]:
    yield f"{title}: {'' if found else say('the same')}".rstrip()
    for key, (was, now) in found.items():
        yield f"  {short_value(key)}: {short_value(was)} -> {short_value(now)}"


def _cells(each: Movement, say: Say) -> tuple[str, ...]:
    if each.unread == each.tensors:
        return (each.name, str(each.tensors), say("not read"), "-", "-")
    moved = str(each.moved)
    if each.unread:
        moved = say(Text("{moved}, {unread} not read", moved=each.moved, unread=each.unread))
    return (each.name, str(each.tensors), moved, f"{each.furthest:.4g}", f"{each.relative:.4g}")


def record(
    before: Exhibit, after: Exhibit, found: ModelMovement | None, states: ModelMovement | None
) -> dict[str, Any]:
    """The difference, for programs."""
    tables = {"counters": counter_changes(before, after), "config": config_changes(after, before)}
    return {
        **{name: {key: list(values) for key, values in table.items()} for name, table in tables.items()},
        "modules": [_record(each) for each in by_module(found.movements)] if found else [],
        "states": [_record(each) for each in by_module(states.movements)] if states else [],
        "still": [name for each in found.still for name in each.still] if found else [],
        "only_before": found.only_before if found else [],
        "only_after": found.only_after if found else [],
        "reshaped": found.reshaped if found else [],
    }


def _record(each: Movement) -> dict[str, Any]:
    return {
        "module": each.name,
        "tensors": each.tensors,
        "moved": each.moved,
        "unread": each.unread,
        "furthest": _number(each.furthest),
        "relative": _number(each.relative),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
