"""Segments: the launches whose lines lie in one log, told apart by what they say and by where they go on."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from opv2v_doctor import Text
from opv2v_doctor.facts.past.logs.metric_rows import NO_EPOCH, MetricRows

MOST = 10_000


@dataclass
class Segment:
    """One launch: its lines, its length of an epoch, and from where to where in the training it went."""

    number: int
    cause: Text  # why it is a segment of its own
    first_line: int
    steps: int = 0
    first: tuple[int, int] = (NO_EPOCH, 0)  # epoch and step
    last: tuple[int, int] = (NO_EPOCH, -1)
    last_line: int = 0
    launch_line: int = 0  # where the launch shows itself, 0 where it does not
    stride: int = 0  # steps from one line to the next

    @property
    def trained(self) -> bool:
        return self.last[0] != NO_EPOCH

    @property
    def place(self) -> int:
        """The line to show: that of the launch, else the first one of metrics."""
        return self.launch_line or self.first_line

    def goes_on(self, epoch: int, step: int, steps: int) -> bool:
        """Whether this would be the next that the launch says."""
        same = epoch == self.last[0] and step > self.last[1]
        return steps == self.steps and (same or epoch == self.last[0] + 1)

    def goes_on_exactly(self, epoch: int, step: int, steps: int) -> bool:
        """Whether this is the very next, though other launches wrote in between."""
        if steps != self.steps:
            return False
        if not self.stride:
            return epoch == self.last[0] and step > self.last[1]
        next_step = self.last[1] + self.stride
        if epoch == self.last[0]:
            return self.last[1] < step <= next_step
        return epoch == self.last[0] + 1 and step == 0 and next_step >= self.steps


class Segments:
    """Told the launches and the runs of a log in its order, it says which segment each run belongs to."""

    def __init__(self) -> None:
        self.found: list[Segment] = []
        self.without_steps = False  # whether whole epochs are all that the log speaks of
        self._launches: list[int] = []
        self._current = -1
        self._seen = 0

    @property
    def launches(self) -> tuple[int, ...]:
        """The lines where launches show themselves."""
        return tuple(self._launches)

    def launch(self, line: int) -> None:
        """A launch shows itself in this line."""
        self._launches.append(line)

    def assign(self, runs: Sequence[MetricRows]) -> Iterator[tuple[int, MetricRows]]:
        """The pieces of the runs of one block in the order of their lines, with their segments."""
        for stretch in _in_order(runs):
            for piece in self._pieces(stretch):
                number = self._place(piece)
                yield number, self._after_training(piece)

    def _after_training(self, piece: MetricRows) -> MetricRows:
        """An evaluation that names no epoch is that of the epoch which was trained last."""
        if piece.phase == "train" or piece.epoch[0] != NO_EPOCH:
            return piece
        return replace(piece, epoch=np.full_like(piece.epoch, self.found[self._current].last[0]))

    def _pieces(self, run: MetricRows) -> Iterator[MetricRows]:
        """A run cut where it does not simply go on, and at launches."""
        cuts = {bisect_left(run.line, line) for line in self._launches}
        if run.phase == "train":
            later = np.diff(run.epoch)
            on = ((later == 0) & (np.diff(run.step) > 0)) | (later == 1)
            cuts |= set((np.flatnonzero(~on) + 1).tolist())
        edges = sorted(cuts - {0, len(run)})
        for start, end in zip([0, *edges], [*edges, len(run)], strict=True):
            yield run.part(slice(start, end)) if edges else run

    def _place(self, piece: MetricRows) -> int:
        first, last = int(piece.line[0]), int(piece.line[-1])
        launches = self._launches[
            bisect_right(self._launches, self._seen) : bisect_right(self._launches, first)
        ]
        self._seen = max(self._seen, first)
        epoch, step = int(piece.epoch[0]), int(piece.step[0])
        trains = piece.phase == "train" and (step >= 0 or self.without_steps)
        if trains or launches or not self.found:
            self._current = self._segment(epoch, step, piece.steps, first, launches, trains)
        segment = self.found[self._current]
        segment.last_line = max(segment.last_line, last)
        if trains:
            self._advance(segment, piece)
        return segment.number

    def _segment(
        self, epoch: int, step: int, steps: int, line: int, launches: list[int], trains: bool
    ) -> int:
        """The index of the segment that goes on here, a new one where none does."""
        current = self.found[self._current] if self.found else None
        if trains and current is not None:
            if not current.trained and not launches:
                return self._current
            if not launches and current.goes_on(epoch, step, steps):
                return self._current
            for segment in reversed(self.found[-20:]):
                if segment.goes_on_exactly(epoch, step, steps) and (step or not launches):
                    return segment.number
        if len(self.found) >= MOST:
            return self._current
        self.found.append(
            Segment(
                number=len(self.found),
                cause=self._cause(current, epoch, step, steps, launches),
                first_line=line,
                launch_line=launches[-1] if launches else 0,
            )
        )
        return len(self.found) - 1

    def _cause(self, current: Segment | None, epoch: int, step: int, steps: int, launches: list[int]) -> Text:
        if launches or current is None:
            return Text("launched" if launches else "the log begins")
        if steps != current.steps:
            return Text("{after} steps per epoch after {before}", after=steps, before=current.steps)
        return Text(
            "from epoch {old}, step {old_step} to epoch {epoch}, step {step}",
            old=current.last[0],
            old_step=current.last[1],
            epoch=epoch,
            step=step,
        )

    def _advance(self, segment: Segment, piece: MetricRows) -> None:
        if not segment.trained:
            segment.first, segment.steps = (int(piece.epoch[0]), int(piece.step[0])), piece.steps
        elif piece.epoch[0] == segment.last[0]:
            segment.stride = max(segment.stride, int(piece.step[0]) - segment.last[1])
        if len(piece) > 1:
            segment.stride = max(segment.stride, int(np.diff(piece.step).max()))
        segment.last = (int(piece.epoch[-1]), int(piece.step[-1]))


def _in_order(runs: Sequence[MetricRows]) -> Iterator[MetricRows]:
    """The runs, cut where lines of another one stand between theirs."""
    if len(runs) < 2:
        yield from runs
        return
    lines = np.concatenate([run.line for run in runs])
    owners = np.repeat(np.arange(len(runs)), [len(run) for run in runs])[np.argsort(lines, kind="stable")]
    edges = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), len(owners)]
    begun = [0] * len(runs)
    for start, end in pairwise(edges):
        owner, count = int(owners[start]), end - start
        yield runs[owner].part(slice(begun[owner], begun[owner] + count))
        begun[owner] += count
