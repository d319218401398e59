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
    if asked := _asked(target, split):
        return asked[:1]
    described = config(target).get(f"dataset.opv2v.{split}.dataset_str")
    if not described:
        raise Skip("the config has no {split} split", split=split)
    return parts_of(str(described))


def _asked(target: Target, split: str) -> tuple[Part, ...]:
    """The evaluation sets of the launch that read this split."""
    return tuple(part for part in asked_eval_parts(target) if part.split in FOLDERS.get(split, (split,)))


def is_in_launch(target: Target, split: str) -> bool:
    """Whether the training draws from the split, or is evaluated on it."""
    return split == "train" or bool(_asked(target, split))


@fact
def examined_splits(target: Target) -> tuple[str, ...]:
    """The splits that are asked for by name and that the config knows, else those that the launch uses.

    Raises Skip where there is none.
    """
    wanted = [split for split in target.splits if target.splits_asked or is_in_launch(target, split)]
    known = tuple(split for split in wanted if _has(target, split))
    if not known:
        raise Skip(
            "the config has none of the splits {splits}"
            if target.splits_asked
            else "this launch uses none of the splits {splits}",
            splits=target.splits,
        )
    return known


def inferred_split(target: Target) -> str:
    """The split that inference is compared on: val, or test where the launch is evaluated on that alone.

    Where it is evaluated on none, the val that the config describes.
    """
    return next((split for split in ("val", "test") if _asked(target, split)), "val")


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
