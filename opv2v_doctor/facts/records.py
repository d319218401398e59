"""Records: what a log says, block by block: runs of metric lines, the other lines, and what does not parse."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from opv2v_doctor.facts.blocks import Block, Positions, blocks
from opv2v_doctor.facts.layouts import Layout, Run, layout_of, run_of
from opv2v_doctor.facts.metric_lines import LONGEST_HEAD, metric_line, resembles_metrics

KNOWN_LAYOUTS = 6  # the last ones are tried first
MOST_LAYOUTS = 200  # learned from one block; beyond that, line by line: the work stays linear
FEWEST = 3  # lines that are worth a layout

_stamp = re.compile(rb"(?:\[[^\]\n]{1,40}\]\[[^\]\n]{1,80}\]\[[A-Z]{1,10}\] - )?(?:\[\d\d:\d\d:\d\d(?:\.\d{1,6})?\])?\s*")


@dataclass(frozen=True, kw_only=True)
class Records:
    """What one block says."""

    block: Block
    runs: list[Run] = field(default_factory=list)
    others: list[tuple[int, bytes]] = field(default_factory=list)  # (line, text) that are not metrics
    unparsed: list[tuple[int, bytes]] = field(default_factory=list)  # look like metrics, do not parse
    cut: tuple[int, bytes] | None = None  # a last line of metrics that lacks its end
    source: str = "text"


def records(chunks: Iterable[bytes]) -> Iterator[Records]:
    """Read a log; every line is in one of the lists, but for those that hold a time stamp only."""
    layouts: list[Layout] = []
    for block in blocks(chunks):
        found = Records(block=block)
        _metrics(block, layouts, found)
        found.runs.sort(key=lambda run: int(run.line[0]))
        yield found if block.terminated else _without_the_last(found)


def _metrics(block: Block, layouts: list[Layout], found: Records) -> None:
    """Fill in the records of a block, and keep the layouts that were of use."""
    counts = np.diff(block.first_marks)
    is_open = np.ones(len(block.ends), np.bool_)
    for layout in list(layouts):
        _apply(layout, block, np.flatnonzero(is_open & (counts == layout.marks)), is_open, found, layouts)
    learned = 0
    stamps = _stamp.fullmatch
    starts, ends = block.starts.tolist(), block.ends.tolist()
    data = block.data
    for index in np.flatnonzero(is_open).tolist():
        if not is_open[index]:
            continue
        start, end = starts[index], ends[index]
        if end - start < LONGEST_HEAD and stamps(data, start, end):
            continue
        text = data[start:end]
        line = metric_line(text) if b"eta: " in text[:LONGEST_HEAD] else None
        if line is None:
            resembling = resembles_metrics(text)
            (found.unparsed if resembling else found.others).append((block.line + index, text))
            continue
        later = np.flatnonzero(is_open[index:] & (counts[index:] == counts[index])) + index
        layout = layout_of(text, line) if learned < MOST_LAYOUTS and len(later) >= FEWEST else None
        learned += layout is not None
        if layout is None or not _apply(layout, block, later, is_open, found, layouts):
            is_open[index] = False
            found.runs.append(run_of(line, block.line + index))


def _apply(
    layout: Layout,
    block: Block,
    lines: Positions,
    is_open: np.ndarray[tuple[int], np.dtype[np.bool_]],
    found: Records,
    layouts: list[Layout],
) -> bool:
    """Read the lines that match the layout; False where none does."""
    if not len(lines):
        return False
    lines, run = layout.run(block, lines)
    if not len(lines):
        return False
    is_open[lines] = False
    found.runs.append(run)
    if layout in layouts:
        layouts.remove(layout)
    layouts.insert(0, layout)
    del layouts[KNOWN_LAYOUTS:]
    return True


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
