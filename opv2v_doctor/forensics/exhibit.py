"""An exhibit is one checkpoint as it was found: what it is, what could be read of it, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from opv2v_doctor.check import Examined, Finding
from opv2v_doctor.facts.past.checkpoints import Checkpoint, read_checkpoint
from opv2v_doctor.facts.past.checkpoints.loading import Loading
from opv2v_doctor.facts.past.checkpoints.models import is_safetensors, open_weights
from opv2v_doctor.facts.past.checkpoints.scans import Scan
from opv2v_doctor.facts.past.checkpoints.shards import Sharded, shards_of
from opv2v_doctor.facts.past.checkpoints.unreadable import (
    CheckpointNotExamined,
    CheckpointUnreadable,
    reasons,
)
from opv2v_doctor.facts.past.checkpoints.weights import Weights
from opv2v_doctor.user_error import UsageError

SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
MOST_FILES = 10_000


@dataclass(kw_only=True, eq=False)
class Exhibit:
    """One checkpoint file, or one model in several files."""

    path: Path
    form: str = "unreadable"
    size: int = 0
    written: float | None = None
    tensors: int = 0
    parameters: int = 0
    checkpoint: Checkpoint | None = None
    scans: tuple[Scan, ...] = ()  # of each tensor, where it was asked for
    states: tuple[Scan, ...] = ()  # likewise, of what is there beside the model
    loading: Loading | None = None
    refused: CheckpointUnreadable | None = None
    findings: list[Finding] = field(default_factory=list)
    examined: list[Examined] = field(default_factory=list)

    def add(self, *found: Finding | Examined) -> None:
        """Keep what was found of it, and what was looked at for that."""
        for one in found:
            if isinstance(one, Finding):
                self.findings.append(one)
            else:
                self.examined.append(one)

    @property
    def answered(self) -> bool:
        """Whether anything can be said of it; a file that only running could tell about gives no answer."""
        return not isinstance(self.refused, CheckpointNotExamined)


def exhibits(paths: list[Path]) -> Iterator[Exhibit]:
    """Everything below the paths that is a checkpoint. Raises UsageError for a path where there is none."""
    for path in paths:
        if not path.exists() and not path.is_symlink():
            raise UsageError(f"{path}: no such file or directory")
        found = _below(path)
        if not found:
            raise UsageError(f"{path}: no checkpoint below it (*{', *'.join(SUFFIXES)})")
        yield from map(_exhibit, found)


def _below(path: Path) -> list[Path]:
    """The checkpoints of a folder, in the order of their time; the shards of one model are one."""
    if not path.is_dir() or _is_one(path):
        return [path]
    here = [each for each in islice(path.iterdir(), MOST_FILES) if _is_candidate(each)]
    if not here:
        here = [each for each in islice(path.rglob("*"), MOST_FILES) if _is_candidate(each)]
    return _without_repeated_shards(sorted(here, key=lambda each: (each.lstat().st_mtime, each.name)))


def _is_candidate(path: Path) -> bool:
    if path.is_dir():
        return _is_one(path)
    return path.suffix in SUFFIXES or path.name.endswith(".index.json")


def _is_one(folder: Path) -> bool:
    """Whether a folder as a whole is one checkpoint."""
    found = shards_of(folder)
    return found is not None and (found.is_distributed or not any(folder.glob("checkpoint-*.pth")))


def _without_repeated_shards(paths: list[Path]) -> list[Path]:
    parts = {path: shards_of(path) for path in paths}
    indexed = {shard for found in parts.values() if found and found.form == "index" for shard in found.shards}
    seen: set[tuple[Path, ...]] = set()
    kept: list[Path] = []
    for path, found in parts.items():
        if path in indexed or (found and found.shards and found.shards in seen):
            continue
        if found:
            seen.add(found.shards)
        kept.append(path)
    return kept


def _exhibit(path: Path) -> Exhibit:
    exhibit = Exhibit(path=path)
    try:
        with reasons(path):
            stat = path.stat()
            exhibit.size, exhibit.written = stat.st_size, stat.st_mtime
            parts = shards_of(path)
            if parts:
                _read_shards(exhibit, parts)
            else:
                _read_into(exhibit)
    except CheckpointUnreadable as reason:
        exhibit.refused = reason
        if not exhibit.answered and exhibit.form == "unreadable":
            exhibit.form = "not examined"
    return exhibit


def _read_into(exhibit: Exhibit) -> None:
    if not exhibit.path.is_file():
        raise CheckpointUnreadable("not a file")
    if is_safetensors(exhibit.path):
        exhibit.form = "safetensors"
        _count(exhibit)
        return
    found = exhibit.checkpoint = read_checkpoint(exhibit.path)
    whole = found.epoch is not None or found.has_optimizer
    exhibit.form = found.part or ("checkpoint" if whole else "weights")
    exhibit.tensors, exhibit.parameters = found.tensors, found.elements


def _read_shards(exhibit: Exhibit, parts: Sharded) -> None:
    exhibit.form, exhibit.size = f"sharded ({parts.form})", parts.size
    _count(exhibit)


def _count(exhibit: Exhibit) -> None:
    with open_weights(exhibit.path) as weights:
        exhibit.tensors, exhibit.parameters = len(weights.tensors), elements_of(weights)


def elements_of(weights: Weights) -> int:
    """All values of a model."""
    return sum(weight.elements for weight in weights.tensors.values())
