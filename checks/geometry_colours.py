"""Geometry: the colours of the panoramas against those of the files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from opv2v_doctor import (
    Blocked,
    Finding,
    Findings,
    Skip,
    Target,
    Text,
    Threshold,
    check,
    error,
    examined,
    for_each,
    note,
)
from opv2v_doctor.facts.geometry.shown_colours import ShownColours, named_rule, shown_colours
from opv2v_doctor.facts.interpreter.questions import Rule
from opv2v_doctor.facts.launch.origins import given_place
from opv2v_doctor.facts.launch.splits import examined_splits
from opv2v_doctor.facts.samples.draws import Samples, each_split
from opv2v_doctor.geometry.colours import Normalisation, typical

TIMES = Threshold(1.5, "times the deviation", "blur and seams change less", healthy=1.04, faulty=4.5)
APART = Threshold(0.15, "of the brightest value", "blur and seams change less", healthy=0.0064)
LEVELS = 255


@check("GEO015", tier="data", requires=["DAT001", "ENV007"])
def images_keep_their_colours(target: Target) -> Findings:
    """Evaluation images have red first, and are normalised once, as their `data_norm_type` says.

    ## Why it matters
    The encoder was trained on RGB of a certain mean and deviation. Blue first, as OpenCV reads files, or
    numbers that were normalised twice or not at all, are another world to it: the training adapts slowly,
    and inference that does it right does not match. Nothing looks wrong but the colours. Training images
    may be augmented and are not judged.

    ## How to fix
    Turn the channels once, where the file is read (`image[..., ::-1]`). Normalise once, by the entry that
    `data_norm_type` names: either the dataset's transform does it, or the model.
    """
    if set(examined_splits(target)) == {"train"}:
        raise Skip("only the training split is examined, whose images may be augmented")
    yield from for_each(each_split(target), partial(_colours, target))


def _colours(target: Target, drawn: Samples) -> Findings:
    if drawn.split == "train":
        return
    found = shown_colours(target, drawn.split)
    name = found[0].view.view.norm_type
    rule = named_rule(target, drawn.split, name) if name else None
    named = rule.normalisation if rule else None
    turned = [each for each in found if each.found.is_exchanged(named)]
    seen = typical([(each.found.turned if turned else each.found.straight).seen for each in found])
    if turned:
        yield _exchange(target, drawn, turned, len(found))
    if rule is None:
        raise _no_rule(target, drawn, name, seen)
    if not fits(seen, rule.normalisation):
        yield _unlike(target, drawn, seen, rule)
    elif not turned:
        yield examined(len(found), "view", split=drawn.split)
        yield note("colours are those of the files: {seen}", of=drawn.split, seen=_numbers(seen))


def _no_rule(target: Target, drawn: Samples, name: str | None, seen: Normalisation) -> Blocked:
    """That nothing says how images should be normalised."""
    return Blocked(
        "no table of the repository says mean and deviation of data_norm_type {name}; img of {split} is as "
        "if normalised by {seen}"
        if name
        else "the views of {split} have no data_norm_type; img is as if normalised by {seen}",
        at=given_place(target, drawn.part, "data_norm_type"),
        hint="give each view a data_norm_type that the repository's table of mean and deviation has",
        name=repr(name),
        split=drawn.split,
        seen=_numbers(seen),
    )


def _exchange(target: Target, drawn: Samples, turned: Sequence[ShownColours], count: int) -> Finding:
    return error(
        "red and blue are exchanged in {turned} of {views:view|views}, as OpenCV reads files: {frame}",
        hint="turn the channels where the file is read: image[..., ::-1]",
        at=given_place(target, drawn.part, "img"),
        of=drawn.split,
        turned=len(turned),
        views=count,
        frame=turned[0].view.frame.yaml,
    )


def _unlike(target: Target, drawn: Samples, seen: Normalisation, rule: Rule) -> Finding:
    return error(
        "img is normalised {story}, as if by {seen}; its data_norm_type names {named} ({source})",
        hint="normalise once, by what data_norm_type names",
        at=given_place(target, drawn.part, "img"),
        of=drawn.split,
        seen=_numbers(seen),
        story=_story(seen, rule),
        named=_numbers(rule.normalisation),
        source=rule.source,
    )


def fits(seen: Normalisation, other: Normalisation) -> bool:
    """Whether images are normalised so, but for what blur and seams change."""
    apart = max(abs(one - two) for one, two in zip(seen.mean, other.mean, strict=True))
    times = max(abs(math.log(one / two)) for one, two in zip(seen.deviation, other.deviation, strict=True))
    return apart < APART and times < math.log(TIMES)


def _story(seen: Normalisation, rule: Rule) -> Text:
    """What may have happened to the images."""
    none = Normalisation((0.0,) * 3, (1.0,) * 3)
    mean = tuple(m + d * m for m, d in zip(rule.mean, rule.deviation, strict=True))
    if fits(seen, Normalisation(mean, tuple(d * d for d in rule.deviation))):
        return Text("twice")
    if fits(seen, none):
        return Text("not at all")
    if fits(seen, Normalisation(none.mean, (1 / LEVELS,) * 3)):
        return Text("not at all, and still 0 to 255")
    return Text("in no known way")


def _numbers(seen: Normalisation) -> Text:
    return Text(
        "mean {mean}, deviation {deviation}",
        mean=" ".join(f"{value:.3g}" for value in seen.mean),
        deviation=" ".join(f"{value:.3g}" for value in seen.deviation),
    )
