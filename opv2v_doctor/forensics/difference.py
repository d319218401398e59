"""What changed from one checkpoint to another: counters, configs, and how far the weights moved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from opv2v_doctor.check import Findings, error, examined, note, warning
from opv2v_doctor.facts.past.checkpoints import CheckpointUnreadable
from opv2v_doctor.facts.past.checkpoints.arguments import changes
from opv2v_doctor.facts.past.checkpoints.models import open_weights
from opv2v_doctor.facts.past.checkpoints.movement import ModelMovement, Movement, by_module, movement
from opv2v_doctor.facts.past.checkpoints.unreadable import few, not_read
from opv2v_doctor.forensics.exhibit import Exhibit
from opv2v_doctor.forensics.tables import Changes, align, config_changes, short_value

COUNTERS = ("epoch", "steps", "global_step", "best_so_far", "loss_scale", "world_size", "trained")


def weights_difference(before: Exhibit, after: Exhibit) -> ModelMovement | None:
    """How far the weights moved; None, and a finding of the later one, where they cannot be read."""
    try:
        with open_weights(before.path) as old, open_weights(after.path) as new:
            return movement(old, new)
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


def findings_between(before: Exhibit, after: Exhibit, found: ModelMovement) -> Findings:
    """What did not move though it should have, and what is only in one."""
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
    worst = [each.name for each in found.movements if not math.isfinite(each.furthest)]
    if worst:
        yield error(
            "NaN or infinite in {n:tensor|tensors}: {names}",
            at=path,
            hint="resume from a checkpoint whose weights are finite",
            n=len(worst),
            names=few(worst),
        )
    yield from not_read(path, found.movements)
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


def lines(before: Exhibit, after: Exhibit, found: ModelMovement | None) -> Iterator[str]:
    """The difference, to be read."""
    yield from _sections("counters and optimizer", counter_changes(before, after))
    yield from _sections("config", config_changes(after, before))
    if found:
        yield ""
        head = ("sub-module", "tensors", "moved", "furthest", "relative norm")
        yield from align([head, *map(_cells, by_module(found.movements))])


def _sections(title: str, found: Changes) -> Iterator[str]:
    yield f"{title}: {'' if found else 'the same'}".rstrip()
    for key, (was, now) in found.items():
        yield f"  {short_value(key)}: {short_value(was)} -> {short_value(now)}"


def _cells(each: Movement) -> tuple[str, ...]:
    if each.unread == each.tensors:
        return (each.name, str(each.tensors), "not read", "-", "-")
    moved = f"{each.moved}, {each.unread} not read" if each.unread else str(each.moved)
    return (each.name, str(each.tensors), moved, f"{each.furthest:.4g}", f"{each.relative:.4g}")


def record(before: Exhibit, after: Exhibit, found: ModelMovement | None) -> dict[str, Any]:
    """The difference, for programs."""
    tables = {"counters": counter_changes(before, after), "config": config_changes(after, before)}
    return {
        **{name: {key: list(values) for key, values in table.items()} for name, table in tables.items()},
        "modules": [_record(each) for each in by_module(found.movements)] if found else [],
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
