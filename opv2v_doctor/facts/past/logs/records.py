"""Records: what a log says, block by block: runs of metric lines, the others, and what does not parse."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from opv2v_doctor.facts.past.logs.blocks import Block, Positions, blocks
from opv2v_doctor.facts.past.logs.layouts import Layout, differ_in_digits, layout_of
from opv2v_doctor.facts.past.logs.metric_rows import (
    LONGEST_HEAD,
    MetricRows,
    metric_line,
    resembles_metrics,
    run_of,
)

KNOWN_LAYOUTS = 6  # the last ones are tried first
MOST_LAYOUTS = 200  # learned from one block; beyond that, line by line: the work stays linear
FEWEST = 3  # lines that are worth a layout
LONGEST_STAMP = 120  # bytes

_stamp = re.compile(
    rb"(?:\[[^\]\n]{1,40}\]\[[^\]\n]{1,80}\]\[[A-Z]{1,10}\] - )?(?:\[\d\d:\d\d:\d\d(?:\.\d{1,6})?\])?\s*"
)


@dataclass(frozen=True, kw_only=True)
class Records:
    """What one block says."""

    block: Block
    runs: list[MetricRows] = field(default_factory=list)
    others: list[tuple[int, bytes]] = field(default_factory=list)  # (line, text) that are not metrics
    unparsed: list[tuple[int, bytes]] = field(default_factory=list)  # look like metrics, do not parse
    cut: tuple[int, bytes] | None = None  # a last line of metrics that lacks its end
    source: str = "text"


def records(chunks: Iterable[bytes]) -> Iterator[Records]:
    """Read a log; every line is in one of the lists, but for those that hold a time stamp only."""
    layouts: list[Layout] = []
    stamps: list[bytes] = []
    for block in blocks(chunks):
        found = Records(block=block)
        _read_block(block, layouts, stamps, found)
        found.runs.sort(key=lambda run: int(run.line[0]))
        yield found if block.terminated else _without_the_last(found)


def _read_block(block: Block, layouts: list[Layout], stamps: list[bytes], found: Records) -> None:
    """Fill in the records of a block; layouts and time stamps that were of use are kept for the next."""
    counts = np.diff(block.first_marks)
    is_open = np.ones(len(block.ends), np.bool_)
    for layout in list(layouts):
        _apply(layout, block, np.flatnonzero(is_open & (counts == layout.marks)), is_open, found, layouts)
    for stamp in stamps:
        is_open[_alike(block, stamp, np.flatnonzero(is_open))] = False
    learned = 0
    for index in np.flatnonzero(is_open).tolist():
        if not is_open[index]:
            continue
        text = as_shown(block.text(index))
        if len(text) < LONGEST_STAMP and _stamp.fullmatch(text):
            if learned < MOST_LAYOUTS:
                learned += 1
                is_open[_alike(block, text, np.flatnonzero(is_open))] = False
                stamps[:] = [text, *stamps][:KNOWN_LAYOUTS]
            continue
        line = metric_line(text) if b"eta: " in text[:LONGEST_HEAD] else None
        if line is None:
            resembling = resembles_metrics(text)
            (found.unparsed if resembling else found.others).append((block.line + index, text))
            continue
        later = np.flatnonzero(is_open[index:] & (counts[index:] == counts[index])) + index
        learnt = layout_of(text, line) if learned < MOST_LAYOUTS and len(later) >= FEWEST else None
        learned += learnt is not None
        if learnt is not None:
            _apply(learnt, block, later, is_open, found, layouts)
        if is_open[index]:  # read it the slow way: its numbers are too long for the fast one
            is_open[index] = False
            found.runs.append(run_of(line, block.line + index))


def as_shown(line: bytes) -> bytes:
    """A line as a terminal shows it: what a carriage return takes back is gone, such as a progress bar."""
    return line.rstrip(b"\r").rpartition(b"\r")[2] if b"\r" in line else line


def _alike(block: Block, example: bytes, lines: Positions) -> Positions:
    """Those of the lines that are as long as the example and differ from it in digits only."""
    lines = lines[block.ends[lines] - block.starts[lines] == len(example)]
    return lines[differ_in_digits(block, block.starts[lines], example)]


def _apply(
    layout: Layout,
    block: Block,
    lines: Positions,
    is_open: np.ndarray[tuple[int], np.dtype[np.bool_]],
    found: Records,
    layouts: list[Layout],
) -> None:
    """Read the lines that match the layout; one that is of use is kept for the next block."""
    lines, run = layout.run(block, lines) if len(lines) else (lines, layout.example)
    if not len(lines):
        return
    is_open[lines] = False
    found.runs.append(run)
    if layout in layouts:
        layouts.remove(layout)
    layouts.insert(0, layout)
    del layouts[KNOWN_LAYOUTS:]


def _without_the_last(found: Records) -> Records:
    """The records without a line of metrics that lacks its end: its last number may lack digits."""
    last = found.block.line + len(found.block.ends) - 1
    cut = next((line for line in found.unparsed if line[0] == last), None)
    runs = []
    for run in found.runs:
        if run.line[-1] == last:
            cut, run = (last, found.block.text(len(found.block.ends) - 1)), run.part(slice(0, len(run) - 1))
        runs += [run] if len(run) else []
    unparsed = [line for line in found.unparsed if line[0] != last]
    return replace(found, runs=runs, unparsed=unparsed, cut=cut)
