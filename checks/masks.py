"""Masks: what the views say about where they see something, against what their cameras can see."""

import math
from collections.abc import Sequence
from statistics import mean, pstdev
from typing import Any

from opv2v_doctor import Finding, Findings, Skip, Target, check, error, note, one_finding_a_cause, warning
from opv2v_doctor.facts.origins import crop_place, given_place
from opv2v_doctor.facts.rigs import Coverage, coverages
from opv2v_doctor.facts.samples import Samples, each_split
from opv2v_doctor.facts.views import View

MASK = "non_ambiguous_mask"
SAME = 0.02  # a prediction that is so close to the measured value explains it
OUTSIDE = 0.01


@check("MSK001", tier="data", requires=["DAT001", "ENV007"])
@one_finding_a_cause
def masks_are_not_empty(target: Target) -> Findings:
    """The masks of every split mark more than a sliver of the panorama.

    ## Why it matters
    `non_ambiguous_mask` is what the mask head learns, `valid_mask` where every other loss is taken. Where
    they are empty, nothing is learned, and the losses look splendid. A mask that is the same in all samples
    tells the model nothing either: it learns one picture by heart, and a mask loss near 0 proves nothing.

    ## How to fix
    Look at where the repository builds the mask, and at the depth that `valid_mask` follows. `masks.floor`
    in `opv2v-doctor.toml` sets the least mean, as a fraction of the panorama.
    """
    for drawn in each_split(target):
        for name, means in _means(drawn).items():
            yield from _judged(target, drawn, name, means)
        yield from _constant(drawn)


def _means(drawn: Samples) -> dict[str, list[float]]:
    """Mask -> its mean in each view, of the masks that there are."""
    found = {
        "non_ambiguous_mask": [view.mask_mean for view in drawn.views if view.mask_mean is not None],
        "valid_mask": [view.valid_mean for view in drawn.views if view.valid_mean is not None],
    }
    if not any(found.values()) and drawn.views:
        raise Skip(f"the views of {drawn.split} have neither non_ambiguous_mask nor valid_mask")
    return {name: means for name, means in found.items() if means}


def _judged(target: Target, drawn: Samples, name: str, means: Sequence[float]) -> Findings:
    floor, place = target.settings.masks.floor, given_place(target, drawn.part, MASK)
    evidence: dict[str, Any] = {"split": drawn.split, "mean": mean(means), "views": len(means)}
    if mean(means) < floor:
        yield error(
            f"{drawn.split}: {name} has mean {mean(means):.3f} over {len(means)} views, "
            f"at least {floor} is expected",
            path=place.path if place else None,
            line=place.line if place else None,
            hint="look at what this line marks, and at the depth files of the frames, or set masks.floor",
            **evidence,
        )
    else:
        spread = f"{drawn.split}: {name} mean {mean(means):.3f}, spread {pstdev(means):.3f}"
        yield note(f"{spread}; {_implied(mean(means))}" if name == MASK else spread, **evidence)


def _implied(p: float) -> str:
    """What a mean says about the loss on it."""
    if not 0 < p < 1:
        return "the same everywhere: the loss on it can be 0"
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    return f"pos_weight {(1 - p) / p:.2f}, the best constant prediction costs BCE {entropy:.3f}"


def _constant(drawn: Samples) -> Findings:
    digests = [view.mask_digest for view in drawn.views if view.mask_digest]
    if len(digests) > 1 and len(set(digests)) == 1:
        yield note(
            f"{drawn.split}: non_ambiguous_mask is the same in all {len(digests)} views: it carries no "
            "information, and a mask loss near 0 shows only that one picture was learned",
            split=drawn.split,
        )


@check("MSK002", tier="data", requires=["DAT001", "ENV007"])
@one_finding_a_cause
def mask_covers_what_the_rig_sees(target: Target) -> Findings:
    """The non-ambiguous mask covers what the cameras of each agent can see.

    ## Why it matters
    What the cameras see follows from their intrinsics and extrinsics: 0.857 of a panorama of 90 degrees
    with the rig of OPV2V. A loader that first crops each image to the panorama's shape keeps 0.33, and
    trains on a narrow band of what was recorded. Nothing crashes, and a floor of 0.05 is passed.

    ## How to fix
    Warp the images at their own size and intrinsics into the panorama. Crop or resize the panorama, not its
    images. `masks.tolerance` in `opv2v-doctor.toml` sets the difference that is allowed.
    """
    for drawn in each_split(target):
        found = coverages(target, drawn.split)
        wrong = [view for view in found if abs(view.measured - view.seen) > target.settings.masks.tolerance]
        if wrong:
            yield _uncovered(target, drawn, found, wrong)
        else:
            yield note(f"{drawn.split}: {_compared(found)} ({len(found)} views)", **_numbers(drawn, found))


def _uncovered(
    target: Target, drawn: Samples, found: Sequence[Coverage], wrong: Sequence[Coverage]
) -> Finding:
    explained = _is_cropped(wrong)
    place = (crop_place(target, drawn.part) if explained else None) or given_place(target, drawn.part, MASK)
    why = ", which is what images cropped to its shape leave" if explained else ""
    return error(
        f"{drawn.split}: {_compared(wrong)}{why} ({len(wrong)} of {len(found)} views, "
        f"first {wrong[0].frame.yaml})",
        path=place.path if place else wrong[0].frame.yaml,
        line=place.line if place else None,
        hint=_remedy(wrong, explained=explained),
        **_numbers(drawn, wrong),
    )


def _remedy(wrong: Sequence[Coverage], *, explained: bool) -> str:
    if mean(view.measured - view.seen for view in wrong) > 0:
        return "mark only where a camera looks"
    whole = "warp the whole images, with the intrinsics of their frame files, into the panorama"
    return f"{whole}; do not crop them first" if explained else whole


def _is_cropped(wrong: Sequence[Coverage]) -> bool:
    """Whether cropping each image to the panorama's shape gives the measured value."""
    return abs(mean(view.measured - view.cropped for view in wrong)) < SAME


def _compared(views: Sequence[Coverage]) -> str:
    measured, seen = mean(view.measured for view in views), mean(view.seen for view in views)
    return f"the mask covers {measured:.2f} of the panorama, the rig sees {seen:.2f}"


def _numbers(drawn: Samples, views: Sequence[Coverage]) -> dict[str, Any]:
    return {
        "split": drawn.split,
        "measured": mean(view.measured for view in views),
        "seen": mean(view.seen for view in views),
        "cropped": mean(view.cropped for view in views),
    }


@check("MSK003", tier="data", requires=["DAT001", "ENV007"])
@one_finding_a_cause
def valid_lies_inside_the_mask(target: Target) -> Findings:
    """Where valid_mask is true, non_ambiguous_mask is too.

    ## Why it matters
    A pixel that no camera sees and that counts as valid is trained on made-up depth.

    ## How to fix
    Set the depth to 0 wherever no camera looks, before `valid_mask` is made from it.
    """
    for drawn in each_split(target):
        outside = [view for view in drawn.views if (view.valid_outside or 0.0) > OUTSIDE]
        if outside:
            yield _outside(target, drawn, outside)


def _outside(target: Target, drawn: Samples, outside: Sequence[View]) -> Finding:
    place = given_place(target, drawn.part, MASK)
    most = max(view.valid_outside or 0.0 for view in outside)
    return warning(
        f"{drawn.split}: up to {most:.3f} of a panorama is valid where non_ambiguous_mask is false, at most "
        f"{OUTSIDE} is expected ({len(outside)} of {len(drawn.views)} views)",
        path=place.path if place else None,
        line=place.line if place else None,
        hint="set the depth to 0 where the mask is false",
        split=drawn.split,
        most=most,
    )
