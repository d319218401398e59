"""Metric rows: lines of a MetricLogger, read one by one, as arrays, and those that stay in memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.past.logs.blocks import Positions

NUMBER = rb"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d{1,3})?|nan|inf)"
ESTIMATE = rb"(?:-?\d{1,9} days?, )?\d{1,9}:\d\d:\d\d"  # of the time that is left
LONGEST_HEAD = 400  # bytes before the first metric: prefixes of loggers, the step, the estimate

_head = re.compile(
    rb"(?:(?:\b(?P<word>[A-Za-z]{1,12}) )?[Ee]poch: ?\[(?P<epoch>\d{1,9})(?:/\d{1,9})?\]"
    rb"|\b(?P<bare>Test|Testing|Eval|Evaluation|Val|Valid|Validation|Infer|Inference):)"
    rb"(?P<gap>  ?|\t| ?\t)\[ {0,11}(?P<step>\d{1,9})/(?P<steps>\d{1,9})\]"
    rb"(?P<delimiter>  |\t)eta: " + ESTIMATE + rb"(?=  |\t)"
)
_field = re.compile(
    rb"(?P<name>[^\s:](?:[^:\t]{0,200}?[^\s:])?): {1,4}(?P<value>%b)"
    rb"(?: \((?:(?P<average>%b)|(?:max|min): %b|%b -- %b)\))?" % ((NUMBER,) * 5)
)
_resembling = re.compile(rb"(?:Epoch: ?\[\d{1,9}(?:/\d{1,9})?\]\s{0,3}\[|\beta: +-?\d)")
EVALUATIONS = {*b"test testing eval evaluation val valid validation infer inference".split()}


@dataclass(frozen=True, kw_only=True)
class MetricLine:
    """What one line says: where the training is, and a median and an average for each metric.

    An average of None: the line gives one value only, such as a learning rate.
    """

    phase: str
    epoch: int | None
    step: int
    steps: int
    names: tuple[str, ...]
    medians: tuple[float, ...]
    averages: tuple[float | None, ...]


def metric_line(line: bytes) -> MetricLine | None:
    """The metrics of a line; None where it has none, or where any part of it does not parse."""
    head = head_of(line)
    if head is None:
        return None
    fields = _fields(line[head.end() :], head["delimiter"])
    if not fields:
        return None
    word = (head["word"] or head["bare"] or b"").lower()
    averages = [field["average"] for field in fields]
    return MetricLine(
        phase="test" if word in EVALUATIONS else "train",
        epoch=int(head["epoch"]) if head["epoch"] is not None else None,
        step=int(head["step"]),
        steps=int(head["steps"]),
        names=tuple(field["name"].decode("utf-8", "backslashreplace") for field in fields),
        medians=tuple(float(field["value"]) for field in fields),
        averages=tuple(None if average is None else float(average) for average in averages),
    )


def _fields(text: bytes, delimiter: bytes = b"  ") -> list[re.Match[bytes]]:
    """The metrics of a text; none where any part of it does not parse."""
    rest = text.rstrip().lstrip(b" \t")
    found = [_field.fullmatch(field.strip()) for field in rest.split(delimiter) if field.strip()]
    return [] if None in found else [field for field in found if field is not None]


def averages_of(text: bytes) -> dict[str, float]:
    """The averages of a text of metrics, of those without one their value; nothing for any other text."""
    return {
        field["name"].decode("utf-8", "backslashreplace"): float(field["average"] or field["value"])
        for field in _fields(text)
    }


def rows_of_averages(found: Mapping[str, float], phase: str, epoch: int, number: int) -> MetricRows:
    """The averages of an epoch as a run of one line without a step."""
    line = MetricLine(
        phase=phase,
        epoch=max(epoch, 0),
        step=-1,
        steps=0,
        names=tuple(found),
        medians=tuple(found.values()),
        averages=tuple(found.values()),
    )
    return run_of(line, number)


def head_of(line: bytes) -> re.Match[bytes] | None:
    """The match of a line's head: groups word, epoch, bare, step, steps, delimiter."""
    return _head.search(line, 0, LONGEST_HEAD)


def resembles_metrics(line: bytes) -> bool:
    """Whether a line that did not parse looks like metrics: it is counted and shown, never guessed at."""
    return _resembling.search(line, 0, 4 * LONGEST_HEAD) is not None


NO_EPOCH = -1

Rows = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class MetricRows:
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

    def part(self, lines: slice | Flags) -> MetricRows:
        """Some of the lines."""
        columns = ("epoch", "step", "line", "medians", "averages")
        return replace(self, **{name: getattr(self, name)[lines] for name in columns})


def run_of(line: MetricLine, number: int) -> MetricRows:
    """One line as a run."""
    return MetricRows(
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


Piece = tuple[int, MetricRows]  # a run, and the number of its segment


class KeptLines:
    """Keeps every line; with a limit, every second, fourth, ... of a run, its last one always."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit, self.stride = limit, 1
        self.pieces: list[Piece] = []
        self._count = 0

    def add(self, segment: int, run: MetricRows) -> None:
        """Take in a run."""
        kept = _keep_every(run, self.stride)
        self.pieces.append((segment, kept))
        self._count += len(kept)
        while self.limit is not None and self._count > self.limit:
            self._thin()

    def _thin(self) -> None:
        """Leave out every second line; where all runs are of one or two lines, every second run."""
        self.stride *= 2
        before = self._count
        self.pieces = [(segment, _keep_every(run, 2)) for segment, run in self.pieces]
        self._count = sum(len(run) for _, run in self.pieces)
        if self._count > 0.8 * before:
            self.pieces = self.pieces[::2]
            self._count = sum(len(run) for _, run in self.pieces)


def _keep_every(run: MetricRows, stride: int) -> MetricRows:
    if stride == 1 or len(run) < 2:
        return run
    lines = np.zeros(len(run), np.bool_)
    lines[::stride] = True
    lines[-1] = True
    return run.part(lines)
