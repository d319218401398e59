"""The command that runs a checkpoint's model on one sample and shows its point cloud: pointcloud."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opv2v_doctor.cli import options

if TYPE_CHECKING:
    from opv2v_doctor.facts.predictions import Inquiry
    from opv2v_doctor.figures.point_cloud import Camera
    from opv2v_doctor.target import Target


class PoseSource(StrEnum):
    """Whose poses place the points."""

    PRED = "pred"
    GT = "gt"
    INPUT = "input"


class DepthSource(StrEnum):
    """Whose depth makes the points."""

    PRED = "pred"
    GT = "gt"
    LIDAR = "lidar"


class MaskSource(StrEnum):
    """Whose mask hides points."""

    PRED = "pred"
    GT = "gt"
    NONE = "none"


class PoseInput(StrEnum):
    """The poses that the model is given."""

    NONE = "none"
    GT = "gt"
    NOISY = "noisy"


class DepthInput(StrEnum):
    """The depth that the model is given."""

    NONE = "none"
    SPARSE = "sparse"
    DENSE = "dense"


class Colour(StrEnum):
    """What the colour of a point tells."""

    RGB = "rgb"
    AGENT = "agent"
    HEIGHT = "height"
    DISTANCE = "distance"


OURS = {"pred": "prediction", "gt": "truth"}

Checkpoint = Annotated[
    Path | None,
    typer.Option(help="The checkpoint.  [default: the run's best, else its last]", show_default=False),
]
Output = Annotated[
    Path | None,
    typer.Option(
        help="A new directory for it all.  [default: in RUN/eval_runs of a stamped run, else ./pointcloud]",
        show_default=False,
    ),
]
Noise = Annotated[
    str, typer.Option(metavar="M,DEG", help="Noisy poses: standard deviation of position and heading.")
]
Place = Annotated[
    str | None,
    typer.Option(metavar="X,Y,Z", help="Metres: right, ahead, up of the first agent.", show_default=False),
]
Up = Annotated[str, typer.Option(metavar="X,Y,Z", help="The direction that is up in the picture.")]


@options.takes_target
def pointcloud(
    target: Target,
    overrides: options.Overrides = None,
    checkpoint: Checkpoint = None,
    index: Annotated[int, typer.Option(min=0, help="Which sample of the split.")] = 0,
    pose_source: Annotated[
        PoseSource, typer.Option(help="Place the points by these poses.")
    ] = PoseSource.PRED,
    depth_source: Annotated[
        DepthSource, typer.Option(help="Make the points of this depth.")
    ] = DepthSource.PRED,
    mask_source: Annotated[
        MaskSource, typer.Option(help="Leave out what this mask hides.")
    ] = MaskSource.PRED,
    pose_input: Annotated[PoseInput, typer.Option(help="Give the model these poses.")] = PoseInput.NONE,
    depth_input: Annotated[DepthInput, typer.Option(help="Give the model this depth.")] = DepthInput.NONE,
    noise: Noise = "0.5,1",
    compare: Annotated[
        bool, typer.Option("--compare", help="Predicted, true and given poses side by side.")
    ] = False,
    colour: Annotated[Colour, typer.Option(help="Colour the points by this.")] = Colour.RGB,
    points: Annotated[int, typer.Option(min=1000, help="Most points in the page.")] = 200_000,
    camera_eye: Place = None,
    camera_center: Place = None,
    camera_up: Up = "0,0,1",
    output: Output = None,
) -> None:
    """Run a checkpoint's model on one sample and show its point cloud in a page that opens offline.

    Beside it: pictures of each agent's cloud, depth and mask, the tensors, a .ply, and summary.json.
    """
    from opv2v_doctor.cli.predicting import shown
    from opv2v_doctor.facts.predictions import Inquiry
    from opv2v_doctor.figures.point_cloud import Opening
    from opv2v_doctor.runs.inference import chosen_checkpoint
    from opv2v_doctor.runs.reopening import reopened
    from opv2v_doctor.usage import UsageError

    if pose_source is PoseSource.INPUT and pose_input is PoseInput.NONE:
        raise UsageError("--pose-source input: the model was given no poses: add --pose-input gt or noisy")
    metres, degrees = _numbers("--noise", noise, 2)
    target = replace(target, overrides=tuple(overrides or ()))
    run = target.run if target.run or checkpoint else _last_run(target)
    file = chosen_checkpoint(run, checkpoint)
    inquiry = Inquiry(
        checkpoint=file,
        split=_split(target),
        index=index,
        poses=OURS.get(pose_input, pose_input),
        depth=depth_input,
        metres=metres,
        degrees=degrees,
    )
    opening = Opening(
        pose=OURS.get(pose_source, pose_source),
        depth=OURS.get(depth_source, depth_source),
        mask=OURS.get(mask_source, mask_source),
        colour=colour,
        compare=compare,
        camera=_camera(camera_eye, camera_center, camera_up),
    )
    folder = run or file.parent
    place = _place(output, folder, inquiry)
    raise typer.Exit(shown(reopened(target, folder), inquiry, opening, place, points))


def _split(target: Target) -> str:
    """The split that was asked for, else val."""
    from opv2v_doctor.cli.examination import SPLITS
    from opv2v_doctor.usage import UsageError, unknown

    for split in target.splits:
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
    if len(target.splits) != 1 and target.splits != target.settings.splits:
        raise UsageError(f"--split {' --split '.join(target.splits)}: a sample is of one split")
    return target.splits[0] if len(target.splits) == 1 else "val"


def _last_run(target: Target) -> Path | None:
    from opv2v_doctor.check import Blocked, Skip
    from opv2v_doctor.facts.runs import last_run

    try:
        return last_run(target)
    except (Blocked, Skip):
        return None


def _numbers(option: str, words: str, count: int) -> tuple[float, ...]:
    """The numbers of an option."""
    from math import isfinite

    from opv2v_doctor.usage import UsageError

    try:
        found = tuple(float(word) for word in words.split(","))
    except ValueError:
        found = ()
    if len(found) != count or not all(map(isfinite, found)):
        raise UsageError(f"{option} {words!r}: give {count} numbers with commas between them")
    return found


def _camera(eye: str | None, center: str | None, up: str) -> Camera | None:
    from opv2v_doctor.figures.point_cloud import Camera
    from opv2v_doctor.usage import UsageError

    upwards = _numbers("--camera-up", up, 3)
    if eye is None:
        if center is not None:
            raise UsageError("--camera-center needs --camera-eye: where to look from")
        return None
    from_here, to = _numbers("--camera-eye", eye, 3), _numbers("--camera-center", center or "0,0,0", 3)
    if from_here == to:
        raise UsageError(f"--camera-eye and --camera-center are both {eye}: no direction to look in")
    return Camera(eye=from_here, center=to, up=upwards)  # type: ignore[arg-type]


def _place(output: Path | None, folder: Path, inquiry: Inquiry) -> Path:
    """The new directory to write into.

    Raises UsageError where the one that was asked for holds something.
    """
    from opv2v_doctor.cli.predicting import FOLDER
    from opv2v_doctor.runs.inference import output_directories
    from opv2v_doctor.runs.reopening import is_stamped
    from opv2v_doctor.usage import UsageError

    if output is not None:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise UsageError(f"--output {output} exists and is not empty: name another directory")
        return output
    if is_stamped(folder):
        places = output_directories(folder, inquiry.split, inquiry.index)
    else:
        name = f"{folder.name}_{inquiry.checkpoint.stem}_{inquiry.split}_{inquiry.index}"
        places = [Path(FOLDER, name if n < 2 else f"{name}_{n}") for n in range(1, 1000)]
    return next(place for place in places if not place.exists())
