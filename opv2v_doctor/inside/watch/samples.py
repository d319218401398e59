"""The samples that are trained on: which ones, in which order, and whether an epoch repeats another."""

from __future__ import annotations

from typing import Any, Iterator

from .warnings import Warnings

IDENTITY = ("label", "instance", "idx")
LOOKED_AT = 8  # steps of an epoch
FEWEST_STEPS, FEWEST_SAMPLES = 3, 4


class SampleOrder:
    """The first samples of each epoch."""

    def __init__(self, warn: Warnings) -> None:
        self.warn = warn
        self.before: list[list[str]] | None = None
        self.now: list[list[str]] = []

    def begin_epoch(self) -> None:
        """The last epoch becomes the one before."""
        self.before, self.now = self.now or self.before, []

    def see(self, batch: Any) -> None:
        """Take in a batch, while the epoch is young."""
        if len(self.now) < LOOKED_AT:
            self.now.append(names(batch))

    def end_epoch(self) -> None:
        """Tell if the samples came as in the epoch before."""
        different = {name for names in self.now for name in names}
        enough = len(self.now) >= FEWEST_STEPS and len(different) >= FEWEST_SAMPLES
        if enough and self.now == self.before:
            self.warn(
                "samples repeat",
                "the first {} batches are those of the epoch before, in the same order: is set_epoch "
                "called?".format(len(self.now)),
            )


def names(batch: Any) -> list[str]:
    """One word a sample: what its views say of themselves."""
    views = views_of(batch)
    return [" ".join(part for view in views for part in words(view, number)) for number in range(size(views))]


def draws(batch: Any) -> list[Any]:
    """The random numbers that the samples were drawn with, where they say them."""
    return [view["rng"].tolist() for view in views_of(batch) if hasattr(view.get("rng"), "tolist")]


def views_of(batch: Any) -> list[dict[str, Any]]:
    """The views of a batch that is made of such."""
    return [view for view in batch if isinstance(view, dict)] if isinstance(batch, (list, tuple)) else []


def size(views: list[dict[str, Any]]) -> int:
    """Samples in the batch."""
    label = views[0].get("label") if views else None
    return len(label) if isinstance(label, (list, tuple)) else 0


def words(view: dict[str, Any], number: int) -> Iterator[str]:
    for key in IDENTITY:
        value = view.get(key)
        if key == "idx" and isinstance(value, (list, tuple)):
            yield str([int(part[number]) for part in value])
        elif isinstance(value, (list, tuple)) and len(value) > number:
            yield str(value[number])
