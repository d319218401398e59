"""Kept lines: the lines of metrics that stay in memory, all of them or evenly spaced ones."""

from __future__ import annotations

import numpy as np

from opv2v_doctor.facts.layouts import Run

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
        if self.limit is not None and self._count > self.limit:
            self._thin()

    def _thin(self) -> None:
        self.stride *= 2
        self.pieces = [(segment, _thinned(run, 2)) for segment, run in self.pieces]
        self._count = sum(len(run) for _, run in self.pieces)
        if self.limit is not None and self._count > self.limit // 2 + 1:  # runs of a single line each
            self.pieces = self.pieces[::2]
            self._count = sum(len(run) for _, run in self.pieces)


def _thinned(run: Run, stride: int) -> Run:
    if stride == 1 or len(run) < 2:
        return run
    lines = np.zeros(len(run), np.bool_)
    lines[::stride] = True
    lines[-1] = True
    return run.part(lines)
