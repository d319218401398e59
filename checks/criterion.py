"""Criterion: what the launch's criteria say of ground truth as a prediction, and of disturbances of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from opv2v_doctor import (
    Blocked,
    Finding,
    Findings,
    Place,
    Skip,
    Target,
    Text,
    Threshold,
    check,
    error,
    examined,
    for_each,
    note,
    warning,
)
from opv2v_doctor.facts.launch.config import place
from opv2v_doctor.facts.launch.criteria import criterion_lines
from opv2v_doctor.facts.launch.datasets import train_parts
from opv2v_doctor.facts.launch.origins import given_place
from opv2v_doctor.facts.predictions.comparisons import Fit
from opv2v_doctor.facts.predictions.criteria import KINDS, begin, judged, misplaced, parting
from opv2v_doctor.facts.predictions.judgements import (
    LENGTHS,
    SURER,
    Judged,
    Option,
    Term,
    Trial,
    Weight,
    kind_of,
)

SHOWN = 4
DEGREES = Threshold(
    0.1, "degrees", "labels of one view agree within this: float32 is 0.03", healthy=0.03, faulty=1.0
)
APART = Threshold(
    1e-3, "of the scene", "labels of one view agree within this: float32 is 1e-7", healthy=2e-7, faulty=0.1
)
NOTHING = Threshold(
    1e-4,
    "of what everything wrong costs",
    "a term that moves by less did not move: rounding in float32 is 1e-6",
    healthy=1e-6,
    faulty=0.01,
)
LESS = Threshold(
    0.01,
    "of what everything wrong costs",
    "angles of normals of flat surfaces are noise: scaled, they come out less by so much",
    healthy=1.3e-3,
    faulty=0.1,
)
FLOOR = Threshold(
    0.2,
    "of what its own disturbance costs",
    "a term that costs so much at the truth compares it with something else",
    healthy=0.02,
    faulty=0.4,
)
PART = 0.9  # of what all terms rise by: what a loss that adds them rises by
EXPLAINS = 0.1  # of what a term costs at the truth is left under what explains it
LINEAR = Threshold(
    1e-2, "relative", "a weight is a factor: twice as much adds as much again", healthy=1e-4, faulty=0.5
)
REACHED = Threshold(
    0.25,
    "of the valid pixels",
    "a loss leaves out its worst 5 %, and trains the others; a median trains one",
    healthy=0.95,
    faulty=0.05,
)
AVERAGE = Threshold(0.01, "relative", "an average is that of its views", healthy=1e-6, faulty=0.25)


def _heard(target: Target, kind: str) -> Judged:
    """What a criterion says. Raises Skip for the training's own again, Blocked where there is no truth."""
    if kind == "test" and criterion_lines(target, kind).key == criterion_lines(target, "train").key:
        raise Skip("the evaluation has the training's criterion")
    found = judged(target, kind)
    if found.lacking:
        raise Blocked(
            "the views have no {lacking}: what a right prediction would be is not known",
            hint="name what the repository calls it: [names] views",
            lacking=list(found.lacking),
        )
    return found


def _least(term: Term) -> float:
    """The smallest change of a term that is one."""
    return max(1e-6, NOTHING * max(abs(term.wrong), abs(term.truth)))


def _least_loss(found: Judged) -> float:
    return max(1e-6, NOTHING * abs(found.loss))


def _views(numbers: list[int | None]) -> Text | str:
    """Views as they are counted in the log, from 1."""
    told = [number + 1 for number in numbers if number is not None]
    return Text("view {numbers}", numbers=sorted(set(told))) if told else Text("all views")


def _by_kind(terms: list[Term]) -> dict[str, list[Term]]:
    found: dict[str, list[Term]] = {}
    for term in terms:
        found.setdefault(term.kind or "", []).append(term)
    return found


# --- labels


@check("CRT001", tier="data", requires=["DAT001"], ahead=begin)
def labels_of_a_view_agree(target: Target) -> Findings:
    """What a view says of its geometry in several ways is the same: points, depth, rays, pose, quaternion.

    `depth_along_ray` times `ray_directions_cam`, moved by `camera_pose`, are `pts3d`; `camera_pose_quats` and
    `camera_pose_trans` are the rotation and the translation of `camera_pose`, and the repository's own
    function makes that rotation of them.

    ## Why it matters
    Each is the label of another term of the loss. Where they contradict each other no prediction can be right
    in all, and the training settles somewhere between.

    ## How to fix
    Look at where the dataset makes the label that is named: a transposed rotation, the inverse pose, depth
    along z taken for the range, another order of a quaternion.
    """
    found = _heard(target, "train")
    yield examined(sum(fit is not None for fit in found.composed), "view")
    part = train_parts(target)[0]
    for number, fit in enumerate(found.composed):
        if fit and (bent := _bent(fit, found.real_first)):
            key, said = bent
            wrong = [maker.place for maker in found.makers if maker.degrees > DEGREES]
            yield error(
                "view {view}: {said}",
                at=wrong[0] if wrong and key == "camera_pose_quats" else given_place(target, part, key),
                hint="correct where the dataset makes {key}",
                view=number + 1,
                said=said,
                key=key,
            )
            return
    yield examined(len(found.converters), "function")
    if all(function.degrees > DEGREES for function in found.converters):
        for function in found.converters[:1]:
            labels = given_place(target, part, "camera_pose_quats") if found.real_first else None
            yield error(
                "camera_pose_quats of the labels are {order}, and {function}() takes another order: it makes "
                "rotations of them that are {degrees:.2g} degrees off",
                at=labels or function.place,
                hint="use one order of quaternions in labels, model and loss",
                function=function.name,
                degrees=function.degrees,
                order="(w, x, y, z)" if found.real_first else "(x, y, z, w)",
            )


def _bent(fit: Fit, real_first: bool) -> tuple[str, Text] | None:
    """The label of a view that is not what others say, and how it differs."""
    pose = fit.pose
    if pose and not real_first and pose.degrees > DEGREES:
        said = Text("camera_pose_quats is {n:.3g} degrees off camera_pose", n=pose.degrees)
        return "camera_pose_quats", said
    if pose and pose.metres > APART * max(1.0, fit.size):
        return "camera_pose_trans", Text("camera_pose_trans is {n:.3g} m off camera_pose", n=pose.metres)
    if fit.apart is None or fit.apart <= APART * max(1.0, fit.size):
        return None
    if abs(fit.scale - 1) > APART:
        how = Text("by a factor of {n:.4g}", n=1 / fit.scale)
    elif fit.degrees > DEGREES:
        how = Text("rotated by {n:.3g} degrees", n=fit.degrees)
    else:
        how = Text("{n:.3g} m away (RMS)", n=fit.apart)
    return "pts3d", Text(
        "depth_along_ray x ray_directions_cam, moved by camera_pose, are not pts3d: {how}", how=how
    )


# --- the truth


@check("CRT002", tier="data", requires=["CRT001"])
def the_truth_costs_least(target: Target) -> Findings:
    """No known disturbance of ground truth costs less than ground truth itself, in the loss and in each term.

    Labels are given to the criterion as predictions, in the frame of view 1, or in their own if that costs
    less, with confidence 1 and sure mask logits; then with one entry wrong: lengths too long and too short,
    noise, poses turned, moved and inverted, masks flipped. Where the truth does not cost least, other things
    that a term could take for the truth are tried (another frame, the next view, inverse poses, another order
    of quaternions, normalised lengths): what brings the term down to nothing is what it compares with.
    Several samples cost no more together than each of them alone.

    ## Why it matters
    Training goes where the loss is least. If that is not the truth, the model learns whatever is.

    ## How to fix
    Look at the line that is named: there predictions and labels part that should be the same.
    """
    yield from for_each(KINDS, lambda kind: _least_at_truth(target, kind))


def _least_at_truth(target: Target, kind: str) -> Findings:
    found = _heard(target, kind)
    yield examined(len(found.judging), "term")
    yield examined(len(found.trials), "disturbance")
    unjudged = [term.short for term in found.terms if term.kind is None and not term.is_average]
    if unjudged:
        yield note(
            "not judged, since their names do not say what they judge: {terms}", of=kind, terms=unjudged
        )
    if found.of_labels:
        yield note(
            "predictions are compared in the frame of the labels, which is not that of view 1", of=kind
        )
    mixed = [term for term in found.judging if _is_mixed(found, term)]
    if mixed:
        yield error(
            "{term} costs {truth:.3g} at the truth of {samples:sample|samples} together, and {alone:.2g} at "
            "that of each alone: it compares samples of a batch with each other (of all: {terms})",
            at=parting(target, kind, mixed[0], "truth"),
            hint="compare (B, 1) with (B, 1), or (B,) with (B,): the two together are (B, B)",
            of=kind,
            term=mixed[0].short,
            truth=mixed[0].truth,
            samples=found.samples,
            alone=found.most_alone(mixed[0]) / found.samples,
            terms=_short(mixed),
        )
    wrong: dict[Place | None, list[tuple[Term, Trial | str]]] = {}
    for term in found.judging:
        if term not in mixed and (said := _not_least(found, term)):
            wrong.setdefault(_parting_of(target, kind, found, term), []).append((term, said))
    for at, terms in wrong.items():
        yield _costs(kind, found, terms, at)
    if not math.isfinite(found.loss):
        yield error(
            "the loss of ground truth is {loss}",
            at=found.place,
            hint="look for the logarithm or the square root of what can be 0",
            of=kind,
            loss=str(found.loss),
        )
    elif not wrong and not mixed:
        yield from _total_least(target, kind, found)


def _parting_of(target: Target, kind: str, found: Judged, term: Term) -> Place | None:
    """Where the truth and a term's label part: where that is read, if it is not the one that is meant."""
    if at := _negative(target, kind, found, term.kind):
        return at
    better = _explanation(found, term)
    of_another = bool(better and better.name.startswith("the labels of"))
    if term.traced and (of_another or (term.kind == "mask" and "non_ambiguous_mask" not in term.labels)):
        return parting(target, kind, term, f"read {next(iter(term.labels), '')}")
    return parting(target, kind, term, "truth")


def _negative(target: Target, kind: str, found: Judged, of: str | None = None) -> Place | None:
    """The expression, where it gives a weight below 0: a factor, or the weight of such a term."""
    wrong = any(option.value < 0 and kind_of(option.name) == of for option in found.options)
    return place(target, criterion_lines(target, kind).key) if wrong else None


def _is_mixed(found: Judged, term: Term) -> bool:
    """Whether several samples cost more together than each of them alone."""
    return term.truth > found.most_alone(term) + max(_least(term), LESS * abs(term.wrong))


def _not_least(found: Judged, term: Term) -> Trial | str | None:
    """What costs a term less than the truth; "floor" where nothing does, and the truth still costs much."""
    if not math.isfinite(term.truth):
        return "floor"
    trials = [trial for trial in found.trials if not (term.kind == "mask" and trial.name in SURER)]
    least = min(trials, key=lambda trial: found.value(trial, term), default=None)
    if least and found.value(least, term) < term.truth - max(_least(term), LESS * abs(term.wrong)):
        return least
    own = max((found.value(trial, term) for trial in found.own(term)), default=math.inf)
    return "floor" if term.truth > max(_least(term), FLOOR * own) else None


def _explanation(found: Judged, term: Term) -> Trial | None:
    """What a term takes for the truth."""
    tried = [trial for trial in found.explained if term.entry in trial.entry.split()]
    best = min(tried, key=lambda trial: abs(found.value(trial, term)), default=None)
    return best if best and abs(found.value(best, term)) < EXPLAINS * abs(term.truth) else None


def _costs(kind: str, found: Judged, wrong: list[tuple[Term, Trial | str]], at: Place | None) -> Finding:
    """An error: the truth does not cost these terms least."""
    term, said = max(wrong, key=lambda one: one[0].truth)
    alike = [one for one, _ in wrong if one.kind == term.kind]
    better = _explanation(found, term)
    values: dict[str, Any] = {
        "term": term.short,
        "truth": term.truth,
        "views": _views([one.view for one in alike]),
        "entry": term.entry,
        "terms": _short([one for one, _ in wrong]),
    }
    if better:
        return error(
            "{term} costs {truth:.3g} at the truth, and {least:.2g} for {better}: it compares {entry} with "
            "that ({views})",
            at=at,
            hint="compare {entry} with the label of the same view, sample, frame and convention",
            of=kind,
            better=better.name,
            least=found.value(better, term),
            **values,
        )
    if isinstance(said, Trial):
        return error(
            "{term} costs {truth:.3g} at the truth and {less:.3g} where {wrong} is {how}: its minimum is not "
            "the truth ({views}; of all: {terms})",
            at=at,
            hint="look at what is done to {entry} and not to its label, or the other way round",
            of=kind,
            less=found.value(said, term),
            how=_how(said),
            wrong=said.entry or "what is not valid",
            **values,
        )
    return error(
        "{term} costs {truth:.3g} at the truth, and nothing tried brings it down: {entry} cannot reach what "
        "it is compared with ({views}; of all: {terms})",
        at=at,
        hint="look at what is done to {entry} and not to its label, or the other way round",
        of=kind,
        **values,
    )


def _total_least(target: Target, kind: str, found: Judged) -> Findings:
    """The loss itself, where each of its terms is fine."""
    trials = [trial for trial in found.trials if trial.name not in SURER]
    least = min(trials, key=lambda trial: trial.loss, default=None)
    if least and least.loss < found.loss - _least_loss(found):
        yield error(
            "the loss is {truth:.4g} at the truth and {less:.4g} where {entry} is {how}, while none of its "
            "terms falls: it does not add what is logged",
            at=_negative(target, kind, found) or found.place,
            hint="look at the sign and the weights by which the loss is made of its terms",
            of=kind,
            truth=found.loss,
            less=least.loss,
            entry=least.entry or "what is not valid",
            how=_how(least),
        )


# --- terms


@check("CRT003", tier="data", requires=["CRT001"])
def every_term_sees_what_it_judges(target: Target) -> Findings:
    """Each term of the loss rises when what it judges gets worse, in each view, and the loss with it.

    A term that is logged as the loss of poses rises when a pose is turned, that of depth when depth gets
    noise, that of the mask when a mask is flipped, that of the scale when everything is a tenth larger. What
    a term judges is read from its name; one whose name does not say it is not judged.

    ## Why it matters
    A term that does not see what it judges is logged, plotted and believed, and trains nothing.

    ## How to fix
    Look at the line that is named: there the disturbance is lost. A weight of 0 is an answer where it is
    meant: write it into the criterion's expression.
    """
    yield from for_each(KINDS, lambda kind: _seen(target, kind))


def _seen(target: Target, kind: str) -> Findings:
    found = _heard(target, kind)
    for name in found.kinds:
        terms = found.of(name)
        yield examined(len(terms), "term")
        weight = found.zero(name)
        if weight is not None:
            yield _without_weight(target, kind, name, weight)
            continue
        terms = tuple(term for term in terms if not _not_least(found, term))  # CRT002 tells the others
        blind = [(term, trial) for term in terms for trial in _blind(found, term)]
        if blind:
            yield _sees_nothing(target, kind, blind)
        else:
            yield from _unheard(target, kind, found, terms)
    yield from _unlike_the_others(target, kind, found)
    yield from _without_views(target, kind, found)
    if kind == "test":
        yield from _left_out(target, found)


def _left_out(target: Target, found: Judged) -> Findings:
    """What only one of the criteria judges: the best checkpoint is chosen by the evaluation's."""
    trained, judges = _judges(judged(target, "train")), _judges(found)
    lacking = [name for name in trained if name not in judges]
    untrained = [name for name in judges if name not in trained]
    if untrained:
        yield warning(
            "the evaluation judges {untrained}, which no term of the training's criterion does",
            at=place(target, criterion_lines(target, "train").key),
            hint="add the term to {key}, or take it out of the evaluation's",
            key="loss.train_criterion",
            untrained=untrained,
        )
    if lacking:
        yield note(
            "the evaluation does not judge {lacking}, which the training does",
            at=place(target, criterion_lines(target, "test").key),
            of="test",
            lacking=lacking,
        )


def _judges(found: Judged) -> list[str]:
    """What the terms judge that are not weighed with 0."""
    return [name for name in found.kinds if found.zero(name) is None]


def _without_weight(target: Target, kind: str, name: str, weight: Weight) -> Finding:
    if weight.given:
        return note(
            "{what} is not part of the loss: the expression gives {weight} = 0",
            at=place(target, criterion_lines(target, kind).key),
            of=kind,
            what=name,
            weight=weight.name,
        )
    return warning(
        "{what} is logged, and not part of the loss: {weight} of {owner} is 0 by default",
        at=weight.place,
        hint="give {weight} in the criterion's expression, 0 if that is meant",
        of=kind,
        what=name,
        weight=weight.name,
        owner=weight.owner,
    )


RELATIVE = ("quaternions", "translation")


def _is_of_reference(term: Term) -> bool:
    """Whether it says nothing: of poses relative to the first one, its own is none."""
    return term.view == 0 and term.kind in RELATIVE and abs(term.wrong - term.truth) <= _least(term)


def _blind(found: Judged, term: Term) -> Iterator[Trial]:
    """The disturbances that a term has to see and does not."""
    if _is_of_reference(term):
        return
    for trial in found.own(term):
        concerns = trial.view is None or term.view is None or term.view == trial.view
        if concerns and found.value(trial, term) - term.truth <= _least(term):
            yield trial


def _sees_nothing(target: Target, kind: str, blind: list[tuple[Term, Trial]]) -> Finding:
    """An error: terms of a kind do not rise."""
    term, trial = blind[0]
    own = {entry for entry, _ in term.reads}
    views = _views([one.view if one.view is not None else what.view for one, what in blind])
    reads = sorted({entry for entry in own if entry not in ("conf", "metric_scaling_factor")})
    other = term.traced and term.entry not in own
    elsewhere = term.traced and term.view is not None and (term.entry, term.view) not in term.reads
    if elsewhere and not other:
        return error(
            "{term} stays at {truth:.3g} when {entry} is {how}: it takes that of another view ({views})",
            at=parting(target, kind, term, f"read {term.entry}"),
            hint="pair each prediction with the labels of its own view",
            of=kind,
            term=term.short,
            truth=term.truth,
            entry=term.entry,
            how=_how(trial),
            views=views,
        )
    return error(
        "{term} stays at {truth:.3g} when {entry} is {how}: it takes {reads} instead ({views})"
        if other
        else "{term} stays at {truth:.3g} when {entry} is {how}: it does not see it ({views})",
        at=parting(target, kind, term, "blind", trial.view),
        hint="compute it from prediction[{key}]" if other else "look at what becomes of {entry} there",
        of=kind,
        term=term.short,
        truth=term.truth,
        entry=term.entry,
        key=repr(term.entry),
        how=_how(trial),
        reads=reads or ["nothing of a prediction"],
        views=views,
    )


HOW = {
    "noise": Text("noisy"),
    "other sign": Text("of the other sign"),
    "invalid pixels": Text("another"),
    "invalid labels": Text("another"),
}


def _how(trial: Trial) -> Text | str:
    return HOW.get(trial.name, trial.name)


def _unheard(target: Target, kind: str, found: Judged, terms: tuple[Term, ...]) -> Findings:
    """An error where terms rise and the loss does not."""
    if not terms:
        return
    term = terms[0]
    lonely = not any(one.in_loss for one in found.judging if one.owner == term.owner)
    for trial in found.own(term):
        risen = any(found.value(trial, one) - one.truth > _least(one) for one in terms)
        if risen and abs(trial.loss - found.loss) <= _least_loss(found):
            yield error(
                "the loss stays at {loss:.4g} when {entry} is {how} and {term} rises by {rise:.3g}: it is "
                "logged, and no part of the loss ({views})",
                at=found.place if lonely else parting(target, kind, term, "sum"),
                hint="add it to the loss",
                of=kind,
                loss=found.loss,
                entry=term.entry,
                how=_how(trial),
                term=term.short,
                rise=max(found.value(trial, one) - one.truth for one in terms),
                views=_views([trial.view]),
            )
            return
    traced = [one for one in terms if one.traced]
    if traced and not any(one.in_loss for one in traced) and not _is_added(found, term):
        yield error(
            "{term} is logged, and no part of the loss: the loss is not computed from it",
            at=parting(target, kind, term, "truth"),
            hint="add it to the loss",
            of=kind,
            term=term.short,
        )


def _is_added(found: Judged, term: Term) -> bool:
    """Whether the loss rises by no less than all that judges the same entry: then this is in it, too."""
    for trial in found.own(term):
        most: dict[tuple[str | None, int | None], float] = {}
        for one in found.judging:
            if one.entry == term.entry:
                rise = found.value(trial, one) - one.truth
                most[one.kind, one.view] = max(rise, most.get((one.kind, one.view), 0.0))
        if trial.loss - found.loss < PART * sum(most.values()):
            return False
    return True


def _without_views(target: Target, kind: str, found: Judged) -> Findings:
    """An error where nothing is logged of a view, and the loss does not see it."""
    told = {term.view for term in found.judging} - {None}
    for view in range(found.views) if told else ():
        trials = [trial for trial in found.trials if trial.view == view and trial.name != "other sign"]
        if view not in told and all(abs(trial.loss - found.loss) <= _least_loss(found) for trial in trials):
            yield error(
                "the loss stays at {loss:.4g} whatever is predicted of view {view}: it does not see it",
                at=parting(target, kind, None, "call"),
                hint="give the criterion the predictions and labels of all views",
                of=kind,
                loss=found.loss,
                view=view + 1,
            )
            return


def _unlike_the_others(target: Target, kind: str, found: Judged) -> Findings:
    """An error where the predicted scale moves most losses of lengths, and not one of them."""
    trial = next(
        (t for t in found.trials if (t.name, t.entry) == ("times 1.1", "metric_scaling_factor")), None
    )
    lengths = {
        name: found.of(name)
        for name in LENGTHS
        if found.of(name)
        and found.zero(name) is None
        and not any(_not_least(found, term) for term in found.of(name))
    }
    still = [
        name
        for name, terms in lengths.items()
        if trial and not any(_moves(found, term, trial) for term in terms)
    ]
    if 0 < len(still) < len(lengths) / 2:
        term = lengths[still[0]][-1]
        yield error(
            "{term} does not move with metric_scaling_factor, as the other losses of lengths do: its label "
            "is divided by the predicted scale too, or its prediction by none",
            at=parting(target, kind, term, "scale"),
            hint="divide predictions by the predicted scale, and labels by the true one",
            of=kind,
            term=term.short,
        )


@check("CRT004", tier="data", requires=["CRT001"])
def only_what_is_meant_counts(target: Target) -> Findings:
    """What is not valid moves no term; the sign of a quaternion does not either, nor do other views.

    Predictions, and then labels, are changed where `valid_mask` is false. A quaternion and its negative are
    one rotation. Rays, masks, depth and points of one camera are of one view only.

    ## Why it matters
    Where nothing was measured, the label is 0, and a model that is asked to predict it learns to. A loss that
    knows one sign of a quaternion punishes every second right answer.

    ## How to fix
    Index or multiply by `valid_mask` before the mean, and divide by its sum. Take the smaller of the losses
    of both signs.
    """
    yield from for_each(KINDS, lambda kind: _counted(target, kind))


LONELY = ("rays", "mask", "depth", "camera points")


def _counted(target: Target, kind: str) -> Findings:
    found = _heard(target, kind)
    counting: dict[tuple[Place | None, str], list[Term]] = {}
    for name in found.kinds:
        terms = found.of(name)
        yield examined(len(terms), "term")
        for what in ("invalid pixels", "invalid labels"):
            trial = found.trial(what)
            moved = [term for term in terms if trial and _moves(found, term, trial)]
            if moved:
                counting.setdefault((parting(target, kind, moved[0], what), what), []).extend(moved)
                break
        yield from _one_sign(target, kind, found, terms)
        yield from _other_views(target, kind, found, terms)
    for (place_of_it, what), moved in counting.items():
        yield _counts_invalid(kind, found, moved, what, place_of_it)


def _moves(found: Judged, term: Term, trial: Trial) -> bool:
    return abs(found.value(trial, term) - term.truth) > _least(term)


def _counts_invalid(kind: str, found: Judged, moved: list[Term], what: str, at: Place | None) -> Finding:
    trial = found.trial(what)
    return error(
        "{terms} rise by up to {rise:.3g} when {what} where valid_mask is false: what is not valid counts",
        at=at,
        hint="take the mean over valid_mask only",
        of=kind,
        terms=_short(moved),
        rise=max(found.value(trial, one) - one.truth for one in moved) if trial else 0.0,
        what=Text("predictions change") if what == "invalid pixels" else Text("labels change"),
    )


def _short(terms: list[Term]) -> list[str]:
    """Some names of terms, each without its view."""
    names = [re.sub(r"_view_?\d+$", "", term.short) for term in terms]
    return list(dict.fromkeys(names))[:SHOWN]


def _one_sign(target: Target, kind: str, found: Judged, terms: tuple[Term, ...]) -> Findings:
    signs = [trial for trial in found.trials if trial.name == "other sign" and trial.view is None]
    moved = [
        (t, trial) for trial in signs for t in terms if t.entry == "cam_quats" and _moves(found, t, trial)
    ]
    if moved:
        term, trial = moved[0]
        yield warning(
            "{term} rises by {rise:.3g} when quaternions change their sign, which is the same rotation",
            at=parting(target, kind, term, "truth"),
            hint="take the smaller of the losses of both signs",
            of=kind,
            term=term.short,
            rise=found.value(trial, term) - term.truth,
        )


def _other_views(target: Target, kind: str, found: Judged, terms: tuple[Term, ...]) -> Findings:
    for term in terms:
        for trial in found.own(term) if term.kind in LONELY and term.view is not None else ():
            if trial.view not in (None, term.view) and _moves(found, term, trial):
                yield error(
                    "{term} moves when only view {other} is disturbed: it takes {entry} of another view",
                    at=parting(target, kind, term, f"read {term.entry}"),
                    hint="pair each prediction with the labels of its own view",
                    of=kind,
                    term=term.short,
                    other=(trial.view or 0) + 1,
                    entry=term.entry,
                )
                return


# --- gradients


@check("CRT005", tier="data", requires=["CRT003"])
def every_term_trains_what_it_judges(target: Target) -> Findings:
    """Where predictions are wrong, each term of the training's loss has a finite gradient by what it judges.

    ## Why it matters
    A term whose input was detached falls and rises in the log with the others, and trains nothing: its head
    stays as it was initialised.

    ## How to fix
    Remove the `detach()`, `item()` or `no_grad()` at the line that is named. Where the loss shall not train a
    head, give its term the weight 0 in the criterion's expression.
    """
    found = _heard(target, "train")
    heads = {(head.entry, head.view): head.slope for head in found.heads}
    for head in found.heads:
        if not math.isfinite(head.slope):
            yield error(
                "the gradient of the loss by {entry} of view {view} is {slope}",
                at=parting(target, "train", None, "truth"),
                hint="look for the logarithm, the square root or the norm of what can be 0",
                entry=head.entry,
                view=head.view + 1,
                slope=str(head.slope),
            )
            return
    yield from _unreached(target, found)
    for name in found.kinds:
        terms = found.of(name)
        yield examined(len(terms), "term")
        if found.zero(name) is not None:
            continue
        fine = [term for term in terms if not _not_least(found, term)]  # CRT002 tells the others
        still = [term for term in fine if not _is_of_reference(term) and _is_detached(term, heads)]
        if still:
            yield error(
                "{term} has no gradient by {entry}: it is logged, and trains nothing ({views})",
                at=parting(target, "train", still[0], "detached"),
                hint="let the gradient through: no detach(), item() or no_grad() on the way of {entry}",
                term=still[0].short,
                entry=still[0].entry,
                views=_views([term.view for term in still]),
            )


def _unreached(target: Target, found: Judged) -> Findings:
    """An error where most pixels of a map, all of them wrong, have no part in the gradient of the loss."""
    if not found.repeated:  # pixels that are drawn at random are others in each step
        return
    few = [head for head in found.heads if head.reached is not None and 0 < head.reached < REACHED]
    for entry in dict.fromkeys(head.entry for head in few):
        heads = [head for head in few if head.entry == entry]
        terms = [term for term in found.judging if term.entry == entry]
        yield error(
            "only {reached:.2g} of the valid pixels have a gradient by {entry}, though all are wrong: the "
            "others train nothing ({views})",
            at=parting(target, "train", terms[0], "reached", heads[0].view) if terms else None,
            hint="average over all valid pixels, or over all but the worst few",
            entry=entry,
            reached=max(head.reached or 0.0 for head in heads),
            views=_views([head.view for head in heads]),
        )


def _is_detached(term: Term, heads: dict[tuple[str, int], float]) -> bool:
    """Whether a term has no gradient by the entry that it judges."""
    anywhere = term.view is None or term.entry == "metric_scaling_factor"
    wanted = [at for at in heads if at[0] == term.entry and (anywhere or at[1] == term.view)]
    if not any(heads[at] > 0 for at in wanted):
        return True
    own = [slope for entry, view, slope in term.slopes if (entry, view) in wanted]
    return bool(own) and max(own) == 0  # of others that judge the same, one may have it


# --- options


@check("CRT006", tier="data", requires=["CRT002"])
def every_weight_reaches_its_term(target: Target) -> Findings:
    """Each number in a criterion's expression changes the loss: a weight by a factor, and of its own term.

    Every number is made twice and three times as large, and the criterion built anew: a weight has to add as
    much each time, and may change the logged values of that term only which its name says.

    ## Why it matters
    An option that is misspelt, overwritten or passed to another term changes nothing, and a run that was
    meant to weigh poses more is one more run of the old loss.

    ## How to fix
    Look at the line that is named: there the option is read, or changes the wrong thing first.
    """
    yield from for_each(KINDS, lambda kind: _options(target, kind))


def _options(target: Target, kind: str) -> Findings:
    found = _heard(target, kind)
    tried = [option for option in found.options if len(option.losses) == 3]
    yield examined(len(tried), "option")
    left_out = [option.name for option in found.options if len(option.losses) != 3]
    if left_out:
        yield note("the criterion takes no other values of {options}", of=kind, options=left_out)
    for option in tried:
        yield from _reaches(target, kind, found, option, tried)


def _weighs(found: Judged, option: Option) -> list[Term]:
    """The terms whose logged values an option changes."""
    return [
        term
        for term, one, other in zip(found.terms, *option.values[:2], strict=True)
        if one is not None and other is not None and abs(other - one) > 1e-6 * max(1e-6, abs(one))
    ]


def _reaches(target: Target, kind: str, found: Judged, option: Option, tried: list[Option]) -> Findings:
    first, second, third = option.losses
    steps = second - first, third - second
    scale = max(1e-9, abs(first))
    moved = _weighs(found, option)
    is_weight = option.name == "*" or "weight" in option.name
    what = Text("the factor of {owner}", owner=option.owner) if option.name == "*" else option.name
    values: dict[str, Any] = {"option": what, "value": option.value, "owner": option.owner}
    if math.isnan(second) or math.isnan(third):
        return
    if abs(steps[0]) <= 1e-7 * scale and abs(steps[1]) <= 1e-7 * scale:
        if moved:
            yield error(
                "{option} changes what is logged ({terms}), and not the loss",
                at=parting(target, kind, moved[0], option.name, value=option.value),
                hint="multiply what is added to the loss",
                of=kind,
                terms=[term.short for term in moved[:SHOWN]],
                **values,
            )
        elif is_weight and any(
            term.kind and kind_of(option.name) == term.kind and kind_of(other.name) not in (None, term.kind)
            for other in tried
            for term in (_weighs(found, other) if "weight" in other.name else ())
        ):
            yield note("{option} = {value:g} reaches nothing: another weighs its term", of=kind, **values)
        elif is_weight:
            yield error(
                "{option} = {value:g} reaches nothing: the loss is the same whatever it is",
                at=option.place or place(target, criterion_lines(target, kind).key),
                hint="look at how {owner} takes {option}",
                of=kind,
                **values,
            )
        else:
            yield warning(
                "{option} = {value:g} changes nothing, be the samples synthetic or not",
                at=option.place,
                hint="look at how {owner} takes {option}",
                of=kind,
                **values,
            )
        return
    if not is_weight:
        return
    own = kind_of(option.name) if option.name != "*" else None
    others = [term for term in moved if own and term.kind not in (None, own)]
    if others:
        yield error(
            "{option} weighs {terms}, not the loss of {own}",
            at=misplaced(option) or parting(target, kind, others[0], option.name, value=option.value),
            hint="give each term its own weight",
            of=kind,
            terms=[term.short for term in others[:SHOWN]],
            own=own,
            **values,
        )
    elif abs(steps[1] - steps[0]) > LINEAR * max(abs(steps[0]), abs(steps[1])):
        yield error(
            "{option} is no factor: {value:g}, twice and three times that make the loss {losses}",
            at=parting(target, kind, None, option.name, value=option.value),
            hint="multiply by it once",
            of=kind,
            losses=[f"{loss:.4g}" for loss in option.losses],
            **values,
        )
    elif steps[0] < 0 < option.value and option.name != "*":
        yield error(
            "{option} lowers the loss as it grows: its term is subtracted",
            at=parting(target, kind, None, option.name, value=option.value),
            hint="add the term",
            of=kind,
            **values,
        )


# --- confidence, and what is logged


@check("CRT007", tier="data", requires=["CRT002"])
def confidence_is_rewarded_where_it_is_right(target: Target) -> Findings:
    """Confidence lowers the training's loss where predictions are right, and raises it where they are wrong.

    ## Why it matters
    The confidence's term has no minimum of its own: `conf * loss - alpha * log(conf)` teaches where to trust
    a prediction by this balance only. With a sign the wrong way it grows, or shrinks, without bound.

    ## How to fix
    Look at the line where the confidence meets the loss of points.
    """
    found = _heard(target, "train")
    at = next((term for term in found.terms if any(entry == "conf" for entry, _ in term.reads)), None)
    if found.confidence is None and at is None:
        raise Skip("the training's criterion takes no confidence")
    yield examined(2, "slope")
    if found.confidence is None:
        yield error(
            "{term} takes conf, and the loss has no gradient by it",
            at=parting(target, "train", at, "confidence"),
            hint="let the gradient through: no detach() or no_grad() on the way of conf",
            term=at.short if at else "",
        )
        return
    right, wrong = found.confidence
    if right >= 0:
        yield error(
            "the loss grows with the confidence of right predictions (slope {slope:.3g})",
            at=parting(target, "train", at, "confidence"),
            hint="subtract alpha * log(conf)",
            slope=right,
        )
    if wrong <= 0:
        yield error(
            "the loss falls with the confidence of wrong predictions (slope {slope:.3g})",
            at=parting(target, "train", at, "confidence"),
            hint="multiply the loss of each pixel by its confidence",
            slope=wrong,
        )


@check("CRT008", tier="data", requires=["CRT002"])
def logged_averages_are_those_of_their_views(target: Target) -> Findings:
    """Each logged average is that of the views' values; predicted statistics of the truth are the labels'.

    ## Why it matters
    The averages are what is plotted and compared between runs: one that divides by another number, or leaves
    a view out, tells of another loss than the one that is trained.

    ## How to fix
    Look at how the criterion makes the average of its views.
    """
    yield from for_each(KINDS, lambda kind: _averages(target, kind))


def _averages(target: Target, kind: str) -> Findings:
    found = _heard(target, kind)
    wrong: list[tuple[Term, float, float]] = []  # an average, what it is, and what its views say
    pairs = 0
    by_name = {term.name: term for term in found.terms}
    for term in found.terms:
        stem = term.name.removesuffix("_avg")
        single = [one for one in found.terms if one.view is not None]
        views = [one.wrong for one in single if one.name.startswith(f"{stem}_view")]
        if term.is_average and len(views) == found.views:
            pairs += 1
            mean = sum(views) / len(views)
            if abs(term.wrong - mean) > AVERAGE * max(abs(mean), 1e-6):
                wrong.append((term, term.wrong, mean))
        label = by_name.get(term.name.replace("pred_", "gt_"))
        if "pred_" in term.name and label is not None:
            pairs += 1
            if abs(term.truth - label.truth) > AVERAGE:
                yield _unlike_label(target, kind, term, label)
    yield examined(pairs, "average")
    if wrong:
        term, value, mean = wrong[0]
        yield error(
            "{term} is {value:.4g}, and the mean of its views {mean:.4g} ({n:average is|averages are} wrong)",
            at=parting(target, kind, term, "average"),
            hint="divide the sum of the views by their number",
            of=kind,
            term=term.short,
            value=value,
            mean=mean,
            n=len(wrong),
        )


def _unlike_label(target: Target, kind: str, term: Term, label: Term) -> Finding:
    return error(
        "{term} is {value:.4g} at the truth, and {label} {expected:.4g}",
        at=parting(target, kind, term, "first"),
        hint="compute both in one way: the mean of probabilities and of the mask",
        of=kind,
        term=term.short,
        label=label.short,
        value=term.truth,
        expected=label.truth,
    )
