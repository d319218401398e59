"""Verdicts: what is wrong with an exhibit, by itself, against a model, and beside the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from opv2v_doctor.check import Examined, Finding, Findings, Severity, error, examined, note, warning
from opv2v_doctor.facts.past.checkpoints import Checkpoint, CheckpointUnreadable
from opv2v_doctor.facts.past.checkpoints.counters import global_step_agrees, implied_steps_per_epoch
from opv2v_doctor.facts.past.checkpoints.loading import Loading, loading
from opv2v_doctor.facts.past.checkpoints.models import damaged_members, open_states, open_weights
from opv2v_doctor.facts.past.checkpoints.presence import presence
from opv2v_doctor.facts.past.checkpoints.scans import by_module, scan
from opv2v_doctor.facts.past.checkpoints.unreadable import (
    CheckpointNotExamined,
    few,
    not_finite,
    not_read,
    remedy,
    stand_in,
)
from opv2v_doctor.facts.past.pickles.machine import ascii_excerpt
from opv2v_doctor.forensics.exhibit import Exhibit
from opv2v_doctor.result import examined_text
from opv2v_doctor.text import Text, sentence


def judge(exhibit: Exhibit, *, deep: bool, model: Path | None, checksums: bool = False) -> None:
    """Put into the exhibit what is wrong with it; the weights are only read where that was asked for."""
    exhibit.add(*(_refusal(exhibit) if exhibit.refused else _contents(exhibit)))
    if exhibit.refused:
        return
    try:
        if deep or checksums:
            exhibit.add(*_checksums(exhibit.path))
        if deep:
            with open_states(exhibit.path) as states:
                exhibit.states = scan(states)
        with open_weights(exhibit.path) as weights:
            exhibit.scans = scan(weights) if deep else ()
            if model is not None and exhibit.tensors:
                with open_weights(model) as wanted:
                    exhibit.loading = loading(wanted, weights)
    except CheckpointUnreadable as problem:
        exhibit.add(
            error(
                "its weights cannot be read: {problem}",
                at=exhibit.path,
                hint="compare it with a copy; use an intact checkpoint",
                problem=problem.reason,
            )
        )
    exhibit.add(*_values(exhibit))
    if exhibit.loading:
        exhibit.add(*_load(exhibit.path, exhibit.loading))


def _checksums(path: Path) -> Findings:
    """Whether every byte is the one that was written."""
    damaged = damaged_members(path)
    if damaged:
        yield error(
            "the checksum of {n:member does|members do} not match: {names}",
            at=path,
            hint="restore it from a copy, or resume from an intact checkpoint",
            n=len(damaged),
            names=few([ascii_excerpt(name) for name in damaged]),
        )


def _refusal(exhibit: Exhibit) -> Findings:
    path, problem = exhibit.path, exhibit.refused
    assert problem is not None
    if isinstance(problem, CheckpointNotExamined):
        yield warning("not examined: {problem}", at=path, hint=problem.hint, problem=problem.reason)
    else:
        restore = Text("restore it from a copy, or use an intact one; do not load it")
        hint = remedy(path) if stand_in(path) else restore
        yield error("cannot be read: {problem}", at=path, hint=hint, problem=problem.reason)


def _contents(exhibit: Exhibit) -> Findings:
    found, path = exhibit.checkpoint, exhibit.path
    yield examined(1, "checkpoint")
    if found is None:
        yield examined(exhibit.tensors, "tensor")
        return
    if found.foreign:
        yield error(
            "loading it would run {names}",
            at=path,
            hint="do not load it unless each of these is the training's own; find out who wrote it",
            names=few(found.foreign),
            every=list(found.foreign),
        )
    yield from _presence(found)
    if not found.tensors and not found.part:
        yield warning("holds no model", at=path, hint="save the model's state_dict under `model`")
    if found.epoch is not None and not found.has_optimizer and exhibit.path.stem != "checkpoint-final":
        yield note("holds no state of the optimizer: a resume would start it anew", at=path)
    if not global_step_agrees(found):
        yield error(
            "global step {stored}, but {steps} optimizer steps",
            at=path,
            hint="resume from a checkpoint whose counters agree",
            stored=found.global_step,
            steps=found.steps,
        )


def _presence(found: Checkpoint) -> Findings:
    """Whether every tensor is there."""
    try:
        there = presence(found)
    except CheckpointUnreadable as problem:
        damage: Sequence[Text] = (problem.reason,)
    else:
        yield examined(there.tensors, "tensor")
        damage = there.absent or found.problems
    if damage:
        yield error(
            "damaged in {n:place|places}: {problem}",
            at=found.path,
            hint="resume from an intact checkpoint",
            n=len(damage),
            problem=damage[0],
        )


def _values(exhibit: Exhibit) -> Findings:
    """What was seen of the weights."""
    path, scans = exhibit.path, exhibit.scans
    if scans or exhibit.states:
        yield examined(sum(scan.read for scan in (*scans, *exhibit.states)), "value")
    for found in (scans, exhibit.states):
        yield from not_finite(path, found)
        yield from not_read(path, found)
    empty = [scan.name for scan in by_module(scans) if scan.is_zero and scan.tensors > 1]
    if empty:
        yield warning(
            "all zero: {names}",
            at=path,
            hint="look whether this sub-module was ever initialised, trained or loaded",
            names=few(empty),
            modules=empty,
        )


def _load(path: Path, found: Loading) -> Findings:
    """What load_state_dict(strict=False) would take, and what it would leave without a word."""
    yield examined(found.tensors, "tensor of the model")
    unlike = [
        Text("{n} missing: {names}", n=len(found.missing), names=few(found.missing)),
        Text("{n} unexpected: {names}", n=len(found.unexpected), names=few(found.unexpected)),
        Text("{n} of another shape: {names}", n=len(found.reshaped), names=few(found.reshaped)),
    ]
    said = Text(
        "load_state_dict(strict=False) would load {share:.1%} of the model's parameters; {unlike}"
        if found.missing or found.unexpected or found.reshaped
        else "load_state_dict(strict=False) would load {share:.1%} of the model's parameters",
        share=found.share,
        unlike=sentence(text for text in unlike if text.values["n"]),
        missing=list(found.missing),
        unexpected=list(found.unexpected),
        reshaped=list(found.reshaped),
    )
    if found.reshaped:
        yield error(said, at=path, hint="give the model the file's sizes: even strict=False stops at another")
    elif not found.missing:
        yield note(said, at=path)
    else:
        hint = Text(
            "load it {renaming}" if found.renaming else "load it with strict=True, and read what it says",
            renaming=found.renaming,
        )
        yield (warning if found.loaded else error)(said, at=path, hint=hint)


def among(exhibits: Sequence[Exhibit]) -> Iterator[Finding]:
    """What the checkpoints of one folder say against one another, and what torch.load says of all."""
    more = [
        (each.path, each.checkpoint.refused)
        for each in exhibits
        if each.checkpoint and each.checkpoint.refused
    ]
    if more:
        yield note(
            "torch.load refuses {n:file|files} since torch 2.6, for {names}: if you trust who wrote it, "
            "give it weights_only=False, or call torch.serialization.add_safe_globals before",
            at=more[0][0],
            n=len(more),
            names=few(list(dict.fromkeys(name for _, names in more for name in names))),
            files=[str(path) for path, _ in more],
        )
    folders: dict[Path, list[Exhibit]] = {}
    for exhibit in exhibits:
        if exhibit.checkpoint and exhibit.checkpoint.epoch is not None and exhibit.checkpoint.steps:
            folders.setdefault(exhibit.path.parent, []).append(exhibit)
    for folder, group in folders.items():
        implied = {
            each.path.name: implied_steps_per_epoch(each.checkpoint) for each in group if each.checkpoint
        }
        if len(set(implied.values())) > 1:
            yield warning(
                "implied steps per epoch differ: {shown}",
                at=folder,
                hint="find the resume that changed the number of GPUs or did not restore the optimizer",
                shown=few([f"{name} {steps:g}" for name, steps in implied.items()]),
                implied=implied,
            )


def verdict(findings: Sequence[Finding], seen: Sequence[Examined]) -> Text:
    """The last line: what was found, and in how much."""
    if not any(one.count for one in seen):
        return Text("nothing could be examined")
    errors, warnings = (
        sum(finding.severity is severity for finding in findings)
        for severity in (Severity.ERROR, Severity.WARNING)
    )
    return Text(
        "{errors:error|errors}, {warnings:warning|warnings}; examined: {examined}",
        errors=errors,
        warnings=warnings,
        examined=examined_text(one for one in seen if one.count),
    )


def code_of(exhibits: Sequence[Exhibit], findings: Sequence[Finding], *, strict: bool) -> int:
    """1 where anything is wrong, 3 where a file gave no answer, else 0: as everywhere."""
    worst = max((finding.severity for finding in findings), default=Severity.NOTE)
    if worst is Severity.ERROR or (strict and worst is Severity.WARNING):
        return 1
    return 0 if exhibits and all(exhibit.answered for exhibit in exhibits) else 3
