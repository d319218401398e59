"""Conventions: the ways in which six numbers may be made a pose, right and wrong, to name a wrong one.

A convention explains poses where it yields them all: what is right at one angle only proves nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import permutations, product

import numpy as np
from numpy.typing import ArrayLike

from opv2v_doctor.geometry.poses import UE_TO_OPENCV, Matrix, invert, rotation_angle

DISTANCE = 50.0  # metres: how far away an error of a pose is told
AXES: Mapping[str, tuple[Matrix, Matrix]] = {  # what stands before and behind a pose
    "opencv": (UE_TO_OPENCV, UE_TO_OPENCV.T),
    "unconverted": (np.eye(3), np.eye(3)),
    "half converted": (UE_TO_OPENCV, np.eye(3)),
    "mirrored": (UE_TO_OPENCV @ np.diag([1.0, -1, 1]), np.diag([1.0, -1, 1]) @ UE_TO_OPENCV.T),
    "upside down": (np.diag([1.0, -1, 1]) @ UE_TO_OPENCV, UE_TO_OPENCV.T @ np.diag([1.0, -1, 1])),
    "opengl": (np.diag([1.0, -1, -1]) @ UE_TO_OPENCV, UE_TO_OPENCV.T @ np.diag([1.0, -1, -1])),
}
RELATIONS = ("agent to first", "first to agent", "agent to world", "world to agent")
NAMES = ("roll", "yaw", "pitch")  # as OPV2V writes them
ABOUT = {"x": "roll", "y": "pitch", "z": "yaw"}


@dataclass(frozen=True)
class Convention:
    """How numbers become a pose; the defaults are OPV2V's, in OpenCV's axes.

    ``order`` is that of the right-handed rotations about the axes, as matrices from left to right; ``signs``
    are those of the angles about x, y and z; ``names`` are the angles that the three numbers are taken for.
    """

    order: str = "zyx"
    signs: tuple[int, int, int] = (-1, -1, 1)
    names: tuple[str, ...] = NAMES
    degrees: bool = True
    axes: str = "opencv"
    relation: str = "agent to first"

    def cost(self, right: "Convention") -> int:
        """How many things are wrong: of two explanations that fit alike the simpler one counts."""
        signs = sum(one != two for one, two in zip(self.signs, right.signs, strict=True))
        names = [f.name for f in fields(self) if f.name != "signs"]
        return signs + sum(bool(getattr(self, name) != getattr(right, name)) for name in names)

    @property
    def rotation(self) -> str:
        """The formula of its rotation: Rz(yaw) Ry(-pitch) Rx(-roll)."""
        signs = dict(zip("xyz", self.signs, strict=True))
        turns = [(axis, "-" if signs[axis] < 0 else "") for axis in self.order if signs[axis]]
        return " ".join(f"R{axis}({minus}{ABOUT[axis]})" for axis, minus in turns)

    def pose(self, cords: ArrayLike) -> Matrix:
        """Pose (..., 4, 4) to the world of [x, y, z, roll, yaw, pitch] (..., 6), in its UE axes."""
        numbers = np.asarray(cords, dtype=np.float64)
        angles = dict(zip(self.names, np.moveaxis(numbers[..., 3:], -1, 0), strict=True))
        turned = [angles[ABOUT[axis]] * sign for axis, sign in zip("xyz", self.signs, strict=True)]
        about = {
            axis: _about(axis, np.deg2rad(a) if self.degrees else a)
            for axis, a in zip("xyz", turned, strict=True)
        }
        pose = np.zeros((*numbers.shape[:-1], 4, 4))
        pose[..., :3, :3] = about[self.order[0]] @ about[self.order[1]] @ about[self.order[2]]
        pose[..., :3, 3] = numbers[..., :3]
        pose[..., 3, 3] = 1.0
        return pose

    def relative_pose(self, cords: ArrayLike, first: ArrayLike) -> Matrix:
        """What a dataset of this convention calls the pose (..., 4, 4) of an agent, given the first one's."""
        return self.in_axes(self._relation(self.pose(cords), self.pose(first)))

    def in_axes(self, pose: Matrix) -> Matrix:
        """The pose (..., 4, 4) in its axes."""
        before, behind = AXES[self.axes]
        found = pose.copy()
        found[..., :3, :3] = before @ pose[..., :3, :3] @ behind
        found[..., :3, 3] = pose[..., :3, 3] @ before.T
        return found

    def _relation(self, agent: Matrix, first: Matrix) -> Matrix:
        if self.relation == "agent to first":
            return invert(first) @ agent
        if self.relation == "first to agent":
            return invert(agent) @ first
        return agent if self.relation == "agent to world" else invert(agent)


RIGHT = Convention()


def alternatives(right: Convention = RIGHT) -> Iterator[Convention]:
    """Wrong conventions: every rotation, axes or relation alone, then two of them together."""
    rotations = tuple(_rotations())
    for axes, relation in product(AXES, RELATIONS):
        both = axes != right.axes and relation != right.relation
        for rotation in rotations[:1] if both else rotations:
            found = replace(rotation, axes=axes, relation=relation)
            if found != right:
                yield found


def _rotations() -> Iterator[Convention]:
    """The right rotation first; then every order, sign, assignment of the numbers, and unit."""
    yield RIGHT
    for order in permutations("xyz"):
        for x, y, z, degrees in product((-1, 1), (-1, 1), (-1, 1), (True, False)):
            found = Convention(order="".join(order), signs=(x, y, z), degrees=degrees)
            if found != RIGHT:
                yield found
    yield from (Convention(signs=signs) for signs in ((0, 0, 1), (0, -1, 1), (-1, 0, 1)))
    for names in permutations(NAMES):
        if names != NAMES:
            yield Convention(names=names)
            yield Convention(names=names, signs=(1, 1, 1))


def pose_errors(poses: ArrayLike, expected: ArrayLike) -> tuple[Matrix, Matrix]:
    """Degrees, and metres at 50 m, between poses (..., 4, 4); a turn counts where it moves a point most."""
    one, two = np.asarray(poses, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    turn = np.swapaxes(two[..., :3, :3], -1, -2) @ one[..., :3, :3]
    ends = np.concatenate([np.eye(3), -np.eye(3)]) * DISTANCE  # (6, 3): ahead, aside, above, ...
    moved = ends @ np.swapaxes(one[..., :3, :3] - two[..., :3, :3], -1, -2)
    apart = np.linalg.norm(moved + (one - two)[..., None, :3, 3], axis=-1).max(-1)
    return rotation_angle(turn), apart


def _about(axis: str, angle: Matrix) -> Matrix:
    """Right-handed rotation (..., 3, 3) about one axis, radians."""
    cos, sin, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    rows = {
        "x": [[one, zero, zero], [zero, cos, -sin], [zero, sin, cos]],
        "y": [[cos, zero, sin], [zero, one, zero], [-sin, zero, cos]],
        "z": [[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]],
    }[axis]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
