"""Agents: whether their views agree with one another, and would after each repair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, permutations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.frames import Disk, Frame
from opv2v_doctor.facts.disk.lidar_files import cloud
from opv2v_doctor.facts.geometry.camera_axes import from_opencv
from opv2v_doctor.facts.geometry.depth_maps import INVERSE, depth_maps, neighbours, rigs
from opv2v_doctor.facts.geometry.lidar import lidar_mount, summary
from opv2v_doctor.facts.geometry.readings import (
    UNEXPLAINED,
    reading,
    right_reading,
    shown_camera,
    wrong_conventions,
)
from opv2v_doctor.facts.geometry.relative_poses import declared_axes, relative_poses
from opv2v_doctor.facts.samples.moments import (
    Moment,
    Moments,
    Mount,
    PanoramaView,
    PinholeView,
    TracedView,
    moments,
)
from opv2v_doctor.facts.samples.rigs import camera_names
from opv2v_doctor.geometry.agreement import Tally, against_agent, against_lidar
from opv2v_doctor.geometry.cameras import Array, Camera
from opv2v_doctor.geometry.conventions import RIGHT
from opv2v_doctor.geometry.explanations import Explanation
from opv2v_doctor.geometry.readings import Reading, some_pixels
from opv2v_doctor.geometry.restitching import depth_by, ranges_by
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text

SKY = 900.0  # metres
POINTS, FEW = 2000, 4  # of a view, seen from another; fewer where more views than these see each other
WRONG = 0.05  # metres at 50 m: poses that are so far off

Depth = NDArray[np.float32]


class Sight(NamedTuple):
    """What a view measured: its depth (H, W), the camera that back-projects it, and its pose (4, 4).

    The pose leads from OpenCV's axes, whichever the view's own are.
    """

    depth: Depth
    camera: Camera
    pose: Array


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Points of one view, seen from another."""

    one: Text
    other: Text
    tally: Tally


@fact
def agreement(target: Target, split: str) -> tuple[Pair, ...]:
    """Every pair of views of the handed-over moments. Raises Skip where no sample has two views."""
    found, turn = moments(target, split), _turn(target, split)

    def as_drawn(view: TracedView) -> Sight:
        return Sight(view.depth, view.camera, view.pose @ turn)

    pairs = [pair for moment in found.all for pair in _pairs(moment, as_drawn)]
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


def _near(depth: Depth) -> Depth:
    """Without the sky, which CARLA's cameras give 1000 m, unless the unit is another one."""
    known = depth[depth > 0]
    return depth if not known.size or np.median(known) > SKY else np.where(depth < SKY, depth, 0)


def _turn(target: Target, split: str) -> Array:
    """From OpenCV's axes of a camera to those that are declared (4, 4)."""
    turn = np.eye(4)
    turn[:3, :3] = from_opencv(declared_axes(target, split))
    return turn


def _pairs(moment: Moment, seen: Callable[[TracedView], Sight]) -> list[Pair]:
    count = POINTS // max(1, len(moment.views) // FEW)
    known = [(view.shown, sight, _points(sight, count)) for view in moment.views for sight in [seen(view)]]
    pairs = []
    for (one, sight, points), (other, measured, _) in permutations(known, 2):
        seen_from = against_agent(points, sight.pose, measured.depth, measured.pose, measured.camera)
        pairs.append(Pair(one=one, other=other, tally=seen_from))
    return pairs


def _points(sight: Sight, count: int) -> Array:
    """Some of the points (N, 3) that a view measured, around its camera."""
    pixels = some_pixels(sight.camera, _near(sight.depth), count)
    return pixels.rays * pixels.ranges[:, None]


@fact
def right_agreement(target: Target, split: str) -> Tally:
    """What the right targets and poses of the same moments give: no edge is perfect.

    The depth of single cameras is their own, where nothing is wrong with it: what half a pixel makes of a
    street that is seen from low above is no fault. Raises Skip where there are no depth files to make it of.
    """
    found, right = moments(target, split), right_reading(target, split)
    known = reading(target, split)
    remake = _remaker(target, found, right)

    def seen(moment: Moment, view: TracedView) -> Sight:
        own = isinstance(view, PinholeView) and known.after <= UNEXPLAINED and not known.steps
        depth, camera = (view.depth, view.camera) if own else remake(view, right)
        return Sight(depth, camera, _right_pose(moment, view))

    return total([pair for moment in found.all for pair in _pairs(moment, partial(seen, moment))])


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
        raise Blocked("without depth files no view can be made again") from None
    steps = tuple(dict.fromkeys(_repair_of(step, known) for step in known.steps))
    if poses.metres > WRONG and "poses" not in steps:
        steps = (*steps, "poses")
    chosen = [some for count in range(len(steps) + 1) for some in combinations(steps, count)]
    remake, turn = _remaker(target, found, known.reading), _turn(target, split)
    outcomes = tuple(_outcome(found, remake, known, some, turn) for some in chosen)
    return AgentRepairs(steps=steps, outcomes=outcomes)


def _repair_of(step: str, known: Explanation) -> str:
    """What has to be put right: one convention makes the poses of cameras and of agents."""
    return "poses" if step == "rig" and known.reading.rig != INVERSE else step


Remake = Callable[[TracedView, Reading], tuple[Depth, Camera]]


def _remaker(target: Target, found: Moments, known: Reading) -> Remake:
    """A function that makes a view's depth again by a reading, each once; known is how the dataset reads."""
    done: dict[tuple[Any, ...], tuple[Depth, Camera]] = {}

    def remake(view: TracedView, wanted: Reading) -> tuple[Depth, Camera]:
        key = (view.prefix, wanted)
        if key not in done:
            if isinstance(view, PinholeView):
                done[key] = _of_camera(found.where, view, wanted, known)
            else:
                done[key] = _stitched(target, found, view, wanted)
        return done[key]

    return remake


def _stitched(target: Target, found: Moments, view: TracedView, wanted: Reading) -> tuple[Depth, Camera]:
    """A panorama's ranges by a reading, and the cylinder of the size at which they were stitched."""
    assert isinstance(view, PanoramaView)
    cameras = rigs(found.where, view.frame, wrong_conventions(target, found.split))[wanted.rig]
    maps = depth_maps(_source(found.where, view, wanted), camera_names(found.where, view.frame))
    return ranges_by(wanted, cameras, maps, view.cylinder)


def _of_camera(where: Disk, view: PinholeView, wanted: Reading, known: Reading) -> tuple[Depth, Camera]:
    """A camera's z-depth by a reading, and the camera that its intrinsics then are."""
    ((name, mounted),) = view.rig(where).items()
    shows = view.camera if known.crop == Reading.crop else shown_camera(where, view, known.crop)
    (map_,) = depth_maps(_source(where, view, wanted), [name])
    depth = (
        np.zeros(view.shape, np.float32) if map_ is None else depth_by(wanted, shows, mounted.pinhole, map_)
    )
    return depth, shows if wanted.crop == Reading.crop else view.camera


def _source(where: Disk, view: TracedView, wanted: Reading) -> Frame:
    """The frame whose depth maps a reading takes."""
    if wanted.source == Reading.source:
        return view.frame
    kind = "agent" if wanted.source == "another agent" else "the frame"
    near = neighbours(where, view.frame)
    return next((other for name, other in near.items() if name.startswith(kind)), view.frame)


def _outcome(
    found: Moments, remake: Remake, known: Explanation, steps: tuple[str, ...], turn: Array
) -> Outcome:
    right = [step for step in known.steps if _repair_of(step, known) in steps]
    wanted = known.reading.without(right, known.right)
    moment = found.largest
    untouched = wanted == known.reading and known.steps == ()

    def seen(view: TracedView) -> Sight:
        depth, camera = (view.depth, view.camera) if untouched else remake(view, wanted)
        return Sight(depth, camera, _right_pose(moment, view) if "poses" in steps else view.pose @ turn)

    scans = [
        against_lidar(sight.depth, sight.camera, points, lidar_mount(found.where, view))
        for view in moment.views
        if (points := cloud(view.frame)) is not None
        for sight in [seen(view)]
    ]
    errors = summary(scans)
    return Outcome(
        steps=steps,
        agents=total(_pairs(moment, seen)),
        lidar_median=errors.median if errors else None,
    )


def _right_pose(moment: Moment, view: TracedView) -> Array:
    """From the view's camera to the first agent's LiDAR."""
    mount = view.mount if isinstance(view, PinholeView) else Mount(view.frame)
    own, first = (np.array(each.numbers, dtype=np.float64) for each in (mount, Mount(moment.first)))
    return RIGHT.relative_pose(own, first)
