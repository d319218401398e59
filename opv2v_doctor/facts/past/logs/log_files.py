"""Log files: what one says in the end, and the table that several make: a row a value of a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.past.logs.metric_rows import Piece

if TYPE_CHECKING:
    import pandas as pd
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from opv2v_doctor.facts.past.logs.epoch_parts import EpochPart
from opv2v_doctor.facts.past.logs.incidents import Incident
from opv2v_doctor.facts.past.logs.segments import Segment
from opv2v_doctor.facts.past.logs.tracebacks import Traceback

COLUMNS = (
    "segment",
    "phase",
    "epoch",
    "step",
    "steps_per_epoch",
    "metric",
    "median",
    "average",
    "file",
    "line",
)
PHASES = ("train", "test")
FEWEST_TURNS = 3  # of two trainings that write in turns: a launch may go on from the last but one by itself


def frame_of(logs: Sequence[tuple[str, Sequence[Piece]]]) -> pd.DataFrame:
    """The table of these (file, pieces), in the order of the lines; what a log does not say is missing."""
    import pandas as pd

    filled = _TableColumns(logs)
    columns: dict[str, Any] = {
        "segment": filled.numbers["segment"],
        "phase": _names_of(filled.numbers["phase"], PHASES),
        "epoch": _optional(filled.numbers["epoch"], 0),
        "step": _optional(filled.numbers["step"], 0),
        "steps_per_epoch": _optional(filled.numbers["steps_per_epoch"], 1),
        "metric": _names_of(filled.numbers["metric"], list(filled.metrics)),
        "median": filled.values[0],
        "average": filled.values[1],
        "file": _names_of(filled.numbers["file"], list(dict.fromkeys(name for name, _ in logs))),
        "line": filled.numbers["line"],
    }
    return pd.DataFrame(columns, copy=False)


def _names_of(codes: NDArray[np.int32], names: Sequence[str]) -> Any:
    import pandas as pd

    return pd.Categorical.from_codes(codes, pd.Index(list(names), dtype="str"))


def _optional(numbers: NDArray[np.int32], least: int) -> Any:
    """Integers of which those below the least are missing."""
    import pandas as pd

    return pd.arrays.IntegerArray(numbers, numbers < least)


class _TableColumns:
    """The columns as arrays, filled run by run: nothing is sorted or copied twice."""

    def __init__(self, logs: Sequence[tuple[str, Sequence[Piece]]]) -> None:
        pieces = [(file, piece) for file, found in logs for piece in found]
        count = sum(run.medians.size for _, (_, run) in pieces)
        names = ("segment", "epoch", "step", "steps_per_epoch", "line", "metric", "phase", "file")
        self.numbers = {name: np.empty(count, np.int32) for name in names}
        self.values = np.empty((2, count), np.float64)
        self.metrics: dict[str, int] = {}
        files = {file: code for code, file in enumerate(dict.fromkeys(file for file, _ in logs))}
        at = 0
        for file, piece in pieces:
            at = self._fill(at, files[file], piece)

    def _fill(self, at: int, file: int, piece: Piece) -> int:
        segment, run = piece
        end = at + run.medians.size
        shape = run.medians.shape
        self.values[0, at:end] = run.medians.ravel()
        self.values[1, at:end] = run.averages.ravel()
        codes = [self.metrics.setdefault(name, len(self.metrics)) for name in run.names]
        self.numbers["metric"][at:end].reshape(shape)[:] = codes
        for name, column in (("epoch", run.epoch), ("step", run.step), ("line", run.line)):
            self.numbers[name][at:end].reshape(shape)[:] = column[:, None]
        constants = {
            "segment": segment,
            "steps_per_epoch": run.steps,
            "file": file,
            "phase": PHASES.index(run.phase),
        }
        for name, constant in constants.items():
            self.numbers[name][at:end] = constant
        return end


Fate = Literal["survived", "overcome", "stopped"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Log:
    """One file, read to its end."""

    path: Path
    lines: int
    segments: tuple[Segment, ...]
    launches: tuple[int, ...]  # the lines where launches show themselves, those that made no step included
    parts: tuple[EpochPart, ...]
    pieces: tuple[Piece, ...]  # the lines of metrics that were kept
    stride: int  # every so many lines of an epoch were kept
    incidents: tuple[Incident, ...]
    counts: Mapping[str, int]  # incidents by kind, those not kept included
    tracebacks: tuple[Traceback, ...]
    unparsed: tuple[tuple[int, str], ...]  # the first lines that look like metrics and do not parse
    unparsed_count: int
    sample: tuple[tuple[int, str], ...]  # the first lines that say nothing known
    unread: tuple[str, int, int] | None  # another trainer's metrics: its name, the first line, how many
    cut: tuple[int, str] | None  # a last line of metrics that lacks its end
    nulls: tuple[int, int, bool] | None  # line and number of NUL bytes, and whether they end the log
    config: Mapping[str, Any]  # printed by the training
    source: str  # text, json or events

    def of(self, *kinds: str) -> list[Incident]:
        """The incidents of these kinds, in the order of the log."""
        return [incident for incident in self.incidents if incident.kind in kinds]

    @property
    def raised(self) -> tuple[Traceback, ...]:
        """The exceptions of the training itself."""
        return tuple(one for one in self.tracebacks if not one.is_typed)

    @property
    def is_text(self) -> bool:
        """Whether it is what a training printed: statistics and events alone show no launch or exception."""
        return self.source == "text" or bool(self.incidents or self.tracebacks)

    @cached_property
    def starts(self) -> list[int]:
        """The line where each launch starts; those that show themselves only by their metrics included."""
        return sorted({*self.launches, *(segment.place for segment in self.segments)})

    def launch_of(self, line: int) -> int:
        """The launch that wrote a line, counted from 1; 0 before the first.

        A log without a line of a launch has none before the first: what precedes its metrics is theirs.
        """
        return max(bisect_right(self.starts, line), 0 if self.launches else 1)

    @cached_property
    def overlap(self) -> tuple[Segment, Segment] | None:
        """A launch that goes on after the next one has begun, and that one: two trainings write at once."""
        for one, other in pairwise(self.segments):
            if other.first_line < one.last_line:
                return one, other
        thrice = list(zip(self.trained, self.trained[1:], self.trained[2:], strict=False))
        turns = [
            (one, other)
            for one, other, after in thrice
            if not after.launch_line and one.goes_on(*after.first, after.steps)
        ]
        return turns[0] if len(turns) >= FEWEST_TURNS else None

    @property
    def trained(self) -> tuple[Segment, ...]:
        """The launches that made a step."""
        return tuple(segment for segment in self.segments if segment.trained)

    def fate(self, begins: int, ends: int) -> Fate:
        """What became of the training after what happened in these lines.

        It survived where the same launch then trained a whole epoch or came to its end, and it was overcome
        where a later launch did. A few more lines prove nothing: other ranks write until they have to wait
        for the one that is gone.
        """
        launch = self.launch_of(begins)
        index = bisect_right(self._achievements, ends)
        if index == len(self._achievements):
            return "stopped"
        return "survived" if self.launch_of(self._achievements[index]) == launch > 0 else "overcome"

    def phase(self, phase: str) -> list[EpochPart]:
        return [part for part in self.parts if part.phase == phase]

    @cached_property
    def _achievements(self) -> list[int]:
        """The lines where an epoch begins that was trained as a whole, and where a launch came to its end.

        What is not finite is no achievement: a training goes on with NaN as if nothing had happened.
        """
        trained = self.phase("train")
        wholes = [part.first_line for part in trained if part.is_whole and part.is_finite]
        ends = [end.line for end in self.of("end") if self._is_finite_before(end.line)]
        return sorted([*wholes, *ends])

    def _is_finite_before(self, line: int) -> bool:
        before = [part for part in self.phase("train") if part.last_line < line]
        return not before or before[-1].is_finite


@dataclass(frozen=True, kw_only=True, eq=False)
class LogTable:
    """Several logs; `table` has a row for each value of each line that was kept."""

    logs: tuple[Log, ...]

    @cached_property
    def table(self) -> pd.DataFrame:
        """segment, phase, epoch, step, steps_per_epoch, metric, median, average, file, line."""
        return frame_of([(str(log.path), log.pieces) for log in self.logs])

    @property
    def unparsed(self) -> int:
        return sum(log.unparsed_count for log in self.logs)
