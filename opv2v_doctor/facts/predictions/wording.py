"""Wording: what a difference between training and inference is, in words, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from opv2v_doctor.facts.predictions.comparisons import Channels, Figure, InferenceDifference, Mask, Unlike
from opv2v_doctor.text import Text
from opv2v_doctor.threshold import Threshold

CLOSE = Threshold(1e-3, "relative RMS", "full precision, whatever the order of the operations")
CLOSE_IN_HALF = Threshold(0.02, "relative RMS", "precision of bfloat16 and float16")
FITS = 0.01  # of the deviation that a line through the pixels may leave
ENDLESS = 1e6  # a factor beyond which the number says nothing
PARTS = {
    "mask": ("mask",),
    "pose": ("cam_trans", "cam_quats", "camera_pose"),
    "scale": ("scal",),
    "depth": ("depth",),
    "points": ("pts3d",),
    "rays": ("ray",),
    "confidence": ("conf",),
}
NAMES = {
    "mask": Text("mask"),
    "pose": Text("pose"),
    "scale": Text("scale"),
    "depth": Text("depth"),
    "points": Text("points"),
    "rays": Text("rays"),
    "confidence": Text("confidence"),
}
MAKER = Text("correct the step of infer() that makes it")
Told = tuple[Text, Text]  # what is, and the hint


def part_of(key: str) -> str:
    """What an output is about: points, pose, depth, scale or mask."""
    return next((part for part, words in PARTS.items() if any(word in key for word in words)), key)


def name_of(key: str) -> str | Text:
    """The word for what an output is about."""
    part = part_of(key)
    return NAMES.get(part, part)


def tolerance(inference: InferenceDifference) -> Threshold:
    """How far outputs may be apart, relative: they are computed as precisely as that."""
    return CLOSE_IN_HALF if any(inference.precision) else CLOSE


def input_told(unlike: Unlike, keys: Sequence[str]) -> Told:
    """What goes into the model otherwise, be it several entries, and the hint."""
    numbers, key = unlike.numbers, unlike.key
    if unlike.kind == "only inference":
        return (
            Text("the model takes {keys} of the views, which training never gave it", keys=keys),
            Text("leave {keys} out of the views, or let training give the same", keys=keys),
        )
    if unlike.kind == "only training":
        return (
            Text("the model does not get {keys}, which training gave it", keys=keys),
            Text("give the views {keys} as training does", keys=keys),
        )
    if unlike.kind == "shape":
        return (
            _instead(key, _figure(numbers.given), _figure(numbers.trained)),
            Text("make the views with the resolution of the training's config"),
        )
    if unlike.kind == "words":
        return (
            _instead(key, repr(numbers.given), repr(numbers.trained)),
            Text("take data_norm_type from the training's config"),
        )
    if unlike.kind == "type":
        return (
            _instead(key, _figure(numbers.given), _figure(numbers.trained)),
            Text("give {key} as {type}", key=key, type=_figure(numbers.trained)),
        )
    if numbers.channels is not None:
        return _image_told(unlike, numbers.channels)
    return (
        Text("{key} differs by {share} (RMS, relative to training's)", key=key, share=_share(unlike)),
        Text("make {key} as the dataset does", key=key),
    )


def _instead(key: str, given: str, trained: str) -> Text:
    return Text("{key} is {given}, in training {trained}", key=key, given=given, trained=trained)


def _figure(figure: Figure) -> str:
    """A type, or the sizes of an array."""
    return " x ".join(map(str, figure)) if isinstance(figure, tuple) else str(figure)


def _share(unlike: Unlike) -> Text:
    """How far apart, relative to what it should be."""
    if unlike.relative < ENDLESS:
        return Text("{relative:.1%}", relative=unlike.relative)
    return Text("more than a million times its size")


def _image_told(unlike: Unlike, channels: Channels) -> Told:
    """An image that is not training's: channels, normalisation, or another picture."""
    lines, low, high = channels.lines, channels.least, channels.most
    if channels.reversed:
        return (
            Text("the images' channels are in reverse order: BGR for RGB"),
            Text("give the channels as RGB"),
        )
    if any(line.rest > FITS for line in lines):
        return (
            Text("the images differ from training's by {share} (RMS)", share=_share(unlike)),
            Text("take the same agents in the same order, with the dataset's own transform"),
        )
    plain = low >= -1e-6 and high <= 1 + 1e-6
    given = [f"{line.slope:.3g} x + {line.offset:.3g}" for line in lines]
    return (
        Text(
            "the images are not normalised (values in 0..1): of training's x, the channels are {given}"
            if plain
            else "the images are normalised otherwise (values in {low:.2f}..{high:.2f}): of training's x, "
            "the channels are {given}",
            low=low,
            high=high,
            given=given,
        ),
        Text("prepare the images with the dataset's own transform and data_norm_type"),
    )


def apart_told(unlike: Unlike) -> Text:
    """How far apart, in a word."""
    if unlike.kind in ("shape", "type"):
        return Text(
            "{given}, expected {trained}",
            given=_figure(unlike.numbers.given),
            trained=_figure(unlike.numbers.trained),
        )
    if unlike.kind == "mask":
        return Text("{relative:.1%} of the pixels", relative=unlike.relative)
    return _share(unlike)


def output_told(inference: InferenceDifference, unlike: Unlike) -> Told:
    """What comes out otherwise, and the hint."""
    numbers, key, part = unlike.numbers, unlike.key, name_of(unlike.key)
    if numbers.mask is not None:
        return _mask_told(unlike, numbers.mask)
    if unlike.kind in ("shape", "type"):
        return (
            Text(
                "{part}: {key} is {given}, in training {trained}",
                part=part,
                key=key,
                given=_figure(numbers.given),
                trained=_figure(numbers.trained),
            ),
            MAKER,
        )
    if numbers.values is None:
        return Text("{part}: {key} is not what the model returned", part=part, key=key), MAKER
    if numbers.values.rest <= tolerance(inference):
        return _factor_told(part, key, numbers.values.factor, numbers.scale)
    return (
        Text("{part}: {key} differs by {share} (RMS, relative)", part=part, key=key, share=_share(unlike)),
        MAKER,
    )


def _factor_told(part: str | Text, key: str, factor: float, scale: float | None) -> Told:
    """An output that is a multiple of the model's: by its metric scale, or by another factor."""
    applied = bool(scale) and math.isclose(factor, scale or 0.0, rel_tol=FITS)
    removed = bool(scale) and math.isclose(factor, 1 / (scale or 1.0), rel_tol=FITS)
    said = Text(
        "{part}: {key} is {factor:.4g} times what the model returned: its metric scale, applied twice"
        if applied
        else "{part}: {key} is {factor:.4g} times what the model returned: divided by its metric scale again"
        if removed
        else "{part}: {key} is {factor:.4g} times what the model returned",
        part=part,
        key=key,
        factor=factor,
    )
    hint = Text(
        "take {key} as the model returns it: it is metric"
        if applied or removed
        else "remove the factor from the step that makes {key}",
        key=key,
    )
    return said, hint


def _mask_told(unlike: Unlike, mask: Mask) -> Told:
    inverted = max(mask.inverted, mask.differs) > 1 - FITS
    said = Text(
        "mask: it is inverted (mean {given:.3f}, the model's {trained:.3f})"
        if inverted
        else "mask: {differs:.1%} of the pixels differ from the model's (mean {given:.3f}, the model's "
        "{trained:.3f})",
        given=unlike.numbers.given,
        trained=unlike.numbers.trained,
        differs=mask.differs,
    )
    hint = Text(
        "keep the pixels whose logits are above 0: those are not ambiguous"
        if inverted
        else "threshold the logits at 0, as training does"
    )
    return said, hint
