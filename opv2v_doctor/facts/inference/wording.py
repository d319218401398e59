"""Wording: what a difference between training and inference is, in words, and what to do about it."""

from __future__ import annotations

import math

from opv2v_doctor.facts.inference.comparisons import Inference, Unlike

CLOSE = 1e-3  # relative: full precision, whatever the order of the operations
CLOSE_IN_HALF = 0.02  # in bfloat16 and float16
FITS = 0.01  # of the deviation that a line through the pixels may leave
PARTS = {
    "mask": ("mask",),
    "pose": ("cam_trans", "cam_quats", "camera_pose"),
    "scale": ("scal",),
    "depth": ("depth",),
    "points": ("pts3d",),
    "rays": ("ray",),
    "confidence": ("conf",),
}


def part_of(key: str) -> str:
    """What an output is about: points, pose, depth, scale or mask."""
    return next((part for part, words in PARTS.items() if any(word in key for word in words)), key)


def tolerance(inference: Inference) -> float:
    """How far outputs may be apart, relative: they are computed as precisely as that."""
    return CLOSE_IN_HALF if any(inference.precision) else CLOSE


def input_told(unlike: Unlike, key: str) -> tuple[str, str]:
    """What goes into the model otherwise, be it several entries, and the hint."""
    numbers = unlike.numbers
    if unlike.kind == "only inference":
        said = f"the model takes {key} of the views, which training never gave it"
        return said, f"leave {key} out of the views, or train with it: otherwise nobody has validated this"
    if unlike.kind == "only training":
        said = f"the model does not get {key}, which training gave it"
        return said, f"give the views {key} as the training does"
    if unlike.kind == "shape":
        said = f"{key} is {_shape(numbers['is'])}, in training {_shape(numbers['was'])}"
        return said, "make the views with the resolution of the training's config"
    if unlike.kind == "words":
        said = f"{key} is {numbers['is']!r}, in training {numbers.get('was')!r}"
        return said, "take data_norm_type from the training's config"
    if unlike.kind == "type":
        said = f"{key} is {numbers['is']}, in training {numbers['was']}"
        return said, f"give {key} as {numbers['was']}"
    if "lines" in numbers:
        return _image_told(unlike)
    said = f"{key} is apart by {_share(unlike.relative)} (RMS, relative to training's)"
    return said, f"make {key} as the dataset does"


def _shape(sizes: list[int]) -> str:
    return " x ".join(map(str, sizes))


def _share(relative: float) -> str:
    return f"{relative:.1%}" if math.isfinite(relative) else "an infinite factor"


def _image_told(unlike: Unlike) -> tuple[str, str]:
    """An image that is not training's: channels, normalisation, or another picture."""
    numbers = unlike.numbers
    lines, low, high = numbers["lines"], numbers["least"], numbers["most"]
    hint = "prepare the images with the dataset's own transform and data_norm_type"
    if numbers["reversed"]:
        return "the images' channels are in reverse order: BGR for RGB", "give the channels as RGB"
    if any(line["rest"] > FITS for line in lines):
        said = f"the images are others than in training: apart by {_share(unlike.relative)} (RMS)"
        return said, f"{hint}, and take the same agents in the same order"
    plain = low >= -1e-6 and high <= 1 + 1e-6
    range_ = "not at all, they lie in 0..1" if plain else f"they lie in {low:.2f}..{high:.2f}"
    given = ", ".join(f"{line['slope']:.3g} x + {line['offset']:.3g}" for line in lines)
    return f"the images are normalised otherwise ({range_}): of training's x, {given}", hint


def apart_told(unlike: Unlike) -> str:
    """How far apart, in a word."""
    if unlike.kind in ("shape", "type"):
        return f"is {unlike.numbers['is']}, expected {unlike.numbers['was']}"
    return f"{_share(unlike.relative)} of the pixels" if unlike.kind == "mask" else _share(unlike.relative)


def output_told(inference: Inference, unlike: Unlike) -> tuple[str, str]:
    """What comes out otherwise, and the hint."""
    part, numbers = part_of(unlike.key), unlike.numbers
    what = f"{part}: {unlike.key} is"
    if unlike.kind == "mask":
        return _mask_told(unlike)
    if unlike.kind in ("shape", "type"):
        return f"{what} {numbers['is']}, in training {numbers['was']}", "look at the step that makes it"
    if unlike.kind != "values":
        return f"{what} not what the model answered", "look at the step that makes it"
    factor, scale = numbers["factor"], numbers.get("scale")
    if numbers["rest"] <= tolerance(inference):
        if scale and math.isclose(factor, scale, rel_tol=FITS):
            said = (
                f"{what} {factor:.4g} times what the model answered: its metric scale, which is in it already"
            )
            return said, f"take {unlike.key} as the model answers it: it is metric"
        if scale and math.isclose(factor, 1 / scale, rel_tol=FITS):
            said = f"{what} {factor:.4g} times what the model answered: its metric scale is taken out again"
            return said, f"take {unlike.key} as the model answers it: it is metric"
        return f"{what} {factor:.4g} times what it should be", "look for the factor in the step that makes it"
    said = f"{what} apart by {_share(unlike.relative)} (RMS, relative)"
    return said, "look at the step that makes it"


def _mask_told(unlike: Unlike) -> tuple[str, str]:
    numbers = unlike.numbers
    means = f"mean {numbers['is']:.3f}, by the model {numbers['was']:.3f}"
    if numbers.get("inverted", 0.0) > 1 - FITS or numbers["differs"] > 1 - FITS:
        return (
            f"mask: it is inverted ({means})",
            "keep what is above the threshold: logits > 0 is not ambiguous",
        )
    said = f"mask: it differs in {numbers['differs']:.1%} of the pixels from the model's ({means})"
    return said, "threshold the logits at 0, as training does"
