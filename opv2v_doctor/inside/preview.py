"""Questions for previews: samples at given indices, whole, and how their images were normalised."""

from __future__ import annotations

import os
import random
import sys
from typing import Any, Sequence, TypedDict

from . import progress, samples
from .datasets import dataset_of

KEYS = ("img", "depthmap", "non_ambiguous_mask", "valid_mask")
KEPT = "fiub"  # kinds of numbers that are written as they are


class Rule(TypedDict):
    """How an image was normalised, channel by channel, and where that stands."""

    mean: list[float]
    deviation: list[float]
    source: str


class Rules(TypedDict):
    """What `data_norm_type` says, what the transform did, and what the name stands for; None: unknown."""

    name: str
    done: Rule | None
    named: Rule | None


class Sample(samples.Sample):
    """A drawn sample, and the rules of its views."""

    rules: list[Rules]


class Drawing(TypedDict):
    """Samples of a dataset of some length."""

    length: int
    samples: list[Sample]


def draw_at(
    expression: str,
    module_name: str,
    split: str,
    folder: str,
    indices: Sequence[int],
    count: int,
    seed: int,
) -> Drawing:
    """The samples at these indices, or at so many random ones, as training draws them in its first epoch.

    Their arrays are written as FOLDER/INDEX_VIEW_KEY.npy. Nothing is drawn where an index does not exist.
    """
    dataset = dataset_of(expression, module_name)
    length = 0 if samples.is_empty(dataset) else len(dataset)
    chosen = sorted(random.Random(seed).sample(range(length), min(count, length))) if count else list(indices)
    if len(chosen) > 1:  # of a range, as far as it goes
        chosen = [index for index in chosen if index < length]
    if not chosen or max(chosen) >= length:
        return {"length": length, "samples": []}
    samples.turn_retries_off(dataset)
    samples.begin(dataset, samples.SEED)
    os.makedirs(folder, exist_ok=True)
    found: list[Sample] = []
    for done, index in enumerate(chosen):
        progress.advance("drawing {} samples".format(split), done, len(chosen))
        found.append(_draw(dataset, index, folder))
    progress.advance("drawing {} samples".format(split), len(chosen), len(chosen))
    return {"length": length, "samples": found}


def _draw(dataset: Any, index: int, folder: str) -> Sample:
    """One sample with the largest number of views that the dataset draws, or what drawing it raised."""
    counts = samples.view_counts(dataset)
    turn = max(range(len(counts)), key=lambda place: counts[place] or 0)
    key = list(samples.key_of(dataset, index, turn))
    if len(key) > 1 and getattr(dataset, "_resolutions", None) is not None:
        key[1] = 0
    answer: Sample = {"key": tuple(key), "requested": counts[turn], "views": [], "rules": [], "failure": None}
    try:
        views = samples.views_at(dataset, key)
        answer["views"] = [samples.describe(view) for view in views]
        answer["rules"] = [rule_of(view, dataset) for view in views]
    except Exception as problem:
        answer["failure"] = samples.failure_of(problem)
        return answer
    for place, view in enumerate(views):
        _write(view, os.path.join(folder, "{}_{}".format(index, place)))
    return answer


def _write(view: Any, prefix: str) -> None:
    import numpy

    for key in KEYS:
        array = samples.array_of(view[key]) if key in view else None
        if array is not None and array.dtype.kind in KEPT:
            numpy.save("{}_{}.npy".format(prefix, key), numpy.ascontiguousarray(array))


def named_rule(expression: str, module_name: str, name: str) -> Rules:
    """How images are normalised that say so of themselves."""
    return rule_of({"data_norm_type": name}, dataset_of(expression, module_name))


def rule_of(view: Any, dataset: Any) -> Rules:
    """How the image was normalised: mean and deviation of each channel and where they stand; None: unknown.

    What the dataset's own transform did counts; the table that `data_norm_type` names should agree.
    """
    name = view.get("data_norm_type")
    name = str(name[0] if isinstance(name, (list, tuple)) and name else name)
    done: Rule | None = None
    named: Rule | None = None
    for leaf in samples.leaves(dataset):
        done = done or _of_transform(getattr(leaf, "transform", None))
        named = named or _of_tables(leaf, name)
    if done is None and named is None and name == "identity":
        named = {"mean": [0.0] * 3, "deviation": [1.0] * 3, "source": "identity: nothing is done"}
    return {"name": name, "done": done, "named": named}


def _of_transform(transform: Any) -> Rule | None:
    """The normalisation within a transform, however deep it stands in compositions."""
    inner = getattr(transform, "transforms", None)
    if isinstance(inner, (list, tuple)):
        found = [rule for rule in map(_of_transform, inner) if rule]
        return found[-1] if found else None
    numbers = _numbers(transform)
    return _rule(numbers, "the dataset's transform {}".format(type(transform).__name__))


def _of_tables(leaf: Any, name: str) -> Rule | None:
    """The entry of that name in a table of normalisations that the dataset's own modules use."""
    transform = getattr(leaf, "transform", None)
    homes = [getattr(transform, "__module__", None)] + [kind.__module__ for kind in type(leaf).__mro__]
    for home in homes:
        for word, table in sorted(vars(sys.modules.get(home, object)).items()) if home in sys.modules else []:
            numbers = _numbers(table[name]) if isinstance(table, dict) and name in table else None
            if numbers:
                return _rule(numbers, "{}.{}[{!r}]".format(home, word, name))
    return None


def _rule(numbers: tuple[list[float], list[float]] | None, source: str) -> Rule | None:
    return numbers and {"mean": numbers[0], "deviation": numbers[1], "source": source}


def _numbers(entry: Any) -> tuple[list[float], list[float]] | None:
    """Mean and deviation of three channels, as attributes, keys or a pair; None where it is neither."""
    if isinstance(entry, dict):
        pair = entry.get("mean"), entry.get("std")
    elif isinstance(entry, (list, tuple)) and len(entry) == 2 and not hasattr(entry, "mean"):
        pair = entry[0], entry[1]
    else:
        pair = getattr(entry, "mean", None), getattr(entry, "std", None)
    mean, deviation = (_three(values) for values in pair)
    return (mean, deviation) if mean and deviation and min(deviation) > 0 else None


def _three(values: Any) -> list[float] | None:
    import numpy

    if values is None or callable(values) or isinstance(values, str):
        return None
    try:
        array = numpy.asarray(values, dtype="float64").ravel()
    except (TypeError, ValueError):
        return None
    return [float(number) for number in array] if array.size == 3 and numpy.isfinite(array).all() else None
