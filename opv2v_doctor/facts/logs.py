"""Logs: what trainings left behind in text, JSON lines and TensorBoard events, as one table and its story."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opv2v_doctor.check import Skip
from opv2v_doctor.facts.blocks import STDIN, chunks
from opv2v_doctor.facts.epoch_parts import EpochPart, EpochParts
from opv2v_doctor.facts.event_files import is_event_file
from opv2v_doctor.facts.incidents import Incident, Incidents, stripped
from opv2v_doctor.facts.json_lines import runs_of, statistics
from opv2v_doctor.facts.kept_lines import KeptLines, Piece
from opv2v_doctor.facts.log_tables import frame_of
from opv2v_doctor.facts.printed_configs import PrintedConfig
from opv2v_doctor.facts.records import Records, records
from opv2v_doctor.facts.runs import last_run
from opv2v_doctor.facts.scalar_runs import scalar_records
from opv2v_doctor.facts.segments import Segment, Segments
from opv2v_doctor.facts.tracebacks import Traceback, Tracebacks
from opv2v_doctor.target import Target

if TYPE_CHECKING:
    import pandas as pd

PATTERNS = ("*.log", "log.txt", "*_log.txt", "events.out.tfevents.*")
KEPT_LINES = 20_000  # of metrics, for checks and curves: epochs are summed up exactly before lines are left out
SHOWN = 5
STARTING = {"launch", "rank", "job"}
ANSWERED_BELOW = {"length", "weights"}  # the value may be in the next line


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

    def phase(self, phase: str) -> list[EpochPart]:
        return [part for part in self.parts if part.phase == phase]

    @property
    def has_metrics(self) -> bool:
        return bool(self.parts)


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


class LogReader:
    """Reads one log, block by block, in memory that does not grow with it when `keep` says how many lines to keep."""

    def __init__(self, path: Path, keep: int | None = None) -> None:
        self.path, self.lines = path, 0
        self.segments, self.parts, self.kept = Segments(), EpochParts(), KeptLines(keep)
        self.incidents, self.tracebacks, self.config = Incidents(), Tracebacks(), PrintedConfig()
        self.unparsed: list[tuple[int, str]] = []
        self.unparsed_count = 0
        self._cut: tuple[int, str] | None = None
        self._nulls: tuple[int, int, bool] | None = None
        self._launch, self._starting = 0, False
        self._asked: Incident | None = None
        self._shifted: bool | None = None
        self._sources: set[str] = set()

    def feed(self, found: Records) -> list[Piece]:
        """Take in what a block says; the pieces that it adds to the table."""
        block = found.block
        self.lines = block.line + len(block.ends) - 1
        if block.nulls:
            self._nulls = (block.nulls_at, block.nulls + (self._nulls[1] if self._nulls else 0), block.nulls_last)
        elif self._nulls:
            self._nulls = (*self._nulls[:2], False)
        runs = list(found.runs)
        self._sources |= {found.source} if runs else set()
        for number, text in found.others:
            runs += self._other(number, text, runs)
        self._cut = (found.cut[0], _shown(found.cut[1])) if found.cut else None
        self.unparsed_count += len(found.unparsed)
        self.unparsed += [(line, _shown(text)) for line, text in found.unparsed[: SHOWN - len(self.unparsed)]]
        self.segments.without_steps = self._sources <= {"json"}
        pieces = list(self.segments.assign(runs))
        for segment, piece in pieces:
            self.parts.add(segment, piece)
            self.kept.add(segment, piece)
        return pieces

    def _other(self, number: int, line: bytes, runs: Sequence[Any]) -> list[Any]:
        """A line that is not one of metrics: statistics in JSON, part of a traceback, or an incident."""
        text, rank = stripped(line)
        if text.startswith('{"') and (found := statistics(line[line.index(b'{"') :])) is not None:
            if self._shifted is None:
                self._shifted = set(found.values) == {"epoch"} and found.epoch == 0
            added = runs_of(found, number, self._shifted)
            self._sources |= {"json"}
            if not any(run.phase == "train" for run in added):
                self.segments.launch(number)
            return added
        self.config.read(text)
        if self._asked is not None and text.strip():
            self.incidents.answer(self._asked, text.strip())
            self._asked = None
        completed = self.tracebacks.read(number, text, rank)
        incident = self.incidents.read(number, text, line)
        self._follow_launches(number, incident, completed is not None, runs)
        if incident is not None and incident.kind in ANSWERED_BELOW and not incident.value:
            self._asked = incident
        return []

    def _follow_launches(self, number: int, incident: Incident | None, crashed: bool, runs: Sequence[Any]) -> None:
        """A launch shows itself in several lines; the first of them after anything else is its beginning."""
        kind = incident.kind if incident is not None else ""
        if kind in STARTING:
            trained = any(self._launch < run.line[0] < number for run in runs)
            if not self._starting or trained:
                self.segments.launch(number)
                self._launch = number
            self._starting = True
        elif crashed or kind in ("start", "testing", "save", "end"):
            self._starting = False

    def log(self) -> Log:
        """What was read so far."""
        return Log(
            path=self.path,
            lines=self.lines,
            segments=tuple(self.segments.found),
            parts=tuple(self.parts.found),
            pieces=tuple(self.kept.pieces),
            stride=self.kept.stride,
            incidents=tuple(self.incidents.found),
            counts=dict(self.incidents.counts),
            tracebacks=self.tracebacks.in_order(),
            unparsed=tuple(self.unparsed),
            unparsed_count=self.unparsed_count,
            cut=self._cut,
            nulls=self._nulls,
            config=self.config.values,
            source="text" if "text" in self._sources or not self._sources else min(self._sources, key=("events", "json").index),
        )


def read_log(path: Path, keep: int | None = None) -> Log:
    """One file: text with or without JSON lines, or TensorBoard events."""
    reader = LogReader(path, keep)
    for found in records_of(path):
        reader.feed(found)
    return reader.log()


def records_of(path: Path) -> Iterator[Records]:
    """What a file says, block by block."""
    return scalar_records(path) if is_event_file(path) else records(chunks(path))


def read_logs(paths: Iterable[Path], keep: int | None = None) -> LogTable:
    """Read files whole; `keep` bounds the lines of metrics that are kept of each."""
    return LogTable(logs=tuple(read_log(path, keep) for path in paths))


def _shown(text: bytes) -> str:
    return text[:300].decode("utf-8", "backslashreplace")


@cache
def log_table(target: Target) -> LogTable:
    """The logs that were named, else those of the last run; Skip where there is none."""
    paths = target.logs or _logs_of_the_last_run(target)
    if not paths:
        raise Skip("no log yet: nothing was trained, or it wrote elsewhere")
    return read_logs(paths, keep=KEPT_LINES)


def _logs_of_the_last_run(target: Target) -> tuple[Path, ...]:
    run = last_run(target)
    return logs_in(run) if run is not None else ()


def logs_in(place: Path) -> tuple[Path, ...]:
    """The logs of a file, a run directory, or a folder of run directories."""
    if place.is_file() or place == STDIN:
        return (place,)
    found = {path for pattern in PATTERNS for path in place.rglob(pattern) if path.is_file() and not _is_hidden(path, place)}
    return tuple(sorted(found))


def _is_hidden(path: Path, place: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(place).parts)


def judged_logs(target: Target) -> tuple[Log, ...]:
    """The logs to judge: of a folder its text, else its JSON lines, else its events, since they say the same."""
    by_folder: dict[Path, list[Log]] = {}
    for log in log_table(target).logs:
        by_folder.setdefault(log.path.parent, []).append(log)
    return tuple(log for logs in by_folder.values() for log in _fullest(logs))


def _fullest(logs: Sequence[Log]) -> list[Log]:
    for source in ("text", "json", "events"):
        found = [log for log in logs if log.source == source and (log.has_metrics or log.tracebacks or log.of("launch"))]
        if found:
            return found
    return list(logs[:1])
