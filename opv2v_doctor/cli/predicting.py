"""The work behind `pointcloud`: the model is run, the files are written, and the first numbers said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.predictions import TRUTH, Inquiry, Predictions, predictions
from opv2v_doctor.facts.probe import Raised
from opv2v_doctor.figures.point_cloud import LIDAR, Opening
from opv2v_doctor.figures.prediction_files import write_prediction
from opv2v_doctor.figures.prediction_scene import number
from opv2v_doctor.target import Target
from opv2v_doctor.usage import UsageError

NO_ANSWER = 3
FOLDER = "pointcloud"  # where results go by default, in the working directory


def shown(target: Target, inquiry: Inquiry, opening: Opening, place: Path, points: int) -> int:
    """Run the model, write the files, and say what came out; the exit code is 3 where nothing did."""
    typer.echo(f"running {inquiry.checkpoint} on sample {inquiry.index} of {inquiry.split}", err=True)
    try:
        found = _predicted(target, inquiry)
        if opening.depth == LIDAR and all(view.lidar is None for view in found.views):
            raise Blocked("--depth-source lidar: no agent of the sample has a .pcd file")
        _make(place)
        name = f"{inquiry.split}_{inquiry.index}"
        document = write_prediction(place, name, _title(found), found, opening, points)
    except (Blocked, Skip) as problem:
        typer.echo(f"no point cloud: {problem}", err=True)
        return NO_ANSWER
    except OSError as problem:
        typer.echo(f"{place} cannot be written: {problem.strerror or problem}", err=True)
        return NO_ANSWER
    for line in _told(document):
        typer.echo(line)
    typer.echo(f"wrote {place / f'{name}_pointcloud.html'}")
    return 0


def _make(place: Path) -> None:
    """Make the directory; where it is one of ours in the working directory, git shall not see it."""
    ours = not place.is_absolute() and place.parent.name == FOLDER and not place.parent.exists()
    place.mkdir(parents=True, exist_ok=True)
    if ours:
        (place.parent / ".gitignore").write_text("*\n", encoding="utf-8")


def _predicted(target: Target, inquiry: Inquiry) -> Predictions:
    try:
        return predictions(target, inquiry)
    except Raised as problem:
        if problem.kind == "IndexError" and problem.message.startswith(f"index {inquiry.index}:"):
            raise UsageError(f"--split {inquiry.split} --{problem.message}") from None
        raise


def _title(found: Predictions) -> str:
    first = found.views[0]
    scenario, frame = first.label.split("/")[0], first.instance.split("/")[0]
    return f"{scenario} {frame}, {found.inquiry.checkpoint.name}"


def _told(document: dict[str, Any]) -> Iterator[str]:
    """The numbers that one looks at first."""
    total, right = document["total"], document["total"]["point_rmse"]
    yield from _unfilled(document["weights"])
    yield from _given(document["inputs"])
    yield (
        f"poses are off by {number(total['pose_rmse'])} m and {number(total['pose_rmse_degrees'])} degrees "
        "(RMS over all agents but the first, as predicted: no scale is fitted)"
    )
    yield (
        f"depth is off by {number(total['depth_rmse'])} m (RMSE); "
        f"the right scale would be {number(total['scale']['of_depth'])}"
    )
    yield f"mask mean is {number(total['pred_mask_mean'])}, the true one's {number(total['gt_mask_mean'])}"
    yield (
        f"points are off by {number(right['as_predicted'])} m; with true poses "
        f"{number(right['with_true_poses'])}, with true depth {number(right['with_true_depth'])}, "
        f"with the right scale {number(right['with_fitted_scale'])}"
    )


def _unfilled(weights: dict[str, dict[str, int]]) -> Iterator[str]:
    """The sub-modules that the checkpoint leaves as they were initialised."""
    lacking = [
        f"{name} {part['loaded']} of {part['elements']}"
        for name, part in weights.items()
        if part["loaded"] < part["elements"]
    ]
    if lacking:
        yield f"NOT ALL WEIGHTS ARE THE CHECKPOINT'S: {', '.join(lacking)}"


def _given(inputs: dict[str, Any]) -> Iterator[str]:
    """What the model was given besides images, and whether that changed anything."""
    given = [
        f"{'true' if inputs[what] == TRUTH else inputs[what]} {what}"
        for what in ("poses", "depth")
        if inputs[what] != "none"
    ]
    if given:
        moved = f"moves its points by {number(inputs['effect'])} m on average"
        ignored = "changes nothing: the model ignores it"
        yield f"given {' and '.join(given)}: that {moved if inputs['effect'] else ignored}"
