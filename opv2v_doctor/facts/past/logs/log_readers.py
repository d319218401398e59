"""The reader of logs: told the records of one file in their order, it tells what they say in the end."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from opv2v_doctor.facts.past.logs.epoch_parts import EpochParts
from opv2v_doctor.facts.past.logs.incidents import Incident, Incidents, without_prefix
from opv2v_doctor.facts.past.logs.json_lines import runs_of, statistics
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.metric_rows import (
    EVALUATIONS,
    NO_EPOCH,
    KeptLines,
    MetricRows,
    Piece,
    averages_of,
    rows_of_averages,
)
from opv2v_doctor.facts.past.logs.other_trainers import trainer_of
from opv2v_doctor.facts.past.logs.records import Records
from opv2v_doctor.facts.past.logs.run_configs import PrintedConfig
from opv2v_doctor.facts.past.logs.segments import Segments
from opv2v_doctor.facts.past.logs.tracebacks import Tracebacks

SHOWN = 5  # lines that could not be read
SAMPLE = 3
AVERAGES = "Averaged stats: "
NOWHERE, LAST = np.array([NO_EPOCH], np.int64), np.array([1 << 30], np.int64)  # of the evaluation before
_precision = re.compile(
    r" ?Average Precision  \(AP\) @\[ IoU=0\.50:0\.95 \| area= +all .{0,40}= (-?\d\.\d{1,6})"
)
_ended = re.compile(r"(?:(\w+):? )?(?:Epoch: ?\[(\d{1,9})(?:/\d{1,9})?\] )?Total time: ")
STARTING = {"launch", "rank", "job"}
ANSWERED_BELOW = {"length", "weights"}  # the value may be in the next line
SOURCES = ("text", "json", "events")


class LogReader:
    """Reads one log, block by block; `keep` bounds the lines that are kept, and so the memory."""

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
        self._statistics = 0  # lines of them
        self._average = ("train", NO_EPOCH)  # phase and epoch of the averages that come next
        self.sample: list[tuple[int, str]] = []
        self._unread: tuple[str, int, int] | None = None
        self._sources: set[str] = set()

    def feed(self, found: Records) -> list[Piece]:
        """Take in what a block says; the pieces that it adds to the table."""
        block = found.block
        self.lines = block.line + len(block.ends) - 1
        if block.nulls:
            self._nulls = (
                block.nulls_at,
                block.nulls + (self._nulls[1] if self._nulls else 0),
                block.nulls_last,
            )
        elif self._nulls:
            self._nulls = (*self._nulls[:2], False)
        runs = list(found.runs)
        self._sources |= {found.source} if runs else set()
        for number, text in found.others:
            runs += self._other(number, text, runs)
        self._cut = (found.cut[0], _excerpt(found.cut[1])) if found.cut else None
        for line, text in found.unparsed:
            if not self._is_unread(line, _excerpt(text)):
                self.unparsed_count += 1
                self.unparsed += [(line, _excerpt(text))] if len(self.unparsed) < SHOWN else []
        self.segments.without_steps = self._sources <= {"json"}
        pieces = list(self.segments.assign(runs))
        if any(piece.line[-1] > self._launch for _, piece in pieces):
            self._starting = False
        for segment, piece in pieces:
            self.parts.add(segment, piece)
            self.kept.add(segment, piece)
        return pieces

    def _other(self, number: int, line: bytes, runs: Sequence[MetricRows]) -> list[MetricRows]:
        """A line that is not one of metrics: statistics in JSON, part of a traceback, or an incident."""
        text, rank = without_prefix(line)
        if (
            text.startswith('{"')
            and (found := statistics(line[line.index(b'{"') :], self._statistics)) is not None
        ):
            self._statistics += 1
            if self._shifted is None:
                self._shifted = not found.values and found.epoch == 0
            added = runs_of(found, number, self._shifted)
            self._sources |= {"json"}
            if not any(run.phase == "train" for run in added):
                self.segments.launch(number)
            return added
        if found_averages := self._averages(number, text):
            return [found_averages]
        self._show(number, text)
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

    def _averages(self, number: int, text: str) -> MetricRows | None:
        """The averages of an epoch, in a log without lines of steps: all that it says of the epoch."""
        if precision := _precision.match(text):
            found = {"AP": float(precision[1])}
            return replace(rows_of_averages(found, "test", 0, number), epoch=NOWHERE, step=LAST)
        if self._sources & {"text"}:
            return None
        if ended := _ended.match(text):
            phase = "test" if (ended[1] or "").strip().lower().encode() in EVALUATIONS else "train"
            epoch = int(ended[2]) if ended[2] else self._average[1] + (phase == "train")
            self._average = (phase, epoch)
        elif text.startswith(AVERAGES) and (found := averages_of(text[len(AVERAGES) :].encode())):
            self._sources |= {"json"}
            return rows_of_averages(found, *self._average, number)
        return None

    def _show(self, number: int, text: str) -> None:
        """Keep some of the lines that say nothing: they are shown where none says anything."""
        if len(self.sample) < SAMPLE and text.strip():
            self.sample.append((number, text[:200]))
        self._is_unread(number, text)

    def _is_unread(self, number: int, text: str) -> bool:
        """Whether a line is one of another trainer's metrics; it is counted."""
        if trainer := trainer_of(text):
            name, first, count = self._unread or (trainer, number, 0)
            self._unread = (name, first, count + 1)
        return trainer is not None

    def _follow_launches(
        self, number: int, incident: Incident | None, crashed: bool, runs: Sequence[MetricRows]
    ) -> None:
        """A launch shows itself in several lines; the first of them after anything else is its beginning."""
        kind = incident.kind if incident is not None else ""
        if kind in STARTING:
            trained = any(_has_line_between(run, self._launch, number) for run in runs)
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
            launches=self.segments.launches,
            parts=tuple(self.parts.found),
            pieces=tuple(self.kept.pieces),
            stride=self.kept.stride,
            incidents=tuple(self.incidents.found),
            counts=dict(self.incidents.counts),
            tracebacks=self.tracebacks.in_order(),
            unparsed=tuple(self.unparsed),
            unparsed_count=self.unparsed_count,
            sample=tuple(self.sample),
            unread=self._unread,
            cut=self._cut,
            nulls=self._nulls,
            config=self.config.values,
            source=next((source for source in SOURCES if source in self._sources), "text"),
        )


def _has_line_between(run: MetricRows, first: int, last: int) -> bool:
    index = bisect_right(run.line, first)
    return index < len(run) and bool(run.line[index] < last)


def _excerpt(text: bytes) -> str:
    return text[:300].decode("utf-8", "backslashreplace")
