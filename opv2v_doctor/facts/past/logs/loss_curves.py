"""Loss curves: one value an epoch of a metric, and how far it fell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from opv2v_doctor.facts.past.logs.log_files import Log


@dataclass(frozen=True, kw_only=True)
class Point:
    """A metric at the end of an epoch: the epoch's average, and the median of its last lines."""

    epoch: int
    average: float
    median: float
    line: int
    segment: int


def curve(log: Log, phase: str, metric: str = "loss") -> tuple[Point, ...]:
    """The metric's points in the order of the log; the test sets of an epoch are averaged, as in training."""
    gathered: dict[tuple[int, int], list[Point]] = {}
    for part in log.phase(phase):
        span = part.span(metric)
        if span is not None:
            point = Point(
                epoch=part.epoch,
                average=span.last,
                median=span.last_median,
                line=span.last_line,
                segment=part.segment,
            )
            gathered.setdefault((part.segment, part.epoch), []).append(point)
    return tuple(_mean(points) for points in gathered.values())


def _mean(points: list[Point]) -> Point:
    return Point(
        epoch=points[0].epoch,
        average=fmean(point.average for point in points),
        median=fmean(point.median for point in points),
        line=points[-1].line,
        segment=points[0].segment,
    )


def fall(points: Sequence[Point]) -> float:
    """By which share a curve fell, from the mean of its first third to that of its last."""
    third = max(1, len(points) // 3)
    first = fmean(point.average for point in points[:third])
    last = fmean(point.average for point in points[-third:])
    return (first - last) / abs(first) if first else 0.0


def updates(log: Log) -> int | None:
    """The steps that the training made, repeated ones once; None where the log does not count them."""
    steps: dict[int, int] = {}
    for part in log.phase("train"):
        steps[part.epoch] = part.last_step + 1
    return sum(steps.values()) if any(steps.values()) else None
