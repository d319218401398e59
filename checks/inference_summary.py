"""Inference: what was measured of predictions, and which part of them is wrong."""

from opv2v_doctor import Finding, Findings, Target, check, error, note, warning
from opv2v_doctor.facts.inference.summaries import Summary, summaries

SHOWN = 5  # samples; the newest


@check("INF008", tier="run", requires=["CKP001"])
def predictions_are_within_bounds(target: Target) -> Findings:
    """Predicted masks are not empty, and predicted poses are within bounds of the true ones.

    ## Why it matters
    A cloud that looks wrong is wrong for one of four reasons: pose, depth, scale or mask. Repairing one part
    after the other with ground truth tells which: the training of the others is not to blame.

    ## How to fix
    The mask: look at the mask loss and its target. The poses: compare with the true ones (`--compare`), and
    see whether given poses help (`--pose-input gt`). The scale: look for a factor applied twice. The depth:
    compare it with the LiDAR (`--depth-source lidar`).
    """
    shown = [summary for summary in summaries(target) if summary.is_unaided][:SHOWN] or summaries(target)[:1]
    for summary in shown:
        wrong = [*_mask(target, summary), *_pose(target, summary)]
        yield from wrong
        if not wrong:
            yield _fine(summary)


def _mask(target: Target, summary: Summary) -> Findings:
    floor, mean, truth = target.settings.masks.floor, summary.pred_mask_mean, summary.gt_mask_mean
    if mean is None or mean >= floor or (truth is not None and truth < floor):
        return
    expected = "" if truth is None else f", the true masks' is {truth:.3f}"
    yield error(
        f"{_sample(summary)}: the mask: the predicted masks' mean is {mean:.3f}, expected {floor} or more"
        f"{expected}",
        path=summary.path,
        hint="look at the points without it (opv2v-doctor pointcloud --mask-source gt), then at the mask's "
        "loss (opv2v-doctor check log)",
        verdict="mask",
        pred_mask_mean=mean,
        gt_mask_mean=truth,
    )


def _pose(target: Target, summary: Summary) -> Findings:
    bound, rmse = target.settings.poses.error, summary.pose_rmse
    if rmse is None or rmse <= bound:
        return
    verdict = summary.culprit or "pose"
    yield warning(  # it may only be too early: no agent is placed within metres at first
        f"{_sample(summary)}: the {verdict}: poses are {rmse:.1f} m off (RMSE), expected {bound:g} m at most"
        f"{_repairs(summary)}",
        path=summary.path,
        hint=HINTS[verdict],
        verdict=verdict,
        pose_rmse=rmse,
        pose_rmse_scaled=summary.pose_rmse_scaled,
        point_rmse=summary.points,
        repaired=dict(summary.repaired),
    )


HINTS = {
    "pose": "see them beside the true ones: opv2v-doctor pointcloud --compare; and whether given ones help: "
    "--pose-input gt",
    "depth": "see it with true poses: opv2v-doctor pointcloud --pose-source gt, then --depth-source lidar",
    "scale": "look for a factor that is applied twice, or left out: opv2v-doctor check inference",
}


def _repairs(summary: Summary) -> str:
    """How far the points are off, and would be with one part repaired."""
    if summary.points is None or not summary.repaired:
        return ""
    left = ", ".join(f"{value:.1f} m with {_repair(part)}" for part, value in summary.repaired.items())
    return f"; the points are {summary.points:.1f} m off: {left}"


def _repair(part: str) -> str:
    return {"pose": "true poses", "depth": "true depth", "scale": "a fitted scale"}[part]


def _fine(summary: Summary) -> Finding:
    mean, rmse = summary.pred_mask_mean, summary.pose_rmse
    said = ", ".join(
        part
        for part in (
            f"masks' mean {mean:.3f}" if mean is not None else "",
            f"poses {rmse:.2f} m off" if rmse is not None else "",
            f"depth {summary.depth_rmse:.2f} m off" if summary.depth_rmse is not None else "",
        )
        if part
    )
    return note(f"{_sample(summary)}: {said or 'nothing was measured'}", path=summary.path)


def _sample(summary: Summary) -> str:
    """Which sample, of which checkpoint, and what the model was given."""
    aided = "" if summary.is_unaided else f", given poses: {summary.poses}, depth: {summary.depth}"
    return f"{summary.checkpoint.name} on {summary.split} {summary.index}{aided}"
