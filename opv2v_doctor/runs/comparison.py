"""Comparing two runs: code, config, packages, loaders and metrics, and nothing that is the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.launch.leaves import Difference
from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.runs import configuration
from opv2v_doctor.runs.configuration import NOT_THERE, differences
from opv2v_doctor.runs.milestones import Milestones
from opv2v_doctor.runs.record import Run
from opv2v_doctor.runs.resume import stamped_config

PATCH, PACKAGES = "diff.patch", "packages.txt"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One respect in which two runs are compared."""

    title: str
    differences: tuple[Difference, ...]


def sections_of(one: Run, other: Run) -> Iterator[Section]:
    """Every respect, with what differs in it."""
    yield _section("code", _code(one), _code(other))
    yield _section("config", _config(one), _config(other))
    yield _section("launch", _launch(one), _launch(other))
    yield _section("packages", _packages(one), _packages(other))
    reached = Milestones(one.path), Milestones(other.path)
    yield _section("loader lengths", *(each.loader_lengths for each in reached))
    yield _section("progress", *(_progress(each) for each in reached))
    yield _section("metrics", *(_round(each.metrics) for each in reached))


def _section(title: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Section:
    if bool(one) != bool(other):  # all or nothing would be a long list that says no more than this
        words = [f"{len(side)} entries" if side else "unknown" for side in (one, other)]
        return Section(title=title, differences=(Difference(key="all", before=words[0], after=words[1]),))
    return Section(title=title, differences=tuple(differences(one, other)))


def _code(run: Run) -> dict[str, Any]:
    stamp = run.stamp
    files = _changed_files(run.path / run.first.folder / PATCH)
    return {
        "commit": stamp.commit or f"unknown: {stamp.without_commit or 'not stamped'}",
        "patch": stamp.files.get(PATCH, NOT_THERE)[:12] + (f" ({', '.join(files)})" if files else ""),
        "dataset": (stamp.dataset.fingerprint if stamp.dataset else None) or "never audited",
        **{f"submodule {name}": commit for name, commit in stamp.submodules.items()},
        **{f"module {name}": file for name, file in stamp.modules.items()},
    }


def _changed_files(patch: Path) -> list[str]:
    try:
        lines = text_of(patch, "replace").splitlines()
    except OSError:
        return []
    return [line.rpartition(" b/")[2] for line in lines if line.startswith("diff --git ")]


def _config(run: Run) -> dict[str, Any]:
    file = stamped_config(run)
    return configuration.read_config(file) if file else {}


def _launch(run: Run) -> dict[str, Any]:
    stamp = run.stamp
    return {
        "world size": stamp.world_size,
        "steps an epoch": stamp.steps_per_epoch,
        "launches": len(run.launches),
        "gpus": ", ".join(stamp.gpus),
        "host": stamp.host,
        "python": stamp.python,
        "gate": str(stamp.gate) if stamp.gate else NOT_THERE,
        **{f"environment {name}": value for name, value in stamp.environment.items()},
    }


def _packages(run: Run) -> dict[str, str]:
    try:
        text = text_of(run.path / run.first.folder / PACKAGES, "replace")
    except OSError:
        return {}
    return dict(line.partition("==")[::2] for line in text.splitlines())


def _progress(reached: Milestones) -> dict[str, Any]:
    return {"epoch": reached.epoch, "optimizer steps": reached.steps, "best metric": _short(reached.best)}


def _round(metrics: Mapping[str, float]) -> dict[str, Any]:
    return {name: _short(value) for name, value in metrics.items()}


def _short(value: float | None) -> Any:
    if value is None or not math.isfinite(value):
        return None if value is None else str(value)
    return float(f"{value:.5g}")
