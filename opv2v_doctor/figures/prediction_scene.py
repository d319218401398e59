"""From a prediction to a scene for a page, and to the points of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.predictions.errors import Errors
from opv2v_doctor.facts.predictions.prediction import INPUT, PREDICTION, TRUTH, PredictedView, Predictions
from opv2v_doctor.figures.point_cloud import (
    IN_PREDICTED_MASK,
    IN_TRUE_MASK,
    LIDAR,
    AgentCloud,
    Cloud,
    InitialChoice,
    Scene,
    thin,
)
from opv2v_doctor.geometry.poses import transform

FARTHEST = 150.0  # metres from its agent; what is farther is sky, or nonsense that would shrink the rest
COLUMNS = (
    *("agent", "position off, m", "heading off, deg", "depth RMSE, m", "depth median, m", "right scale"),
    *("mask predicted", "mask true", "mask IoU"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """A scene, and the points of each agent by source: all, and those in the page."""

    scene: Scene
    counts: tuple[dict[str, int], ...]


def scene(found: Predictions, errors: Errors, title: str, most: int, main: str) -> Drawn:
    """The scene of a prediction with at most so many points, most of them of the main source of depth."""
    agents = agents_of(found)
    few = thin(agents, most, main)
    counts = tuple(
        {
            **{source: len(cloud.points) for source, cloud in whole.clouds.items()},
            "drawn": sum(len(cloud.points) for cloud in part.clouds.values()),
        }
        for whole, part in zip(agents, few, strict=True)
    )
    notes = _notes(found, errors, counts)
    rows = [_row(view) for view in _rows(errors)]
    scale = errors.scale_of_depth if errors.scale_of_depth and errors.scale_of_depth > 0 else None
    scene = Scene(title=title, agents=few, notes=notes, columns=COLUMNS, rows=rows, scale=scale)
    return Drawn(scene=scene, counts=counts)


def agents_of(found: Predictions) -> list[AgentCloud]:
    """The agents with all their points and poses."""
    poses = {source: found.poses(source) for source in (PREDICTION, TRUTH, INPUT)}
    return [
        AgentCloud(
            name=view.agent,
            poses={
                source: pose for source, known in poses.items() if (pose := known[view.place]) is not None
            },
            clouds=clouds_of(view),
        )
        for view in found.views
    ]


def clouds_of(view: PredictedView) -> dict[str, Cloud]:
    """A view's points by source: pixels with their colour, and the LiDAR's."""
    masks = _masks(view)
    clouds = {}
    for source, known in ((PREDICTION, None), (TRUTH, view.valid)):
        points = view.points(source)
        with np.errstate(invalid="ignore", over="ignore"):
            reach = np.linalg.norm(points, axis=-1)
            kept = np.isfinite(reach) & (reach > 0) & (reach < FARTHEST)
        kept = kept if known is None else kept & known
        clouds[source] = Cloud(points=points[kept], colours=view.image[kept], masks=masks[kept])
    if view.lidar is not None:
        near = np.linalg.norm(view.lidar, axis=-1) < FARTHEST
        clouds[LIDAR] = Cloud(points=view.lidar[near])
    return clouds


def _masks(view: PredictedView) -> NDArray[np.uint8]:
    """The bits of each pixel; a mask that is missing hides nothing."""
    bits = np.zeros(view.valid.shape, np.uint8)
    for source, bit in ((PREDICTION, IN_PREDICTED_MASK), (TRUTH, IN_TRUE_MASK)):
        mask = view.mask(source)
        bits |= np.where(True if mask is None else mask, np.uint8(bit), np.uint8(0))
    return bits


@dataclass(frozen=True, kw_only=True, eq=False)
class Written:
    """Points in the first agent's frame, as a file holds them."""

    points: NDArray[np.float64]  # (N, 3)
    colours: NDArray[np.uint8]  # (N, 3)
    agents: NDArray[np.int64]  # (N,), the place of each one's agent


def place_points(agents: Sequence[AgentCloud], opening: InitialChoice) -> Written:
    """All points by the sources that the page opens with, hidden ones left out."""
    points, colours, places = [np.zeros((0, 3))], [np.zeros((0, 3), np.uint8)], [np.zeros(0, np.int64)]
    for place, agent in enumerate(agents):
        cloud, pose = agent.clouds.get(opening.depth), agent.poses.get(opening.pose)
        if cloud is None or pose is None:
            continue
        shown = cloud.only(visible(cloud, opening.mask))
        points.append(transform(pose, shown.points))
        colours.append(_colours(shown))
        places.append(np.full(len(shown.points), place))
    return Written(
        points=np.concatenate(points), colours=np.concatenate(colours), agents=np.concatenate(places)
    )


def visible(cloud: Cloud, mask: str) -> NDArray[np.bool_]:
    """Which points a mask leaves."""
    bit = {PREDICTION: IN_PREDICTED_MASK, TRUTH: IN_TRUE_MASK}.get(mask, 0)
    if not bit or cloud.masks is None:
        return np.ones(len(cloud.points), bool)
    return np.asarray(cloud.masks & bit != 0)


def _colours(cloud: Cloud) -> NDArray[np.uint8]:
    grey = np.full((len(cloud.points), 3), 160, np.uint8)
    return grey if cloud.colours is None else cloud.colours


def _notes(found: Predictions, errors: Errors, counts: Sequence[dict[str, int]]) -> list[str]:
    """What the table cannot say."""
    total = {name: sum(each.get(name, 0) for each in counts) for name in (PREDICTION, TRUTH, LIDAR, "drawn")}
    right = errors.points
    return [
        _inputs(found),
        f"Points: {total[PREDICTION]} predicted, {total[TRUTH]} true, {total[LIDAR]} of LiDAR; "
        f"{total['drawn']} are in this page. What is farther than {FARTHEST:g} m from its agent is not.",
        "Position and heading are errors in the first agent's frame, as predicted: no scale is fitted. "
        "The right scale is the median of true / predicted depth; "
        f"for the positions it would be {number(errors.scale_of_poses)}. "
        f"The model itself applied {number(errors.scale)}.",
        f"Points are off by {number(right.none)} m (RMSE); with true poses {number(right.pose)}, "
        f"with true depth {number(right.depth)}, with the right scale {number(right.scale)}. "
        "What helps most is what is wrong.",
        "Axes: right, ahead and up of the first agent's LiDAR, in metres. The ground truth is tinted green. "
        "Marks: diamond predicted, circle true, square given; the line shows where an agent looks.",
    ]


def _inputs(found: Predictions) -> str:
    """What the model was given, and whether that changed anything."""
    told = found.inquiry
    poses = "true" if told.poses == TRUTH else told.poses
    asked = [f"{poses} poses"] if poses != "none" else []
    asked += [f"{told.depth} depth"] if told.depth != "none" else []
    if not asked:
        return "Given to the model: images only."
    moved = (
        "nothing: the model ignores it" if found.effect == 0 else f"its points by {number(found.effect)} m"
    )
    return f"Given to the model: images, {' and '.join(asked)}. That moves {moved} on average."


def _rows(errors: Errors) -> list[tuple[str, list[float | None]]]:
    rows: list[tuple[str, list[float | None]]] = [
        (
            view.agent,
            [
                *(view.pose_metres, view.pose_degrees, view.depth_rmse, view.depth_median, view.depth_ratio),
                *(view.pred_mask_mean, view.gt_mask_mean, view.mask_iou),
            ],
        )
        for view in errors.views
    ]
    every = [
        *(errors.pose_rmse, errors.pose_degrees, errors.depth_rmse, errors.depth_median),
        *(errors.scale_of_depth, errors.pred_mask_mean, errors.gt_mask_mean, None),
    ]
    return [*rows, ("all (positions: RMS of all but the first)", every)]


def _row(row: tuple[str, list[float | None]]) -> list[str]:
    return [row[0], *(number(value) for value in row[1])]


def number(value: float | None) -> str:
    """Three digits; a dash where nothing was measured."""
    return "unknown" if value is None else f"{value:.3g}" if abs(value) > 1e-6 else "0"
