"""The files of a prediction: page, pictures, tensors, cloud and summary, side by side in one folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from opv2v_doctor.atomic import whole
from opv2v_doctor.facts.predictions.errors import errors
from opv2v_doctor.facts.predictions.prediction import PREDICTION, TRUTH, PredictedView, Predictions
from opv2v_doctor.facts.predictions.summaries import summary, write_summary
from opv2v_doctor.figures import cloud_pictures as pictures
from opv2v_doctor.figures.pictures import png
from opv2v_doctor.figures.ply import write_ply
from opv2v_doctor.figures.point_cloud import MOST_POINTS, InitialChoice, write_page
from opv2v_doctor.figures.prediction_scene import agents_of, clouds_of, number, place_points, scene
from opv2v_doctor.reporters import Say

TENSORS = {
    "prediction": ("depth", "rays", "pose", "points", "mask", "confidence", "scale"),
    "truth": ("depth", "rays", "pose", "valid", "mask"),
    "input": ("pose",),
}


def write_prediction(
    folder: Path,
    name: str,
    title: str,
    found: Predictions,
    opening: InitialChoice,
    most: int = MOST_POINTS,
    say: Say = str,
    language: str = "en",
) -> dict[str, object]:
    """Write everything into an existing folder; the page is NAME_pointcloud.html. Returns the summary."""
    wrong = errors(found)
    shown = scene(found, wrong, title, most, opening.depth)
    write_page(folder / f"{name}_pointcloud.html", shown.scene, opening, say, language)
    _write_cloud(folder / f"{name}_pointcloud.ply", found, opening)
    names = file_names([view.agent for view in found.views])
    _write(folder / f"{name}_pointcloud.png", png(_from_above(found, opening)))
    (folder / "tensors").mkdir(exist_ok=True)
    for view, stem in zip(found.views, names, strict=True):
        for kind, picture in _pictures(view):
            _write(folder / f"{stem}_{kind}.png", png(picture))
        for tensor, array in _tensors(view):
            with whole(folder / "tensors" / f"{stem}_{tensor}.npy") as partial, partial.open("wb") as file:
                np.save(file, array)
    render = {"pose_source": opening.pose, "depth_source": opening.depth, "mask": opening.mask}
    document = summary(found, wrong, render, shown.counts)
    write_summary(folder, document)
    return document


def _write(path: Path, content: bytes) -> None:
    with whole(path) as partial:
        partial.write_bytes(content)


def file_names(agents: list[str]) -> list[str]:
    """A name for the files of each agent, with its id: letters that a path cannot have are replaced."""
    names: list[str] = []
    for place, agent in enumerate(agents):
        name = f"agent_{re.sub(r'[^A-Za-z0-9.-]', '_', agent)[:80]}"
        names.append(f"{name}_view{place}" if name in names else name)
    return names


def _write_cloud(path: Path, found: Predictions, opening: InitialChoice) -> None:
    """The cloud that the page opens with, with all its points."""
    cloud = place_points(agents_of(found), opening)
    comments = [
        f"{opening.depth} depth, {opening.pose} poses, mask: {opening.mask}",
        "metres, the first agent's frame in OpenCV axes: x right, y down, z ahead",
        f"agent: {', '.join(f'{place} = {view.agent}' for place, view in enumerate(found.views))}",
    ]
    write_ply(path, cloud.points, cloud.colours, cloud.agents, comments)


def _pictures(view: PredictedView) -> Iterator[tuple[str, pictures.Image]]:
    """The PNGs of an agent, predicted above or beside true."""
    clouds = clouds_of(view)
    seen = [
        pictures.with_heading(
            pictures.cloud_picture(cloud.points, cloud.colours, pictures.CHASE),
            f"agent {view.agent}: {word} depth",
        )
        for word, source in (("predicted", PREDICTION), ("true", TRUTH))
        if (cloud := clouds[source]).colours is not None
    ]
    yield "cloud", np.hstack(seen)
    known = {PREDICTION: np.ones_like(view.valid), TRUTH: view.valid}
    yield (
        "depth",
        np.vstack(
            [
                pictures.with_heading(
                    pictures.enlarge(pictures.depth_picture(view.depths(source), known[source])),
                    f"agent {view.agent}: {word} depth, 1 m red to 100 m blue, logarithmic",
                )
                for word, source in (("predicted", PREDICTION), ("true", TRUTH))
            ]
        ),
    )
    none = np.zeros_like(view.valid)
    masks = [none if (mask := view.mask(source)) is None else mask for source in (PREDICTION, TRUTH)]
    told = f"predicted mask {number(float(masks[0].mean()))}, true {number(float(masks[1].mean()))}"
    legend = "white both, blue only predicted, orange only true"
    yield (
        "mask",
        pictures.with_heading(
            pictures.enlarge(pictures.mask_picture(masks[0], masks[1])),
            f"agent {view.agent}: {told}; {legend}",
        ),
    )


def _from_above(found: Predictions, opening: InitialChoice) -> pictures.Image:
    """All agents from above: by the poses that the page opens with, and by the true ones."""
    agents = agents_of(found)
    true = np.array([pose[:3, 3] for pose in found.poses(TRUTH) if pose is not None]).reshape(-1, 3)
    middle = true.mean(0) if len(true) else np.zeros(3)
    reach = 30.0 + float(np.linalg.norm(true - middle, axis=-1).max(initial=0.0))
    eye = pictures.above(middle.tolist(), reach)
    parts = []
    for pose, depth in ((opening.pose, opening.depth), (TRUTH, TRUTH)):
        mask = opening.mask if depth == opening.depth else TRUTH
        cloud = place_points(agents, InitialChoice(pose=pose, depth=depth, mask=mask))
        known = [(agent.name, agent.poses[pose][:3, 3]) for agent in agents if pose in agent.poses]
        places = np.array([place for _, place in known]).reshape(-1, 3)
        ground = cloud.points[:, 1] > -6.0  # below six metres: seen from above, crowns of trees hide the road
        picture = pictures.cloud_picture(cloud.points[ground], cloud.colours[ground], eye)
        marked = pictures.with_marks(picture, places, [name for name, _ in known], eye)
        parts.append(pictures.with_heading(marked, f"{depth} depth, {pose} poses, from above"))
    return np.hstack(parts)


def _tensors(view: PredictedView) -> Iterator[tuple[str, np.ndarray]]:
    """All arrays of a view under the names that their files get."""
    for source, names in TENSORS.items():
        for name in names:
            array = view.array(f"{source}_{name}")
            if array is not None:
                yield f"{source}_{name}", array
    yield "image", view.image
    if view.lidar is not None:
        yield "lidar", view.lidar
