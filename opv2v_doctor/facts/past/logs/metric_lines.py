"""One line of a MetricLogger, read with a regular expression: exact, and the reference for the fast way."""

from __future__ import annotations

import re
from dataclasses import dataclass

NUMBER = rb"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d{1,3})?|nan|inf)"
ESTIMATE = rb"(?:-?\d{1,9} days?, )?\d{1,9}:\d\d:\d\d"  # of the time that is left
LONGEST_HEAD = 400  # bytes before the first metric: prefixes of loggers, the step, the estimate

_head = re.compile(
    rb"(?:(?:\b(?P<word>[A-Za-z]{1,12}) )?Epoch: ?\[(?P<epoch>\d{1,9})(?:/\d{1,9})?\]"
    rb"|\b(?P<bare>Test|Eval|Val|Valid|Validation):)"
    rb"(?P<gap>  ?|\t| ?\t)\[ {0,11}(?P<step>\d{1,9})/(?P<steps>\d{1,9})\]"
    rb"(?P<delimiter>  |\t)eta: " + ESTIMATE + rb"(?=  |\t)"
)
_field = re.compile(
    rb"(?P<name>[^\s:](?:[^:\t]{0,200}?[^\s:])?): {1,4}(?P<value>%b)(?: \((?P<average>%b)\))?"
    % (NUMBER, NUMBER)
)
_resembling = re.compile(rb"(?:Epoch: ?\[\d{1,9}(?:/\d{1,9})?\]\s{0,3}\[|\beta: +-?\d)")
EVALUATIONS = {b"test", b"testing", b"eval", b"evaluation", b"val", b"valid", b"validation"}


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
    rest = line[head.end() :].rstrip().lstrip(b" \t")
    found = [_field.fullmatch(field.strip()) for field in rest.split(head["delimiter"]) if field.strip()]
    if not found or None in found:
        return None
    fields = [field for field in found if field is not None]
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


def head_of(line: bytes) -> re.Match[bytes] | None:
    """The match of a line's head: groups word, epoch, bare, step, steps, delimiter."""
    return _head.search(line, 0, LONGEST_HEAD)


def resembles_metrics(line: bytes) -> bool:
    """Whether a line that did not parse looks like metrics: it is counted and shown, never guessed at."""
    return _resembling.search(line, 0, 4 * LONGEST_HEAD) is not None
