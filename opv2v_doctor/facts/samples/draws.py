"""Samples: drawn by the training interpreter as the training would draw them, with retries off."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.check import Blocked, require_not_withheld
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.interpreter.probe import has_second
from opv2v_doctor.facts.interpreter.views import DrawFailure, Sample, View
from opv2v_doctor.facts.launch.datasets import Part
from opv2v_doctor.facts.launch.loaders import loader_module
from opv2v_doctor.facts.launch.splits import examined_splits, expression_of, is_resized, parts
from opv2v_doctor.scratch import scratch_folder
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target

EPOCH_TRIES = 3  # two epochs may give one index the same frame by chance


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The samples of one split."""

    split: str
    parts: tuple[Part, ...]
    length: int
    classes: tuple[str, ...]
    view_counts: tuple[int, ...]  # that the dataset draws
    samples: tuple[Sample, ...]

    @property
    def part(self) -> Part:
        return self.parts[0]

    @property
    def successes(self) -> tuple[Sample, ...]:
        """Those that did not fail."""
        return tuple(sample for sample in self.samples if sample.failure is None)

    @property
    def failure(self) -> DrawFailure | None:
        """The first one."""
        return next((sample.failure for sample in self.samples if sample.failure), None)

    @property
    def views(self) -> tuple[View, ...]:
        return tuple(view for sample in self.successes for view in sample.views)


def each_split(target: Target) -> Iterator[Samples]:
    """The samples of every examined split. Raises Blocked at the end for those that could not be drawn."""
    problem: Blocked | None = None
    for split in examined_splits(target):
        try:
            require_not_withheld(split)
            found = samples(target, split)
        except Blocked as blocked:
            problem = problem or blocked
            continue
        if found.successes:
            yield found
        else:
            problem = problem or without_samples(found)
    if problem is not None:
        raise problem


def without_samples(found: Samples) -> Blocked:
    """That every sample of a split failed, with the first failure."""
    failure = found.failure
    return Blocked(
        "no {split} sample could be drawn: {failure}",
        at=failure.place if failure else None,
        split=found.split,
        failure=str(failure),
    )


@fact
def samples(target: Target, split: str) -> Samples:
    """The samples of a split, drawn once. Raises Blocked where the dataset cannot be built."""
    outcome = _outcome(target, split)
    if isinstance(outcome, Blocked):
        raise outcome
    return outcome


@fact
def _outcome(target: Target, split: str) -> Samples | Blocked:
    """A failure is cached too: a dataset that hangs shall hang once."""
    try:
        begin_drawing(target)
        return _samples(target, split)
    except Blocked as blocked:
        return blocked


def _samples(target: Target, split: str) -> Samples:
    answer = _drawing(target, split)()
    if not answer.length:
        raise Blocked("{split} is empty: there is no sample to draw", split=split)
    return Samples(
        split=split,
        parts=parts(target, split),
        length=answer.length,
        classes=answer.classes,
        view_counts=answer.views,
        samples=tuple(sample.within(target.repo) for sample in answer.samples),
    )


@fact
def begin_drawing(target: Target) -> None:
    """Let all be drawn while we look at the first split; by two, the evaluation splits twice."""
    for split in examined_splits(target):
        with contextlib.suppress(Blocked):  # whoever needs it will be told
            _drawing(target, split)
    if _by_two(target) and _eval_splits(target):
        with contextlib.suppress(Blocked):
            _drawing_again(target)
    if "train" in examined_splits(target) and is_resized(target):
        with contextlib.suppress(Blocked):
            _drawing_next_epoch(target, 0)


@fact
def _drawing(target: Target, split: str) -> Callable[[], questions.Drawing]:
    """The samples of a split, under way; by two, the second interpreter draws the evaluation splits."""
    return questions.draw.ahead_in(
        target,
        split != "train" and _by_two(target),
        expression=expression_of(target, split),
        module_name=loader_module(target),
        count=target.num_samples,
        split=split,
        folder=str(arrays_folder(target) / split),
    )


@fact
def _by_two(target: Target) -> bool:
    """Whether two interpreters draw; it stays so."""
    return has_second(target)


@fact
def arrays_folder(_target: Target) -> Path:
    """Where the training interpreter writes arrays that are too large for an answer; gone when we are."""
    return scratch_folder()


@fact
def _eval_splits(target: Target) -> tuple[str, ...]:
    return tuple(split for split in examined_splits(target) if split != "train")


@fact
def _drawing_again(target: Target) -> Callable[[], tuple[tuple[questions.DrawnSample, ...], ...]]:
    """A few of the same samples, under way in the interpreter that did not draw them first."""
    return questions.again.ahead_in(
        target,
        not _by_two(target),
        expressions=[expression_of(target, split) for split in _eval_splits(target)],
        module_name=loader_module(target),
        count=target.num_samples,
    )


@fact
def redrawings(target: Target) -> Mapping[str, tuple[tuple[Sample, Sample], ...]]:
    """A few samples of each evaluation split, and the same drawn by another process."""
    splits = _eval_splits(target)
    first = [samples(target, split).samples for split in splits]
    again = [[sample.within(target.repo) for sample in drawn] for drawn in _drawing_again(target)()]
    pairs = (
        tuple(zip(reversed(ones), others, strict=False)) for ones, others in zip(first, again, strict=True)
    )
    return dict(zip(splits, pairs, strict=True))


@fact
def next_epoch(target: Target) -> tuple[tuple[Sample, Sample], ...]:
    """Training samples at the same keys, in epochs 0 and 1, up to the first pair that differs."""
    pairs = []
    for place, sample in enumerate(samples(target, "train").samples):
        if sample.failure is not None:
            continue
        again = _drawing_next_epoch(target, place)().within(target.repo)
        if again.failure is not None:
            continue
        pairs.append((sample, again))
        if pairs[-1][0].identity != pairs[-1][1].identity or len(pairs) == EPOCH_TRIES:
            break
    return tuple(pairs)


@fact
def _drawing_next_epoch(target: Target, place: int) -> Callable[[], questions.DrawnSample]:
    """One of the planned training samples in epoch 1, under way."""
    return questions.in_next_epoch.ahead(
        target,
        expression=expression_of(target, "train"),
        module_name=loader_module(target),
        count=target.num_samples,
        place=place,
    )
