"""Shown colours: what the evaluation's images say of their files' colours, and what they should say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from opv2v_doctor.facts.geometry.images import ENOUGH, ImageMatch, image_matches
from opv2v_doctor.facts.geometry.moments import SampledView
from opv2v_doctor.facts.loaders import loader_module
from opv2v_doctor.facts.panoramas import Rule, channels_last, rule_in
from opv2v_doctor.facts.probe import ask
from opv2v_doctor.facts.samples import expression_of
from opv2v_doctor.geometry.colours import Colours, colours
from opv2v_doctor.target import Target

ALIKE = 0.5  # of the variance: else the images lie elsewhere, which other checks tell


@dataclass(frozen=True, kw_only=True)
class ShownColours:
    """One view's colours."""

    view: SampledView
    found: Colours


@cache
def shown_colours(target: Target, split: str) -> tuple[ShownColours, ...]:
    """Of the views whose images lie where they belong."""
    known = [(match, _colours(match)) for match in image_matches(target, split) if _lies_right(match)]
    return tuple(
        ShownColours(view=match.view, found=found)
        for match, found in known
        if found is not None and max(order.alike for order in found) > ALIKE
    )


def _lies_right(match: ImageMatch) -> bool:
    return match.explanation is None and match.match.here >= ENOUGH


def _colours(match: ImageMatch) -> Colours | None:
    image = match.view.array("img")
    assert image is not None
    pixels = channels_last(image)
    if pixels is None:
        return None
    scale = 255 if image.dtype == np.uint8 else 1
    return colours(pixels[match.compared] / scale, match.reference[match.compared][:, ::-1] / 255)


@cache
def named_rule(target: Target, split: str, norm_type: str) -> Rule | None:
    """What `data_norm_type` names in the repository's own table; None where none has it."""
    answer = ask(
        target,
        "preview",
        "named_rule",
        expression=expression_of(target, split),
        module_name=loader_module(target),
        name=norm_type,
    )
    return rule_in(answer["named"]) or rule_in(answer["done"])
