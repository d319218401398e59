"""Summaries: `summary.json` of a prediction, as it is written, and as far as it was written earlier.

Schema 1; lengths are metres, angles degrees, and `null` is what could not be measured:

- `schema`, `checkpoint`, `split`, `index`, `scenario`, `frame`, `agents`, `precision`
- `inputs`: `keys` that a view had for the model; `poses`: none, truth or noisy; `noise`: standard deviations
  of noisy poses, `metres` and `degrees`; `depth`: none, sparse or dense; `effect`: how far what was given
  moves the points on average (0: the model ignores it)
- `render`: `pose_source`, `depth_source`, `mask` of the cloud that was drawn and written
- `views`: one an agent, with `agent`, `label`, `instance`, and
  `pose`: `error_metres`, `error_degrees`, in the first agent's frame, as predicted: no scale is fitted;
  `depth`: `rmse`, `median_error` over valid pixels nearer than the sky, `scale` (median of true / predicted),
  `valid_pixels`, `finite` (share of the predicted ranges);
  `pred_mask_mean`, `gt_mask_mean`, `mask_iou`; `bounds`: `low`, `high` of the predicted points in the first
  agent's frame, x right, y down, z ahead; `points`: counts by source, `drawn` of them in the page
- `total`: `pose_rmse`, `pose_rmse_degrees` (over all agents but the first, which is the origin),
  `pose_rmse_scaled` (after the scale that fits the positions), `without_pose` (views whose pose is not
  finite), `depth_rmse`, `depth_median_error`, `pred_mask_mean`, `gt_mask_mean`, `bounds`, `points`,
  `scale`: `applied` by the model, `of_depth` and `of_poses` that would be right on top of it (1 is right),
  `point_rmse`: `as_predicted`, and `with_true_poses`, `with_true_depth`, `with_fitted_scale`: the one that
  helps most is what is wrong; `of_itself`: between the model's own points and its depth placed by its poses
- `weights`: how many parameters each sub-module has, and how many of them the checkpoint filled
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.atomic import whole
from opv2v_doctor.check import Skip
from opv2v_doctor.facts.past.runs import saved_checkpoints
from opv2v_doctor.facts.predictions.errors import Errors, ViewErrors
from opv2v_doctor.facts.predictions.prediction import PREDICTION, PredictedView, Predictions
from opv2v_doctor.foreign_files import from_json, text_of
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Command

SCHEMA, FILE = 1, "summary.json"

FILE = "summary.json"


def summary(
    found: Predictions, errors: Errors, render: Mapping[str, str], counts: Sequence[Mapping[str, int]]
) -> dict[str, Any]:
    """The document; `counts` are the points of each view by source, and those drawn."""
    views = [
        _view(view, each, points)
        for view, each, points in zip(found.views, errors.views, counts, strict=True)
    ]
    first = found.views[0]
    return {
        "schema": SCHEMA,
        "checkpoint": str(found.inquiry.checkpoint),
        "split": found.inquiry.split,
        "index": found.inquiry.index,
        "scenario": first.label.split("/")[0],
        "frame": first.instance.split("/")[0],
        "agents": [view.agent for view in found.views],
        "precision": found.precision,
        "inputs": {
            "keys": list(found.inputs),
            "poses": found.inquiry.poses,
            "depth": found.inquiry.depth,
            "noise": _noise(found),
            "effect": found.effect,
        },
        "render": dict(render),
        "views": views,
        "total": _total(found, errors, views),
        "weights": {
            name: {"elements": part.elements, "loaded": part.loaded}
            for name, part in found.weights.parts.items()
        },
    }


def _noise(found: Predictions) -> dict[str, float] | None:
    told = found.inquiry
    return {"metres": told.metres, "degrees": told.degrees} if told.poses == "noisy" else None


def _view(view: PredictedView, errors: ViewErrors, points: Mapping[str, int]) -> dict[str, Any]:
    return {
        "agent": view.agent,
        "label": view.label,
        "instance": view.instance,
        "pose": {"error_metres": errors.pose_metres, "error_degrees": errors.pose_degrees},
        "depth": {
            "rmse": errors.depth_rmse,
            "median_error": errors.depth_median,
            "scale": errors.depth_ratio,
            "valid_pixels": errors.valid_pixels,
            "finite": errors.finite,
        },
        "pred_mask_mean": errors.pred_mask_mean,
        "gt_mask_mean": errors.gt_mask_mean,
        "mask_iou": errors.mask_iou,
        "bounds": _bounds([errors]),
        "points": dict(points),
    }


def _total(found: Predictions, errors: Errors, views: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(name for view in views for name in view["points"])
    return {
        "pose_rmse": errors.pose_rmse,
        "pose_rmse_degrees": errors.pose_degrees,
        "pose_rmse_scaled": errors.pose_rmse_scaled,
        "without_pose": sum(pose is None for pose in found.poses(PREDICTION)),
        "depth_rmse": errors.depth_rmse,
        "depth_median_error": errors.depth_median,
        "pred_mask_mean": errors.pred_mask_mean,
        "gt_mask_mean": errors.gt_mask_mean,
        "bounds": _bounds(errors.views),
        "points": {name: sum(view["points"].get(name, 0) for view in views) for name in names},
        "scale": {
            "applied": errors.scale,
            "of_depth": errors.scale_of_depth,
            "of_poses": errors.scale_of_poses,
        },
        "point_rmse": {
            "as_predicted": errors.points.none,
            "with_true_poses": errors.points.pose,
            "with_true_depth": errors.points.depth,
            "with_fitted_scale": errors.points.scale,
            "of_itself": errors.self_rmse,
        },
    }


def _bounds(views: Sequence[ViewErrors]) -> dict[str, list[float]] | None:
    known = [view.bounds for view in views if view.bounds]
    if not known:
        return None
    return {
        "low": [min(low[axis] for low, _ in known) for axis in range(3)],
        "high": [max(high[axis] for _, high in known) for axis in range(3)],
    }


def write_summary(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write the document into a folder, as a whole or not at all."""
    path = folder / FILE
    with whole(path) as partial:
        partial.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


REPAIRS = {"pose": "with_true_poses", "depth": "with_true_depth", "scale": "with_fitted_scale"}
LARGEST = 16 << 20  # bytes of a summary that is read


@dataclass(frozen=True, kw_only=True)
class PredictionSummary:
    """One summary: the errors of one sample; None is what could not be measured."""

    path: Path
    checkpoint: Path
    split: str
    index: int
    poses: str  # that the model was given: none, truth or noisy
    depth: str  # none, sparse or dense
    pose_rmse: float | None  # metres
    pose_rmse_scaled: float | None  # after the scale that fits the positions
    depth_rmse: float | None
    pred_mask_mean: float | None
    gt_mask_mean: float | None
    points: float | None  # RMSE, as predicted
    repaired: Mapping[str, float]  # what is repaired -> RMSE of the points then

    @property
    def is_unaided(self) -> bool:
        """Whether the model had nothing but images."""
        return self.poses == self.depth == "none"

    @property
    def culprit(self) -> str | None:
        """Pose, depth or scale: the repair that leaves the least; None where none of them is known."""
        return min(self.repaired, key=lambda part: self.repaired[part]) if self.repaired else None


@fact
def summaries(target: Target) -> tuple[PredictionSummary, ...]:
    """The summaries of the run's checkpoints, newest first. Raises Skip where there is none.

    One that is older than its checkpoint is not of it.
    """
    checkpoints = saved_checkpoints(target)
    run = checkpoints[0].parent
    known = {path.resolve(): path.stat().st_mtime for path in checkpoints}
    places = [*run.glob(f"eval_runs/*/{FILE}"), *target.repo.glob(f"pointcloud/*/{FILE}"), *_here()]
    found = sorted(set(places), key=lambda path: (-path.stat().st_mtime, str(path)))
    kept = [
        summary
        for summary in summaries_in(found)
        if summary.path.stat().st_mtime >= known.get(summary.checkpoint, float("inf"))
    ]
    if not kept:
        raise Skip(
            "no summary of predictions of this run's checkpoints",
            at=run,
            hint="write one: {command}",
            command=Command(f"opv2v-doctor pointcloud --run {shlex.quote(str(run))}"),
        )
    return tuple(kept)


def _here() -> Iterator[Path]:
    return Path.cwd().glob(f"pointcloud/*/{FILE}")


def summaries_in(paths: Iterable[Path]) -> Iterator[PredictionSummary]:
    """The summaries in files; of one that is none, or broken, nothing: who wrote it was told."""
    for path in paths:
        try:
            content = from_json(text_of(path)) if path.stat().st_size < LARGEST else {}
        except (OSError, ValueError):
            continue
        total = content.get("total") if isinstance(content, dict) else None
        if isinstance(total, dict) and isinstance(content.get("checkpoint"), str):
            yield _summary(path, content, total)


def _summary(path: Path, content: Mapping[str, Any], total: Mapping[str, Any]) -> PredictionSummary:
    given, points = _table(content.get("inputs")), _table(total.get("point_rmse"))
    repaired = {part: _number(points.get(name)) for part, name in REPAIRS.items()}
    return PredictionSummary(
        path=path,
        checkpoint=Path(content["checkpoint"]).resolve(),
        split=str(content.get("split", "")),
        index=int(_number(content.get("index")) or 0),
        poses=str(given.get("poses", "none")),
        depth=str(given.get("depth", "none")),
        pose_rmse=_number(total.get("pose_rmse")),
        pose_rmse_scaled=_number(total.get("pose_rmse_scaled")),
        depth_rmse=_number(total.get("depth_rmse")),
        pred_mask_mean=_number(total.get("pred_mask_mean")),
        gt_mask_mean=_number(total.get("gt_mask_mean")),
        points=_number(points.get("as_predicted")),
        repaired={part: value for part, value in repaired.items() if value is not None},
    )


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
