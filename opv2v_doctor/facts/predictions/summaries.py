"""Summaries: what `opv2v-doctor pointcloud` measured of a checkpoint's predictions, as far as it was run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Skip
from opv2v_doctor.facts.past.runs import saved
from opv2v_doctor.foreign_files import from_json, text_of
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Command

FILE = "summary.json"
REPAIRS = {"pose": "with_true_poses", "depth": "with_true_depth", "scale": "with_fitted_scale"}
LARGEST = 16 << 20  # bytes of a summary that is read


@dataclass(frozen=True, kw_only=True)
class Summary:
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
def summaries(target: Target) -> tuple[Summary, ...]:
    """The summaries of the run's checkpoints, newest first. Raises Skip where there is none.

    One that is older than its checkpoint is not of it.
    """
    checkpoints = saved(target)
    run = checkpoints[0].parent
    known = {path.resolve(): path.stat().st_mtime for path in checkpoints}
    places = [*run.glob(f"eval_runs/*/{FILE}"), *target.repo.glob(f"pointcloud/*/{FILE}"), *_here()]
    found = sorted(set(places), key=lambda path: (-path.stat().st_mtime, str(path)))
    kept = [
        summary
        for path in found
        for summary in _read(path)
        if path.stat().st_mtime >= known.get(summary.checkpoint, float("inf"))
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


def _read(path: Path) -> Iterator[Summary]:
    """The summary in a file; nothing where it is none, or broken: who wrote it was told."""
    try:
        content = from_json(text_of(path)) if path.stat().st_size < LARGEST else {}
    except (OSError, ValueError):
        return
    total = content.get("total") if isinstance(content, dict) else None
    if isinstance(total, dict) and isinstance(content.get("checkpoint"), str):
        yield _summary(path, content, total)


def _summary(path: Path, content: Mapping[str, Any], total: Mapping[str, Any]) -> Summary:
    given, points = _table(content.get("inputs")), _table(total.get("point_rmse"))
    repaired = {part: _number(points.get(name)) for part, name in REPAIRS.items()}
    return Summary(
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
