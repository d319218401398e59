"""Prediction errors: how far a model's poses, depth, scale and mask are from the truth, view by view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.predictions.prediction import PREDICTION, TRUTH, PredictedView, Predictions
from opv2v_doctor.geometry.poses import rotation_angle, transform

Floats = NDArray[np.floating]
Pose = NDArray[np.float64]
LEAST_BASE = 0.1  # metres between agents below which poses say nothing about scale


@dataclass(frozen=True, kw_only=True)
class ViewErrors:
    """One view against the truth; None where one of both has no such thing."""

    agent: str
    pose_metres: float | None  # between positions in the first agent's frame, as predicted: no scale fitted
    pose_degrees: float | None
    depth_rmse: float | None  # metres over valid pixels
    depth_median: float | None  # of the absolute errors, metres
    depth_ratio: float | None  # median of true / predicted: the scale that would put the depth right
    valid_pixels: int
    finite: float  # share of predicted ranges that are finite
    pred_mask_mean: float | None
    gt_mask_mean: float | None
    mask_iou: float | None
    bounds: tuple[tuple[float, ...], tuple[float, ...]] | None  # of predicted points, first agent's frame


@dataclass(frozen=True, kw_only=True)
class PredictionRepairs:
    """RMSE of points in the first agent's frame, metres, over valid pixels: as predicted, and repaired."""

    none: float | None
    pose: float | None  # with true poses
    depth: float | None  # with true depth and rays
    scale: float | None  # poses and depth times the factor that fits the depth


@dataclass(frozen=True, kw_only=True)
class Errors:
    """A whole sample against the truth."""

    views: tuple[ViewErrors, ...]
    pose_rmse: float | None  # metres, over all agents but the first, which is the origin by definition
    pose_rmse_scaled: float | None  # after the scale that fits the poses best
    pose_degrees: float | None  # RMS over the same agents
    depth_rmse: float | None
    depth_median: float | None
    pred_mask_mean: float | None
    gt_mask_mean: float | None
    scale: float | None  # that the model applied
    scale_of_depth: float | None  # true / predicted, 1 is right
    scale_of_poses: float | None  # least squares of true on predicted positions
    points: PredictionRepairs
    self_rmse: float | None  # metres between the model's own points and its depth placed by its poses


@cache
def errors(found: Predictions) -> Errors:
    """The errors of all views. Raises Blocked where the truth has no depth or rays."""
    poses, true = found.poses(PREDICTION), found.poses(TRUTH)
    views = tuple(
        _view_errors(view, one, other) for view, one, other in zip(found.views, poses, true, strict=True)
    )
    fit, rmse = _fit(poses, true)
    pairs = [_known(view) for view in found.views]
    predicted, actual = (np.concatenate([pair[n] for pair in pairs] or [np.zeros(0)]) for n in (0, 1))
    ratio = _ratio(predicted, actual)
    return Errors(
        views=views,
        pose_rmse=_rms([view.pose_metres for view in views[1:]]),
        pose_rmse_scaled=rmse,
        pose_degrees=_rms([view.pose_degrees for view in views[1:]]),
        depth_rmse=_rms(predicted - actual),
        depth_median=_median(np.abs(predicted - actual)),
        pred_mask_mean=_mean([view.pred_mask_mean for view in views]),
        gt_mask_mean=_mean([view.gt_mask_mean for view in views]),
        scale=found.scale,
        scale_of_depth=ratio,
        scale_of_poses=fit,
        points=_repairs(found, ratio),
        self_rmse=_rms(np.concatenate([_self_error(view) for view in found.views])),
    )


def _view_errors(view: PredictedView, pose: Pose | None, true: Pose | None) -> ViewErrors:
    predicted, actual = _known(view)
    known = pose is not None and true is not None
    masks = view.mask(PREDICTION), view.mask(TRUTH)
    return ViewErrors(
        agent=view.agent,
        pose_metres=float(np.linalg.norm(pose[:3, 3] - true[:3, 3])) if known else None,  # type: ignore[index]
        pose_degrees=float(rotation_angle(pose[:3, :3].T @ true[:3, :3])) if known else None,  # type: ignore[index]
        depth_rmse=_rms(predicted - actual),
        depth_median=_median(np.abs(predicted - actual)),
        depth_ratio=_ratio(predicted, actual),
        valid_pixels=int(view.valid.sum()),
        finite=float(np.isfinite(view.depths(PREDICTION)).mean()),
        pred_mask_mean=None if masks[0] is None else float(masks[0].mean()),
        gt_mask_mean=None if masks[1] is None else float(masks[1].mean()),
        mask_iou=_overlap(*masks),
        bounds=_bounds(view, pose),
    )


def _known(view: PredictedView) -> tuple[Floats, Floats]:
    """Predicted and true ranges of the valid pixels whose prediction is finite."""
    predicted, actual = view.depths(PREDICTION), view.depths(TRUTH)
    if predicted.shape != actual.shape:
        raise Blocked(
            "view {agent}: predicted depth is {predicted}, true depth {actual}",
            agent=view.agent,
            predicted=_sides(predicted.shape),
            actual=_sides(actual.shape),
        )
    both = view.valid & np.isfinite(predicted)
    return predicted[both].astype(np.float64), actual[both].astype(np.float64)


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _fit(poses: Sequence[Pose | None], true: Sequence[Pose | None]) -> tuple[float | None, float | None]:
    """The scale of the positions that fits the true ones best, and the RMSE that it leaves, metres."""
    pairs = [
        (p[:3, 3], t[:3, 3])
        for p, t in zip(poses[1:], true[1:], strict=True)
        if p is not None and t is not None
    ]
    if not pairs:
        return None, None
    ours, theirs = (np.array([pair[n] for pair in pairs]) for n in (0, 1))
    size = float((ours**2).sum())
    if size < LEAST_BASE**2 * len(pairs):
        return None, None
    fit = float((ours * theirs).sum()) / size
    return fit, _rms(np.linalg.norm(fit * ours - theirs, axis=-1))


def _repairs(found: Predictions, scale: float | None) -> PredictionRepairs:
    """What putting one part right would leave of the points' errors."""
    poses, true = found.poses(PREDICTION), found.poses(TRUTH)
    left: dict[str, list[Floats]] = {"none": [], "pose": [], "depth": [], "scale": []}
    for view, pose, actual in zip(found.views, poses, true, strict=True):
        if actual is None or pose is None:
            continue
        ours, theirs = (view.points(source)[view.valid].astype(np.float64) for source in (PREDICTION, TRUTH))
        target = transform(actual, theirs)
        left["none"].append(transform(pose, ours) - target)
        left["pose"].append(transform(actual, ours) - target)
        left["depth"].append(transform(pose, theirs) - target)
        left["scale"].append((scale or 1.0) * transform(pose, ours) - target)
    parts = {name: np.concatenate(errors) for name, errors in left.items() if errors}
    return PredictionRepairs(
        **{name: _rms(np.linalg.norm(parts[name], axis=-1)) if name in parts else None for name in left}
    )


def _self_error(view: PredictedView) -> Floats:
    """How far the model's own points are from its depth along its rays at its pose (N,)."""
    points, pose = view.array("prediction_points"), view.array("prediction_pose")
    if points is None or pose is None:
        return np.zeros(0)
    again = transform(pose, view.points(PREDICTION)[view.valid])
    return np.asarray(np.linalg.norm(points[view.valid].astype(np.float64) - again, axis=-1))


def _ratio(predicted: Floats, actual: Floats) -> float | None:
    positive = predicted > 0
    return _median(actual[positive] / predicted[positive])


def _overlap(one: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> float | None:
    if one is None or other is None or one.shape != other.shape or not (one | other).any():
        return None
    return float((one & other).sum() / (one | other).sum())


def _bounds(view: PredictedView, pose: Pose | None) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    if pose is None:
        return None
    points = view.points(PREDICTION)[view.valid]
    points = points[np.isfinite(points).all(-1)]
    if not len(points):
        return None
    moved = transform(pose, points)
    return tuple(moved.min(0).tolist()), tuple(moved.max(0).tolist())


def _rms(values: Sequence[float | None] | Floats) -> float | None:
    known = _numbers(values)
    return float(np.sqrt((known**2).mean())) if known.size else None


def _median(values: Floats) -> float | None:
    return float(np.median(values)) if values.size else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = _numbers(values)
    return float(known.mean()) if known.size else None


def _numbers(values: Sequence[float | None] | Floats) -> Floats:
    """The finite ones."""
    known = np.array([value for value in values if value is not None], np.float64)
    return np.asarray(known[np.isfinite(known)])
