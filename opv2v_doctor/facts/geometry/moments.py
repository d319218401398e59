"""Moments: drawn samples with the arrays of their panoramas, and the frames on disk that they show."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.frames import Disk, Frame, disk
from opv2v_doctor.facts.rigs import panorama
from opv2v_doctor.facts.samples import arrays_folder, handed_over, samples
from opv2v_doctor.facts.views import Sample, View
from opv2v_doctor.geometry.cameras import Cylinder
from opv2v_doctor.target import Target


@dataclass(frozen=True, kw_only=True, eq=False)
class SampledView:
    """One view of a drawn sample with its arrays, and the frame on disk that it shows."""

    view: View
    frame: Frame
    prefix: str  # of the files of its arrays
    shape: tuple[int, int]  # rows and columns that the panorama should have

    @cached_property
    def ranges(self) -> NDArray[np.float32]:
        """Its depth (H, W), 0 where it is not known. Raises Blocked where there is none of that shape."""
        depth = self.array("depthmap")
        if depth is None:
            raise Blocked(
                "the view of {frame} has no depthmap",
                hint="give each view depthmap: metres along the ray, 0 where not known",
                frame=self.frame.yaml,
            )
        known = depth.reshape([side for side in depth.shape if side != 1])
        if known.shape != self.shape:
            raise Blocked(
                "depthmap is {given}, the panorama {expected} (height x width)",
                hint="give depthmap the size of panorama_resolution",
                given=sides(known.shape),
                expected=sides(self.shape),
            )
        return np.where(np.isfinite(known) & (known > 0), known, 0).astype(np.float32)

    @cached_property
    def pose(self) -> NDArray[np.float64]:
        """Its pose (4, 4), to the first agent's frame, as it is given. Raises Blocked where there is none."""
        if self.view.pose is None:
            raise Blocked(
                "the view of {frame} has no camera_pose",
                hint="give each view camera_pose: agent to first agent",
                frame=self.frame.yaml,
            )
        return np.array(self.view.pose, dtype=np.float64)

    def array(self, key: str) -> NDArray[Any] | None:
        """What the view holds under a key, None where it has none."""
        return handed_over(Path(f"{self.prefix}_{key}.npy"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Moment:
    """The views of one drawn sample: agents at the same time."""

    views: tuple[SampledView, ...]
    first: Frame  # of the agent whose frame all poses are in

    @property
    def name(self) -> str:
        """What it shows: scenario/frame."""
        return f"{self.first.agent.scenario}/{self.first.name}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """What was handed over of one split."""

    split: str
    where: Disk
    cylinder: Cylinder
    all: tuple[Moment, ...]

    @property
    def views(self) -> tuple[SampledView, ...]:
        return tuple(view for moment in self.all for view in moment.views)

    @property
    def largest(self) -> Moment:
        """That of most agents."""
        return max(self.all, key=lambda moment: len(moment.views))


@cache
def moments(target: Target, split: str) -> Moments:
    """The handed-over samples of a split.

    Raises Skip where their views are no panoramas, Blocked where none can be traced to frames on disk.
    """
    where = disk(target, split)
    cylinder = panorama(where)
    folder = arrays_folder(target) / split
    found = []
    for number, sample in enumerate(samples(target, split).samples):
        if sample.failure is None and any(folder.glob(f"{number}_0_*.npy")):
            require_panoramas(where, split, sample)
            views = [
                _sampled(where, cylinder, view, f"{folder / str(number)}_{place}")
                for place, view in enumerate(sample.views)
            ]
            found.append(_moment(where, [view for view in views if view]))
    if not found:
        raise Blocked(
            "no array of the drawn samples of {split} could be written to {folder}",
            split=split,
            folder=folder,
        )
    kept = tuple(moment for moment in found if moment)
    if not kept:
        raise untraced(split)
    return Moments(split=split, where=where, cylinder=cylinder, all=kept)


def require_panoramas(where: Disk, split: str, sample: Sample) -> None:
    """Raises Skip where a sample's views are those of single cameras: they have other poses and rays."""
    for view in sample.views:
        if view.camera_model not in (None, "cyl"):
            raise Skip(
                "the views of {split} have camera_model {model}: no panoramas around a LiDAR",
                split=split,
                model=repr(view.camera_model),
            )
    shown = Counter(where.frame_of(view) for view in sample.views if view.camera_model is None)
    frame, count = max(shown.items(), key=lambda pair: pair[1] if pair[0] else 0, default=(None, 0))
    if frame and count > 1:
        raise Skip(
            "a sample of {split} shows agent {agent} in {count} views without a camera_model: "
            "views of its cameras, no panoramas around its LiDAR",
            split=split,
            agent=frame.agent.name,
            count=count,
        )


def untraced(split: str) -> Blocked:
    """That no view says what it shows."""
    return Blocked(
        "no view of {split} names a scenario, an agent and a frame that are on disk",
        hint='give each view label "scenario/agent", agent_id, and the frame\'s name in instance',
        split=split,
    )


def _sampled(where: Disk, cylinder: Cylinder, view: View, prefix: str) -> SampledView | None:
    frame = where.frame_of(view)
    shape = (cylinder.height, cylinder.width)
    return SampledView(view=view, frame=frame, prefix=prefix, shape=shape) if frame else None


def sides(shape: tuple[int, ...]) -> str:
    """A shape in words: 64 x 256."""
    return " x ".join(map(str, shape))


def _moment(where: Disk, views: list[SampledView]) -> Moment | None:
    if not views:
        return None
    return Moment(views=tuple(views), first=first_frame(where, views[0].view, views[0].frame))


def first_frame(where: Disk, view: View, frame: Frame) -> Frame:
    """The frame of the agent that the view's label names: poses are in its frame; else the view's own."""
    named = (view.label or "").split("/")[-1]
    agent = where.agents.get((frame.agent.scenario, named))
    return next((other for other in agent.frames if other.name == frame.name), frame) if agent else frame
