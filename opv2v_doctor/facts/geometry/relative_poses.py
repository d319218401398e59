"""Relative poses: those that the dataset gives against OPV2V's own, and the convention that yields them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

import numpy as np

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.frames import Disk, Frame, disk, frame_file
from opv2v_doctor.facts.geometry.moments import first_frame, require_panoramas, untraced
from opv2v_doctor.facts.geometry.rigs import neighbours
from opv2v_doctor.facts.samples import samples
from opv2v_doctor.facts.views import View
from opv2v_doctor.geometry.cameras import Array
from opv2v_doctor.geometry.conventions import RIGHT, Convention, alternatives, pose_errors
from opv2v_doctor.geometry.poses import invert
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.threshold import Threshold

EXACT = Threshold(
    0.02, "m at 50 m", "a convention that yields the poses does so to float32", healthy=1.4e-6, faulty=1.96
)
SAME = 1e-4  # metres: two conventions that close are told apart by their simplicity only


@dataclass(frozen=True, kw_only=True)
class PoseErrors:
    """The error of the poses of a split, and what explains it."""

    views: int
    moved: tuple[
        float, ...
    ]  # of each right pose from the identity, metres at 50 m: one of an agent alone is it
    turned: tuple[float, ...]  # of each right pose from its own inverse
    degrees: float  # the largest
    metres: float  # the largest, at 50 m
    mean_metres: float
    worst: Frame
    tilt: float  # the largest roll or pitch of the frames that poses lead between, degrees
    convention: Convention | None  # that yields the poses; None where none does, or the right one
    ambiguous: bool  # another convention of the same simplicity yields them too
    after: float  # mean metres at 50 m against what the convention yields
    other: str | None = None  # the frame or agent whose poses they are


@fact
def relative_poses(target: Target, split: str) -> PoseErrors:
    """Every drawn view's pose against its frame's.

    Raises Skip where the views are no panoramas, Blocked where none has a pose and is traced to a frame.
    """
    where = disk(target, split)
    traced = [
        (np.array(view.pose), frame, first_frame(where, view, frame))
        for view, frame in _traced(target, split)
    ]
    if not traced:
        raise untraced(split)
    poses = np.stack([pose for pose, _, _ in traced])
    if not np.isfinite(poses).all():
        raise Blocked("a camera_pose of {split} is not finite: DAT006 says which", split=split)
    own, first = _cords([frame for _, frame, _ in traced]), _cords([first for _, _, first in traced])
    right = RIGHT.related(own, first)
    degrees, metres = pose_errors(poses, right)
    convention, after, ambiguous, other = None, float(metres.mean()), False, None
    if after > SAME:
        convention, after, ambiguous = explanation(poses, own, first)
        if convention is None:
            other, after = _of_another(where, [frame for _, frame, _ in traced], poses, first, after)
    return PoseErrors(
        views=len(traced),
        moved=_metres(right, np.eye(4)),
        turned=_metres(right, invert(right)),
        degrees=float(degrees.max()),
        metres=float(metres.max()),
        mean_metres=float(metres.mean()),
        worst=traced[int(metres.argmax())][1],
        tilt=float(np.abs([own[:, [3, 5]], first[:, [3, 5]]]).max()),
        convention=convention,
        after=after,
        ambiguous=ambiguous,
        other=other,
    )


def _metres(poses: Array, others: Array) -> tuple[float, ...]:
    """Between poses (N, 4, 4), at 50 m."""
    return tuple(pose_errors(poses, others)[1].tolist())


def _traced(target: Target, split: str) -> Iterator[tuple[View, Frame]]:
    where = disk(target, split)
    for sample in samples(target, split).drawn:
        require_panoramas(where, split, sample)
        for view in sample.views:
            frame = where.frame_of(view)
            if frame is not None and view.pose is not None:
                yield view, frame


def _cords(frames: list[Frame]) -> Array:
    """The LiDAR poses (N, 6) of frames. Raises Blocked where one has none."""
    numbers = [frame_file(frame.yaml).get("lidar_pose") for frame in frames]
    try:
        found = np.array(numbers, dtype=np.float64).reshape(len(frames), 6)
        if np.isfinite(found).all():
            return found
    except (TypeError, ValueError):
        pass
    wrong = next(
        (frame for frame, given in zip(frames, numbers, strict=True) if not _are_six(given)), frames[0]
    )
    raise Blocked("{file}: lidar_pose is not six finite numbers", file=wrong.yaml)


def _are_six(numbers: object) -> bool:
    if not isinstance(numbers, list) or len(numbers) != 6:
        return False
    return all(isinstance(number, int | float) and isfinite(number) for number in numbers)


def explanation(poses: Array, own: Array, first: Array) -> tuple[Convention | None, float, bool]:
    """The simplest convention that yields the poses, its error, and whether it is the only one."""
    errors = [(float(pose_errors(poses, c.related(own, first))[1].mean()), c) for c in alternatives()]
    least = min(error for error, _ in errors)
    right = float(pose_errors(poses, RIGHT.related(own, first))[1].mean())
    if least > max(SAME, min(EXACT, right / 10)):
        return None, right, False
    fitting = sorted(
        ((c.cost, error, c) for error, c in errors if error <= 2 * least + SAME), key=lambda e: e[:2]
    )
    cost, error, best = fitting[0]
    return best, error, sum(other[0] == cost for other in fitting) > 1


def _of_another(
    where: Disk, frames: list[Frame], poses: Array, first: Array, error: float
) -> tuple[str | None, float]:
    """Whether the poses are those of the frame before or after, or of other agents."""
    found: dict[str, list[float]] = {}
    for index, frame in enumerate(frames):
        for name, other in neighbours(where, frame).items():
            expected = RIGHT.related(_cords([other])[0], first[index])
            kind = "another agent" if name.startswith("agent") else name
            wrong = float(pose_errors(poses[index], expected)[1])
            found.setdefault(kind, [np.inf] * len(frames))[index] = min(
                wrong, found.get(kind, [np.inf] * len(frames))[index]
            )
    if not found:
        return None, error
    moved = pose_errors(poses, np.eye(4))[1] > SAME  # the first agent's own pose tells nothing
    means = {kind: float(np.mean(np.array(values)[moved])) for kind, values in found.items() if moved.any()}
    best = min(means, key=lambda kind: means[kind], default=None)
    if best is None or means[best] > EXACT:
        return None, error
    return best, means[best]
