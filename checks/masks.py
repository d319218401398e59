"""Masks: what the views say about where they see something, against what their cameras can see."""

import math
from collections.abc import Sequence
from statistics import mean, pstdev

from opv2v_doctor import (
    Finding,
    Findings,
    Skip,
    Target,
    Text,
    Threshold,
    check,
    error,
    examined,
    note,
    warning,
)
from opv2v_doctor.facts.disk.damage import raw_depth
from opv2v_doctor.facts.disk.frames import frame_of
from opv2v_doctor.facts.geometry.coverages import Coverage, coverages
from opv2v_doctor.facts.geometry.mask_places import MaskPlace, invented_depth, mask_places
from opv2v_doctor.facts.geometry.picture_partings import made_place
from opv2v_doctor.facts.interpreter.views import View
from opv2v_doctor.facts.launch.origins import crop_place, given_place
from opv2v_doctor.facts.samples.draws import Samples, each_split

MASK, VALID = "non_ambiguous_mask", "valid_mask"
SAME = Threshold(
    0.02,
    "of the panorama",
    "a prediction as close to the measured value explains it",
    healthy=0.002,
    faulty=0.52,
)
OUTSIDE = Threshold(
    0.01, "of the view", "the border of a mask, moved by interpolation", healthy=0.0, faulty=0.15
)

SPARSEST = Threshold(
    0.01,
    "of the pixels of a depth file",
    "a LiDAR of 64 beams, projected into an image, knows 0.04; fewer are lost",
    healthy=0.1,
    faulty=0.0,
)
MADE_UP = Threshold(0.001, "of the view", "a rounding at an edge", healthy=0.0, faulty=0.15)
ELSEWHERE = Threshold(0.02, "of the panorama", "borders are left out", healthy=0.0, faulty=0.09)
INVENTED = Threshold(
    0.05, "of the known pixels", "resizing draws over the edges of the sky", healthy=0.009, faulty=0.15
)


@check("MSK001", tier="data", requires=["DAT001", "ENV007"])
def masks_are_not_empty(target: Target) -> Findings:
    """The masks of every split mark more than a sliver of their views.

    ## Why it matters
    `non_ambiguous_mask` is what the mask head learns, `valid_mask` where every other loss is taken. Where
    they are empty, nothing is learned, and the losses look splendid. A mask that is the same in all samples
    tells the model nothing either: it learns one picture by heart, and a mask loss near 0 proves nothing.

    ## How to fix
    Look at where the repository builds the mask, and at the depth that `valid_mask` follows. `masks.floor`
    in `opv2v-doctor.toml` sets the least mean, as a fraction of the view; where the depth files themselves
    are sparse, less is expected of `valid_mask`.
    """
    for drawn in each_split(target):
        for name, means in _means(drawn).items():
            yield examined(len(means), "mask", split=drawn.split)
            yield _emptiness(target, drawn, name, means)
        yield from _constant(drawn)


def _means(drawn: Samples) -> dict[str, list[float]]:
    """Mask -> its mean in each view, of the masks that there are."""
    found = {
        "non_ambiguous_mask": [view.mask_mean for view in drawn.views if view.mask_mean is not None],
        "valid_mask": [view.valid_mean for view in drawn.views if view.valid_mean is not None],
    }
    if not any(found.values()) and drawn.views:
        raise Skip(
            "the views of {split} have neither non_ambiguous_mask nor valid_mask",
            hint='name them, if they have: [names] views = {{ non_ambiguous_mask = "NAME" }}',
            split=drawn.split,
        )
    return {name: means for name, means in found.items() if means}


def _emptiness(target: Target, drawn: Samples, name: str, means: Sequence[float]) -> Finding:
    floor = target.settings.masks.floor
    if mean(means) < floor and name == VALID and (known := _known(target, drawn)) >= SPARSEST:
        floor *= known**2  # a lookup in sparse depth, and one through it, lose their share of the pixels each
    if mean(means) < floor:
        return error(
            "{mask} covers {mean:.3f} of the view, expected at least {floor:.2g}",
            hint="check what this line marks and the depth files of the frames, or set masks.floor",
            at=given_place(target, drawn.part, MASK),
            of=drawn.split,
            mask=name,
            mean=mean(means),
            floor=floor,
            views=len(means),
        )
    covered = Text(
        "{mask} covers {mean:.3f} of the view, spread {spread:.3f}",
        mask=name,
        mean=mean(means),
        spread=pstdev(means),
    )
    if name != MASK:
        return note(covered, of=drawn.split)
    return note("{covered}; {implied}", of=drawn.split, covered=covered, implied=_implication(mean(means)))


def _known(target: Target, drawn: Samples) -> float:
    """The share of the pixels of the drawn frames' depth files that has a depth; 0 where there are none."""
    frames = {frame_of(target, drawn.split, view.identity) for view in drawn.views} - {None}
    raw = [raw_depth(frame.depth(camera)) for frame in frames if frame for camera in frame.cameras]
    return mean(1 - each.zero - each.nan - each.infinite for each in raw if each) if any(raw) else 0.0


def _implication(p: float) -> Text:
    """What a mean says about the loss on it."""
    if not 0 < p < 1:
        return Text("the same everywhere: the loss on it can be 0")
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    return Text(
        "pos_weight {weight:.2f}, BCE of the best constant prediction {entropy:.3f}",
        weight=(1 - p) / p,
        entropy=entropy,
    )


def _constant(drawn: Samples) -> Findings:
    digests = [view.mask_digest for view in drawn.views if view.mask_digest]
    if len(digests) > 1 and len(set(digests)) == 1:
        yield note(
            "non_ambiguous_mask is the same in all {views} views: it carries no information, and a mask loss "
            "near 0 shows only that this one picture was learned",
            of=drawn.split,
            views=len(digests),
        )


@check("MSK002", tier="data", requires=["DAT001", "ENV007"])
def mask_covers_what_the_rig_sees(target: Target) -> Findings:
    """The non-ambiguous mask covers what the cameras of each agent can see.

    ## Why it matters
    What the cameras see follows from their intrinsics and extrinsics: 0.857 of a panorama of 90 degrees
    with the rig of OPV2V. A loader that first crops each image to the panorama's shape keeps 0.33, and
    trains on a narrow band of what was recorded. Nothing crashes, and a floor of 0.05 is passed. The image of
    a single camera is seen in full: its mask covers at least what has a depth.

    ## How to fix
    Warp the images at their own size and intrinsics into the panorama. Crop or resize the panorama, not its
    images. `masks.tolerance` in `opv2v-doctor.toml` sets the difference that is allowed.
    """
    for drawn in each_split(target):
        found = coverages(target, drawn.split)
        wrong = [view for view in found if view.missing > target.settings.masks.tolerance]
        yield examined(len(found), "view", split=drawn.split)
        if wrong:
            yield _uncovered_share(target, drawn, wrong)
        else:
            yield note(_coverage(found), of=drawn.split)


def _uncovered_share(target: Target, drawn: Samples, wrong: Sequence[Coverage]) -> Finding:
    explained = _is_cropped(wrong)
    cropped = crop_place(target, drawn.part) or given_place(target, drawn.part, MASK)
    place = cropped if explained else made_place(target, drawn, MASK)
    return error(
        "{coverage}: the images were cropped to its shape first" if explained else "{coverage}",
        hint=_remedy(wrong, explained=explained),
        at=place or wrong[0].frame.yaml,
        of=drawn.split,
        coverage=_coverage(wrong),
        wrong=len(wrong),
        first=wrong[0].frame.yaml,
    )


def _remedy(wrong: Sequence[Coverage], *, explained: bool) -> Text:
    if explained:
        return Text("warp the whole images into the panorama, without the crop")
    if wrong[0].cropped is None:
        return Text("mark all pixels whose depth is known")
    if mean(view.measured - view.seen for view in wrong) > 0:
        return Text("mark only pixels that a camera sees")
    return Text("warp the whole images, with the intrinsics of their frame files, into the panorama")


def _is_cropped(wrong: Sequence[Coverage]) -> bool:
    """Whether cropping each image to the panorama's shape gives the measured value."""
    cropped = [view.measured - view.cropped for view in wrong if view.cropped is not None]
    return bool(cropped) and abs(mean(cropped)) < SAME


def _coverage(views: Sequence[Coverage]) -> Text:
    cropped = [view.cropped for view in views if view.cropped is not None]
    return Text(
        "the mask covers {measured:.2f} of the panorama, the rig sees {seen:.2f}"
        if cropped
        else "the mask covers {measured:.2f} of the image, the camera knows the depth of {seen:.2f}",
        measured=mean(view.measured for view in views),
        seen=mean(view.seen for view in views),
        cropped=mean(cropped) if cropped else None,
    )


@check("MSK003", tier="data", requires=["DAT001", "ENV007"])
def valid_lies_inside_the_mask(target: Target) -> Findings:
    """Where valid_mask is true, non_ambiguous_mask is too.

    ## Why it matters
    A pixel that no camera sees and that counts as valid is trained on made-up depth.

    ## How to fix
    Set the depth to 0 wherever no camera looks, before `valid_mask` is made from it.
    """
    for drawn in each_split(target):
        measured = [view for view in drawn.views if view.valid_outside is not None]
        outside = [view for view in measured if (view.valid_outside or 0.0) > OUTSIDE]
        yield examined(len(measured), "view", split=drawn.split)
        if outside:
            yield _outside(target, drawn, outside)


def _outside(target: Target, drawn: Samples, outside: Sequence[View]) -> Finding:
    return warning(
        "up to {most:.3f} of a view is valid where non_ambiguous_mask is false, expected at most {bound} "
        "({views} of {drawn} views)",
        hint="set the depth to 0 where the mask is false",
        at=given_place(target, drawn.part, VALID if any(map(is_made_up, outside)) else MASK),
        of=drawn.split,
        most=max(view.valid_outside or 0.0 for view in outside),
        bound=OUTSIDE,
        views=len(outside),
        drawn=len(drawn.views),
    )


@check("MSK004", tier="data", requires=["DAT001", "ENV007"])
def valid_pixels_have_a_depth(target: Target) -> Findings:
    """Where valid_mask is true, the depth is finite and above 0.

    ## Why it matters
    0 means that the depth is not known. Where such a pixel counts as valid, its point lies in the camera
    itself, and every loss takes that for the truth: the sky is learned as something that is 0 m away.

    ## How to fix
    Make `valid_mask` of the depth, `(depth > 0) & isfinite(depth)`, after the last thing that is done to it;
    crop, resize and flip both alike. It may mark less than that, never more.
    """
    for drawn in each_split(target):
        measured = [view for view in drawn.views if view.valid_unknown is not None]
        yield examined(len(measured), "view", split=drawn.split)
        if made_up := [view for view in measured if is_made_up(view)]:
            yield _made_up(target, drawn, made_up)


def is_made_up(view: View) -> bool:
    """Whether pixels without depth count as valid."""
    return (view.valid_unknown or 0.0) > MADE_UP


def _made_up(target: Target, drawn: Samples, views: Sequence[View]) -> Finding:
    opposite = not any(view.valid_known for view in views)
    return error(
        "valid_mask is the opposite of what it should be: it marks {most:.3f} of a view, where depth is 0 or "
        "not finite, and no pixel whose depth is known ({views} of {drawn} views)"
        if opposite
        else "up to {most:.3f} of a view is valid and its depth is 0 or not finite, which is trained as the "
        "truth ({views} of {drawn} views)",
        hint="set valid_mask to (depth > 0) & isfinite(depth) at this line",
        at=given_place(target, drawn.part, VALID),
        of=drawn.split,
        most=max(view.valid_unknown or 0.0 for view in views),
        views=len(views),
        drawn=len(drawn.views),
    )


@check("MSK005", tier="data", requires=["DAT001", "ENV007"])
def masks_lie_where_the_cameras_look(target: Target) -> Findings:
    """The non-ambiguous mask of a panorama marks the directions in which its cameras look, not only as many.

    ## Why it matters
    A mask that is flipped, moved or of another size covers the right share of the panorama, and marks the
    wrong part of it: the mask head learns a rig that nobody has.

    ## How to fix
    Do to the mask what is done to image and depth: the same flip, roll, crop and resize, in the same place.
    """
    for drawn in each_split(target):
        found = mask_places(target, drawn.split)
        wrong = [each for each in found if each.wrong > ELSEWHERE]
        yield examined(len(found), "mask", split=drawn.split)
        if wrong:
            yield _misplaced_mask(target, drawn, wrong)


def _misplaced_mask(target: Target, drawn: Samples, wrong: Sequence[MaskPlace]) -> Finding:
    worst = max(wrong, key=lambda each: each.wrong)
    return error(
        "{wrong:.1%} of the mask of a panorama is not as its cameras look: {why}, which leaves {after:.1%} "
        "({views:view|views})"
        if worst.explanation
        else "{wrong:.1%} of the mask of a panorama is not as its cameras look: unexplained "
        "({views:view|views})",
        hint="do to the mask what is done to the image, and nothing else, at this line",
        at=given_place(target, drawn.part, MASK) if worst.explanation else made_place(target, drawn, MASK),
        of=drawn.split,
        wrong=worst.wrong,
        why=worst.explanation,
        after=worst.after,
        views=len(wrong),
        first=worst.frame.yaml,
    )


@check("MSK006", tier="data", requires=["DAT001", "ENV007"])
def depth_is_known_only_where_files_know_it(target: Target) -> Findings:
    """Depth is 0, for unknown, where the depth files know none.

    ## Why it matters
    A loader that fills the sky, or what nothing was measured of, with a number makes it truth: of a far wall,
    of the largest value, of what interpolation draws between two surfaces.

    ## How to fix
    Leave 0 where the files have 0, and resize depth by the nearest pixel.
    """
    for drawn in each_split(target):
        found = invented_depth(target, drawn.split)
        if found is None:
            raise Skip(
                "depth of {split} is read otherwise than its files say: GEO001 to GEO012 tell how",
                split=drawn.split,
            )
        yield examined(found.views, "view", split=drawn.split)
        if found.most > INVENTED:
            yield error(
                "{most:.0%} of a view's known depth lies where no depth file knows any, expected at most "
                "{bound:.0%} ({first})",
                hint="leave 0 where the depth file has 0",
                at=given_place(target, drawn.part, "depthmap"),
                of=drawn.split,
                most=found.most,
                bound=INVENTED,
                first=found.worst.yaml,
            )
        else:
            yield note("{most:.1%} of the known depth is of no file", of=drawn.split, most=found.most)
