"""Verdicts: what is wrong with an exhibit, by itself, against a model, and beside the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Finding, Findings, Severity, error, note, warning
from opv2v_doctor.facts.checkpoints import CheckpointUnreadable
from opv2v_doctor.facts.checkpoints.counters import global_step_agrees, implied_steps_per_epoch
from opv2v_doctor.facts.checkpoints.loading import Loading, loading
from opv2v_doctor.facts.checkpoints.models import weights_opened
from opv2v_doctor.facts.checkpoints.scans import by_module, scanned
from opv2v_doctor.facts.checkpoints.unreadable import CheckpointNotExamined
from opv2v_doctor.forensics.exhibit import Exhibit

SHOWN = 5
DISTRIBUTED = "python -m torch.distributed.checkpoint.format_utils dcp_to_torch '{0}' '{0}.pth'"
LEGACY = (
    "if you trust who wrote it, load it with torch.load(PATH, weights_only=True) and save it again with "
    "torch.save: then it can be read without running it"
)


def judge(exhibit: Exhibit, *, deep: bool, model: Path | None) -> None:
    """Put into the exhibit what is wrong with it; the weights are only read where that was asked for."""
    exhibit.findings += _refusal(exhibit) if exhibit.refused else _contents(exhibit)
    if exhibit.refused or not exhibit.tensors:
        return
    try:
        with weights_opened(exhibit.path) as weights:
            exhibit.scans = scanned(weights) if deep else ()
            if model is not None:
                with weights_opened(model) as wanted:
                    exhibit.loading = loading(wanted, weights)
    except CheckpointUnreadable as reason:
        hint = "compare it with a copy; use an intact checkpoint"
        said = f"its weights cannot be read: {reason}"
        exhibit.findings.append(error(said, path=exhibit.path, hint=hint))
    exhibit.findings += _values(exhibit)
    if exhibit.loading:
        exhibit.findings += _loaded(exhibit.path, exhibit.loading)


def _refusal(exhibit: Exhibit) -> Findings:
    path, reason = exhibit.path, exhibit.refused
    if isinstance(reason, CheckpointNotExamined):
        hint = DISTRIBUTED.format(path) if path.is_dir() else LEGACY
        yield warning(f"not examined: {reason}", path=path, hint=hint)
    else:
        hint = "restore it from a copy, or use an intact one; do not load it"
        yield error(f"cannot be read: {reason}", path=path, hint=hint)


def _contents(exhibit: Exhibit) -> Findings:
    found, path = exhibit.checkpoint, exhibit.path
    if found is None:
        return
    if found.foreign:
        hint = "do not load it unless each of these is the training's own; find out who wrote it"
        said = f"loading it would run {', '.join(found.foreign[:SHOWN])}"
        yield error(said, path=path, hint=hint, names=list(found.foreign))
    if found.problems:
        said = f"damaged: {found.problems[0]} ({len(found.problems)} of this kind)"
        yield error(said, path=path, hint="resume from an intact checkpoint")
    if not found.tensors:
        yield warning("holds no model", path=path, hint="save the model's state_dict under `model`")
    if found.epoch is not None and not found.has_optimizer and exhibit.path.stem != "checkpoint-final":
        yield note("holds no state of the optimizer: a resume would start it anew", path=path)
    if not global_step_agrees(found):
        said = f"global step {found.global_step}, but {found.steps} optimizer steps"
        yield error(said, path=path, hint="resume from a checkpoint whose counters agree")


def _values(exhibit: Exhibit) -> Findings:
    """What was seen of the weights."""
    path, scans = exhibit.path, exhibit.scans
    bad = [scan for scan in scans if scan.bad]
    if bad:
        said = (
            f"{sum(scan.bad for scan in bad)} values in {len(bad)} of {len(scans)} tensors are NaN or "
            f"infinite, first in {bad[0].name}"
        )
        hint = "resume from an earlier checkpoint that is finite"
        yield error(said, path=path, hint=hint, tensors={scan.name: scan.bad for scan in bad})
    unread = [scan for scan in scans if scan.problem]
    if unread:
        said = f"{len(unread)} tensors were not read: {unread[0].name}: {unread[0].problem}"
        yield error(said, path=path, hint="compare it with a copy; use an intact checkpoint")
    empty = [scan for scan in by_module(scans) if scan.is_zero and scan.tensors > 1]
    if empty:
        said = f"all zero: {', '.join(scan.name for scan in empty[:SHOWN])}"
        hint = "look whether this sub-module was ever initialised, trained or loaded"
        yield warning(said, path=path, hint=hint, modules=[scan.name for scan in empty])


def _loaded(path: Path, found: Loading) -> Findings:
    """What load_state_dict(strict=False) would take, and what it would leave without a word."""
    said = f"load_state_dict(strict=False) would load {found.share:.1%} of the model's parameters"
    evidence: dict[str, Any] = {
        "missing": found.missing,
        "unexpected": found.unexpected,
        "reshaped": found.reshaped,
    }
    lists = "; ".join(_listed(name, names) for name, names in evidence.items() if names)
    hint = (
        f"load it {found.renaming}" if found.renaming else "load it with strict=True, and read what it says"
    )
    if found.reshaped:
        hint = f"it would stop, even with strict=False: give the model the file's sizes; {hint}"
    text = f"{said}; {lists}" if lists else said
    if found.reshaped or not found.loaded:
        yield error(text, path=path, hint=hint, share=found.share, **evidence)
    elif found.missing:
        yield warning(text, path=path, hint=hint, share=found.share, **evidence)
    else:
        yield note(text, path=path, share=found.share, **evidence)


def _listed(name: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {name}: {', '.join(names[:SHOWN])}{more}"


def among(exhibits: Sequence[Exhibit]) -> Iterator[Finding]:
    """What the checkpoints of one folder say against one another."""
    folders: dict[Path, list[Exhibit]] = {}
    for exhibit in exhibits:
        if exhibit.checkpoint and exhibit.checkpoint.epoch is not None and exhibit.checkpoint.steps:
            folders.setdefault(exhibit.path.parent, []).append(exhibit)
    for folder, group in folders.items():
        implied = {
            each.path.name: implied_steps_per_epoch(each.checkpoint) for each in group if each.checkpoint
        }
        if len(set(implied.values())) > 1:
            said = ", ".join(f"{name} {steps:g}" for name, steps in implied.items())
            hint = "find the resume that changed the number of GPUs or did not restore the optimizer"
            yield warning(f"implied steps an epoch differ: {said}", path=folder, hint=hint, implied=implied)


def code_of(exhibits: Sequence[Exhibit], findings: Sequence[Finding], *, strict: bool) -> int:
    """1 where anything is wrong, 3 where a file gave no answer, else 0: as everywhere."""
    worst = max((finding.severity for finding in findings), default=Severity.NOTE)
    if worst is Severity.ERROR or (strict and worst is Severity.WARNING):
        return 1
    return 0 if exhibits and all(exhibit.answered for exhibit in exhibits) else 3
