"""Rigs, images and depth maps of a frame, in the ways that a dataset may take them, right and wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor import rasters
from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.frames import Disk, Frame, frame_file
from opv2v_doctor.facts.samples.moments import sides
from opv2v_doctor.facts.samples.rigs import rig
from opv2v_doctor.geometry.conventions import Convention
from opv2v_doctor.geometry.poses import invert
from opv2v_doctor.geometry.readings import DepthMaps
from opv2v_doctor.geometry.rigs import MountedCamera
from opv2v_doctor.geometry.stitching import Image
from opv2v_doctor.state import of_file

INVERSE = "inverse extrinsics"
AGENTS_OWN = "the wrong convention of the agents' poses"
KNOWN_WRONG: Mapping[str, Convention] = {
    "Rx(roll) Ry(pitch) Rz(yaw)": Convention(order="xyz", signs=(1, 1, 1)),
    "Rz(yaw) Ry(pitch) Rx(roll)": Convention(signs=(1, 1, 1)),
    "mirrored axes": Convention(axes="mirrored"),
}


def rigs(where: Disk, frame: Frame, named: Mapping[str, Convention]) -> dict[str, list[MountedCamera]]:
    """The frame's cameras where they are, and where wrong conventions would put them."""
    own = rig(where, frame)
    right, content = list(own.values()), frame_file(frame)
    found = {"right": right}
    found[INVERSE] = [MountedCamera(c.pinhole, invert(c.camera_to_lidar)) for c in right]
    cords = np.array([content[name]["cords"] for name in own], dtype=np.float64)
    for name, convention in named.items():
        poses = convention.relative_pose(cords, np.asarray(content["lidar_pose"], dtype=np.float64))
        found[name] = [MountedCamera(c.pinhole, pose) for c, pose in zip(right, poses, strict=True)]
    return found


def depth_maps(frame: Frame, cameras: Iterable[str]) -> DepthMaps:
    """The depth maps of these cameras, None for each that is not there."""
    return [depth_of(frame, name) for name in cameras]


def depth_of(frame: Frame, camera: str) -> NDArray[Any] | None:
    """The depth map of a camera, None where the frame has none. Raises Blocked where it cannot be read."""
    path = frame.depth(camera)
    return depth_map(path, frame.agent.layout.depth_scale) if frame.agent.has(path) else None


@of_file(most=48)
def depth_map(path: Path, scale: float | None = None) -> NDArray[Any]:
    """A depth map (h, w); `scale` is metres of a step of whole numbers. Raises Blocked where it is none."""
    try:
        depth = rasters.depth_of(path, scale)
    except rasters.NotReadError as problem:
        raise Blocked("{file}: {problem}", hint=problem.hint, file=path, problem=str(problem)) from None
    except (OSError, ValueError) as problem:
        said = " ".join(str(problem).split())
        raise Blocked("{file}: {problem}", file=path, problem=said) from None
    flat = depth.reshape([side for side in depth.shape if side != 1]) if depth.size else depth
    if flat.ndim != 2 or flat.dtype.kind not in "fiu":
        raise Blocked(
            "{file}: {shape} numbers of {type} are no depth map",
            hint="write depth as an array of height x width",
            file=path,
            shape=sides(depth.shape),
            type=str(depth.dtype),
        )
    return np.asarray(flat)


def pictures(frame: Frame, cameras: tuple[str, ...]) -> dict[str, Image]:
    """The frame's images (h, w, 3). Raises Blocked where one cannot be read."""
    return {name: picture_at(frame.image(name)) for name in cameras}


@of_file(most=32)
def picture_at(path: Path) -> Image:
    """An image (h, w, 3). Raises Blocked where it cannot be read."""
    try:
        return rasters.image_of(path)
    except (OSError, ValueError) as problem:
        raise Blocked(
            "{file}: cannot be read as an image: {problem}", file=path, problem=str(problem)
        ) from None


def without_depth(where: Disk, split: str, frame: Frame) -> Skip:
    """That the frames have no depth maps to compare with."""
    return Skip(
        "the frames of {split} have no depth files: {file} is missing",
        split=split,
        file=frame.depth(where.cameras[0]),
    )


def neighbours(where: Disk, frame: Frame) -> dict[str, Frame]:
    """Frames whose files may have been taken for this one's: of the agent before and after, of others now."""
    frames, found = frame.agent.frames, {}
    place = frames.index(frame)
    for name, other in (("the frame before", place - 1), ("the frame after", place + 1)):
        if 0 <= other < len(frames):
            found[name] = frames[other]
    for agent in where.by_name[frame.agent.scenario].agents:
        same = next((other for other in agent.frames if other.name == frame.name), None)
        if same and agent.name != frame.agent.name and len(found) < 6:
            found[f"agent {agent.name}"] = same
    return found
