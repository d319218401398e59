"""Layouts: what the lines of a MetricLogger have in common, so that their numbers are converted all at once.

A layout is learned from one line that was read with a regular expression. It holds every byte between the
numbers; a line that differs in one of them does not match, and is read with the regular expression itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.blocks import Block, Positions
from opv2v_doctor.facts.digits import fixed_points, padded_numbers, whole_numbers
from opv2v_doctor.facts.metric_lines import MetricLine, head_of
from opv2v_doctor.facts.shared_texts import Anchored, SharedTexts

NO_EPOCH = -1
_marks = re.compile(rb"[:.]")
_value = re.compile(
    rb"-?\d{1,8}\.(\d{1,7})(?: \(-?\d{1,8}\.(\d{1,7})\))?|-?\d{1,8}|(?:nan|-?inf)(?: \((?:nan|-?inf)\))?"
)

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


@dataclass(frozen=True, kw_only=True)
class Field:
    """One metric of a layout: the bytes before its number, and the marks that its number hangs on."""

    text: bytes
    colon: int  # the number of the mark
    behind: int  # bytes from the colon to the end of the text
    dot: int | None = None
    decimals: int = 0
    average_dot: int | None = None
    average_decimals: int = 0
    whole: bool = False  # a number without a dot, such as that of `max mem`


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """The layout of the lines of one phase, as long as its metrics and its number of steps are the same."""

    example: Run
    marks: int  # colons and dots of a line
    head: tuple[Anchored, ...]
    epoch: tuple[int, int, int] | None  # it starts behind the mark of this number, and ends before that one
    step: tuple[int, int, int]  # it ends so far before the mark of this number, and has a width
    fields: tuple[Field, ...]
    closing: bytes  # behind the last number

    @cached_property
    def texts(self) -> SharedTexts:
        fields = [Anchored(mark=f.colon, behind=f.behind, text=f.text) for f in self.fields]
        return SharedTexts([*self.head, *fields])

    def run(self, block: Block, lines: Positions) -> tuple[Positions, Run]:
        """Those of the lines that match, and what they say."""
        marks = block.marks[block.first_marks[lines][:, None] + np.arange(self.marks)]
        kept = self.texts.hold(block, marks)
        if not kept.all():
            lines, marks = lines[kept], marks[kept]
        epoch, kept = self._epochs(block, marks)
        step, valid = self._steps(block, marks)
        medians, averages, matching = self._values(block, marks, block.ends[lines])
        kept &= valid & matching
        run = replace(
            self.example, epoch=epoch, step=step, line=lines + block.line, medians=medians, averages=averages
        )
        return lines[kept], run if kept.all() else run.part(kept)

    def _epochs(self, block: Block, marks: Positions) -> tuple[Positions, Flags]:
        if self.epoch is None:
            return np.full(len(marks), NO_EPOCH, np.int64), np.ones(len(marks), np.bool_)
        first, last, before = self.epoch
        numbers, valid = whole_numbers(block, marks[:, [first]] + 3, marks[:, [last]] - before)
        return numbers[:, 0].astype(np.int64), valid & (numbers[:, 0] >= 0)

    def _steps(self, block: Block, marks: Positions) -> tuple[Positions, Flags]:
        mark, before, width = self.step
        return padded_numbers(block, marks[:, mark] - (before + width), width)

    def _values(self, block: Block, marks: Positions, line_ends: Positions) -> tuple[Rows, Rows, Flags]:
        """Medians and averages of lines with the layout's texts, and which of the lines hold nothing else."""
        fields, count = self.fields, len(marks)
        first = np.take(marks, [field.colon for field in fields], axis=1) + [field.behind for field in fields]
        text_starts = first - [len(field.text) for field in fields]
        next_text = np.append(text_starts[:, 1:], line_ends[:, None] - len(self.closing), axis=1)
        medians = np.repeat(self.example.medians, count, axis=0)
        averages = np.repeat(self.example.averages, count, axis=0)
        ends = first.copy()

        dotted = [n for n, field in enumerate(fields) if field.dot is not None]
        averaged = [n for n, field in enumerate(fields) if field.average_dot is not None]
        dot_marks = [fields[n].dot for n in dotted] + [fields[n].average_dot for n in averaged]
        dots = np.take(marks, dot_marks, axis=1)
        decimals = np.array([fields[n].decimals for n in dotted] + [fields[n].average_decimals for n in averaged])
        number_ends = dots + (1 + decimals)
        ends[:, dotted] = number_ends[:, : len(dotted)]
        opening = np.take(ends, averaged, axis=1)
        starts = np.append(np.take(first, dotted, axis=1), opening + 2, axis=1)
        numbers, valid = fixed_points(block, starts, dots, decimals)
        medians[:, dotted], averages[:, averaged] = numbers[:, : len(dotted)], numbers[:, len(dotted) :]
        ends[:, averaged] = number_ends[:, len(dotted) :]
        valid &= (block.bytes[opening] == ord(" ")).all(axis=1) & (block.bytes[opening + 1] == ord("(")).all(axis=1)
        if self.closing:
            valid &= block.bytes[next_text[:, -1]] == ord(self.closing)

        whole = [n for n, field in enumerate(fields) if field.whole]
        medians[:, whole], digits = whole_numbers(block, first[:, whole], next_text[:, whole])
        ends[:, whole] = next_text[:, whole]
        return medians, averages, valid & digits & (ends == next_text).all(axis=1)


def layout_of(text: bytes, line: MetricLine) -> Layout | None:
    """The layout that a line is an example of; None where its numbers are not plain decimals."""
    head = head_of(text)
    places = [found.start() for found in _marks.finditer(text)]
    marks = {at: number for number, at in enumerate(places)}
    fields = _fields(text, head, marks) if head is not None else None
    if head is None or fields is None:
        return None
    colon, eta = text.index(b":", head.start()), text.index(b"eta:", head.end("steps")) + 3
    step = text.index(b"[", head.start("gap")) + 1
    first = max(0, head.start() - 2)  # with the end of the prefix: `Epoch` is not the end of `Test Epoch`
    epoch_end = head.end("epoch") if line.epoch is not None else step
    opening = text[first : head.start("epoch")] if line.epoch is not None else text[first:step]
    return Layout(
        example=run_of(line, 0),
        marks=len(places),
        head=(
            Anchored(mark=marks[colon], behind=first + len(opening) - colon, text=opening),
            Anchored(mark=marks[eta], behind=step - eta, text=text[epoch_end:step]),
            Anchored(mark=marks[eta], behind=2, text=text[head.end("step") : eta + 2]),
        ),
        epoch=(marks[colon], marks[eta], eta - epoch_end) if line.epoch is not None else None,
        step=(marks[eta], eta - head.end("step"), head.end("step") - step),
        fields=tuple(fields),
        closing=b")" if fields[-1].average_dot is not None else b"",
    )


def _fields(text: bytes, head: re.Match[bytes], marks: dict[int, int]) -> list[Field] | None:
    """The fields of a line; the `)` of an average belongs to the text that follows."""
    delimiter, closing, at = head["delimiter"], b"", head.end()
    fields: list[Field] = []
    for part in text[head.end() + len(delimiter) :].split(delimiter):
        at += len(delimiter)
        name = part.find(b": ")
        value = _value.fullmatch(part, name + 2)
        if name < 1 or value is None or _marks.search(part, 0, name):
            return None
        fields.append(_field(closing + delimiter, part, value, at, marks))
        closing = b")" if fields[-1].average_dot is not None else b""
        at += len(part)
    return fields


def _field(before: bytes, part: bytes, value: re.Match[bytes], at: int, marks: dict[int, int]) -> Field:
    dots = [marks[at + value.start(group) - 1] for group in (1, 2) if value[group] is not None]
    word = not dots and not value[0].lstrip(b"-").isdigit()
    text = part if word else part[: value.start()]
    return Field(
        text=before + text,
        colon=marks[at + value.start() - 2],
        behind=2 + len(text) - value.start(),
        dot=dots[0] if dots else None,
        decimals=len(value[1] or b""),
        average_dot=dots[1] if len(dots) > 1 else None,
        average_decimals=len(value[2] or b""),
        whole=not dots and not word,
    )
