"""Happenings: where a training stumbled and went on: NaN, steps that stalled, launches that stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from opv2v_doctor import Text, quoted
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.stops import AFTERMATH, KINDS, causes, outside
from opv2v_doctor.threshold import Threshold

WINDOW = 20  # steps that `time` is the average of
STALLED = Threshold(
    3,
    "times the usual time of a step",
    "`time` is the mean of twenty steps: one of them then took as long as forty; the launch's median",
    healthy=1.7,
)


@dataclass(frozen=True, kw_only=True)
class Happening:
    """From which line to which of the log something lasted, and what."""

    line: int
    last_line: int
    told: Text


def happenings(log: Log) -> list[Happening]:
    """All of them in the order of the log; what ended the training is none: nothing went on."""
    return sorted((*_not_finite(log), *_stalls(log), *_stops(log)), key=lambda one: one.line)


def _not_finite(log: Log) -> Iterator[Happening]:
    for part in log.parts:
        spans = {name: span for name in part.names if (span := part.span(name)) and span.broken_line}
        if spans:
            first = min(span.broken_line for span in spans.values())
            names = list(spans)
            more = len(names) - 3
            told = Text(
                "not finite: {names} and {n} more" if more > 0 else "not finite: {names}",
                names=names[:3],
                n=more,
            )
            yield Happening(line=first, last_line=part.last_line, told=told)


def _stalls(log: Log) -> Iterator[Happening]:
    """Lines whose steps took much longer than the launch's others; the first hold its workers' start."""
    launches: dict[int, list[tuple[int, float]]] = {}
    for segment, run in log.pieces:
        if run.phase == "train" and "time" in run.names:
            late = run.step >= WINDOW
            times = run.medians[late, run.names.index("time")]
            launches.setdefault(segment, []).extend(zip(run.line[late].tolist(), times.tolist(), strict=True))
    for found in launches.values():
        usual = float(np.median([time for _, time in found])) if found else 0.0
        for slow, ones in groupby(found, key=lambda one: usual > 0 and one[1] > STALLED * usual):
            if slow:
                lines = list(ones)
                told = Text(
                    "steps of {time:.3g} s, {ratio:.1f} times the usual",
                    time=max(time for _, time in lines),
                    ratio=max(time for _, time in lines) / usual,
                )
                yield Happening(line=lines[0][0], last_line=lines[-1][0], told=told)


def _stops(log: Log) -> Iterator[Happening]:
    """What stopped a launch, or might have, and the training went on."""
    found = [(one.line, one.exception_line, quoted(one.name)) for one in causes(log)]
    found += [(one.line, one.line, KINDS[one.kind][0]) for one in outside(log)]
    told = set()
    for begins, ends, what in found:
        fate = log.fate(begins, ends)
        key = (log.launch_of(begins), str(what))
        if fate in AFTERMATH and key not in told:
            told.add(key)
            said = Text("{what}; {aftermath}", what=what, aftermath=AFTERMATH[fate])
            yield Happening(line=begins, last_line=ends, told=said)
