"""Inference: what comes out: the same twice and as in training, and how far predictions are off."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from opv2v_doctor import (
    Blocked,
    Command,
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
    sentence,
    warning,
)
from opv2v_doctor.facts.predictions.comparisons import Fit, InferenceDifference, RoundTrip, Unlike
from opv2v_doctor.facts.predictions.likeness import Deviation
from opv2v_doctor.facts.predictions.parity import inferences, parity, round_trip, script_inference
from opv2v_doctor.facts.predictions.summaries import PredictionSummary, summaries
from opv2v_doctor.facts.predictions.wording import CLOSE, apart_told, name_of, output_told, part_of, tolerance
from opv2v_doctor.facts.predictions.written import JudgedArtefact, Written, written

METRES = Threshold(0.01, "m", "ground truth comes back within this: float32 at 100 m is 1e-5")
DEGREES = Threshold(0.1, "degrees", "ground truth comes back within this")
SCALE = Threshold(1e-3, "relative", "ground truth comes back within this")


@check("INF005", tier="run", requires=["CKP001", "DAT001"])
def evaluation_repeats_itself(target: Target) -> Findings:
    """The same batch evaluated twice gives the same.

    ## Why it matters
    Where it does not, no two numbers of this model can be compared, be they of two checkpoints or of training
    and inference.

    ## How to fix
    Look for random numbers and for state that forward leaves behind: dropout that ignores `eval()`, geometric
    inputs that are drawn in evaluation, too, buffers that forward writes.
    """
    found = parity(target)
    yield examined(found.outputs, "output")
    apart = _counting(found.unrepeated, CLOSE)
    if not apart:
        yield note(
            "{n:view|views} evaluated twice on {device}: the outputs are the same",
            n=len(found.views),
            device=found.device,
        )
        return
    worst, keys = apart[0], [each.key for each in apart]
    if found.unseeded:
        yield warning(
            "evaluated twice, {output} differs by {share}: the model draws random numbers in evaluation",
            hint="turn random inputs off in evaluation (the model's task config), or fix the seed before it",
            output=worst.key,
            share=apart_told(worst),
            outputs=keys,
        )
    else:
        yield error(
            "evaluated twice, {output} differs by {share}, with the same random numbers, too",
            hint="look for what forward() writes (buffers, caches, statistics) and for dropout that eval() "
            "leaves on",
            output=worst.key,
            share=apart_told(worst),
            outputs=keys,
        )


@check("INF006", tier="run", requires=["INF001", "INF003", "INF004"])
def inference_predicts_what_training_does(target: Target) -> Findings:
    """Points, poses, depth, scale and masks of inference are those of training's forward, of the same sample.

    ## Why it matters
    The loss was computed on the one, pictures and metrics are made of the other. A scale that is applied
    twice or a mask the wrong way round makes a good model look broken, and the training is changed for it.

    ## How to fix
    Change the step that is named here; what training's forward answers is what was validated.
    """
    comparable = not parity(target).unrepeated  # else two forwards differ, whoever makes them
    for inference in inferences(target):
        compared = inference.compared.final + (inference.compared.raw if comparable else 0)
        yield examined(compared, "output", inference=inference.name)
        raw = _counting(inference.raw, tolerance(inference)) if comparable else []
        final = _counting(inference.final, tolerance(inference))
        if raw:
            yield _model_apart(inference, raw)
        for each in final:
            yield _unlike(inference, each)
        if comparable and compared and not raw and not final:
            yield note(
                "{n:view is|views are} predicted as in training",
                at=inference.defined_at,
                of=inference.name,
                n=inference.views[1],
            )
    if not comparable:
        raise Blocked(
            "two evaluations of one batch differ (INF005): the model's outputs cannot be compared",
            hint="make the evaluation repeatable first",
        )


def _model_apart(inference: InferenceDifference, raw: list[Unlike]) -> Finding:
    """The model itself answers otherwise, though it gets the same: the worst of each part, ranked."""
    worst: dict[str, Unlike] = {}
    for each in raw:
        worst.setdefault(part_of(each.key), each)
    return error(
        "the model's own outputs differ from training's: {ranked}",
        at=inference.called_at or inference.defined_at,
        hint="the inputs are the same: compare how the model is called, and what it keeps between calls",
        of=inference.name,
        ranked=[
            Text("{part} ({key}) {share}", part=name_of(each.key), key=each.key, share=apart_told(each))
            for each in worst.values()
        ],
        parts={part: each.relative for part, each in worst.items()},
    )


def _counting(found: Iterable[Unlike], bound: float) -> list[Unlike]:
    """Those that count, the farthest apart first; a few pixels at a mask's threshold do not."""
    return sorted((each for each in found if each.relative > bound), key=lambda each: -each.relative)


def _unlike(inference: InferenceDifference, each: Unlike) -> Finding:
    said, hint = output_told(inference, each)
    numbers = {name: value for name, value in each.numbers.evidence.items() if name not in said.values}
    return error(
        said,
        at=each.place or inference.defined_at,
        hint=hint,
        of=inference.name,
        **{**numbers, "about": part_of(each.key), "output": each.key, "view": each.view},
    )


@check("INF007", tier="run", requires=["DAT001"])
def ground_truth_comes_back(target: Target) -> Findings:
    """Ground truth, sent through the computation of points and through `infer`, comes back as itself.

    Depth times rays, moved by the pose, are the sample's own points; and where they stand for the model's
    answer, `infer` returns them with scale 1 and the same poses.

    ## Why it matters
    What bends ground truth bends every prediction. No checkpoint is needed to see it, and none can make up
    for it: before there is one, a model with its first weights is asked.

    ## How to fix
    Look at the step that is named: order of quaternions, camera to world or back, scale, range or z-depth.
    """
    found = round_trip(target)
    if not any((*found.composed, *found.returned)):
        raise Skip("the views have no depth, rays, pose and points to compare")
    yield examined(len(_apart(found.composed)), "view")
    yield examined(len(_apart(found.returned)), "prediction")
    bent = _first_bent(found.composed)
    if bent:
        yield _not_itself(*bent, found, infers=False)
    elif bent := _first_bent(found.returned):
        yield _not_itself(*bent, found, infers=True)
    elif distances := _apart(found.composed):
        yield note(
            "{n:view|views}: depth x rays, moved by the pose, are the points within {farthest:.1e} m",
            n=len(distances),
            farthest=max(distances),
        )


def _apart(fits: Iterable[Fit | None]) -> list[float]:
    """How far apart the points are in each view that could be compared, metres."""
    return [fit.apart for fit in fits if fit and fit.apart is not None]


def _first_bent(fits: Iterable[Fit | None]) -> tuple[int, Text, Fit] | None:
    """The first view whose ground truth is not itself any more: in what, and the fit that tells."""
    for number, fit in enumerate(fits):
        for said, numbers in _bent(fit) if fit else ():
            return number, said, numbers
    return None


def _bent(fit: Fit) -> Iterator[tuple[Text, Fit]]:
    """What of pose and scale is not as it was; of the points, and of those made anew from depth and pose."""
    pose = fit.pose
    if pose and (pose.degrees > DEGREES or pose.metres > METRES):
        off = Text(
            "the pose is off by {degrees:.2f} degrees and {metres:.3f} m",
            degrees=pose.degrees,
            metres=pose.metres,
        )
        yield off, fit
    for each in filter(None, (fit, fit.again)):
        if each.apart is not None and each.apart > SCALE * max(1.0, each.size):
            yield _misfit(each), each


def _misfit(fit: Fit) -> Text:
    """What would bring the points back."""
    if abs(fit.scale - 1) > SCALE:
        return Text("the scale is {times:.4g}, expected 1", times=1 / fit.scale)
    if fit.degrees > DEGREES or fit.metres > METRES:
        return Text(
            "the points are rotated by {degrees:.2f} degrees and moved by {metres:.3f} m",
            degrees=fit.degrees,
            metres=fit.metres,
        )
    return Text("the points are {apart:.3f} m apart (RMS)", apart=fit.apart)


def _not_itself(number: int, said: Text, numbers: Fit, found: RoundTrip, *, infers: bool) -> Finding:
    figures: dict[str, Any] = {key: value for key, value in vars(numbers).items() if isinstance(value, float)}
    return error(
        "view {view}, after infer(): {said}"
        if infers
        else "view {view}, depth x rays, moved by the pose: {said}",
        at=found.returned_at if infers else None,
        hint="correct the step of infer() that makes points of depth, rays and pose"
        if infers
        else "correct what the dataset makes of them: pts3d, camera_pose, its quaternion and translation",
        view=number,
        said=said,
        **figures,
    )


SHOWN = 5  # samples; the newest


@check("INF008", tier="run", requires=["CKP001"])
def predictions_are_within_bounds(target: Target) -> Findings:
    """Predicted masks are not empty, and predicted poses are within bounds of the true ones.

    ## Why it matters
    A cloud that looks wrong has one of four causes: pose, depth, scale or mask. Replacing one part after the
    other by ground truth tells which: the training of the others is not at fault.

    ## How to fix
    The mask: look at the mask loss and its target. The poses: compare with the true ones (`--compare`), and
    see whether given poses help (`--pose-input gt`). The scale: look for a factor applied twice. The depth:
    compare it with the LiDAR (`--depth-source lidar`).
    """
    shown = [summary for summary in summaries(target) if summary.is_unaided][:SHOWN] or summaries(target)[:1]
    for summary in shown:
        wrong = [*_mask(target, summary), *_pose(target, summary)]
        yield examined(int(_has_mask(target, summary)), "mask mean", sample=_sample(summary))
        yield examined(int(_has_poses(summary)), "pose error", sample=_sample(summary))
        yield from wrong
        if not wrong:
            yield _fine(summary)


def _has_mask(target: Target, summary: PredictionSummary) -> bool:
    """Whether the mask can be judged: there is one, and it should not be empty."""
    truth = summary.gt_mask_mean
    return summary.pred_mask_mean is not None and (truth is None or truth >= target.settings.masks.floor)


def _has_poses(summary: PredictionSummary) -> bool:
    """Whether the poses can be judged: they are known, and the model was not given them."""
    return summary.pose_rmse is not None and summary.poses == "none"


def _mask(target: Target, summary: PredictionSummary) -> Findings:
    floor, mean, truth = target.settings.masks.floor, summary.pred_mask_mean, summary.gt_mask_mean
    if mean is None or mean >= floor or not _has_mask(target, summary):
        return
    yield error(
        "{sample}: mask: the predicted masks' mean is {pred_mask_mean:.3f}, expected at least {floor}"
        if truth is None
        else "{sample}: mask: the predicted masks' mean is {pred_mask_mean:.3f}, expected at least {floor}; "
        "the true masks' is {gt_mask_mean:.3f}",
        at=summary.path,
        hint="look at the points without the predicted mask: {command}",
        sample=_sample_and_inputs(summary),
        pred_mask_mean=mean,
        floor=floor,
        gt_mask_mean=truth,
        command=_pointcloud(summary, "--mask-source gt"),
        verdict="mask",
    )


def _pose(target: Target, summary: PredictionSummary) -> Findings:
    bound, rmse = target.settings.poses.error, summary.pose_rmse
    if rmse is None or rmse <= bound:
        return
    verdict = summary.culprit or "pose"
    yield warning(  # it may only be too early: no agent is placed within metres at first
        "{sample}: {part}: poses are off by {pose_rmse:.1f} m (RMSE), expected at most {bound:g} m"
        if summary.points is None or not summary.repaired
        else "{sample}: {part}: poses are off by {pose_rmse:.1f} m (RMSE), expected at most {bound:g} m; "
        "points are off by {point_rmse:.1f} m, {repairs}",
        at=summary.path,
        hint=_remedy(summary, verdict),
        sample=_sample_and_inputs(summary),
        part=NAMES[verdict],
        pose_rmse=rmse,
        bound=bound,
        point_rmse=summary.points,
        repairs=[_repair(part, value) for part, value in summary.repaired.items()],
        verdict=verdict,
        pose_rmse_scaled=summary.pose_rmse_scaled,
        repaired=dict(summary.repaired),
    )


NAMES = {"pose": Text("pose"), "depth": Text("depth"), "scale": Text("scale")}


def _remedy(summary: PredictionSummary, verdict: str) -> Text:
    """What shows more of the part that is wrong."""
    if verdict == "pose":
        return Text(
            "compare with the true poses, given to the model: {command}",
            command=_pointcloud(summary, "--compare --pose-input gt"),
        )
    if verdict == "depth":
        return Text(
            "see the depth at true poses: {command}", command=_pointcloud(summary, "--pose-source gt")
        )
    return Text(
        "look for a factor that is applied twice, or left out: {command}",
        command=Command("opv2v-doctor check inference"),
    )


def _pointcloud(summary: PredictionSummary, options: str) -> Command:
    """The command that shows the sample again."""
    sample = f"--split {shlex.quote(summary.split)} --index {summary.index}"
    return Command(
        f"opv2v-doctor pointcloud --checkpoint {shlex.quote(str(summary.checkpoint))} {sample} {options}"
    )


def _repair(part: str, left: float) -> Text:
    """How far the points would be off with one part replaced."""
    return Text(
        "{left:.1f} m with true poses"
        if part == "pose"
        else "{left:.1f} m with true depth"
        if part == "depth"
        else "{left:.1f} m with a fitted scale",
        left=left,
    )


def _fine(summary: PredictionSummary) -> Finding:
    mean, rmse, depth = summary.pred_mask_mean, summary.pose_rmse, summary.depth_rmse
    parts = [
        *([Text("masks' mean {mean:.3f}", mean=mean)] if mean is not None else []),
        *([Text("poses off by {rmse:.2f} m", rmse=rmse)] if rmse is not None else []),
        *([Text("depth off by {rmse:.2f} m", rmse=depth)] if depth is not None else []),
    ]
    return note(
        "{sample}: {measured}",
        at=summary.path,
        sample=_sample_and_inputs(summary),
        measured=sentence(parts, ", ") if parts else Text("nothing was measured"),
    )


def _sample(summary: PredictionSummary) -> str:
    return f"{summary.checkpoint.name} {summary.split} {summary.index}"


def _sample_and_inputs(summary: PredictionSummary) -> Text:
    """Which sample, of which checkpoint, and what the model was given."""
    return Text(
        "{checkpoint} on {split} {index}"
        if summary.is_unaided
        else "{checkpoint} on {split} {index}, given poses: {poses}, depth: {depth}",
        checkpoint=summary.checkpoint.name,
        split=summary.split,
        index=summary.index,
        poses=summary.poses,
        depth=summary.depth,
    )


@check("INF009", tier="run", requires=["CKP001", "DAT001"])
def script_writes_what_the_model_answered(target: Target) -> Findings:
    """What the inference script writes is what the model answered: its points, depth, poses, scale and masks.

    The script of `[infer]` runs to its end, in a folder of its own, and the arrays of its files are compared
    with the answers of the model in the same run. Names that the public scripts use say what an array is;
    `[infer] outputs` says it of others, as `"cloud.ply" = "points"` or `"*.npz:range" = "depth * 1000"`.

    ## Why it matters
    Pictures and metrics are made of the files. A factor that is applied in a helper, a mirrored map, points
    in another frame or a number that does not fit its type make a good model look broken, and nothing else
    shows it.

    ## How to fix
    Change the line that is named. Where it is meant so, say it in `[infer] outputs`.
    """
    script = script_inference(target)
    if script.ending.how == "failed":
        yield examined(1, "inference script")
        yield error(
            "the script fails in or after its first inference: {why}"
            if script.inference
            else "the script fails before its first inference: {why}",
            at=script.ending.place or script.path,
            hint="correct the line that is named: `opv2v-doctor infer` fails there, too",
            why=script.ending.why,
        )
    if script.inference or script.ending.how != "failed":
        found = written(target)
        yield from _files(found)
        yield from _whole(target, found)


def _files(found: Written) -> Findings:
    """What the files that were written are worth."""
    for each in found.judged:
        yield examined(each.values, "value", artefact=each.label)
    for alike in _alike(found.judged):
        yield _deviating(*alike)
    for file in found.overwritten:
        yield error(
            "{file} is begun anew {times} times: what it held of the views before is lost",
            at=file.place,
            hint="write a file for each view: put the agent or the number of the view into its name",
            file=file.label,
            times=file.times,
        )
    if found.unknown:
        yield note(
            "not compared: {files}",
            files=[Text("{name} ({why})", name=name, why=why) for name, why in found.unknown[:SHOWN]],
            n=len(found.unknown),
        )


def _whole(target: Target, found: Written) -> Findings:
    """Whether the script came to its end, and left what could be judged."""
    if found.ending.how == "failed":
        return
    if found.ending.how != "finished":
        raise _not_ended(found)
    if not found.left_files and any("{output}" in word for word in target.settings.infer.arguments):
        yield examined(1, "inference script")
        yield error(
            "the script came to its end, and wrote no file of what the model answered",
            at=found.script,
            hint="write the predictions to {{output}}, which [infer] arguments hand over",
        )
        return
    if not any(each.values for each in found.judged):
        raise Skip(
            "nothing that the script wrote was compared",
            hint="say what its files are in opv2v-doctor.toml, [infer] outputs: {{ 'cloud.ply' = 'points' }}",
        )
    if not any(each.deviation for each in found.judged) and not found.overwritten:
        yield note(
            "{n:array is|arrays are} what the model answered: {names}",
            n=len(found.judged),
            names=[each.label for each in found.judged[:SHOWN]],
        )


def _not_ended(found: Written) -> Blocked:
    ending = found.ending
    if ending.how == "refused":
        return Blocked(
            "the script was ended as it was about to write to {file}: what it writes there is not compared",
            at=ending.place,
            hint="let [infer] arguments send what it writes to {{output}}",
            file=ending.why,
        )
    if ending.how == "late":
        return Blocked(
            "the script was ended, as it took too long after its first inference",
            at=found.script,
            hint="let [infer] arguments make it infer one sample",
        )
    return Blocked(
        "the script fails after its inference: {why}", at=ending.place or found.script, why=ending.why
    )


def _alike(judged: Iterable[JudgedArtefact]) -> Iterator[list[JudgedArtefact]]:
    """Arrays that differ, those together that do so in the same way and from the same line on."""
    groups: dict[Any, list[JudgedArtefact]] = {}
    for each in judged:
        if each.deviation:
            groups.setdefault((each.quantity, each.deviation.what, each.parted or each.place), []).append(
                each
            )
    yield from groups.values()


def _deviating(each: JudgedArtefact, *others: JudgedArtefact) -> Finding:
    deviation = each.deviation
    assert deviation is not None
    tell = warning if deviation.what in MEANT else error
    name = each.names[each.view] if each.view is not None else None
    return tell(
        "{label} ({name}) and {more:array|arrays} more: {said}"
        if name and others
        else "{label} ({name}): {said}"
        if name
        else "{label}: {said}",
        at=each.parted or each.place,
        hint="write {quantity} as the model answers it; where this is meant, say so in [infer] outputs",
        label=each.label,
        name=name,
        more=len(others),
        said=_deviation_told(each, deviation),
        quantity=QUANTITIES[each.quantity],
        about=each.quantity,
        what=deviation.what,
        numbers={key: value for key, value in deviation.numbers.items() if value is not None},
        written_at=each.place,
    )


MEANT = ("thinned", "fewer", "fewer views", "clipped", "list")  # what scripts often do to files on purpose
QUANTITIES = {
    "points": Text("the points"),
    "sampled points": Text("the points"),
    "camera points": Text("the points around the camera"),
    "depth": Text("the range along the rays"),
    "z depth": Text("the z-depth"),
    "pose": Text("the pose, camera to the first view's frame"),
    "world to camera": Text("the pose, the first view's frame to camera"),
    "scale": Text("the scale"),
    "mask": Text("the mask"),
}
DEVIATIONS = {
    "view": "it is that of another view, {other}",
    "mirrored": "it is mirrored, {how}",
    "axes": "its axes are {axes} of the model's",
    "moved": "it is turned by {degrees:.2f} degrees, moved by {metres:.3f} m and {factor:.4g} times as large",
    "transposed": "its rotation is transposed",
    "position": "its position is {factor:.4g} times the model's",
    "relative": "it is relative to view {other}",
    "clipped": "it is clipped at {most:.4g}",
    "values": "it differs by {relative:.1%} (RMS, relative)",
    "pixels": "{differs:.1%} of the pixels differ (mean {given:.3f}, the model's {trained:.3f})",
    "thinned": "it is one pixel of {step} of the model's, each way",
    "turned": "its rows are columns: {given}, expected {trained}",
    "shape": "its shape is {given}, expected {trained}",
    "outside": "{points} points, of which some are outside of the mask; the mask keeps {wanted}",
    "twice": "{points} points, expected {wanted}: some are there twice",
    "fewer": "{points} points, expected {wanted}",
    "fewer views": "it holds the points of {there} of {wanted} views",
    "zeros": "{zeros} of {points} points are zero",
    "list": "only {share:.1%} of its {points} points are the model's",
}


def _deviation_told(each: JudgedArtefact, deviation: Deviation) -> Text:
    numbers = dict(deviation.numbers)
    if deviation.what == "factor":
        return _factor_written(numbers["factor"], numbers.get("scale"))
    if deviation.what == "other":
        return Text("it is {other}", other=QUANTITIES[numbers["other"]])
    if deviation.what == "inverted":
        return Text("it keeps what the mask drops, and drops what it keeps")
    if deviation.what == "overflow":
        return Text(
            "numbers of it do not fit {type}"
            if not numbers["lost"]
            else "{lost} numbers of it do not fit {type}",
            **numbers,
        )
    if deviation.what == "view":
        numbers["other"] = each.names[numbers["other"]] or numbers["other"]
    return Text(DEVIATIONS[deviation.what], **numbers)


def _factor_written(factor: float, scale: float | None) -> Text:
    near = [s for s in (scale, 1 / scale if scale else None) if s and abs(factor / s - 1) < SCALE]
    return Text(
        "it is {factor:.4g} times what the model answered: its metric scale, applied once more"
        if near and near[0] == scale
        else "it is {factor:.4g} times what the model answered: divided by its metric scale"
        if near
        else "it is {factor:.4g} times what the model answered",
        factor=factor,
    )
