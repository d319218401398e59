"""Agents: whether their panoramas agree with one another, and would after each repair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.frames import frame_file
from opv2v_doctor.facts.disk.lidar_files import cloud
from opv2v_doctor.facts.geometry.depth_maps import INVERSE, depth_maps, neighbours, rigs
from opv2v_doctor.facts.geometry.lidar import summary
from opv2v_doctor.facts.geometry.readings import comparisons, reading, right_reading, wrong_conventions
from opv2v_doctor.facts.geometry.relative_poses import relative_poses
from opv2v_doctor.facts.samples.moments import Moment, Moments, PanoramaView, moments
from opv2v_doctor.facts.samples.rigs import camera_names
from opv2v_doctor.geometry.agreement import Tally, against_agent, against_lidar
from opv2v_doctor.geometry.cameras import Array, Cylinder
from opv2v_doctor.geometry.conventions import RIGHT
from opv2v_doctor.geometry.explanations import Explanation
from opv2v_doctor.geometry.readings import Reading, some_pixels
from opv2v_doctor.geometry.restitching import ranges_by
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target

SKY = 900.0  # metres
POINTS = 2000  # of an agent, seen from another
WRONG = 0.05  # metres at 50 m: poses that are so far off

Ranges = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Points of one agent, seen from another."""

    one: str
    other: str
    tally: Tally


@fact
def agreement(target: Target, split: str) -> tuple[Pair, ...]:
    """Every pair of agents of the handed-over moments. Raises Skip where no sample has two views."""
    found = moments(target, split)
    pairs = [pair for moment in found.all for pair in _pairs(moment, found.cylinder, _as_drawn)]
    if not pairs:
        raise Skip(
            "each drawn sample of {split} shows one agent: there is no other one to agree with", split=split
        )
    return tuple(pairs)


def total(pairs: Sequence[Pair]) -> Tally:
    """All pairs together."""
    result = Tally(0, 0, 0)
    for pair in pairs:
        result = result.plus(pair.tally)
    return result


def _near(ranges: Ranges) -> Ranges:
    """Without the sky, which CARLA's cameras give 1000 m, unless the unit is another one."""
    known = ranges[ranges > 0]
    return ranges if not known.size or np.median(known) > SKY else np.where(ranges < SKY, ranges, 0)


def _as_drawn(view: PanoramaView) -> tuple[Ranges, Array]:
    return view.ranges, view.pose


def _pairs(
    moment: Moment, cylinder: Cylinder, seen: Callable[[PanoramaView], tuple[Ranges, Array]]
) -> list[Pair]:
    known = [(view.frame.agent.name, *seen(view)) for view in moment.views]
    pairs = []
    for (one, ranges, pose), (other, other_ranges, other_pose) in permutations(known, 2):
        pixels = some_pixels(cylinder, _near(ranges), POINTS)
        points = pixels.rays * pixels.ranges[:, None]
        seen_from = against_agent(points, pose, other_ranges, other_pose, cylinder)
        pairs.append(Pair(one=one, other=other, tally=seen_from))
    return pairs


@fact
def right_agreement(target: Target, split: str) -> Tally:
    """What the right targets and poses of the moment of most agents give: no edge is perfect.

    Raises Skip where there are no depth files to stitch them of.
    """
    found, right = moments(target, split), right_reading(target, split)
    comparisons(target, split)
    stitch = _stitcher(target, found)
    small = stitch(found.largest.views[0], right)[1]
    seen = {view: (stitch(view, right)[0], _right_pose(found.largest, view)) for view in found.largest.views}
    return total(_pairs(found.largest, small, lambda view: seen[view]))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What some repairs together would bring: steps of the reading, and "poses"."""

    steps: tuple[str, ...]
    agents: Tally
    lidar_median: float | None


@dataclass(frozen=True, kw_only=True)
class AgentRepairs:
    """Every choice of repairs, from none to all, tried on the moment of most agents."""

    steps: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    def of(self, *steps: str) -> Outcome:
        return next(found for found in self.outcomes if set(found.steps) == set(steps))

    @property
    def all(self) -> Outcome:
        return self.of(*self.steps)


@fact
def repairs(target: Target, split: str) -> AgentRepairs:
    """What putting right each known fault of depth and poses, alone and together, would bring."""
    found, poses = moments(target, split), relative_poses(target, split)
    try:
        known = reading(target, split)
    except Skip:
        raise Blocked("without depth files no panorama can be stitched again") from None
    steps = tuple(dict.fromkeys(_repair_of(step, known) for step in known.steps))
    if poses.metres > WRONG and "poses" not in steps:
        steps = (*steps, "poses")
    chosen = [some for count in range(len(steps) + 1) for some in combinations(steps, count)]
    stitch = _stitcher(target, found)
    outcomes = tuple(_outcome(found, stitch, known, some) for some in chosen)
    return AgentRepairs(steps=steps, outcomes=outcomes)


def _repair_of(step: str, known: Explanation) -> str:
    """What has to be put right: one convention makes the poses of cameras and of agents."""
    return "poses" if step == "rig" and known.reading.rig != INVERSE else step


Stitch = Callable[[PanoramaView, Reading], tuple[Ranges, Cylinder]]


def _stitcher(target: Target, found: Moments) -> Stitch:
    """A function that stitches a view by a reading, each once."""
    done: dict[tuple[Any, ...], tuple[Ranges, Cylinder]] = {}

    def stitch(view: PanoramaView, wanted: Reading) -> tuple[Ranges, Cylinder]:
        key = (view.prefix, wanted)
        if key not in done:
            frame = view.frame
            if wanted.source != "own":
                kind = "agent" if wanted.source == "another agent" else "the frame"
                near = neighbours(found.where, frame)
                frame = next((other for name, other in near.items() if name.startswith(kind)), frame)
            cameras = rigs(found.where, view.frame, wrong_conventions(target, found.split))[wanted.rig]
            names = camera_names(found.where, view.frame)
            done[key] = ranges_by(wanted, cameras, depth_maps(frame, names), found.cylinder)
        return done[key]

    return stitch


def _outcome(found: Moments, stitch: Stitch, known: Explanation, steps: tuple[str, ...]) -> Outcome:
    right = [step for step in known.steps if _repair_of(step, known) in steps]
    wanted = known.reading.without(right, known.right)
    moment = found.largest
    untouched = wanted == known.reading and known.steps == ()
    small = found.cylinder if untouched else stitch(moment.views[0], wanted)[1]

    def seen(view: PanoramaView) -> tuple[Ranges, Array]:
        ranges = view.ranges if untouched else stitch(view, wanted)[0]
        return ranges, _right_pose(moment, view) if "poses" in steps else view.pose

    scans = [
        against_lidar(seen(view)[0], small, points)
        for view in moment.views
        if (points := cloud(view.frame)) is not None
    ]
    errors = summary(scans)
    return Outcome(
        steps=steps,
        agents=total(_pairs(moment, small, seen)),
        lidar_median=errors.median if errors else None,
    )


def _right_pose(moment: Moment, view: PanoramaView) -> Array:
    own, first = (frame_file(frame)["lidar_pose"] for frame in (view.frame, moment.first))
    return RIGHT.relative_pose(np.array(own, dtype=np.float64), np.array(first, dtype=np.float64))
