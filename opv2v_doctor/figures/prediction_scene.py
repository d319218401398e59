"""From a prediction to a scene for a page, and to the points of a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.predictions.errors import Errors
from opv2v_doctor.facts.predictions.prediction import INPUT, PREDICTION, TRUTH, PredictedView, Predictions
from opv2v_doctor.figures.point_cloud import (
    HAS_TRUTH,
    IN_PREDICTED_MASK,
    IN_TRUE_MASK,
    LIDAR,
    AgentCloud,
    Cloud,
    InitialChoice,
    Scene,
    SeenImage,
    thin,
)
from opv2v_doctor.geometry.poses import transform
from opv2v_doctor.text import Text

FARTHEST = 150.0  # metres from its agent; what is farther is sky, or nonsense that would shrink the rest
ROWS, COLUMNS_SEEN = 12, 48  # of the image that stands at an agent's place
HELPS = 0.9  # of the points' error: what a repair leaves less of is what to fix first
COLUMNS = (
    Text("agent"),
    Text("position off, m"),
    Text("heading off, degrees"),
    Text("depth RMSE, m"),
    Text("depth median, m"),
    Text("right scale"),
    Text("mask predicted"),
    Text("mask true"),
    Text("mask IoU"),
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
    scale = errors.scale_of_depth if errors.scale_of_depth and errors.scale_of_depth > 0 else None
    scene = Scene(
        title=title,
        agents=few,
        answer=list(answer(errors)),
        notes=_notes(found, errors, counts),
        columns=COLUMNS,
        rows=[_row(view) for view in _rows(errors)],
        scale=scale,
    )
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
            width=view.valid.shape[1],
            seen=_seen(view),
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
        clouds[source] = Cloud(
            points=points[kept],
            colours=view.image[kept],
            masks=masks[kept],
            pixels=np.flatnonzero(kept),
            errors=_depth_errors(view)[kept] if source == PREDICTION else None,
        )
    if view.lidar is not None:
        near = np.linalg.norm(view.lidar, axis=-1) < FARTHEST
        clouds[LIDAR] = Cloud(points=view.lidar[near])
    return clouds


def _depth_errors(view: PredictedView) -> NDArray[np.float32]:
    """By how much the predicted range is too large (H, W), metres; NaN where the true one is not known."""
    with np.errstate(invalid="ignore", over="ignore"):
        wrong = view.depths(PREDICTION) - view.depths(TRUTH)
    return np.where(view.valid, wrong, np.nan).astype(np.float32)


def _seen(view: PredictedView) -> SeenImage | None:
    """The view's image on its rays, small; None where it has no rays or no image."""
    rays = view.array("truth_rays")
    rays = view.array("prediction_rays") if rays is None else rays
    if rays is None or view.array("prediction_image") is None:
        return None
    rows, columns = (
        np.rint(np.linspace(0, size - 1, min(size, most))).astype(int)
        for size, most in zip(rays.shape[:2], (ROWS, COLUMNS_SEEN), strict=True)
    )
    corner, opposite = rays[rays.shape[0] // 2, 0], rays[rays.shape[0] // 2, -1]
    return SeenImage(
        rays=rays[np.ix_(rows, columns)],
        colours=view.image[np.ix_(rows, columns)],
        is_round=bool(corner[2] < 0 and opposite[2] < 0),  # its edges are behind
    )


def _masks(view: PredictedView) -> NDArray[np.uint8]:
    """The bits of each pixel; a mask that is missing hides nothing."""
    bits = np.where(view.valid, np.uint8(HAS_TRUTH), np.uint8(0))
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


def answer(errors: Errors) -> Iterator[Text]:
    """How wrong it is, and what to fix first: the part whose true values leave the least error."""
    yield Text(
        "Poses are off by {metres} m and {degrees} degrees, depth by {depth} m.",
        metres=number(errors.pose_rmse),
        degrees=number(errors.pose_degrees),
        depth=number(errors.depth_rmse),
    )
    now, repairs = errors.points.none, {name: getattr(errors.points, name) for name in FIXES}
    known = {name: left for name, left in repairs.items() if left is not None}
    if now is None or not known:
        return
    name = min(known, key=lambda name: known[name])
    told = Text("Points are off by {now} m", now=number(now))
    if known[name] > HELPS * now:
        yield Text(
            "{told}: neither true poses nor true depth nor another scale alone would help much.", told=told
        )
    else:
        yield Text(
            "{told}; {fix} they would be off by {left} m.",
            told=told,
            fix=FIXES[name],
            left=number(known[name]),
        )


FIXES = {
    "pose": Text("fix the poses first: with true ones"),
    "depth": Text("fix the depth first: with the true one"),
    "scale": Text("fix the scale first: with the right one"),
}


def _notes(found: Predictions, errors: Errors, counts: Sequence[dict[str, int]]) -> list[Text]:
    """What the table cannot say."""
    total = {name: sum(each.get(name, 0) for each in counts) for name in (PREDICTION, TRUTH, LIDAR, "drawn")}
    right = errors.points
    return [
        _inputs(found),
        Text(
            "Points: {predicted} predicted, {true} true, {lidar} of LiDAR; {drawn} are in this page. What is "
            "farther than {farthest:g} m from its agent is not; what has no true depth is "
            "taken for sky and hidden.",
            predicted=total[PREDICTION],
            true=total[TRUTH],
            lidar=total[LIDAR],
            drawn=total["drawn"],
            farthest=FARTHEST,
        ),
        Text(
            "Position and heading are errors in the first agent's frame, as predicted: no scale is fitted. "
            "The right scale is the median of true / predicted depth; for the positions it would be {poses}. "
            "The model itself applied {applied}.",
            poses=number(errors.scale_of_poses),
            applied=number(errors.scale),
        ),
        Text(
            "Points are off by {now} m (RMSE); with true poses {pose}, with true depth {depth}, with the "
            "right scale {scale}. What helps most is what is wrong.",
            now=number(right.none),
            pose=number(right.pose),
            depth=number(right.depth),
            scale=number(right.scale),
        ),
        Text(
            "Axes at the first agent's LiDAR: red right, green ahead, blue up, 3 m each; lines on the "
            "ground every 10 m. The ground truth is tinted green. Marks: diamond predicted, circle true, "
            "square given; a line shows where an agent looks, a red one how far it is off."
        ),
    ]


def _inputs(found: Predictions) -> Text:
    """What the model was given, and whether that changed anything."""
    told = found.inquiry
    asked = [Text("poses ({kind})", kind=told.poses)] if told.poses != "none" else []
    asked += [Text("depth ({kind})", kind=told.depth)] if told.depth != "none" else []
    if not asked:
        return Text("Given to the model: images only.")
    given = Text("Given to the model: images, {asked}.", asked=asked)
    if found.effect == 0:
        return Text("{given} That moves nothing: the model ignores it.", given=given)
    moved = number(found.effect)
    return Text("{given} That moves its points by {effect} m on average.", given=given, effect=moved)


def _rows(errors: Errors) -> list[tuple[str | Text, list[float | None]]]:
    rows: list[tuple[str | Text, list[float | None]]] = [
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
    return [*rows, (Text("all"), every)]


def _row(row: tuple[str | Text, list[float | None]]) -> list[str | Text]:
    return [row[0], *(number(value) for value in row[1])]


def number(value: float | None) -> str:
    """Three digits; a dash where nothing was measured."""
    return "unknown" if value is None else f"{value:.3g}" if abs(value) > 1e-6 else "0"
