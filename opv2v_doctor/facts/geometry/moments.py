"""Moments: drawn samples with the arrays of their panoramas, and the frames on disk that they show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.frames import Disk, Frame, disk
from opv2v_doctor.facts.rigs import panorama
from opv2v_doctor.facts.samples import arrays_folder, samples
from opv2v_doctor.facts.views import View
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
        """Its depth (H, W), 0 where it is not known. Raises Blocked for another shape."""
        depth = self.array("depthmap")
        if depth is None:
            raise Blocked(f"a view of {self.frame.yaml} has no depthmap")
        known = depth.reshape([side for side in depth.shape if side != 1])
        if known.shape != self.shape:
            raise Blocked(f"depthmap is {known.shape}, the panorama {self.shape}")
        return np.where(np.isfinite(known) & (known > 0), known, 0).astype(np.float32)

    @cached_property
    def pose(self) -> NDArray[np.float64]:
        """Its pose (4, 4), to the first agent's frame, as the dataset gives it."""
        if self.view.pose is None:
            raise Blocked(f"a view of {self.frame.yaml} has no camera_pose")
        return np.array(self.view.pose, dtype=np.float64)

    def array(self, key: str) -> NDArray[Any] | None:
        """What the view holds under a key, None where it has none."""
        path = Path(f"{self.prefix}_{key}.npy")
        return np.load(path, allow_pickle=False) if path.is_file() else None


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
    """The handed-over samples of a split. Raises Blocked where none can be traced to frames on disk."""
    where = disk(target, split)
    cylinder = panorama(where)
    folder = arrays_folder(target) / split
    found = []
    for number, sample in enumerate(samples(target, split).samples):
        if sample.failure is None and (folder / f"{number}_0_depthmap.npy").is_file():
            views = [
                _sampled(where, cylinder, view, f"{folder / str(number)}_{place}")
                for place, view in enumerate(sample.views)
            ]
            found.append(_moment(where, [view for view in views if view]))
    kept = tuple(moment for moment in found if moment)
    if not kept:
        raise Blocked(f"no view of {split} names a scenario, an agent and a frame that are on disk")
    return Moments(split=split, where=where, cylinder=cylinder, all=kept)


def _sampled(where: Disk, cylinder: Cylinder, view: View, prefix: str) -> SampledView | None:
    frame = where.frame_of(view)
    shape = (cylinder.height, cylinder.width)
    if view.camera_model not in (None, "cyl"):
        raise Skip(f"the camera model is {view.camera_model!r}: not a panorama")
    return SampledView(view=view, frame=frame, prefix=prefix, shape=shape) if frame else None


def _moment(where: Disk, views: list[SampledView]) -> Moment | None:
    if not views:
        return None
    return Moment(views=tuple(views), first=first_frame(where, views[0].view, views[0].frame))


def first_frame(where: Disk, view: View, frame: Frame) -> Frame:
    """The frame of the agent that the view's label names: poses are in its frame; else the view's own."""
    named = (view.label or "").split("/")[-1]
    agent = where.agents.get((frame.agent.scenario, named))
    return next((other for other in agent.frames if other.name == frame.name), frame) if agent else frame
