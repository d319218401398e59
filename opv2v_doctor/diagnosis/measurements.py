"""What a diagnosis measures: the launch's own parts, asked about one checkpoint and about samples."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from opv2v_doctor.check import Blocked, NoAnswer, Skip
from opv2v_doctor.diagnosis import questions
from opv2v_doctor.diagnosis.questions import Drawn, Evaluated, Evaluation, Opened, Overfitted, Paths
from opv2v_doctor.fact_progress import advance
from opv2v_doctor.facts.launch.config import config, place
from opv2v_doctor.facts.launch.splits import FOLDERS, examined_splits
from opv2v_doctor.facts.past.checkpoints import CheckpointUnreadable, read_checkpoint
from opv2v_doctor.facts.past.logs import judged_logs
from opv2v_doctor.facts.past.logs.loss_curves import curve
from opv2v_doctor.facts.past.runs import CHECKPOINTS, number_of
from opv2v_doctor.facts.predictions.errors import Errors, errors
from opv2v_doctor.facts.predictions.prediction import (
    TRUTH,
    PredictedView,
    PredictionRequest,
    Predictions,
    predictions,
)
from opv2v_doctor.facts.source.names import watched
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.result import Result
from opv2v_doctor.runner import run
from opv2v_doctor.runs.command_line import command
from opv2v_doctor.scratch import scratch_folder
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

ASKED_FOR = ("train_epoch", "test_epoch", "save", "save_model")  # parts that are attended to
SHARE = 0.3  # of a question's time limit that samples or steps may take
Measured = TypeVar("Measured")
DATA_FAMILIES = ("dataset", "geometry", "masks")


@dataclass(frozen=True, kw_only=True)
class DiagnosisRequest:
    """What is diagnosed: a checkpoint, an evaluation split, and how much of it."""

    checkpoint: Path
    split: str = "val"
    count: int = 8  # samples of each set
    steps: int = 30  # on one batch
    every: bool = False  # all checkpoints beside it, too


@fact
def asked(_target: Target) -> DiagnosisRequest:
    """What is diagnosed: given by who asks. Raises Blocked where nobody did."""
    raise Blocked("no checkpoint was chosen")


@fact
def launch_words(target: Target) -> questions.LaunchWords:
    """The launch in one process, into a folder that is gone at our end. Raises Blocked without its epochs."""
    named = watched(target)
    for part in ("train_epoch", "test_epoch"):
        if part not in named:
            raise Blocked(
                "no module of this launch defines what trains or evaluates an epoch",
                hint='name it in {toml}: [names] {part} = "NAME"',
                at=target.script,
                part=part,
                toml="opv2v-doctor.toml",
            )
    folder = scratch_folder("diagnosis")
    words = command(target.alone, folder, target.repo)
    return {
        "script": str(target.script),
        "module": target.module,
        "arguments": words[3 if target.module else 2 :],
        "folder": str(folder),
        "parts": {part: [*named[part]] for part in ASKED_FOR if part in named},
    }


@fact
def config_places(target: Target) -> Mapping[str, Place | None]:
    """Where the config gives what often differs between training and validation; none where it does not."""
    keys = ["loss.test_criterion"]
    keys += [
        f"dataset.opv2v.{evaluated_split(target)}.{key}"
        for key in ("data_norm_type", "transform", "dataset_str")
    ]
    found: dict[str, Place | None] = {}
    for key in keys:
        with contextlib.suppress(NoAnswer):
            found[key] = place(target, key)
    return found


def folders(target: Target) -> list[str]:
    """The folders that the split may have."""
    return [*FOLDERS.get(asked(target).split, (asked(target).split,))]


@fact
def opened(target: Target) -> Opened:
    """The launch's parts, and how the checkpoint fits them."""
    return questions.opened(
        target, launch=launch_words(target), checkpoint=str(asked(target).checkpoint), splits=folders(target)
    )


@fact
def evaluated_split(target: Target) -> str:
    """The evaluation set that is looked at: the asked split, or what the launch has in its place."""
    try:
        found = opened(target)
    except NoAnswer:  # data can be looked at without the launch
        return asked(target).split
    splits = {*(found.sets[found.chosen] if found.chosen is not None else ())}
    if not splits or splits & {*folders(target)}:
        return asked(target).split
    return next((name for name, known in FOLDERS.items() if splits & {*known}), ", ".join(sorted(splits)))


@fact
def drawn(target: Target) -> Drawn:
    """What the loaders give, in numbers."""
    return questions.drawn(
        target, launch=launch_words(target), splits=folders(target), count=asked(target).count
    )


@fact
def paths(target: Target) -> Paths:
    """The same batches through training's step and through validation."""
    return questions.compared(
        target,
        launch=launch_words(target),
        checkpoint=str(asked(target).checkpoint),
        splits=folders(target),
        seconds=SHARE * target.timeout,
    )


@fact
def overfitted(target: Target) -> Overfitted:
    """One batch, trained on again and again. Raises Skip where no step was asked for."""
    steps = asked(target).steps
    if not steps:
        raise Skip("no step was asked for (--overfit-steps 0)")
    values = config(target)
    epochs = values.number("train_params.epochs") or 1
    warm = values.number("train_params.warmup_epochs") or 0
    return questions.overfitted(
        target,
        launch=launch_words(target),
        splits=folders(target),
        steps=steps,
        epoch=int(min(math.ceil(warm), max(epochs - 1, 0))),
        seconds=SHARE * target.timeout,
    )


def or_none(measure: Callable[[Target], Measured], target: Target) -> Measured | None:
    """A fact; None where it has no answer."""
    with contextlib.suppress(NoAnswer):
        return measure(target)
    return None


@fact
def epoch_losses(target: Target) -> tuple[float, ...]:
    """The training loss of each epoch of the run, as its log tells it; none without a log."""
    try:
        log = judged_logs(replace(target, run=asked(target).checkpoint.parent))[0]
    except NoAnswer:
        return ()
    return tuple(point.average for point in curve(log, "train") if math.isfinite(point.average))


@fact
def updates_made(target: Target) -> int | None:
    """The updates of the checkpoint's weights, as its optimizer counts them; None where it holds none."""
    with contextlib.suppress(CheckpointUnreadable):
        return read_checkpoint(asked(target).checkpoint).steps or None
    return None


@dataclass(frozen=True, kw_only=True)
class JudgedSample:
    """One sample: what the criteria say of it, and how far it is from the truth."""

    evaluated: Evaluated
    errors: Errors | None
    places: tuple[tuple[float, float, float], ...] = ()  # true ones, in the first agent's frame, metres

    @property
    def label(self) -> str:
        return self.evaluated.views[0].identity.label or ""

    @property
    def scenario(self) -> str:
        return self.label.split("/")[0]

    @property
    def count(self) -> int:
        """Views."""
        return len(self.evaluated.views)


@dataclass(frozen=True, kw_only=True)
class BothSets:
    """Samples of training and of validation, through the same path with the same weights."""

    train: tuple[JudgedSample, ...]
    test: tuple[JudgedSample, ...]
    asked: int
    problem: str

    def mean(self, part: str, what: str) -> float | None:
        """The mean of a number of each sample: loss, by_train, constant, initial or matched."""
        samples = self.train if part == "train" else self.test
        return mean_of([getattr(sample.evaluated, what) for sample in samples])

    def terms(self, part: str, what: str = "terms") -> Mapping[str, float]:
        """The mean of each term that is an average over the views, or has no view of its own."""
        samples = self.train if part == "train" else self.test
        found = [getattr(sample.evaluated, what) for sample in samples]
        names = dict.fromkeys(name for terms in found for name in terms if "_view" not in name)
        means = {name: mean_of([terms.get(name) for terms in found]) for name in names}
        return {name: mean for name, mean in means.items() if mean is not None}


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of the finite ones."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return fmean(known) if known else None


@fact
def both_sets(target: Target) -> BothSets:
    """The checkpoint on samples of both sets. Raises Blocked where it cannot be run."""
    answer = _evaluated(target, asked(target).checkpoint, whole=True)
    judged = [_judged(target, sample) for sample in answer.samples]
    return BothSets(
        train=tuple(sample for sample in judged if sample.evaluated.part == "train"),
        test=tuple(sample for sample in judged if sample.evaluated.part == "test"),
        asked=answer.asked,
        problem=answer.problem,
    )


def _evaluated(target: Target, checkpoint: Path, *, whole: bool) -> Evaluation:
    return questions.evaluated(
        target,
        launch=launch_words(target),
        checkpoint=str(checkpoint),
        splits=folders(target),
        count=asked(target).count,
        seconds=SHARE * target.timeout,
        folder=str(scratch_folder("diagnosis")),
        whole=whole,
    )


def _judged(target: Target, sample: Evaluated) -> JudgedSample:
    views = tuple(
        PredictedView(
            place=number,
            agent=view.identity.agent or str(number),
            label=view.identity.label or "",
            instance=view.identity.instance or "",
            frame=None,
            camera_model=view.camera_model,
            prefix=f"{sample.prefix}/{number}",
        )
        for number, view in enumerate(sample.views)
    )
    found = Predictions(
        inquiry=PredictionRequest(checkpoint=asked(target).checkpoint),
        views=views,
        inputs=(),
        effect=None,
        precision="",
        weights=opened(target).account,
    )
    try:
        poses = [pose for pose in found.poses(TRUTH) if pose is not None]
        places = tuple((float(p[0, 3]), float(p[1, 3]), float(p[2, 3])) for p in poses)
        return JudgedSample(evaluated=sample, errors=errors(found), places=places)
    except Blocked:  # a model of another form: its losses are told all the same
        return JudgedSample(evaluated=sample, errors=None)


@dataclass(frozen=True, kw_only=True)
class CheckpointErrors:
    """One checkpoint on the samples of validation, in means."""

    path: Path
    loss: float | None
    pose_metres: float | None
    pose_degrees: float | None
    depth_metres: float | None
    pred_mask_mean: float | None
    true_mask_mean: float | None
    problem: str = ""


@fact
def every_checkpoint(target: Target) -> tuple[CheckpointErrors, ...]:
    """Each checkpoint beside the asked one on the same samples, in the order of their epochs.

    Raises Skip where that was not asked for.
    """
    if not asked(target).every:
        raise Skip("one checkpoint was asked about: --all-checkpoints compares them all")
    found = sorted(
        asked(target).checkpoint.parent.glob(CHECKPOINTS),
        key=lambda path: (number_of(path) is None, number_of(path) or 0, path.name),
    )
    told = []
    for number, path in enumerate(found):
        advance("checkpoints", number, len(found))
        told.append(_checkpoint(target, path))
    return tuple(told)


def _checkpoint(target: Target, path: Path) -> CheckpointErrors:
    try:
        samples = [_judged(target, sample) for sample in _evaluated(target, path, whole=False).samples]
        problem = ""
    except Blocked as blocked:
        samples, problem = [], str(blocked)
    means = mean_errors(samples)
    return CheckpointErrors(
        path=path,
        loss=mean_of([sample.evaluated.loss for sample in samples]),
        pose_metres=means["pose_rmse"],
        pose_degrees=means["pose_degrees"],
        depth_metres=means["depth_rmse"],
        pred_mask_mean=means["pred_mask_mean"],
        true_mask_mean=means["gt_mask_mean"],
        problem=problem,
    )


def mean_errors(samples: Sequence[JudgedSample]) -> Mapping[str, float | None]:
    """The means of what samples are off by, over all samples."""
    known = [sample.errors for sample in samples if sample.errors]
    plain = ("pose_rmse", "pose_degrees", "depth_rmse", "depth_median", "scale_of_depth")
    found = {name: mean_of([getattr(one, name) for one in known]) for name in (*plain, "pred_mask_mean")}
    found["gt_mask_mean"] = mean_of([one.gt_mask_mean for one in known])
    found["mask_iou"] = mean_of([view.mask_iou for one in known for view in one.views])
    for name in ("none", "pose", "depth", "scale"):
        found[f"points_{name}"] = mean_of([getattr(one.points, name) for one in known])
    return found


@fact
def with_given_poses(target: Target) -> Errors:
    """The first sample of the split once more, with the true poses given to the model."""
    request = asked(target)
    return errors(
        predictions(
            target, PredictionRequest(checkpoint=request.checkpoint, split=request.split, poses="truth")
        )
    )


@fact
def data_results(target: Target) -> tuple[Result, ...]:
    """What the checks of data and geometry say of the training split and of the evaluated one."""
    splits = ("train", evaluated_split(target))
    both = replace(target, splits=splits, splits_asked=True, num_samples=min(asked(target).count, 4))
    examined_splits(both)
    chosen = [check for check in installed_checks() if check.family in DATA_FAMILIES and check.tier == "data"]
    return tuple(run(chosen, both, ignored=_outside(chosen)))


def _outside(chosen: Sequence[object]) -> Mapping[str, str]:
    """Requirements that are not among them: the launch itself says whether its config composes."""
    codes = {check.code for check in chosen}  # type: ignore[attr-defined]
    needed = {code for check in chosen for code in check.requires}  # type: ignore[attr-defined]
    return dict.fromkeys(needed - codes, "examined by itself")
