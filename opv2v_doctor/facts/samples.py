"""Samples: drawn by the training interpreter as the training would draw them, with retries off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.config import config
from opv2v_doctor.facts.datasets import Part, asked_eval_parts, parts_of, train_parts
from opv2v_doctor.facts.probe import ask, ask_afresh
from opv2v_doctor.facts.source import definition
from opv2v_doctor.facts.views import Failure, Sample, View, sample_of
from opv2v_doctor.target import Target

FOLDERS = {"train": ("train",), "val": ("val", "validate", "validation"), "test": ("test",)}
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
    def drawn(self) -> tuple[Sample, ...]:
        """Those that did not fail."""
        return tuple(sample for sample in self.samples if sample.failure is None)

    @property
    def failure(self) -> Failure | None:
        """The first one."""
        return next((sample.failure for sample in self.samples if sample.failure), None)

    @property
    def views(self) -> tuple[View, ...]:
        return tuple(view for sample in self.drawn for view in sample.views)

    def __str__(self) -> str:
        return f"{self.split}: {len(self.drawn)} samples, {len(self.views)} views"


@cache
def parts(target: Target, split: str) -> tuple[Part, ...]:
    """The datasets of a split: those that the config asks for, else the one that it describes.

    Raises Skip where the config knows no such split.
    """
    if split == "train":
        return train_parts(target)
    asked = [part for part in asked_eval_parts(target) if part.split in FOLDERS.get(split, (split,))]
    if asked:
        return (asked[0],)
    described = config(target).get(f"dataset.opv2v.{split}.dataset_str")
    if not described:
        raise Skip(f"the config has no {split} split")
    return parts_of(str(described))


@cache
def examined_splits(target: Target) -> tuple[str, ...]:
    """The splits of the target that the config knows. Raises Skip where it knows none."""
    known = tuple(split for split in target.splits if _has(target, split))
    if not known:
        raise Skip(f"the config knows none of the splits {', '.join(target.splits)}")
    return known


def _has(target: Target, split: str) -> bool:
    try:
        return bool(parts(target, split))
    except Skip:
        return False


def each_split(target: Target) -> Iterator[Samples]:
    """The samples of every examined split. Raises Blocked at the end for those that could not be drawn."""
    problem: Blocked | None = None
    for split in examined_splits(target):
        try:
            found = samples(target, split)
        except Blocked as blocked:
            problem = problem or blocked
            continue
        if found.drawn:
            yield found
        else:
            problem = problem or Blocked(f"no {split} sample could be drawn: {found.failure}")
    if problem is not None:
        raise problem


def samples(target: Target, split: str) -> Samples:
    """The samples of a split, drawn once. Raises Blocked where the dataset cannot be built."""
    outcome = _outcome(target, split)
    if isinstance(outcome, Blocked):
        raise outcome
    return outcome


@cache
def _outcome(target: Target, split: str) -> Samples | Blocked:
    """A failure is cached too: a dataset that hangs shall hang once."""
    try:
        if _eval_splits(target):
            _second_process(target)  # at work while this one draws
        return _drawn(target, split)
    except Blocked as blocked:
        return blocked


def _drawn(target: Target, split: str) -> Samples:
    answer = ask(
        target,
        "samples",
        "draw",
        expression=_expression(target, split),
        module_name=datasets_module(target),
        count=target.num_samples,
        split=split,
    )
    return Samples(
        split=split,
        parts=parts(target, split),
        length=answer["length"],
        classes=tuple(answer["classes"]),
        view_counts=tuple(answer["views"]),
        samples=tuple(sample_of(entry, target.repo) for entry in answer["samples"]),
    )


def _expression(target: Target, split: str) -> str:
    """What the training would evaluate: for the training split the whole sum."""
    return " + ".join(part.expression for part in parts(target, split))


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The module in whose namespace datasets are evaluated, and the files of the names that it has."""

    module: str
    file: Path
    names: Mapping[str, Path]


@cache
def exported(target: Target, names: tuple[str, ...]) -> Exported:
    """Which of the names the datasets module has, in the training interpreter."""
    module = datasets_module(target)
    answer = ask(target, "samples", "exported", module_name=module, names=list(names))
    files = {name: Path(file) for name, file in answer["names"].items()}
    return Exported(module=module, file=Path(answer["file"] or module), names=files)


@cache
def datasets_module(target: Target) -> str:
    """The module in whose namespace the training evaluates dataset expressions."""
    found = definition(target, "get_train_data_loader")
    if found is None:
        raise Blocked("no module of this launch defines get_train_data_loader: its datasets cannot be built")
    words = found.path.relative_to(target.repo).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


@cache
def _eval_splits(target: Target) -> tuple[str, ...]:
    return tuple(split for split in examined_splits(target) if split != "train")


@cache
def _second_process(target: Target) -> Callable[[], Any]:
    return ask_afresh(
        target,
        "samples",
        "last_again",
        expressions=[_expression(target, split) for split in _eval_splits(target)],
        module_name=datasets_module(target),
        count=target.num_samples,
    )


@cache
def drawn_again(target: Target) -> Mapping[str, Sample]:
    """The last sample of each evaluation split, drawn first in a process of its own."""
    waiting = _second_process(target)
    for split in _eval_splits(target):
        samples(target, split)  # while the other works
    answers = [sample_of(entry, target.repo) for entry in waiting()]
    return dict(zip(_eval_splits(target), answers, strict=True))


@cache
def next_epoch(target: Target) -> tuple[tuple[Sample, Sample], ...]:
    """Training samples at the same keys, in epochs 0 and 1, up to the first pair that differs."""
    first = samples(target, "train").drawn[:EPOCH_TRIES]
    pairs = []
    for sample in first:
        (again,) = ask(
            target,
            "samples",
            "in_next_epoch",
            expression=_expression(target, "train"),
            module_name=datasets_module(target),
            keys=[sample.key],
        )
        pairs.append((sample, sample_of(again, target.repo)))
        if pairs[-1][0].identity != pairs[-1][1].identity:
            break
    return tuple(pairs)
