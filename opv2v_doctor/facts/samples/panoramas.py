"""Panoramas: samples at chosen indices as training draws them, with their arrays and images denormalised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.interpreter.questions import Rule
from opv2v_doctor.facts.interpreter.views import Arrays, Sample, View
from opv2v_doctor.facts.launch.datasets import Part
from opv2v_doctor.facts.launch.loaders import loader_module
from opv2v_doctor.facts.launch.splits import expression_of, parts
from opv2v_doctor.facts.samples.draws import arrays_folder
from opv2v_doctor.geometry.stitching import Image
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text

SLACK = 0.02  # rounding may leave 0..1 by so much

Bools = NDArray[np.bool_]


def channels_last(image: NDArray[Any]) -> NDArray[Any] | None:
    """An image (3, H, W) or (H, W, 3) as (H, W, 3); None where it is of no such shape."""
    if image.ndim != 3 or 3 not in (image.shape[0], image.shape[2]):
        return None
    return image if image.shape[2] == 3 else np.moveaxis(image, 0, 2)


class NoSuchSample(Exception):
    """An index that the split does not have; the message says which ones it has."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnView(Arrays):
    """One view of a drawn sample: what training is given, whole."""

    view: View
    place: int  # in the sample
    norm_type: str | None  # what the view's data_norm_type says
    rule: Rule | None  # None where nothing tells how the image was normalised
    named: Rule | None  # what data_norm_type names, where a table of the repository has it

    @cached_property
    def image(self) -> NDArray[Any] | None:
        """The image (H, W, 3) as the view holds it, None where it holds none of that shape."""
        image = self.array("img")
        return None if image is None else channels_last(image)

    @cached_property
    def _colours(self) -> NDArray[np.float32] | None:
        """The image (H, W, 3), 0 to 1 where the rule fits; without a rule stretched to that."""
        if self.image is None:
            return None
        values = self.image.astype(np.float32)
        if self.image.dtype == np.uint8:
            return values / np.float32(255)
        if self.rule is None:
            finite = values[np.isfinite(values)]
            low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
            return (values - low) / np.float32(max(high - low, 1e-9))
        deviation, mean = (np.array(each, np.float32) for each in (self.rule.deviation, self.rule.mean))
        return np.asarray(values * deviation + mean)

    @cached_property
    def rgb(self) -> Image | None:
        """The image (H, W, 3), red first, as a picture."""
        if self._colours is None:
            return None
        with np.errstate(invalid="ignore"):
            levels = np.clip(np.nan_to_num(self._colours) * 255, 0, 255)
        return np.rint(levels).astype(np.uint8)

    @property
    def how(self) -> Text:
        """In words, how the picture was made of the view's numbers."""
        if self.image is None:
            return Text("The view holds no image of three channels")
        if self.image.dtype == np.uint8:
            return Text("RGB is 8-bit and shown as it is")
        if self.rule is None:
            return Text(
                "data_norm_type is {name!r}, and neither the dataset's transform nor a table of its modules "
                "gives its mean and deviation: RGB is stretched from its least to its largest value, and its "
                "colours mean nothing",
                name=self.norm_type,
            )
        return Text("RGB is denormalised by {source}", source=self.rule.source)

    @property
    def doubts(self) -> tuple[Text, ...]:
        """What the rule does not fit."""
        found = []
        if self.rule and self.named and not self._agree:
            found.append(
                Text(
                    "data_norm_type {name!r} names mean ({named_mean:.3g}), deviation "
                    "({named_deviation:.3g}); the transform used ({mean:.3g}) and ({deviation:.3g}): the "
                    "model will take one for the other",
                    name=self.norm_type,
                    named_mean=self.named.mean,
                    named_deviation=self.named.deviation,
                    mean=self.rule.mean,
                    deviation=self.rule.deviation,
                )
            )
        if self.rule and self._colours is not None and self.image is not None:
            low, high = float(np.nanmin(self._colours)), float(np.nanmax(self._colours))
            if self.image.dtype != np.uint8 and (low < -SLACK or high > 1 + SLACK):
                found.append(
                    Text(
                        "denormalised, img goes from {low:.2f} to {high:.2f}: the rule does not fit it",
                        low=low,
                        high=high,
                    )
                )
        return tuple(found)

    @property
    def _agree(self) -> bool:
        assert self.rule and self.named
        return np.allclose(
            [self.rule.mean, self.rule.deviation], [self.named.mean, self.named.deviation], atol=1e-3
        )

    @property
    def depth(self) -> NDArray[Any] | None:
        """Its depth (H, W) as the view holds it."""
        return _flat(self.array("depthmap"))

    @property
    def mask(self) -> NDArray[Any] | None:
        """Its non_ambiguous_mask (H, W) as the view holds it."""
        return _flat(self.array("non_ambiguous_mask"))

    @property
    def valid(self) -> NDArray[Any] | None:
        """Its valid_mask (H, W) as the view holds it."""
        return _flat(self.array("valid_mask"))


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownSample:
    """What training gets at one index, or why it gets nothing."""

    split: str
    part: Part
    index: int
    length: int
    sample: Sample
    views: tuple[DrawnView, ...]


def draw_at(
    target: Target, split: str, indices: Sequence[int], count: int = 0, seed: int = 0
) -> Callable[[], tuple[ShownSample, ...]]:
    """Have samples drawn, at these indices or at so many random ones; what is returned waits for them.

    It raises NoSuchSample for an index that does not exist, Blocked where nothing can be drawn.
    """
    folder = arrays_folder(target) / f"preview-{split}"
    answer = questions.draw_at.ahead(
        target,
        expression=expression_of(target, split),
        module_name=loader_module(target),
        split=split,
        folder=str(folder),
        indices=list(indices),
        count=count,
        seed=seed,
    )
    return lambda: _samples(target, split, answer(), folder, indices)


def _samples(
    target: Target, split: str, answer: questions.Preview, folder: Path, indices: Sequence[int]
) -> tuple[ShownSample, ...]:
    length = answer.length
    if not length:
        raise Blocked("{split} is empty: there is no sample to draw", split=split)
    if not answer.samples:
        raise NoSuchSample(f"{max(indices)}: {split} has {length} samples, 0 to {length - 1}")
    return tuple(_sample(target, split, length, entry, folder) for entry in answer.samples)


def _sample(
    target: Target, split: str, length: int, entry: questions.PreviewSample, folder: Path
) -> ShownSample:
    sample = entry.within(target.repo)
    index = sample.key[0]
    views = [
        DrawnView(
            view=view,
            place=place,
            norm_type=rules.name,
            rule=rules.done or rules.named,
            named=rules.named,
            prefix=folder / f"{index}_{place}",
        )
        for place, (view, rules) in enumerate(zip(sample.views, entry.rules, strict=True))
    ]
    return ShownSample(
        split=split,
        part=parts(target, split)[0],
        index=index,
        length=length,
        sample=sample,
        views=tuple(views),
    )


def _flat(array: NDArray[Any] | None) -> NDArray[Any] | None:
    """The array (H, W), less sides of one; None where it is no such thing."""
    if array is None:
        return None
    flat = array.reshape([side for side in array.shape if side != 1])
    return flat if flat.ndim == 2 else None
