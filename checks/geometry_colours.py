"""Geometry: the colours of the panoramas against those of the files."""

import math
from collections.abc import Sequence

from opv2v_doctor import Finding, Findings, Skip, Target, check, error, note
from opv2v_doctor.facts.geometry.shown_colours import ShownColours, named_rule, shown_colours
from opv2v_doctor.facts.origins import given_place
from opv2v_doctor.facts.panoramas import Rule
from opv2v_doctor.facts.samples import Samples, each_split
from opv2v_doctor.geometry.colours import Normalisation, typical

TIMES, APART = 1.5, 0.15  # deviations and means that differ by more are not a matter of blur or seams
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
    judged = [drawn for drawn in each_split(target) if drawn.split != "train"]
    if not judged:
        raise Skip("only the training split is examined, whose images may be augmented")
    for drawn in judged:
        found = shown_colours(target, drawn.split)
        if not found:
            yield note(f"{drawn.split}: not judged: images lie elsewhere, or are grey")
            continue
        rule = _rule(target, drawn, found)
        named = rule.normalisation if rule else None
        turned = [each for each in found if each.found.exchanged(named)]
        seen = typical([(each.found.turned if turned else each.found.straight).seen for each in found])
        if turned:
            yield _exchanged(target, drawn, turned, len(found))
        if rule is not None and not _fits(seen, rule.normalisation):
            yield _unlike(target, drawn, seen, rule)
        elif not turned:
            yield note(f"{drawn.split}: colours are those of the files: {_numbers(seen)}")


def _rule(target: Target, drawn: Samples, found: Sequence[ShownColours]) -> Rule | None:
    name = found[0].view.view.norm_type
    return named_rule(target, drawn.split, name) if name else None


def _exchanged(target: Target, drawn: Samples, turned: Sequence[ShownColours], count: int) -> Finding:
    return _error(
        target,
        drawn,
        f"red and blue are exchanged in {len(turned)} of {count} views: OpenCV reads blue first "
        f"({turned[0].view.frame.yaml})",
        "turn the channels where the file is read: image[..., ::-1]",
    )


def _unlike(target: Target, drawn: Samples, seen: Normalisation, rule: Rule) -> Finding:
    return _error(
        target,
        drawn,
        f"img is as if normalised by {_numbers(seen)}: {_story(seen, rule)}; its data_norm_type names "
        f"{_numbers(rule.normalisation)} ({rule.source})",
        "normalise once, by what data_norm_type names",
    )


def _fits(seen: Normalisation, other: Normalisation) -> bool:
    apart = max(abs(one - two) for one, two in zip(seen.mean, other.mean, strict=True))
    times = max(abs(math.log(one / two)) for one, two in zip(seen.deviation, other.deviation, strict=True))
    return apart < APART and times < math.log(TIMES)


def _story(seen: Normalisation, rule: Rule) -> str:
    """What may have happened to the images."""
    none = Normalisation((0.0,) * 3, (1.0,) * 3)
    mean = tuple(m + d * m for m, d in zip(rule.mean, rule.deviation, strict=True))
    stories = {
        "twice": Normalisation(mean, tuple(d * d for d in rule.deviation)),
        "not at all": none,
        "not at all, and still 0 to 255": Normalisation(none.mean, (1 / LEVELS,) * 3),
    }
    return next((how for how, other in stories.items() if _fits(seen, other)), "in no known way")


def _numbers(seen: Normalisation) -> str:
    mean, deviation = (" ".join(f"{value:.3g}" for value in part) for part in seen)
    return f"mean {mean}, deviation {deviation}"


def _error(target: Target, drawn: Samples, message: str, hint: str) -> Finding:
    place = given_place(target, drawn.part, "img")
    return error(
        f"{drawn.split}: {message}",
        path=place.path if place else None,
        line=place.line if place else None,
        hint=hint,
        split=drawn.split,
    )
