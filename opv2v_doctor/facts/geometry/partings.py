"""Partings: the line at which a view's pose, its cameras or its depth part from what the files give.

One sample is drawn once more, and the values of its variables are compared with those that a right loader
has on its way: poses of LiDARs and cameras, one seen from another, in CARLA's axes or converted.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.frames import Disk, Frame, disk
from opv2v_doctor.facts.geometry.camera_axes import from_opencv
from opv2v_doctor.facts.geometry.relative_poses import declared_axes, mount_numbers
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.interpreter.questions import Sighting
from opv2v_doctor.facts.interpreter.views import View
from opv2v_doctor.facts.launch.loaders import loader_module
from opv2v_doctor.facts.launch.origins import class_place
from opv2v_doctor.facts.launch.splits import expression_of
from opv2v_doctor.facts.samples.draws import arrays_folder, samples
from opv2v_doctor.facts.samples.moments import Mount, is_pinhole, traced_views
from opv2v_doctor.facts.source.syntax import nodes
from opv2v_doctor.geometry.cameras import Array
from opv2v_doctor.geometry.conventions import RIGHT
from opv2v_doctor.geometry.poses import invert, pose_matrix
from opv2v_doctor.layout import CAMERAS
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

TURN, METRES = 1e-3, 5e-3  # of float32, far from the world's origin
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Poses:
    """Mounts at one moment, and the poses that a right loader may have of them (N, 4, 4)."""

    mounts: tuple[Mount, ...]
    world: Array  # (M, 4, 4), to the world, in CARLA's axes
    axes: str

    def forms(self, poses: Array) -> Array:
        """The same in CARLA's axes, in OpenCV's, and in those of the cameras."""
        converted = RIGHT.in_axes(poses)
        turn = np.eye(4)
        turn[:3, :3] = from_opencv(self.axes)
        return np.concatenate([poses, converted, *([] if self.axes == RIGHT.axes else [converted @ turn])])

    def of(self, mount: Mount) -> Array:
        """Those that say where it is: in the world, or seen from any other."""
        place = self.mounts.index(mount)
        own, others = self.world[place], np.delete(self.world, place, 0)
        return self.forms(np.concatenate([own[None], invert(others) @ own]))

    def anywhere(self, mount: Mount) -> Array:
        """The same, or seen from itself."""
        return np.concatenate([self.of(mount), self.seen_from(mount, mount)])

    def seen_from(self, mount: Mount, other: Mount) -> Array:
        """Those that say where it is, seen from one other."""
        one, two = (self.world[self.mounts.index(each)] for each in (mount, other))
        return self.forms((invert(two) @ one)[None])

    def in_world(self, mount: Mount) -> Array:
        """Its pose in the world."""
        return self.forms(self.world[self.mounts.index(mount)][None])

    @property
    def all(self) -> Array:
        pairs = (invert(self.world)[:, None] @ self.world[None]).reshape(-1, 4, 4)
        return self.forms(np.concatenate([self.world, invert(self.world), pairs, np.eye(4)[None]]))


def pose_parting(target: Target, split: str, worst: Frame) -> Place | None:
    """Where the pose of a view of the sample with this frame parts from its files; None: nobody knows."""
    found = _followed(target, split, worst)
    if found is None:
        return None
    trail, where = found
    for view, mount, origin in _shown(where, trail.views):
        known = _poses(where, mount.frame, declared_axes(target, split))
        if view.pose is None or known is None:
            continue
        final = np.array(view.pose)
        pinhole = is_pinhole(where, view)
        if not _among(final, known.anywhere(mount) if pinhole else known.seen_from(mount, origin)):
            return _parting(target, where, trail.sightings, final, mount, origin, known)
    return None


def _parting(
    target: Target,
    where: Disk,
    sightings: Sequence[Sighting],
    final: Array,
    mount: Mount,
    origin: Mount,
    known: Poses,
) -> Place | None:
    poses = [(each, pose) for each in sightings if (pose := _pose_of(each)) is not None]
    end = next((n for n, (_, pose) in enumerate(poses) if _among(pose, final[None])), len(poses))
    everything = known.all
    if _among(final, everything):  # that of something else
        return _mistaken(target, where, poses, final, mount, origin, known)
    right = known.of(mount)
    begin = max((n for n, (_, pose) in enumerate(poses[: end + 1]) if _among(pose, right)), default=-1)
    unknown = [each for each in poses[begin + 1 :] if not _is_made(each[1], everything)]
    if not unknown:
        return None
    first, pose = unknown[0]
    if first.given or _is_right_elsewhere(first, poses, everything):
        return sighting_place(first, _called(target, where, first))
    return sighting_place(first if begin >= 0 else _first_rotation(sightings, first, pose, everything))


def _mistaken(
    target: Target,
    where: Disk,
    poses: Sequence[tuple[Sighting, Array]],
    final: Array,
    mount: Mount,
    origin: Mount,
    known: Poses,
) -> Place | None:
    """Where the pose of another agent or camera is taken for that of this one, or of the first."""
    end = next((n for n, (_, pose) in enumerate(poses) if _among(pose, final[None])), len(poses))
    home = class_place(target, where.part.class_name)
    for other in known.mounts:
        if _among(final, known.seen_from(mount, other)):  # it leads there: made before the views are
            seen = next((each for each, pose in poses if _among(pose, known.in_world(other))), None)
            if seen is not None:
                return sighting_place(seen, _called(target, where, seen))
    for other in known.mounts:
        if _among(final, known.seen_from(other, origin)):  # it comes from there: made for this view
            world = known.in_world(other)
            made = [each for each, pose in poses[:end] if not each.given and _among(pose, world)]
            own = [each for each in made if home and each.file == home.path]
            if made:
                return sighting_place((own or made)[-1], _called(target, where, (own or made)[-1]))
    seen = next((each for each, pose in poses if _among(pose, final[None])), None)
    return sighting_place(seen, _called(target, where, seen)) if seen else None


def camera_parting(target: Target, split: str, frame: Frame) -> Place | None:
    """Where the pose of a camera of a panorama, seen from its LiDAR, parts from its files."""
    found = _followed(target, split, frame)
    if found is None:
        return None
    trail, where = found
    for _, mount, _ in _shown(where, trail.views):
        known = _poses(where, mount.frame, RIGHT.axes)
        if known is None:
            continue
        if mount.camera:  # the image of a single camera has no other pose than its own
            return None
        cameras = [each for each in known.mounts if each.frame == mount.frame and each.camera]
        right = [RIGHT.in_axes(known.seen_from(each, mount)[0]) for each in cameras]
        return _camera_parting(target, where, trail.sightings, np.stack(right), known) if right else None
    return None


def _camera_parting(
    target: Target, where: Disk, sightings: Sequence[Sighting], right: Array, known: Poses
) -> Place | None:
    poses = [(each, pose) for each in sightings if (pose := _pose_of(each)) is not None]
    made = [(each, pose) for each, pose in poses if _among(pose, right)]
    if made:
        parts = (_taken_apart(sightings, each, pose) for each, pose in made)
        return next((sighting_place(part) for part in parts if part), None)
    everything, inverse = known.all, invert(right)
    for each, pose in poses:
        if not _is_made(pose, everything):
            elsewhere = each.given or _is_right_elsewhere(each, poses, everything)
            return sighting_place(each, _called(target, where, each) if elsewhere else None)
    turned = (each for each, pose in poses if _among(pose, inverse) and not each.given)
    return next((sighting_place(each, _called(target, where, each)) for each in turned), None)


def _taken_apart(sightings: Sequence[Sighting], made: Sighting, pose: Array) -> Sighting | None:
    """The first rotation or position that a function takes of a right pose, and that is another one."""
    for each in sightings[sightings.index(made) + 1 :]:
        if (each.file, each.function, each.callers) != (made.file, made.function, made.callers):
            continue
        numbers = np.array(each.numbers)
        if each.shape == (3, 3) and _is_rotation(numbers.reshape(3, 3)):
            if np.abs(numbers.reshape(3, 3) - pose[:3, :3]).max() > TURN:
                return each
        elif each.shape == (3,):
            if np.abs(numbers - pose[:3, 3]).max() > METRES:
                return each
        elif (other := _pose_of(each)) is not None and not _among(other, pose[None]):
            return each if _is_rotation(other[:3, :3]) and each.name == made.name else None
    return None


def _followed(target: Target, split: str, frame: Frame) -> tuple[questions.Trail, Disk] | None:
    """The sample that shows a frame, drawn once more."""
    try:
        views = traced_views(target, split)
        place = next((n for n, each in enumerate(views) if any(v.frame == frame for v in each)), None)
        return None if place is None else (trail(target, split, place), disk(target, split))
    except (Blocked, Skip):
        return None


@fact
def trail(target: Target, split: str, place: int, *, grid: int = 0) -> questions.Trail:
    """The values on the way to one of the drawn samples. Raises Blocked where they cannot be followed."""
    return questions.followed(
        target,
        expression=expression_of(target, split),
        module_name=loader_module(target),
        key=list(samples(target, split).samples[place].key),
        folder=str(trail_folder(target, split, place)),
        root=str(target.repo),
        grid=grid,
    )


def trail_folder(target: Target, split: str, place: int) -> Path:
    """Where the large values of a trail are."""
    return arrays_folder(target) / f"trail-{split}-{place}"


def _shown(where: Disk, views: Iterable[View]) -> list[tuple[View, Mount, Mount]]:
    """What views were taken with, and the LiDAR of the agent that their label names."""
    found = []
    for view in views:
        frame = where.frame_of(view.identity)
        if frame is None:
            continue
        named = where.agents.get((frame.agent.scenario, (view.identity.label or "").split("/")[-1]))
        origin = next((each for each in named.frames if each.name == frame.name), frame) if named else frame
        camera = where.camera_of(view.identity) if is_pinhole(where, view) else None
        found.append((view, Mount(frame, camera), Mount(origin)))
    return found


def _poses(where: Disk, frame: Frame, axes: str) -> Poses | None:
    """Of all agents' LiDARs and cameras at the moment of a frame."""
    agents = where.by_name[frame.agent.scenario].agents
    frames = [each for agent in agents for each in agent.frames if each.name == frame.name]
    mounts = [Mount(each, camera) for each in frames for camera in (None, *CAMERAS)]
    known = [(mount, numbers) for mount in mounts if (numbers := mount_numbers(mount)) is not None]
    if not known:
        return None
    return Poses(tuple(mount for mount, _ in known), pose_matrix([numbers for _, numbers in known]), axes)


def _pose_of(seen: Sighting) -> Array | None:
    """The pose (4, 4) that was seen, where it is one."""
    if seen.shape not in ((4, 4), (3, 4)):
        return None
    pose = np.eye(4)
    pose[: seen.shape[0]] = np.array(seen.numbers).reshape(seen.shape)
    return pose


def _is_rotation(matrix: Array) -> bool:
    return bool(np.abs(matrix @ matrix.T - np.eye(3)).max() < TURN)


def _among(pose: Array, poses: Array) -> bool:
    """Whether a pose is one of some poses (N, 4, 4)."""
    turned = np.abs(poses[:, :3, :3] - pose[:3, :3]).max((1, 2)) < TURN
    moved = np.abs(poses[:, :3, 3] - pose[:3, 3]).max(1) < METRES + 1e-6 * np.abs(pose[:3, 3]).max()
    return bool((turned & moved).any())


def _is_made(pose: Array, poses: Array) -> bool:
    """Whether a pose is one of these, or one in the making: its rotation or its position alone."""
    if _among(pose, poses):
        return True
    if not pose[:3, 3].any():
        return bool((np.abs(poses[:, :3, :3] - pose[:3, :3]).max((1, 2)) < TURN).any())
    if np.array_equal(pose[:3, :3], np.eye(3)):
        return bool((np.abs(poses[:, :3, 3] - pose[:3, 3]).max(1) < METRES).any())
    return False


def _is_right_elsewhere(seen: Sighting, poses: Sequence[tuple[Sighting, Array]], everything: Array) -> bool:
    """Whether a function gives right poses to others: then it was given something wrong."""
    for each, pose in poses:
        returned = (each.file, each.function, each.name) == (seen.file, seen.function, "return")
        if returned and not np.allclose(pose[:3, :3], np.eye(3), atol=TURN) and _among(pose, everything):
            return True
    return False


def _called(target: Target, where: Disk, seen: Sighting) -> tuple[Path, int]:
    """The line of a sighting; or the call, nearest to it, in the file of the dataset's class."""
    home = class_place(target, where.part.class_name)
    lines = [(seen.file, seen.line), *seen.callers]
    return next((line for line in lines if home and line[0] == home.path), lines[0])


def _first_rotation(
    sightings: Sequence[Sighting], first: Sighting, pose: Array, everything: Array
) -> Sighting:
    """What made the rotation of a pose that is wrong, where that has a line of its own."""
    rotation = pose[:3, :3]
    if (np.abs(everything[:, :3, :3] - rotation).max((1, 2)) < TURN).any():
        return first
    for each in sightings[: sightings.index(first)]:
        made = np.array(each.numbers).reshape(3, 3) if each.shape == (3, 3) and not each.given else None
        if made is not None and np.abs(made - rotation).max() < TURN:
            return each
    return first


def sighting_place(seen: Sighting, line: tuple[Path, int] | None = None) -> Place:
    """The line of a sighting, or another one: within its statement that which gives the name."""
    path, number = line or (seen.callers[0] if seen.given and seen.callers else (seen.file, seen.line))
    return Place(path=path, line=_within(path, number, seen.name), near=False)


def _within(path: Path, line: int, name: str) -> int:
    """The line in a statement of several that gives this keyword, or this key of a dictionary."""
    inside = [
        node
        for node in nodes(path)
        if isinstance(node, ast.Call | ast.Dict) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    for node in inside:
        if isinstance(node, ast.Call):
            given = [each.value for each in node.keywords if each.arg == name]
        else:
            pairs = zip(node.keys, node.values, strict=True)
            given = [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == name]
        if given:
            return given[0].lineno
    return line
