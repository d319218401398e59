"""Epoch parts: what a log says about each epoch, summed up exactly while it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.past.logs.metric_names import is_gradient_norm
from opv2v_doctor.facts.past.logs.metric_rows import MetricRows

Row = NDArray[np.float64]
Lines = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Span:
    """One metric over one epoch: ends, bounds and their lines. `last` is the average if there is one."""

    first: float
    last: float
    last_median: float
    lowest: float
    highest: float
    lowest_line: int
    highest_line: int
    first_line: int
    last_line: int
    broken_line: int  # the first that is NaN or infinite, 0 for none
    count: int


@dataclass
class _Metrics:
    """The same metrics over one epoch: a column each."""

    names: tuple[str, ...]
    first: Row
    last: Row
    last_median: Row
    lowest: Row
    highest: Row
    lowest_line: Lines
    highest_line: Lines
    broken_line: Lines
    first_line: int
    last_line: int
    count: int


@dataclass
class EpochPart:
    """One epoch of one segment and phase; a test epoch has one part for each test set."""

    segment: int
    phase: str
    epoch: int
    steps: int
    number: int  # of the test set
    last_step: int = -1
    first_line: int = 0
    last_line: int = 0
    count: int = 0
    metrics: dict[tuple[str, ...], _Metrics] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for names in self.metrics for name in names))

    @property
    def is_whole(self) -> bool:
        """Whether its last step is there."""
        return 0 < self.steps <= self.last_step + 1

    @property
    def is_finite(self) -> bool:
        """Whether all is finite but the norms of gradients: a step whose gradient is not is left out."""
        return not any(
            line and not is_gradient_norm(name)
            for metrics in self.metrics.values()
            for name, line in zip(metrics.names, metrics.broken_line.tolist(), strict=True)
        )

    @property
    def values(self) -> int:
        """How many values it has, in all lines."""
        return sum(metrics.count * len(metrics.names) for metrics in self.metrics.values())

    def span(self, name: str) -> Span | None:
        """One metric over this epoch; None where it has none of this name."""
        found = [metrics for metrics in self.metrics.values() if name in metrics.names]
        if not found:
            return None
        spans = [_span(metrics, metrics.names.index(name)) for metrics in found]
        return spans[0] if len(spans) == 1 else _join(spans)

    def add(self, run: MetricRows) -> None:
        """Take in some lines of this epoch."""
        if not self.count:
            self.first_line = int(run.line[0])
        self.last_step, self.last_line = max(self.last_step, int(run.step[-1])), int(run.line[-1])
        self.count += len(run)
        known = self.metrics.get(run.names)
        self.metrics[run.names] = _sums(run) if known is None else _merge(known, _sums(run))


def _sums(run: MetricRows) -> _Metrics:
    """What one run says, in one row each."""
    medians = run.medians
    broken = ~np.isfinite(medians) | (run.averaged & ~np.isfinite(run.averages))
    clean = not broken.any()
    low = medians if clean else np.where(np.isnan(medians), np.inf, medians)
    high = medians if clean else np.where(np.isnan(medians), -np.inf, medians)
    lowest, highest = low.argmin(axis=0), high.argmax(axis=0)
    columns = np.arange(len(run.names))
    return _Metrics(
        names=run.names,
        first=medians[0].copy(),  # a view would keep all lines in memory
        last=np.where(run.averaged, run.averages[-1], medians[-1]),
        last_median=medians[-1].copy(),
        lowest=low[lowest, columns],
        highest=high[highest, columns],
        lowest_line=run.line[lowest],
        highest_line=run.line[highest],
        broken_line=np.where(broken.any(axis=0), run.line[broken.argmax(axis=0)], 0),
        first_line=int(run.line[0]),
        last_line=int(run.line[-1]),
        count=len(run),
    )


def _merge(one: _Metrics, other: _Metrics) -> _Metrics:
    lower, higher = other.lowest < one.lowest, other.highest > one.highest
    return _Metrics(
        names=one.names,
        first=one.first,
        last=other.last,
        last_median=other.last_median,
        lowest=np.where(lower, other.lowest, one.lowest),
        highest=np.where(higher, other.highest, one.highest),
        lowest_line=np.where(lower, other.lowest_line, one.lowest_line),
        highest_line=np.where(higher, other.highest_line, one.highest_line),
        broken_line=np.where(one.broken_line > 0, one.broken_line, other.broken_line),
        first_line=one.first_line,
        last_line=other.last_line,
        count=one.count + other.count,
    )


def _span(metrics: _Metrics, column: int) -> Span:
    return Span(
        first=float(metrics.first[column]),
        last=float(metrics.last[column]),
        last_median=float(metrics.last_median[column]),
        lowest=float(metrics.lowest[column]),
        highest=float(metrics.highest[column]),
        lowest_line=int(metrics.lowest_line[column]),
        highest_line=int(metrics.highest_line[column]),
        first_line=metrics.first_line,
        last_line=metrics.last_line,
        broken_line=int(metrics.broken_line[column]),
        count=metrics.count,
    )


def _join(spans: list[Span]) -> Span:
    """One metric that lines of several layouts have."""
    first, last = min(spans, key=lambda s: s.first_line), max(spans, key=lambda s: s.last_line)
    low, high = min(spans, key=lambda s: s.lowest), max(spans, key=lambda s: s.highest)
    return Span(
        first=first.first,
        last=last.last,
        last_median=last.last_median,
        lowest=low.lowest,
        highest=high.highest,
        lowest_line=low.lowest_line,
        highest_line=high.highest_line,
        first_line=first.first_line,
        last_line=last.last_line,
        broken_line=min((s.broken_line for s in spans if s.broken_line), default=0),
        count=sum(s.count for s in spans),
    )


class EpochParts:
    """Told the pieces of a log in its order, it sums up each epoch."""

    def __init__(self) -> None:
        self.found: list[EpochPart] = []
        self._last: dict[tuple[int, str, int], EpochPart] = {}

    def add(self, segment: int, run: MetricRows) -> None:
        """Take in the lines of a piece, epoch by epoch."""
        edges = [0, *(np.flatnonzero(np.diff(run.epoch)) + 1).tolist(), len(run)]
        for start, end in pairwise(edges):
            self._add(segment, run.part(slice(start, end)) if len(edges) > 2 else run)

    def _add(self, segment: int, run: MetricRows) -> None:
        """Take in lines of one epoch; where a test epoch starts anew, another test set follows."""
        key = (segment, run.phase, int(run.epoch[0]))
        edges = [0, *(np.flatnonzero(np.diff(run.step) <= 0) + 1).tolist(), len(run)]
        for start, end in pairwise(edges):
            piece = run.part(slice(start, end)) if len(edges) > 2 else run
            part = self._last.get(key)
            if part is None or (run.phase == "test" and piece.step[0] <= part.last_step):
                part = EpochPart(*key, steps=run.steps, number=part.number + 1 if part else 0)
                self._last[key] = part
                self.found.append(part)
            part.add(piece)
