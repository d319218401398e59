"""The command that runs a checkpoint's model on one sample and shows its point cloud: pointcloud."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.cli import options
from opv2v_doctor.facts.interpreter.probe import Raised
from opv2v_doctor.facts.past.runs import last_run
from opv2v_doctor.facts.predictions.prediction import TRUTH, PredictionRequest, Predictions, predictions
from opv2v_doctor.figures.point_cloud import LIDAR, Camera, InitialChoice
from opv2v_doctor.figures.prediction_files import write_prediction
from opv2v_doctor.figures.prediction_scene import number
from opv2v_doctor.figures.rerun_files import record_predictions, rerun
from opv2v_doctor.languages import Language, say
from opv2v_doctor.runs.earlier import chosen_checkpoint, is_stamped, reopened
from opv2v_doctor.runs.inference import output_directories
from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError

NO_ANSWER = 3
FOLDER = "pointcloud"  # where results go by default, in the working directory


PoseSource = Literal["pred", "gt", "input"]  # whose poses place the points
DepthSource = Literal["pred", "gt", "lidar"]  # whose depth makes the points
MaskSource = Literal["pred", "gt", "none"]  # whose mask hides points
PoseInput = Literal["none", "gt", "noisy"]  # the poses that the model is given
DepthInput = Literal["none", "sparse", "dense"]  # the depth that the model is given
Colour = Literal["rgb", "error", "agent", "height", "distance"]  # what the colour of a point tells
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
    pose_source: Annotated[PoseSource, typer.Option(help="Place the points by these poses.")] = "pred",
    depth_source: Annotated[DepthSource, typer.Option(help="Make the points of this depth.")] = "pred",
    mask_source: Annotated[MaskSource, typer.Option(help="Leave out what this mask hides.")] = "pred",
    pose_input: Annotated[PoseInput, typer.Option(help="Give the model these poses.")] = "none",
    depth_input: Annotated[DepthInput, typer.Option(help="Give the model this depth.")] = "none",
    noise: Noise = "0.5,1",
    compare: Annotated[
        bool, typer.Option("--compare", help="Predicted, true and given poses side by side.")
    ] = False,
    colour: Annotated[Colour, typer.Option(help="Colour the points by this.")] = "rgb",
    points: Annotated[int, typer.Option(min=1000, help="Most points in the page.")] = 200_000,
    camera_eye: Place = None,
    camera_center: Place = None,
    camera_up: Up = "0,0,1",
    output: Output = None,
    rrd: options.Recording = None,
    lang: options.Lang = "en",
) -> None:
    """Run a checkpoint's model on a sample, and show its point cloud.

    It is a page that opens offline. Beside it: pictures of each agent's cloud, depth and mask, the tensors, a
    .ply, and summary.json.
    """
    if pose_source == "input" and pose_input == "none":
        raise UsageError("--pose-source input: the model was given no poses: add --pose-input gt or noisy")
    if rrd is not None:
        rerun()
    metres, degrees = _numbers("--noise", noise, 2)
    target = replace(target, overrides=tuple(overrides or ()))
    run = target.run if target.run or checkpoint else _last_run(target)
    file = chosen_checkpoint(run, checkpoint)
    inquiry = PredictionRequest(
        checkpoint=file,
        split=_split(target),
        index=index,
        poses=OURS.get(pose_input, pose_input),
        depth=depth_input,
        metres=metres,
        degrees=degrees,
    )
    opening = InitialChoice(
        pose=OURS.get(pose_source, pose_source),
        depth=OURS.get(depth_source, depth_source),
        mask=OURS.get(mask_source, mask_source),
        colour=colour,
        compare=compare,
        camera=_camera(camera_eye, camera_center, camera_up),
    )
    folder = run or file.parent
    place = _place(output, folder, inquiry)
    raise typer.Exit(_show(reopened(target, folder), inquiry, opening, place, points, lang, rrd))


def _split(target: Target) -> str:
    """The split that was asked for, else val."""
    options.verify_splits(target)
    if len(target.splits) != 1 and target.splits != target.settings.splits:
        raise UsageError(f"--split {' --split '.join(target.splits)}: a sample is of one split")
    return target.splits[0] if len(target.splits) == 1 else "val"


def _last_run(target: Target) -> Path | None:
    try:
        return last_run(target)
    except (Blocked, Skip):
        return None


def _numbers(option: str, words: str, count: int) -> tuple[float, ...]:
    """The numbers of an option."""
    try:
        found = tuple(float(word) for word in words.split(","))
    except ValueError:
        found = ()
    if len(found) != count or not all(map(isfinite, found)):
        raise UsageError(f"{option} {words!r}: give {count} numbers with commas between them")
    return found


def _camera(eye: str | None, center: str | None, up: str) -> Camera | None:
    upwards = _numbers("--camera-up", up, 3)
    if eye is None:
        if center is not None:
            raise UsageError("--camera-center needs --camera-eye: where to look from")
        return None
    from_here, to = _numbers("--camera-eye", eye, 3), _numbers("--camera-center", center or "0,0,0", 3)
    if from_here == to:
        raise UsageError(f"--camera-eye and --camera-center are both {eye}: no direction to look in")
    return Camera(eye=from_here, center=to, up=upwards)  # type: ignore[arg-type]


def _place(output: Path | None, folder: Path, inquiry: PredictionRequest) -> Path:
    """The new directory to write into.

    Raises UsageError where the one that was asked for holds something.
    """
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


def _show(
    target: Target,
    inquiry: PredictionRequest,
    opening: InitialChoice,
    place: Path,
    points: int,
    language: Language,
    rrd: Path | None,
) -> int:
    """Run the model, write the files, and say what came out; the exit code is 3 where nothing did."""
    typer.echo(f"running {inquiry.checkpoint} on sample {inquiry.index} of {inquiry.split}", err=True)
    try:
        found = _predictions(target, inquiry)
        if opening.depth == LIDAR and all(view.lidar is None for view in found.views):
            raise Blocked("--depth-source lidar: no agent of the sample has a .pcd file")
        _make(place)
        name = f"{inquiry.split}_{inquiry.index}"
        speak = partial(say, language=language)
        document = write_prediction(place, name, _title(found), found, opening, points, speak, language)
        if rrd is not None:
            record_predictions(rrd, found)
    except (Blocked, Skip) as problem:
        typer.echo(f"no point cloud: {problem}", err=True)
        return NO_ANSWER
    except OSError as problem:
        typer.echo(f"{place} cannot be written: {problem.strerror or problem}", err=True)
        return NO_ANSWER
    for line in _first_numbers(document):
        typer.echo(line)
    typer.echo(f"wrote {place / f'{name}_pointcloud.html'}{f' and {rrd}' if rrd else ''}")
    return 0


def _make(place: Path) -> None:
    """Make the directory; where it is one of ours in the working directory, git shall not see it."""
    ours = not place.is_absolute() and place.parent.name == FOLDER and not place.parent.exists()
    place.mkdir(parents=True, exist_ok=True)
    if ours:
        (place.parent / ".gitignore").write_text("*\n", encoding="utf-8")


def _predictions(target: Target, inquiry: PredictionRequest) -> Predictions:
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


def _first_numbers(document: dict[str, Any]) -> Iterator[str]:
    """The numbers that one looks at first."""
    total, right = document["total"], document["total"]["point_rmse"]
    yield from _empty_parts(document["weights"])
    yield from _inputs(document["inputs"])
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


def _empty_parts(weights: dict[str, dict[str, int]]) -> Iterator[str]:
    """The sub-modules that the checkpoint leaves as they were initialised."""
    lacking = [
        f"{name} {part['loaded']} of {part['elements']}"
        for name, part in weights.items()
        if part["loaded"] < part["elements"]
    ]
    if lacking:
        yield f"NOT ALL WEIGHTS ARE THE CHECKPOINT'S: {', '.join(lacking)}"


def _inputs(inputs: dict[str, Any]) -> Iterator[str]:
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
