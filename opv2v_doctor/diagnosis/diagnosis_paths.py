"""Diagnosis: the same batch on both paths, the same checkpoint on both sets, and what needs no training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean

from opv2v_doctor.check import Blocked, Findings, Skip, check, examined, note
from opv2v_doctor.diagnosis.causes import Cause, few_causes, left_causes, mean_with_views, path_causes
from opv2v_doctor.diagnosis.diagnosis_launch import told
from opv2v_doctor.diagnosis.measurements import (
    BothSets,
    JudgedSample,
    both_sets,
    drawn,
    epoch_losses,
    evaluated_split,
    mean_errors,
    opened,
    or_none,
    paths,
    updates_made,
    with_given_poses,
)
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text, sentence
from opv2v_doctor.threshold import Threshold

MOST_TERMS = 4
LEAST_MASK = Threshold(
    0.05, "of all pixels", "below it a model hides its cloud, and poses are looked at first"
)
FARTHEST = Threshold(10.0, "m", "poses that are off by more are compared with given ones")


@check("DGN006", tier="run", requires=["DGN001"])
def one_batch_is_the_same_on_both_paths(target: Target) -> Findings:
    """One batch is the same to training's step and to validation: mode, precision, input, weights.

    ## Why it matters
    One batch goes through the function that trains an epoch and through the one that evaluates one, with the
    same weights and random numbers. Where they disagree, it is no matter of the data: a forgotten `eval()`, a
    precision, a normalisation, a sum in place of a mean or the model itself differs between the two. In
    validation it goes through twice, with other random numbers: a model in evaluation mode draws nothing.

    ## How to fix
    At the line that is named: prepare batches and choose mode and precision in one place for both.
    """
    if opened(target).chosen is None:
        raise Skip("the launch never evaluates: there is one path", at=opened(target).train_place)
    found = paths(target)
    if not found.batches:
        raise Blocked("no batch fits into memory: {problem}", problem=found.problem)
    yield examined(len(found.batches), "batch")
    yield from told(path_causes(found, opened(target)))
    for batch in found.batches:
        if batch.by_test_of_train is not None and batch.test.loss is not None:
            yield note(
                "the batch of {part}: {test:.4g} on validation's path, {train:.4g} on training's by "
                "the same criterion",
                part=Text("training") if batch.part == "train" else Text("validation"),
                test=batch.test.loss,
                train=batch.by_test_of_train,
            )


def left(target: Target, both: BothSets) -> Iterator[Cause]:
    """What remains where nothing else was found."""
    yield from left_causes(both, or_none(drawn, target), epoch_losses(target), updates_made(target))


@check("DGN007", tier="run", requires=["DGN001"])
def checkpoint_is_as_good_on_validation(target: Target) -> Findings:
    """By one criterion on one path, the checkpoint is about as good on validation as on training.

    ## Why it matters
    This is the gap that is left once criterion and path are the same. It is told by term, by number of views,
    agent, scenario, distance and direction, with errors in metres and degrees beside the losses, and with
    what true poses, true depth or the right scale would leave of it.

    ## How to fix
    The term and the samples that carry the gap say where to look. A gap that all samples carry, and that no
    kind of data explains, is a training set that was learned by heart.
    """
    both = both_sets(target)
    if not both.test or not both.train:
        raise Blocked("no sample could be evaluated: {problem}", problem=both.problem or "none was drawn")
    yield examined(len(both.train), "sample", split="train")
    yield examined(len(both.test), "sample", split=evaluated_split(target))
    yield from told(cause for cause in left(target, both) if cause.code == "DGN007")
    yield from _losses(both)
    yield from _groups(both)
    yield from _errors(both)
    yield from _given_poses(target, both)
    if len(both.train) + len(both.test) < both.asked:
        yield note(
            "{done} of {asked} samples were evaluated: {why}",
            done=len(both.train) + len(both.test),
            asked=both.asked,
            why=both.problem or Text("the time for it was over (--timeout)"),
        )


def _losses(both: BothSets) -> Findings:
    test, train = both.mean("test", "loss") or 0.0, both.mean("train", "loss") or 0.0
    alike = mean_with_views(both)
    said = [
        Text("validation {test:.4g}, training {train:.4g} by validation's criterion", test=test, train=train)
    ]
    if alike is not None and abs(alike - train) > 0.02 * abs(train):
        said.append(Text("training {alike:.4g} on samples of as many views as validation's", alike=alike))
    yield note(sentence(said))
    terms = _term_gaps(both)
    if terms:
        yield note(
            "by term (validation, training): {terms}",
            terms=[f"{_short(name)} {b:.3g}, {a:.3g}" for name, a, b in terms[:MOST_TERMS]],
        )
    repaired = _repaired(both)
    if repaired:
        yield note(
            "of validation's {test:.4g} would be left: {parts}",
            test=test,
            parts=sentence(
                [
                    Text("with true {what} {left:.4g}", what=Text(name), left=left)
                    if name != "scale"
                    else Text("with the best scale {left:.4g}", left=left)
                    for name, left in repaired.items()
                ],
                ", ",
            ),
        )


def _repaired(both: BothSets) -> dict[str, float]:
    """The mean loss of validation with one thing put right, the largest gain first."""
    names = dict.fromkeys(name for sample in both.test for name in sample.evaluated.repaired)
    means = {name: fmean(sample.evaluated.repaired[name] for sample in both.test) for name in names}
    return dict(sorted(means.items(), key=lambda item: item[1]))


def _term_gaps(both: BothSets) -> list[tuple[str, float, float]]:
    """(name, training, validation) of the terms that both have, the largest difference first."""
    train, test = both.terms("train"), both.terms("test")
    found = [(name, train[name], test[name]) for name in train if name in test and "mean" not in name]
    return sorted(found, key=lambda one: -(one[2] - one[1]))


def _short(name: str) -> str:
    return name.rpartition("Loss_")[2] or name


def _groups(both: BothSets) -> Findings:
    """The loss by what samples have in common, where that tells them apart."""
    kinds: dict[str, Callable[[JudgedSample], str]] = {
        "views": lambda sample: str(sample.count),
        "scenario": lambda sample: sample.scenario,
        "distance": _distance,
        "direction": _direction,
    }
    for what, key in kinds.items():
        losses: dict[str, list[float]] = {}
        for part, samples in (("train", both.train), ("val", both.test)):
            for sample in samples:
                if name := key(sample):
                    losses.setdefault(f"{name} ({part})", []).append(sample.evaluated.loss)
        if len(losses) > 2:
            yield note(
                "by {what}: {groups}",
                what=Text(what),
                groups=[f"{name} {fmean(values):.4g}" for name, values in sorted(losses.items())][:10],
            )
    agents = _by_agent(both.test)
    if agents:
        yield note(
            "poses of validation are off by agent: {agents}",
            agents=[f"{agent} {metres:.3g} m" for agent, metres in agents.items()][:10],
        )
    yield from _carried(both.test)


def _carried(samples: Sequence[JudgedSample]) -> Findings:
    """Whether a few samples carry the loss."""
    losses = sorted((sample.evaluated.loss for sample in samples), reverse=True)
    if len(losses) < 4:
        return
    worst = max(samples, key=lambda sample: sample.evaluated.loss)
    middle = losses[len(losses) // 2]
    yield note(
        "a few samples carry it: the worst is {worst:.4g} ({label}), the middle one {middle:.4g}"
        if losses[0] > 2 * middle
        else "all samples carry it: the worst is {worst:.4g} ({label}), the middle one {middle:.4g}",
        worst=losses[0],
        label=worst.label,
        middle=middle,
    )


def _distance(sample: JudgedSample) -> str:
    places = _places(sample)
    far = max((sum(v * v for v in place) ** 0.5 for place in places), default=None)
    return "" if far is None else "near 20 m" if far < 20 else "20 to 40 m" if far < 40 else "over 40 m"


def _direction(sample: JudgedSample) -> str:
    """Where the farthest agent is, seen from the first one: x is right and z ahead."""
    places = _places(sample)
    if not places:
        return ""
    x, _, z = max(places, key=lambda place: sum(v * v for v in place))
    return ("ahead" if z > 0 else "behind") if abs(z) > abs(x) else ("right" if x > 0 else "left")


def _places(sample: JudgedSample) -> Sequence[tuple[float, float, float]]:
    return sample.places[1:]


def _by_agent(samples: Sequence[JudgedSample]) -> Mapping[str, float]:
    found: dict[str, list[float]] = {}
    for sample in samples:
        for view in sample.errors.views[1:] if sample.errors else ():
            if view.pose_metres is not None:
                found.setdefault(view.agent, []).append(view.pose_metres)
    means = {agent: fmean(values) for agent, values in found.items()}
    return dict(sorted(means.items(), key=lambda item: -item[1]))


def _errors(both: BothSets) -> Findings:
    test, train = mean_errors(both.test), mean_errors(both.train)
    if test["depth_rmse"] is None:
        yield note("errors in metres could not be measured: the model's outputs have another form")
        return
    yield note(
        "off by (validation, training): {figures}",
        figures=[
            f"{said} {_figure(test[name])}, {_figure(train[name])}{unit}"
            for name, said, unit in (
                ("pose_rmse", "poses", " m"),
                ("pose_degrees", "headings", " degrees"),
                ("depth_rmse", "depth", " m"),
                ("scale_of_depth", "true / predicted scale", ""),
                ("mask_iou", "mask IoU", ""),
            )
        ],
    )
    yield note(
        "points of validation are off by {none} m; with true poses {pose}, with true depth {depth}, "
        "with the best "
        "scale {scale}",
        none=_figure(test["points_none"]),
        pose=_figure(test["points_pose"]),
        depth=_figure(test["points_depth"]),
        scale=_figure(test["points_scale"]),
    )


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"


def _given_poses(target: Target, both: BothSets) -> Findings:
    """The rule: a mask that hides everything, or poses that are far off, ask for a look with given poses."""
    means = mean_errors(both.test)
    mask, far = means["pred_mask_mean"], means["pose_rmse"]
    if (mask is None or mask >= LEAST_MASK) and (far is None or far <= FARTHEST):
        return
    try:
        given = with_given_poses(target)
    except (Blocked, Skip) as problem:
        yield note("the comparison with given poses was not made: {problem}", problem=problem.reason)
        return
    yield note(
        "pred_mask_mean {mask}, pose_rmse {far} m: given the true poses, the first sample's points "
        "are off by "
        "{points} m, its poses by {poses} m",
        mask=_figure(mask),
        far=_figure(far),
        points=_figure(given.points.none),
        poses=_figure(given.pose_rmse),
    )


@check("DGN008", tier="run", requires=["DGN001"])
def checkpoint_is_better_than_no_training(target: Target) -> Findings:
    """The checkpoint is better than the weights that it began with, and than the best constant answer.

    ## Why it matters
    What needs no training is the floor: mean depth, identity poses, mean scale and mean mask on the same
    samples, and the launch's first weights. A term that stands at its constant learned nothing, however far
    the sum fell. A checkpoint of fewer than twenty updates had no training to speak of.

    ## How to fix
    Train longer where the loss still falls; else see that gradients reach what the term is computed of.
    """
    both = both_sets(target)
    if not both.test:
        raise Blocked("no sample could be evaluated: {problem}", problem=both.problem or "none was drawn")
    yield examined(len(both.test), "sample", split=evaluated_split(target))
    yield from told(few_causes(updates_made(target), epoch_losses(target)))
    yield from told(cause for cause in left(target, both) if cause.code == "DGN008")
    for part, said in (("test", Text("validation")), ("train", Text("training"))):
        loss, constant, first = (both.mean(part, what) for what in ("loss", "constant", "initial"))
        if loss is not None and constant and first is not None:
            yield note(
                "{said}: {loss:.4g}, the best constant {constant:.4g} ({share:.0%}), the first "
                "weights {first:.4g}",
                said=said,
                loss=loss,
                constant=constant,
                share=loss / constant,
                first=first,
            )
    at_constant = [
        f"{_short(name)} {share:.0%}" for name, share in constant_shares(both).items() if share > 0.9
    ]
    if at_constant:
        yield note(
            "terms of validation that are hardly better than a constant, or worse: {terms}", terms=at_constant
        )


def constant_shares(both: BothSets) -> dict[str, float]:
    """Each term of validation as a share of what the constant predictor gets, the largest first."""
    own, constant = both.terms("test"), both.terms("test", "constant_terms")
    shares = {
        name: own[name] / constant[name]
        for name in own
        if constant.get(name, 0.0) > 1e-3 and "mean" not in name
    }
    return dict(sorted(shares.items(), key=lambda item: -item[1]))
