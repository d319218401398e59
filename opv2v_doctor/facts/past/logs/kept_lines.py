"""Kept lines: the lines of metrics that stay in memory, all of them or evenly spaced ones."""

from __future__ import annotations

import numpy as np

from opv2v_doctor.facts.past.logs.metric_rows import Run

Piece = tuple[int, Run]  # a run, and the number of its segment


class KeptLines:
    """Keeps every line; with a limit, every second, fourth, ... of a run, its last one always."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit, self.stride = limit, 1
        self.pieces: list[Piece] = []
        self._count = 0

    def add(self, segment: int, run: Run) -> None:
        """Take in a run."""
        kept = _thinned(run, self.stride)
        self.pieces.append((segment, kept))
        self._count += len(kept)
        while self.limit is not None and self._count > self.limit:
            self._thin()

    def _thin(self) -> None:
        """Leave out every second line; where all runs are of one or two lines, every second run."""
        self.stride *= 2
        before = self._count
        self.pieces = [(segment, _thinned(run, 2)) for segment, run in self.pieces]
        self._count = sum(len(run) for _, run in self.pieces)
        if self._count > 0.8 * before:
            self.pieces = self.pieces[::2]
            self._count = sum(len(run) for _, run in self.pieces)


def _thinned(run: Run, stride: int) -> Run:
    if stride == 1 or len(run) < 2:
        return run
    lines = np.zeros(len(run), np.bool_)
    lines[::stride] = True
    lines[-1] = True
    return run.part(lines)
