"""Runs of metric lines: lines that have the same metrics, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.past.logs.blocks import Positions
from opv2v_doctor.facts.past.logs.metric_lines import MetricLine

NO_EPOCH = -1

Rows = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """Lines of one layout: epoch, step and number of each, and a row of values each."""

    phase: str
    steps: int
    names: tuple[str, ...]
    averaged: Flags  # which metrics have an average
    epoch: Positions  # NO_EPOCH where the line has none
    step: Positions
    line: Positions
    medians: Rows
    averages: Rows  # NaN for the metrics that have none

    def __len__(self) -> int:
        return len(self.line)

    def part(self, lines: slice | Flags) -> Run:
        """Some of the lines."""
        columns = ("epoch", "step", "line", "medians", "averages")
        return replace(self, **{name: getattr(self, name)[lines] for name in columns})


def run_of(line: MetricLine, number: int) -> Run:
    """One line as a run."""
    return Run(
        phase=line.phase,
        steps=line.steps,
        names=line.names,
        averaged=np.array([average is not None for average in line.averages], np.bool_),
        epoch=np.array([NO_EPOCH if line.epoch is None else line.epoch], np.int64),
        step=np.array([line.step], np.int64),
        line=np.array([number], np.int64),
        medians=np.array([line.medians], np.float64),
        averages=np.array([[np.nan if a is None else a for a in line.averages]], np.float64),
    )
