"""Shown colours: what the evaluation's images say of their files' colours, and what they should say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.geometry.images import ENOUGH, ImageMatch, image_matches, lies_right
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.interpreter.questions import Rule
from opv2v_doctor.facts.launch.loaders import loader_module
from opv2v_doctor.facts.launch.splits import expression_of
from opv2v_doctor.facts.samples.moments import TracedView
from opv2v_doctor.facts.samples.panoramas import channels_last
from opv2v_doctor.geometry.colours import Colours, colours
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Command
from opv2v_doctor.threshold import Threshold

ALIKE = Threshold(0.5, "of the variance", "images that show less of their files lie elsewhere", healthy=0.74)


@dataclass(frozen=True, kw_only=True)
class ShownColours:
    """One view's colours."""

    view: TracedView
    found: Colours


@fact
def shown_colours(target: Target, split: str) -> tuple[ShownColours, ...]:
    """Of the views whose images lie where they belong.

    Raises Skip where they have no colours, Blocked where none shows its files well enough.
    """
    matches = image_matches(target, split)
    right = [match for match in matches if lies_right(match)]
    if not right:
        raise Blocked(
            "no image of {split} lies where it belongs: likeness up to {likeness:.2f} with the stitched "
            "files, expected {least}",
            at=matches[0].view.frame.yaml,
            hint="see where the images lie: {command}",
            split=split,
            likeness=max(match.match.here for match in matches),
            least=ENOUGH,
            command=Command("opv2v-doctor check GEO009"),
        )
    known = [(match, found) for match in right if (found := _colours(match)) is not None]
    if not known:
        raise Skip("img of {split} is of one colour, or has not three channels", split=split)
    kept = tuple(ShownColours(view=match.view, found=found) for match, found in known if are_shown(found))
    if not kept:
        raise Blocked(
            "the colours of img in {split} explain {alike:.0%} of those of the files, expected more than "
            "{least:.0%}: too little to compare them",
            split=split,
            alike=max(order.alike for _, found in known for order in found),
            least=ALIKE,
        )
    return kept


def are_shown(found: Colours) -> bool:
    """Whether a picture shows its files well enough to compare colours, in one order of the channels."""
    return max(order.alike for order in found) > ALIKE


def _colours(match: ImageMatch) -> Colours | None:
    pixels = _pixels(match)
    if pixels is None:
        return None
    return colours(pixels[match.compared], match.reference[match.compared][:, ::-1] / 255)


@dataclass(frozen=True, kw_only=True)
class CameraColours:
    """What one view shows of one camera, against its file."""

    view: TracedView
    camera: str
    found: Colours
    colour: float  # mean difference of the largest and the least channel, of that of the file
    least: float  # that of the file, of the brightest value: a grey street says nothing


@fact
def camera_colours(target: Target, split: str) -> tuple[CameraColours, ...]:
    """Of each camera of the views that are compared, as `data_norm_type` turns numbers into colours."""
    found = []
    for match in image_matches(target, split):
        name = match.view.view.norm_type
        rule = named_rule(target, split, name) if name else None
        pixels = _pixels(match) if match.match.best >= ENOUGH or lies_right(match) else None
        if pixels is None:
            continue
        for place, camera in enumerate(match.names):
            chosen = np.asarray(match.compared & (match.source == place))
            shown, filed = pixels[chosen], match.reference[chosen][:, ::-1] / 255
            each = colours(shown, filed)
            if each is None:
                continue
            plain = shown if rule is None else shown * np.array(rule.deviation) + np.array(rule.mean)
            least = float(np.ptp(filed, axis=1).mean())
            found.append(
                CameraColours(
                    view=match.view,
                    camera=camera,
                    found=each,
                    colour=float(np.ptp(plain, axis=1).mean()) / max(least, 1e-6),
                    least=least,
                )
            )
    if not found:
        raise Skip("no image of {split} shows enough of a camera to compare colours", split=split)
    return tuple(found)


def _pixels(match: ImageMatch) -> NDArray[Any] | None:
    image = match.view.array("img")
    assert image is not None
    pixels = channels_last(image)
    return None if pixels is None else pixels / (255 if image.dtype == np.uint8 else 1)


@fact
def named_rule(target: Target, split: str, norm_type: str) -> Rule | None:
    """What `data_norm_type` names in the repository's own table; None where none has it."""
    rules = questions.named_rule(
        target,
        expression=expression_of(target, split),
        module_name=loader_module(target),
        name=norm_type,
    )
    return rules.named or rules.done
