"""Rigs and depth maps of a frame, in the ways that a dataset may take them, right and wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.damage import image_size
from opv2v_doctor.facts.frames import Disk, Frame, frame_file
from opv2v_doctor.facts.geometry.moments import sides
from opv2v_doctor.geometry.conventions import Convention
from opv2v_doctor.geometry.poses import invert
from opv2v_doctor.geometry.readings import Source
from opv2v_doctor.geometry.rigs import MountedCamera, rig_of

LARGEST_DEPTH = 256 << 20  # bytes of a file
INVERSE = "inverse extrinsics"
AGENTS_OWN = "the wrong convention of the agents' poses"
KNOWN_WRONG: Mapping[str, Convention] = {
    "Rx(roll) Ry(pitch) Rz(yaw)": Convention(order="xyz", signs=(1, 1, 1)),
    "Rz(yaw) Ry(pitch) Rx(roll)": Convention(signs=(1, 1, 1)),
    "mirrored axes": Convention(axes="mirrored"),
}


def names_of(where: Disk, frame: Frame) -> tuple[str, ...]:
    """The cameras that the dataset is told to use and that the frame has."""
    content = frame_file(frame.yaml)
    return tuple(name for name in where.cameras if name in content and frame.agent.has(frame.image(name)))


def rig(where: Disk, frame: Frame) -> dict[str, MountedCamera]:
    """The frame's cameras by name. Raises Blocked where its file does not describe them."""
    names = names_of(where, frame)
    if not names:
        raise Blocked(
            "{file}: none of the cameras that the dataset uses ({cameras}) has an entry here and an image",
            hint="set camera_ids to cameras that have both",
            file=frame.yaml,
            cameras=where.cameras,
        )
    try:
        found = rig_of(frame_file(frame.yaml), *image_size(frame.image(names[0])))
    except ValueError as problem:
        raise Blocked("{file}: {problem}", file=frame.yaml, problem=str(problem)) from None
    return {name: found[name] for name in names}


def rigs(where: Disk, frame: Frame, named: Mapping[str, Convention]) -> dict[str, list[MountedCamera]]:
    """The frame's cameras where they are, and where wrong conventions would put them."""
    right = list(rig(where, frame).values())
    content = frame_file(frame.yaml)
    found = {"right": right}
    found[INVERSE] = [MountedCamera(c.pinhole, invert(c.camera_to_lidar)) for c in right]
    cords = np.array([content[name]["cords"] for name in names_of(where, frame)], dtype=np.float64)
    for name, convention in named.items():
        poses = convention.related(cords, np.asarray(content["lidar_pose"], dtype=np.float64))
        found[name] = [MountedCamera(c.pinhole, pose) for c, pose in zip(right, poses, strict=True)]
    return found


def source(frame: Frame, cameras: Sequence[str]) -> Source:
    """The depth maps of these cameras, None for each that is not there."""
    return Source(
        [depth_map(frame.depth(name)) if frame.agent.has(frame.depth(name)) else None for name in cameras]
    )


@lru_cache(maxsize=48)
def depth_map(path: Path) -> NDArray[Any]:
    """A depth map (h, w). Raises Blocked where it is none."""
    try:
        if path.stat().st_size > LARGEST_DEPTH:
            raise Blocked("{file}: larger than {limit} MB", file=path, limit=LARGEST_DEPTH >> 20)
        depth = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
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
