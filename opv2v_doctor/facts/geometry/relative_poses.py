"""Relative poses: those that the dataset gives against OPV2V's own, and the convention that yields them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, compress, product
from math import isfinite
from typing import NamedTuple

import numpy as np

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.frames import Disk, Frame, disk, frame_file
from opv2v_doctor.facts.geometry.camera_axes import DECLARED, from_opencv, rays_axes
from opv2v_doctor.facts.geometry.depth_maps import neighbours
from opv2v_doctor.facts.samples.moments import (
    Mount,
    PinholeView,
    TracedView,
    pinhole_views,
    traced_views,
    without_frames,
)
from opv2v_doctor.geometry.cameras import Array
from opv2v_doctor.geometry.conventions import RIGHT, Convention, alternatives, pose_errors
from opv2v_doctor.geometry.mistakes import Mistake, explanation
from opv2v_doctor.geometry.poses import invert
from opv2v_doctor.layout import CAMERAS
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text
from opv2v_doctor.threshold import Threshold

EXACT = Threshold(
    0.02, "m at 50 m", "a convention that yields the poses does so to float32", healthy=1.4e-6, faulty=1.96
)
ENTRY = "entry "  # of the frame file, whose name follows
SAME = 1e-4  # metres: two conventions that close are told apart by their simplicity only


WORLD = Text("the world")


@dataclass(frozen=True, kw_only=True)
class PoseErrors:
    """The error of the poses of a split, and what explains it."""

    views: int
    moved: tuple[float, ...]  # of each right pose from the identity, metres at 50 m: an agent alone is there
    turned: tuple[float, ...]  # of each right pose from its own inverse
    degrees: float  # the largest
    metres: float  # the largest, at 50 m
    mean_metres: float
    worst: Frame
    tilt: float  # the largest roll or pitch of the frames that poses lead between, degrees
    convention: Convention | None  # that yields the poses; None where none does, or the right one
    ambiguous: bool  # another convention of the same simplicity yields them too
    after: float  # mean metres at 50 m against what the convention yields
    other: str | None = None  # the frame, agent, camera or entry of the file whose poses they are
    end: str = "own"  # which end of the poses is that: own, first, or both
    mistake: Mistake | None = None  # what was done to the right ones, where that is neither
    wrong: int = 0  # poses that are off, all of which that explains
    left: float = 0.0  # degrees that are left then, the largest
    right: Convention = RIGHT  # what they were compared with: OPV2V's, in the axes that are declared
    of_cameras: bool = False  # to one another, of single cameras; else of panoramas to their first agent
    origin: Text | None = None  # what the poses of single cameras lead to, where that is clear
    only: tuple[str, ...] = ()  # the cameras or agents that are off, where all poses of the others are right


class Leg(NamedTuple):
    """A pose (4, 4), as the dataset gives it, from one mount to another; and were it given the other way."""

    pose: Array
    inverse: Array
    own: Mount
    first: Mount


@fact
def relative_poses(target: Target, split: str) -> PoseErrors:
    """Every drawn view's pose against its frame's: a panorama's from its LiDAR to that of the label's agent.

    Those of single cameras are compared with one another, from each camera to the first one of its sample,
    whatever they lead to. Raises Skip where a sample has no two of them, Blocked where no view has a pose and
    shows a frame.
    """
    where, pinholes = disk(target, split), pinhole_views(target, split)
    right = replace(RIGHT, axes=declared_axes(target, split))
    legs = camera_legs(pinholes, right) if any(pinholes) else panorama_legs(traced_views(target, split))
    if not legs and any(pinholes):
        raise Skip("each drawn sample of {split} shows one camera: no pose to compare with", split=split)
    if not legs:
        raise without_frames(target, split)
    poses = np.stack([leg.pose for leg in legs])
    if not np.isfinite(poses).all():
        raise Blocked("a camera_pose of {split} is not finite: DAT006 says which", split=split)
    own, first = _cords([leg.own for leg in legs]), _cords([leg.first for leg in legs])
    expected = right.relative_pose(own, first)
    degrees, metres = pose_errors(poses, expected)
    convention, after, ambiguous, other, end, mistake = None, float(metres.mean()), False, None, "own", None
    if after > SAME:
        inverses = np.stack([leg.inverse for leg in legs]) if any(pinholes) else None
        convention, after, ambiguous = convention_of(poses, own, first, inverses, right)
        off = metres > EXACT
        if convention is None and off.any():
            other, end, after = _of_another(where, list(compress(legs, off)), poses[off], right, after)
        if convention is None and other is None and off.any():
            mistake, after = explanation(poses[off], own[off], first[off], right, float(EXACT))
    return PoseErrors(
        views=len(legs),
        moved=_metres(expected, np.eye(4)),
        turned=_metres(expected, invert(expected)),
        degrees=float(degrees.max()),
        metres=float(metres.max()),
        mean_metres=float(metres.mean()),
        worst=legs[int(metres.argmax())].own.frame,
        tilt=float(np.abs([own[:, [3, 5]], first[:, [3, 5]]]).max()),
        convention=convention,
        after=after,
        ambiguous=ambiguous,
        other=other,
        end=end,
        mistake=mistake,
        wrong=int((metres > EXACT).sum()),
        right=right,
        of_cameras=any(pinholes),
        origin=origin_of(pinholes, right.axes),
        only=_only(legs, metres),
    )


@fact
def declared_axes(target: Target, split: str) -> str:
    """The axes of a split's single cameras, a name of ``conventions.AXES``.

    They are those of the settings; else those of the rays that the views give, where their poses are nearer
    to right in them than in OpenCV's; else OpenCV's.
    """
    if target.settings.poses.axes:
        return DECLARED[target.settings.poses.axes]
    pinholes = pinhole_views(target, split)
    told = rays_axes(chain.from_iterable(pinholes)) or RIGHT.axes
    legs = camera_legs(pinholes)
    if told == RIGHT.axes or not legs:
        return told
    own, first = _cords([leg.own for leg in legs]), _cords([leg.first for leg in legs])
    poses, other = np.stack([leg.pose for leg in legs]), replace(RIGHT, axes=told)
    return min((RIGHT, other), key=lambda each: _mean_error(poses, each, own, first)).axes


def _only(legs: Sequence[Leg], metres: Array) -> tuple[str, ...]:
    """The cameras, or agents, whose poses are off, where all poses of the others are right."""

    def name(mount: Mount) -> str:
        return mount.camera or mount.frame.agent.name

    wrong = {name(leg.own) for leg, error in zip(legs, metres, strict=True) if error > EXACT}
    right = {name(leg.own) for leg, error in zip(legs, metres, strict=True) if error <= EXACT}
    moved = {name(leg.own) for leg in legs if leg.own != leg.first}
    return tuple(sorted(wrong)) if right & moved and not wrong & right else ()


def _metres(poses: Array, others: Array) -> tuple[float, ...]:
    """Between poses (N, 4, 4), at 50 m."""
    return tuple(pose_errors(poses, others)[1].tolist())


def panorama_legs(samples: Iterable[tuple[TracedView, ...]]) -> list[Leg]:
    """Each panorama to that of its first agent, as its pose says."""
    return [
        Leg(view.pose, invert(view.pose), Mount(view.frame), Mount(view.origin))
        for view in chain.from_iterable(samples)
        if view.view.pose is not None
    ]


def camera_legs(samples: Iterable[tuple[PinholeView, ...]], right: Convention = RIGHT) -> list[Leg]:
    """Each camera of a sample to the one that most others agree with: what they all lead to falls out."""
    found = []
    for views in samples:
        posed = [(np.array(view.view.pose), view.mount) for view in views if view.view.pose]
        if len(posed) < 2:
            continue
        place = _best_first(posed, right)
        to, first = posed[place]
        for pose, mount in posed[:place] + posed[place + 1 :]:
            found.append(Leg(invert(to) @ pose, to @ invert(pose), mount, first))
    return found


def _best_first(posed: Sequence[tuple[Array, Mount]], right: Convention) -> int:
    """The place of the camera that the most others lie right against; the first one of several."""
    poses = np.stack([pose for pose, _ in posed])
    cords = _cords([mount for _, mount in posed])
    if not np.isfinite(poses).all():
        return 0
    count = len(posed)
    own, first = (np.broadcast_to(cords[axis], (count, count, 6)) for axis in (np.s_[None], np.s_[:, None]))
    errors = pose_errors(invert(poses)[:, None] @ poses[None], right.relative_pose(own, first))[1]
    return int((errors < EXACT).sum(1).argmax())


def origin_of(samples: Iterable[tuple[PinholeView, ...]], axes: str = RIGHT.axes) -> Text | None:
    """What the poses of single cameras of these axes lead to, where that is one of the usual things."""
    views = [(view, each[0]) for each in samples for view in each if view.view.pose]
    if not views:
        return None
    own = _cords([view.mount for view, _ in views])
    expected = {
        WORLD: replace(RIGHT, relation="agent to world").relative_pose(own, own),
        Text("the first camera"): RIGHT.relative_pose(own, _cords([first.mount for _, first in views])),
        Text("the LiDAR of its agent"): RIGHT.relative_pose(own, _cords([Mount(v.frame) for v, _ in views])),
        Text("the LiDAR of the agent that its label names"): RIGHT.relative_pose(
            own, _cords([Mount(view.origin) for view, _ in views])
        ),
    }
    turn = np.eye(4)
    turn[:3, :3] = from_opencv(axes)
    poses = np.stack([np.array(view.view.pose) for view, _ in views]) @ turn
    ways = (
        [poses] if axes == RIGHT.axes else [poses, turn.T @ poses]
    )  # what it leads to may have the same axes
    errors = {
        name: min(float(pose_errors(way, each)[1].max()) for way in ways) for name, each in expected.items()
    }
    return next((name for name, error in errors.items() if error < EXACT), None)


def _cords(mounts: Sequence[Mount]) -> Array:
    """[x, y, z, roll, yaw, pitch] (N, 6) of LiDARs and cameras. Raises Blocked where a file has none."""
    for mount in mounts:
        if not _are_six(mount.numbers):
            raise Blocked("{file}: {key} is not six finite numbers", file=mount.frame.yaml, key=mount.key)
    return np.array([mount.numbers for mount in mounts], dtype=np.float64)


def mount_numbers(mount: Mount) -> list[float] | None:
    """[x, y, z, roll, yaw, pitch] of a LiDAR or a camera; None where its file has none."""
    numbers = mount.numbers
    return [float(number) for number in numbers] if isinstance(numbers, list) and _are_six(numbers) else None


def _are_six(numbers: object) -> bool:
    if not isinstance(numbers, list) or len(numbers) != 6:
        return False
    return all(isinstance(number, int | float) and isfinite(number) for number in numbers)


def convention_of(
    poses: Array, own: Array, first: Array, inverses: Array | None = None, right: Convention = RIGHT
) -> tuple[Convention | None, float, bool]:
    """The simplest convention that yields the poses, its error, and whether it is not the only one.

    With ``inverses``, the same had each view's pose been given the other way, the poses are relative ones
    already: they may have other rotations or axes, or be inverse ("first to agent").
    """
    before = _mean_error(poses, right, own, first)
    wrong = [c for c in alternatives(right) if inverses is None or c.relation == right.relation]
    errors = [(_mean_error(poses, c, own, first), c) for c in wrong]
    if inverses is not None:
        turned = [(_mean_error(inverses, c, own, first), c) for c in (right, *wrong)]
        errors += [(error, replace(c, relation="first to agent")) for error, c in turned]
    least = min(error for error, _ in errors)
    if least > max(SAME, min(EXACT, before / 10)):
        return None, before, False
    fitting = sorted(
        ((c.cost(right), error, c) for error, c in errors if error <= 2 * least + SAME), key=lambda e: e[:2]
    )
    cost, error, best = fitting[0]
    return best, error, sum(other[0] == cost for other in fitting) > 1


def _mean_error(poses: Array, convention: Convention, own: Array, first: Array) -> float:
    return float(pose_errors(poses, convention.relative_pose(own, first))[1].mean())


def _of_another(
    where: Disk, legs: Sequence[Leg], poses: Array, right: Convention, error: float
) -> tuple[str | None, str, float]:
    """Whether poses that are off are those of another frame, agent, camera or entry of the file.

    Also which of their ends is, own, first or both, and the error that is left then.
    """
    means: dict[tuple[str, str], list[float]] = {}
    for leg, pose in zip(legs, poses, strict=True):
        own, first = _mistaken(where, leg.own), _mistaken(where, leg.first)
        first["itself"] = [leg.own]
        for kind in dict.fromkeys([*own, *first]):
            mine, others = own.get(kind, []), first.get(kind, [])
            ends = {"own": product(mine, [leg.first]), "first": product([leg.own], others)}
            if leg.first.camera:  # one of several that may be off themselves
                ends = {"own": product([leg.own, *mine], [leg.first, *others])}
            elif kind.startswith(ENTRY):
                ends["both"] = product(mine, others)
            for end, pairs in ends.items():
                if errors := [_apart(pose, right, *pair) for pair in pairs]:
                    means.setdefault((kind, end), []).append(min(errors))
    known = {found: float(np.mean(errors)) for found, errors in means.items() if len(errors) == len(legs)}
    best = min(
        known, key=lambda found: (known[found] >= EXACT, found[0] != "itself", known[found]), default=None
    )
    return (*best, known[best]) if best is not None and known[best] < EXACT else (None, "own", error)


def _apart(pose: Array, right: Convention, own: Mount, first: Mount) -> float:
    return float(pose_errors(pose, right.relative_pose(_cords([own])[0], _cords([first])[0]))[1])


def _mistaken(where: Disk, mount: Mount) -> dict[str, list[Mount]]:
    """What a mount may have been mistaken for: kind -> mounts whose numbers the files give."""
    found: dict[str, list[Mount]] = {}
    for name, other in neighbours(where, mount.frame).items():
        for kind in ("another agent",) if name.startswith("agent") else (name, "another frame"):
            found.setdefault(kind, []).append(mount._replace(frame=other))
    if mount.camera:
        found["the LiDAR"] = [mount._replace(camera=None)]
        found["another camera"] = [mount._replace(camera=name) for name in CAMERAS if name != mount.camera]
    else:
        entries = [key for key, value in frame_file(mount.frame).items() if _are_six(value)]
        found |= {ENTRY + key: [mount._replace(entry=key)] for key in entries if key != mount.entry}
    kept = {kind: [each for each in mounts if _are_six(each.numbers)] for kind, mounts in found.items()}
    return {kind: mounts for kind, mounts in kept.items() if mounts}
