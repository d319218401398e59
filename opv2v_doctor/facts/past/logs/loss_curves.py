"""Loss curves: one value an epoch of a metric, and how far it fell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.metric_names import is_loss


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


@dataclass(frozen=True, kw_only=True)
class SharedTerms:
    """The terms that the losses of both phases have, where the phases do not have the same."""

    names: tuple[str, ...]
    only_train: tuple[str, ...]
    only_test: tuple[str, ...]


def shared_terms(log: Log) -> SharedTerms | None:
    """What two criteria that differ share; None where both phases log the same terms, or no terms."""
    train, test = _terms(log, "train"), _terms(log, "test")
    names = tuple(name for name in train if name in test)
    only = [
        tuple(name for name in ours if name not in theirs) for ours, theirs in ((train, test), (test, train))
    ]
    if not names or not all(only):
        return None
    return SharedTerms(names=names, only_train=only[0], only_test=only[1])


def _terms(log: Log, phase: str) -> list[str]:
    """The names of a phase that are parts of a loss: neither its sum nor the mean of a mask."""
    names = dict.fromkeys(name for part in log.phase(phase)[-3:] for name in part.names)
    return [name for name in names if is_loss(name) and name != "loss" and not name.endswith("_mean")]


def curve_of_terms(log: Log, phase: str, names: Sequence[str]) -> tuple[Point, ...]:
    """The sum of some terms, in the epochs that have them all."""
    curves = [{(point.segment, point.epoch): point for point in curve(log, phase, name)} for name in names]
    known = [key for key in curves[0] if all(key in others for others in curves)]
    return tuple(
        Point(
            epoch=key[1],
            average=sum(points[key].average for points in curves),
            median=sum(points[key].median for points in curves),
            line=curves[0][key].line,
            segment=key[0],
        )
        for key in known
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
