"""Splits: which parts of the datasets each split of the launch is made of, and which splits are examined."""

from __future__ import annotations

from opv2v_doctor.check import Skip
from opv2v_doctor.facts.launch.config import config
from opv2v_doctor.facts.launch.datasets import Part, asked_eval_parts, parts_of, train_parts
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target

FOLDERS = {"train": ("train",), "val": ("val", "validate", "validation"), "test": ("test",)}


@fact
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
        raise Skip("the config has no {split} split", split=split)
    return parts_of(str(described))


@fact
def examined_splits(target: Target) -> tuple[str, ...]:
    """The splits of the target that the config knows. Raises Skip where it knows none."""
    known = tuple(split for split in target.splits if _has(target, split))
    if not known:
        raise Skip("the config has none of the splits {splits}", splits=target.splits)
    return known


def _has(target: Target, split: str) -> bool:
    try:
        return bool(parts(target, split))
    except Skip:
        return False


def expression_of(target: Target, split: str) -> str:
    """What the training would evaluate: for the training split the whole sum."""
    return " + ".join(part.expression for part in parts(target, split))


def is_resized(target: Target) -> bool:
    """Whether a part of the training set is `N @ D`, which chooses N of the data anew in each epoch."""
    return any(part.size for part in train_parts(target))
