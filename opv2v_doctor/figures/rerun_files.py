"""Rerun files: what was drawn or predicted as a recording for rerun's viewer, which turns and scrubs it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from opv2v_doctor.atomic import whole
from opv2v_doctor.facts.predictions.prediction import PREDICTION, TRUTH, Predictions
from opv2v_doctor.facts.samples.panoramas import ShownSample
from opv2v_doctor.figures.frame_page import QUALITY, ShownAgent
from opv2v_doctor.figures.panorama_words import ViewCaption
from opv2v_doctor.figures.prediction_scene import FARTHEST, agents_of
from opv2v_doctor.geometry.poses import relative, transform
from opv2v_doctor.geometry.rigs import MountedCamera
from opv2v_doctor.user_error import UsageError

FRUSTUM = 1.0  # metres from a camera to its image in the scene
_unsafe = re.compile(r"[^\w.-]+")


def rerun() -> Any:
    """The library. Raises UsageError where it is not installed."""
    try:
        return importlib.import_module("rerun")
    except ImportError as problem:
        raise UsageError(f"--rrd needs rerun: pip install 'opv2v-doctor[rerun]' ({problem})") from None


@contextmanager
def recording(path: Path) -> Iterator[Any]:
    """A recording that takes its place when it is complete; x right, y down, z ahead of the first agent."""
    rr = rerun()
    with whole(path) as partial:
        stream = rr.RecordingStream("opv2v-doctor")
        stream.save(partial)
        stream.log("world", rr.ViewCoordinates.RDF, static=True)
        yield stream
        stream.flush()
        stream.disconnect()


def record_predictions(path: Path, found: Predictions) -> None:
    """Write predicted and true poses, points, depth and masks of each agent, its image and its LiDAR."""
    rr = rerun()
    with recording(path) as stream:
        stream.set_time("sample", sequence=found.inquiry.index)
        for agent, view in zip(agents_of(found), found.views, strict=True):
            for source, pose in agent.poses.items():
                place = f"world/{source}/{_named(agent.name)}"
                stream.log(place, rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
                cloud = agent.clouds.get(source)
                if cloud is not None:
                    stream.log(f"{place}/points", rr.Points3D(cloud.points, colors=cloud.colours))
            for source, cloud in agent.clouds.items():
                if source not in agent.poses and TRUTH in agent.poses:
                    points = transform(agent.poses[TRUTH], cloud.points)
                    stream.log(f"world/{source}/{_named(agent.name)}", rr.Points3D(points))
            pictures = f"views/{_named(agent.name)}"
            stream.log(f"{pictures}/image", rr.Image(view.image))
            for source in (PREDICTION, TRUTH):
                depth = np.nan_to_num(view.depths(source), posinf=0.0, neginf=0.0).clip(0, FARTHEST)
                stream.log(f"{pictures}/{source}_depth", rr.DepthImage(depth.astype(np.float32), meter=1.0))
                mask = view.mask(source)
                if mask is not None:
                    stream.log(f"{pictures}/{source}_mask", rr.SegmentationImage(mask.astype(np.uint8)))


def record_sample(stream: Any, sample: ShownSample, shown: list[ViewCaption]) -> None:
    """Add the views of a sample at its index, and at the frame that it names, to a recording of a split."""
    rr = rerun()
    stream.set_time("sample", sequence=sample.index)
    for each in shown:
        identity, pose, drawn = each.drawn.view.identity, each.pose, each.drawn
        frame = str(identity.instance).partition("/")[0]
        if frame.isdigit():
            stream.set_time("frame", sequence=int(frame))
        scenario = _named(str(identity.label).partition("/")[0])
        place = f"world/{scenario}/{_named(each.name)}"
        if pose is not None:
            stream.log(place, rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
            points, colours = _points(each)
            stream.log(f"{place}/points", rr.Points3D(points, colors=colours))
            _log_rig(stream, place, each)
        pictures = f"views/{_named(each.name)}"
        if drawn.rgb is not None:
            stream.log(f"{pictures}/image", rr.Image(drawn.rgb))
        if drawn.depth is not None:
            depth = np.nan_to_num(drawn.depth, posinf=0.0, neginf=0.0).astype(np.float32)
            stream.log(f"{pictures}/depth", rr.DepthImage(depth, meter=1.0))
        for name, mask in (("non_ambiguous_mask", drawn.mask), ("valid_mask", drawn.valid)):
            if mask is not None:
                stream.log(f"{pictures}/{name}", rr.SegmentationImage(mask.astype(np.uint8)))


def _log_rig(stream: Any, place: str, shown: ViewCaption) -> None:
    """The cameras of a panorama at their mounts; a view of a single camera is one itself."""
    rr, found, drawn = rerun(), shown.stitched, shown.drawn
    if found is not None and found.cylinder is not None:
        _log_cameras(stream, place, found.rig, {name: one[..., ::-1] for name, one in found.images.items()})
    elif shown.single and drawn.view.intrinsics is not None and shown.shape is not None:
        rows, columns = shown.shape
        stream.log(place, _pinhole(drawn.view.intrinsics, columns, rows))
        if drawn.rgb is not None:
            stream.log(f"{place}/image", rr.Image(drawn.rgb))


def record_frame(stream: Any, number: int, frame: str, scenario: str, agents: Sequence[ShownAgent]) -> None:
    """Add a moment of a dataset to a recording: each agent's LiDAR, and its cameras with their images."""
    rr = rerun()
    stream.set_time("sample", sequence=number)
    if frame.isdigit():
        stream.set_time("frame", sequence=int(frame))
    first = next((agent.pose for agent in agents if agent.pose is not None), None)
    for agent in agents:
        if agent.pose is None or first is None:
            continue
        place = f"world/{_named(scenario)}/{_named(agent.name)}"
        pose = relative(agent.pose, first)
        stream.log(place, rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
        if agent.points is not None and len(agent.points):
            stream.log(f"{place}/lidar", rr.Points3D(agent.points))
        _log_cameras(stream, place, agent.rig, agent.images)
        for name, picture in agent.pictures.items():
            stream.log(f"views/{_named(agent.name)}/{name}", rr.Image(picture).compress(jpeg_quality=QUALITY))


def _log_cameras(
    stream: Any, place: str, rig: Mapping[str, MountedCamera], images: Mapping[str, NDArray[np.uint8]]
) -> None:
    """A frustum for each camera of an agent, with its image (H, W, 3), red first."""
    rr = rerun()
    for name, (pinhole, pose) in rig.items():
        camera = f"{place}/{_named(name)}"
        stream.log(camera, rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
        stream.log(camera, _pinhole(pinhole.intrinsics, pinhole.width, pinhole.height))
        if name in images:
            picture = rr.Image(np.ascontiguousarray(images[name])).compress(jpeg_quality=QUALITY)
            stream.log(f"{camera}/image", picture)


def _pinhole(intrinsics: ArrayLike, width: int, height: int) -> Any:
    """A camera without distortion, drawn as a frustum."""
    rr = rerun()
    return rr.Pinhole(
        image_from_camera=np.asarray(intrinsics, np.float64),
        resolution=[width, height],
        camera_xyz=rr.ViewCoordinates.RDF,
        image_plane_distance=FRUSTUM,
    )


def _points(shown: ViewCaption) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """The points of a view's depth around its camera, and their colours; none of an unknown camera."""
    found, depth = shown.stitched, shown.fitting(shown.drawn.depth)
    if found is None or found.cylinder is None or depth is None:
        return np.zeros((0, 3)), None
    with np.errstate(invalid="ignore"):
        known = np.isfinite(depth) & (depth > 0) & (depth < FARTHEST)
    points = found.cylinder.rays()[known] * depth[known][:, None]
    return points, None if shown.drawn.rgb is None else shown.drawn.rgb[known]


def _named(name: str) -> str:
    """A name as a part of an entity's path."""
    return _unsafe.sub("_", name) or "_"
