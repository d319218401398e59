"""Courses: one number of the training from line to line, and what its course shows without any config."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from opv2v_doctor.facts.past.logs.epoch_parts import Row
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.metric_names import is_loss
from opv2v_doctor.facts.past.logs.metric_rows import NO_EPOCH, Flags
from opv2v_doctor.facts.past.logs.segments import Segment

PARTS = 10  # of a training with fewer epochs
FEWEST_EPOCHS, FEWEST_LINES = 5, 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """A number in the order of the log; of a metric with a window, its median in the last twenty steps."""

    epoch: Row
    at: Row  # epochs and the share of one that is done
    step: Row
    line: Row
    segment: Row
    value: Row

    def __len__(self) -> int:
        return len(self.value)

    def part(self, kept: slice | Flags) -> Course:
        return Course(**{name: getattr(self, name)[kept] for name in self.__dataclass_fields__})

    def pieces(self) -> list[Course]:
        """It epoch by epoch, or of a few epochs in ten parts; nothing where there are too few lines."""
        changes = np.flatnonzero((np.diff(self.epoch) != 0) | (np.diff(self.segment) != 0)) + 1
        if len(changes) + 1 < FEWEST_EPOCHS:
            if len(self) < FEWEST_LINES:
                return []
            changes = np.linspace(0, len(self), PARTS + 1).astype(np.int64)[1:-1]
        edges = [0, *changes.tolist(), len(self)]
        return [self.part(slice(start, end)) for start, end in pairwise(edges)]


def course(log: Log, name: str, segments: tuple[Segment, ...] | None = None) -> Course:
    """A metric of the last training, or of some launches, where it is finite."""
    numbers = {one.number for one in (last_training(log) if segments is None else segments)}
    rows = []
    for number, run in log.pieces:
        if number in numbers and run.phase == "train" and name in run.names:
            value = run.medians[:, run.names.index(name)]
            at = run.epoch + (np.maximum(run.step, 0) / run.steps if run.steps else 0.0)
            rows.append(np.stack([run.epoch, at, run.step, run.line, np.full(len(run), number), value]))
    table = np.concatenate(rows, axis=1) if rows else np.empty((6, 0))
    table = table[:, np.isfinite(table[-1])]
    return Course(**dict(zip(Course.__dataclass_fields__, table, strict=True)))


def last_training(log: Log) -> tuple[Segment, ...]:
    """The launches since the one that began at the first epoch."""
    trained = log.trained
    first = min((one.first[0] for one in trained), default=NO_EPOCH)
    begun = [index for index, one in enumerate(trained) if one.first[0] <= first]
    return trained[begun[-1] :] if begun else trained


def main_loss(log: Log) -> str | None:
    """The name of what is trained; None where no loss is logged."""
    names = dict.fromkeys(name for part in log.phase("train")[-3:] for name in part.names)
    chosen = [name for name in ("loss", "total_loss", "loss_total") if name in names]
    return next(iter(chosen or filter(is_loss, names)), None)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Memory that grows with every step: from and to how much, by how much an epoch (MiB), and where."""

    line: int
    first: float
    last: float
    epochs: float
    per_epoch: float


EIGHTHS, QUARTERS = 8, 4  # of a launch; a short one has quarters
EVENER = 0.7  # of the largest step between quarters: what a record of random sizes falls below
MOST_EVEN = 0.5  # of the largest step between eighths: what a record of random sizes falls below


def memory_growth(log: Log) -> Growth | None:
    """How the memory of the last launch grows, if it does so evenly.

    `max mem` is a record: with batches of random sizes it grows ever more seldom, an eighth of the training
    after the other by log(n / (n - 1)), and once by a step where a larger one is drawn. What is kept in each
    step adds as much in the last eighths as in the first.
    """
    found = course(log, "max mem", log.trained[-1:])
    at = found.at
    parts, even = (EIGHTHS, MOST_EVEN) if len(found) >= 3 * EIGHTHS else (QUARTERS, EVENER)
    if len(found) < 3 * parts or at[-1] - at[0] <= 0:
        return None
    levels, ends = (np.array([part[-1] for part in np.array_split(row, parts)]) for row in (found.value, at))
    steps = np.diff(levels) / np.maximum(np.diff(ends), 1e-9)
    if not (steps[-4:] > 0).all() or steps[-4:].min() < even * steps.max():
        return None
    return Growth(
        line=int(found.line[0]),
        first=float(found.value[0]),
        last=float(found.value[-1]),
        epochs=float(at[-1] - at[0]),
        per_epoch=float((levels[-1] - levels[0]) / (ends[-1] - ends[0])),
    )
