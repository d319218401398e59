"""Log files: what one says in the end, and the table that several make."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opv2v_doctor.facts.logs.epoch_parts import EpochPart
from opv2v_doctor.facts.logs.incidents import Incident
from opv2v_doctor.facts.logs.kept_lines import Piece
from opv2v_doctor.facts.logs.log_tables import frame_of
from opv2v_doctor.facts.logs.segments import Segment
from opv2v_doctor.facts.logs.tracebacks import Traceback

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, eq=False)
class Log:
    """One file, read to its end."""

    path: Path
    lines: int
    segments: tuple[Segment, ...]
    parts: tuple[EpochPart, ...]
    pieces: tuple[Piece, ...]  # the lines of metrics that were kept
    stride: int  # every so many lines of an epoch were kept
    incidents: tuple[Incident, ...]
    counts: Mapping[str, int]  # incidents by kind, those not kept included
    tracebacks: tuple[Traceback, ...]
    unparsed: tuple[tuple[int, str], ...]  # the first lines that look like metrics and do not parse
    unparsed_count: int
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

    def survived(self, raised: Traceback) -> bool:
        """Whether its launch went on: after the exception it trained a whole epoch, or came to its end.

        A few more lines prove nothing: other ranks write until they have to wait for the one that is gone.
        """
        launches = sorted(segment.place for segment in self.segments)
        later = bisect_right(launches, raised.line)
        before = launches[later] if later < len(launches) else self.lines + 1
        return later > 0 and any(raised.exception_line < line < before for line in self._achievements)

    def overcome(self, line: int) -> bool:
        """Whether a whole epoch was trained after a line, or a launch came to its end."""
        return any(line < achieved for achieved in self._achievements)

    def phase(self, phase: str) -> list[EpochPart]:
        return [part for part in self.parts if part.phase == phase]

    @cached_property
    def _achievements(self) -> list[int]:
        """The lines where an epoch begins that was trained as a whole, and where a launch came to its end."""
        trained = [part for part in self.parts if part.phase == "train" and part.steps]
        wholes = [part.first_line for part in trained if part.last_step + 1 >= part.steps]
        return [*wholes, *(end.line for end in self.of("end"))]


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
