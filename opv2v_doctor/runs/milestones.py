"""How far a run came: its checkpoints, and the statistics of its epochs."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.past.checkpoints import Checkpoint, read_checkpoint
from opv2v_doctor.facts.past.checkpoints.unreadable import CheckpointUnreadable
from opv2v_doctor.facts.past.runs import CHECKPOINTS, epoch_lengths
from opv2v_doctor.foreign_files import from_json, open_file
from opv2v_doctor.runs.vitals import EVENTS

SAVED, STATISTICS = "checkpoints.jsonl", "log.txt"
LONGEST = 1 << 20  # bytes of a line


@dataclass(frozen=True)
class Milestones:
    """What a run directory tells about the training's progress. Reads; unpickles nothing."""

    path: Path

    @cached_property
    def newest(self) -> Checkpoint | None:
        """The checkpoint that is furthest in the training; one without an optimizer counts no steps."""
        found = [read for file in sorted(self.path.glob(CHECKPOINTS)) if (read := _open(file)) is not None]
        return max(found, key=lambda checkpoint: (checkpoint.steps, checkpoint.epoch or 0), default=None)

    @cached_property
    def saved(self) -> list[dict[str, Any]]:
        """The watch's line of every save."""
        return json_lines(self.path / SAVED)

    @cached_property
    def epoch(self) -> int | None:
        """The last epoch that a checkpoint completes."""
        return self.newest.epoch if self.newest else None

    @cached_property
    def steps(self) -> int | None:
        """Optimizer steps at the newest checkpoint."""
        return self.newest.steps if self.newest and self.newest.optimizer_steps else None

    @cached_property
    def best(self) -> float | None:
        """The best metric so far, as the training itself keeps it."""
        best = self.newest.best_so_far if self.newest else None
        return best if best is not None and math.isfinite(best) else None

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The statistics of the last epoch that was logged."""
        lines = [line for line in json_lines(self.path / STATISTICS) if len(line) > 1]
        found = lines[-1] if lines else {}
        return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}

    @cached_property
    def loader_lengths(self) -> dict[str, Any]:
        """Length of each loader, from the watch, else the training's from the log."""
        events = json_lines(self.path / EVENTS)
        seen = {str(e.get("name")): e.get("length") for e in events if e.get("event") == "loader"}
        lengths = epoch_lengths(self.path)
        return seen or ({"train 0": lengths[-1].steps} if lengths else {})


def _open(path: Path) -> Checkpoint | None:
    try:
        return read_checkpoint(path)
    except CheckpointUnreadable:
        return None


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines; what is no such line, as after a kill, is passed over."""
    found = []
    with contextlib.suppress(OSError), open_file(path) as file:
        while line := file.readline(LONGEST):
            with contextlib.suppress(ValueError):
                entry = from_json(line)
                found += [entry] if isinstance(entry, dict) else []
    return found
