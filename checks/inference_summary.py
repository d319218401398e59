"""Inference: what was measured of predictions, and which part of them is wrong."""

import shlex

from opv2v_doctor import (
    Command,
    Finding,
    Findings,
    Target,
    Text,
    check,
    error,
    examined,
    note,
    sentence,
    warning,
)
from opv2v_doctor.facts.predictions.summaries import PredictionSummary, summaries

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
