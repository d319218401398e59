"""What changed from one checkpoint to another: counters, configs, and how far the weights moved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Finding, Findings, error, note, warning
from opv2v_doctor.facts.checkpoints import CheckpointUnreadable
from opv2v_doctor.facts.checkpoints.arguments import changes
from opv2v_doctor.facts.checkpoints.models import weights_opened
from opv2v_doctor.facts.checkpoints.movement import Difference, Movement, by_module, moved
from opv2v_doctor.forensics.exhibit import Exhibit
from opv2v_doctor.forensics.tables import Changes, aligned, changed, said

SHOWN = 10
COUNTERS = ("epoch", "steps", "global_step", "best_so_far", "loss_scale", "world_size", "trained")


def weights_difference(before: Path, after: Path) -> tuple[Difference | None, list[Finding]]:
    """How far the weights moved; a finding instead where they cannot be read."""
    try:
        with weights_opened(before) as old, weights_opened(after) as new:
            return moved(old, new), []
    except CheckpointUnreadable as reason:
        said = f"the weights cannot be compared: {reason}"
        return None, [error(said, path=after, hint="compare intact checkpoints")]


def counters_changed(before: Exhibit, after: Exhibit) -> Changes:
    """Counters, and what the optimizer was told for each group, where they are not the same."""
    one, other = before.checkpoint, after.checkpoint
    if not one or not other:
        return {}
    old, new = ({name: getattr(each, name) for name in COUNTERS} for each in (one, other))
    for values, each in ((old, one), (new, other)):
        groups = {f"group {number}": dict(group) for number, group in enumerate(each.groups)}
        values.update({"optimizer": groups, "scaler": each.has_scaler})
    return changes(old, new)


def judged(before: Exhibit, after: Exhibit, found: Difference) -> Findings:
    """What did not move though it should have, and what is only in one."""
    path = after.path
    compared = [each for each in found.movements if each.floating and not each.problem]
    still = [name for each in found.still for name in each.still]
    later = _has_later_steps(before, after)
    if compared and len(still) == len(compared):
        if later:
            hint = "look whether the optimizer holds the model's parameters and whether its rate is 0"
            yield error(f"none of {len(compared)} tensors moved", path=path, hint=hint, still=still)
        else:
            yield note(f"the same weights: none of {len(compared)} tensors differs", path=path)
    elif still:
        text = f"{len(still)} of {len(compared)} tensors did not move at all: {_few(still)}"
        yield note(f"{text} (frozen, or without gradients)", path=path, still=still)
    worst = [each.name for each in found.movements if not math.isfinite(each.furthest)]
    if worst:
        hint = "resume from a checkpoint whose weights are finite"
        yield error(f"NaN or infinite in {len(worst)} tensors: {_few(worst)}", path=path, hint=hint)
    problems = [f"{each.name}: {each.problem}" for each in found.movements if each.problem]
    if problems:
        yield error(f"{len(problems)} tensors were not read: {problems[0]}", path=path, hint="use a copy")
    for names, where in ((found.only_before, before.path), (found.only_after, after.path)):
        if names:
            hint = "compare checkpoints of the same model; strict=False would hide this"
            yield warning(f"{len(names)} tensors only here: {_few(names)}", path=where, hint=hint)
    if found.reshaped:
        hint = "compare checkpoints of the same model"
        yield warning(
            f"{len(found.reshaped)} changed their shape: {_few(found.reshaped)}", path=path, hint=hint
        )


def _has_later_steps(before: Exhibit, after: Exhibit) -> bool:
    one, other = before.checkpoint, after.checkpoint
    return bool(one and other and one.steps and other.steps > one.steps)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def lines(before: Exhibit, after: Exhibit, found: Difference | None) -> Iterator[str]:
    """The difference, to be read."""
    yield from _sections("counters and optimizer", counters_changed(before, after))
    yield from _sections("config", changed(after, before))
    if found:
        yield ""
        head = ("sub-module", "tensors", "moved", "furthest", "relative norm")
        yield from aligned([head, *map(_cells, by_module(found.movements))])


def _sections(title: str, found: Changes) -> Iterator[str]:
    yield f"{title}: {'' if found else 'the same'}".rstrip()
    for key, (was, now) in found.items():
        yield f"  {said(key)}: {said(was)} -> {said(now)}"


def _cells(each: Movement) -> tuple[str, ...]:
    counts = str(each.tensors), str(each.moved)
    return (each.name, *counts, f"{each.furthest:.4g}", f"{each.relative:.4g}")


def record(before: Exhibit, after: Exhibit, found: Difference | None) -> dict[str, Any]:
    """The difference, for programs."""
    tables = {"counters": counters_changed(before, after), "config": changed(after, before)}
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
        "furthest": _number(each.furthest),
        "relative": _number(each.relative),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
