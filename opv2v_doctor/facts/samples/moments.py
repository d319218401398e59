"""Moments: drawn samples, their views by camera model, and the frames on disk that these show."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.frames import Disk, Frame, disk, frame_file
from opv2v_doctor.facts.interpreter.views import PANORAMA, Arrays, Sample, View
from opv2v_doctor.facts.launch.origins import given_place
from opv2v_doctor.facts.samples.draws import arrays_folder, samples
from opv2v_doctor.facts.samples.rigs import panorama_camera, rig, rig_coverage, view_margin
from opv2v_doctor.facts.samples.symmetries import AS_IT_IS, Symmetry, as_filed, mirrored_intrinsics
from opv2v_doctor.geometry.cameras import Camera, Cylinder, Pinhole
from opv2v_doctor.geometry.rigs import MountedCamera, coverage
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text
from opv2v_doctor.threshold import Threshold

AS_LARGE = Threshold(
    0.02, "of the panorama", "borders of a mask; a camera sees ten times as much", healthy=0.003, faulty=0.19
)


class Mount(NamedTuple):
    """What a pose leads from or to: the LiDAR of a frame's agent, or one of its cameras."""

    frame: Frame
    camera: str | None = None
    entry: str = "lidar_pose"  # of the frame file, of an agent

    @property
    def key(self) -> str:
        """Where its frame file says where it is: [x, y, z, roll, yaw, pitch] in the world."""
        return f"{self.camera}.cords" if self.camera else self.entry

    @property
    def numbers(self) -> object:
        """What the file says there."""
        content = frame_file(self.frame)
        if self.camera is None:
            return content.get(self.entry)
        camera = content.get(self.camera)
        return camera.get("cords") if isinstance(camera, dict) else None


@dataclass(frozen=True, kw_only=True, eq=False)
class TracedView(Arrays):
    """One view of a drawn sample with its arrays, and the frame on disk that it shows.

    Where the whole sample was mirrored or turned, it is as it was before that.
    """

    view: View
    frame: Frame
    origin: Frame  # of the agent that its label names, at the same time
    symmetry: Symmetry = AS_IT_IS
    as_given: View | None = None  # what the training gets, where that is another

    def array(self, key: str) -> NDArray[Any] | None:
        found = super().array(key)
        return None if found is None else self.symmetry.undone(key, found)

    def undone(self, symmetry: Symmetry, pose: NDArray[np.float64]) -> Self:
        """The view before it was mirrored or turned, when this was its pose."""
        matrix = self.view.intrinsics
        if symmetry.mirrored and isinstance(self, PinholeView):
            matrix = tuple(map(tuple, mirrored_intrinsics(self, self.camera).tolist()))
        before = replace(self.view, pose=tuple(map(tuple, pose.tolist())), intrinsics=matrix)
        return replace(self, view=before, symmetry=symmetry, as_given=self.view)

    def given(self) -> Self:
        """The view as the training gets it."""
        return self if self.as_given is None else replace(self, view=self.as_given, symmetry=AS_IT_IS)

    @property
    def mount(self) -> Mount:
        """What its pose leads from, on disk."""
        return Mount(self.frame)

    @property
    def end(self) -> Mount:
        """The LiDAR that the label names."""
        return Mount(self.origin)

    @property
    def camera(self) -> Camera:
        """What it was taken with; its depth is what that camera's ``back_project`` takes."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that it should have."""
        return self.camera.height, self.camera.width

    @property
    def horizontal_degrees(self) -> float:
        """How wide it is."""
        raise NotImplementedError

    @property
    def shown(self) -> Text:
        """The agent or the camera that it shows, in words."""
        return Text("{agent}", agent=self.frame.agent.name)

    def rig(self, where: Disk) -> dict[str, MountedCamera]:
        """The cameras that it was made of, by name, as the frame describes them and their files."""
        return rig(where, self.frame)

    @cached_property
    def depth(self) -> NDArray[np.float32]:
        """Its depth (H, W), 0 where it is not known. Raises Blocked where there is none of that shape."""
        depth = self.array("depthmap")
        if depth is None:
            raise Blocked(
                "the view of {frame} has no depthmap",
                hint="give each view depthmap: metres, 0 where not known",
                frame=self.frame.yaml,
            )
        known = depth.reshape([side for side in depth.shape if side != 1])
        if known.shape != self.shape:
            raise Blocked(
                "depthmap is {given}, the view {expected} (height x width)",
                hint="give depthmap the size of the image",
                given=sides(known.shape),
                expected=sides(self.shape),
            )
        return np.where(np.isfinite(known) & (known > 0), known, 0).astype(np.float32)

    @cached_property
    def pose(self) -> NDArray[np.float64]:
        """Its pose (4, 4), from its camera, as it is given. Raises Blocked where there is none."""
        if self.view.pose is None:
            raise Blocked(
                "the view of {frame} has no camera_pose of 4 x 4",
                hint="give each view camera_pose: from its camera to the frame of reference of its sample",
                frame=self.frame.yaml,
            )
        return np.array(self.view.pose, dtype=np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class PanoramaView(TracedView):
    """A panorama around the LiDAR of its agent, whose pose leads to the LiDAR of its origin."""

    cylinder: Cylinder
    left_out: str | None = None  # a camera that it does not show, on purpose

    @property
    def camera(self) -> Cylinder:
        return self.cylinder

    def rig(self, where: Disk) -> dict[str, MountedCamera]:
        cameras = super().rig(where)
        return {name: camera for name, camera in cameras.items() if name != self.left_out}

    @property
    def horizontal_degrees(self) -> float:
        return math.degrees(self.cylinder.horizontal_fov)


@dataclass(frozen=True, kw_only=True, eq=False)
class PinholeView(TracedView):
    """One camera's image: its depth is z, its pose leads to what the dataset chose.

    That is the world, or any camera or LiDAR, the same for all views of a sample.
    """

    name: str  # of the camera, as it is called on disk

    @property
    def horizontal_degrees(self) -> float:
        return 2 * math.degrees(math.atan(self.camera.width / 2 / self.camera.intrinsics[0, 0]))

    @property
    def mount(self) -> Mount:
        """The camera on disk."""
        return Mount(self.frame, self.name)

    @property
    def shown(self) -> Text:
        return Text("{camera} of {agent}", camera=self.name, agent=self.frame.agent.name)

    def rig(self, where: Disk) -> dict[str, MountedCamera]:
        cameras = rig(where, self.frame)
        if self.name not in cameras:
            raise Blocked(
                "{file}: {camera} has no entry here or no image",
                hint="set camera_ids to cameras that have both",
                file=self.frame.yaml,
                camera=self.name,
            )
        return {self.name: cameras[self.name]}

    @cached_property
    def camera(self) -> Pinhole:
        """Its camera, by the view's own intrinsics. Raises Blocked where these describe none."""
        try:
            height, width = self.view.shape[1:]
            return Pinhole(np.array(self.view.intrinsics, dtype=np.float64), width, height)
        except (TypeError, ValueError) as problem:
            raise Blocked(
                "camera_intrinsics of {camera} of {frame}: {problem}",
                camera=self.name,
                frame=self.frame.yaml,
                problem=str(problem),
            ) from None


@dataclass(frozen=True, kw_only=True, eq=False)
class Moment:
    """The views of one drawn sample: agents, or cameras of agents, at the same time."""

    views: tuple[TracedView, ...]

    @property
    def first(self) -> Frame:
        """That of the agent whose LiDAR all poses lead to."""
        return self.views[0].origin

    @property
    def name(self) -> str:
        """What it shows: scenario/frame."""
        return f"{self.first.agent.scenario}/{self.first.name}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """What was handed over of one split."""

    split: str
    where: Disk
    all: tuple[Moment, ...]

    @property
    def views(self) -> tuple[TracedView, ...]:
        return tuple(view for moment in self.all for view in moment.views)

    @property
    def largest(self) -> Moment:
        """That of most views."""
        return max(self.all, key=lambda moment: len(moment.views))


@fact
def moments(target: Target, split: str) -> Moments:
    """The handed-over samples of a split.

    Raises Skip where their views are of no known kind, Blocked where none can be traced to frames on disk.
    """
    views = traced_views(target, split)
    found = tuple(Moment(views=each) for each in views if any(map(is_written, each)))
    if not found:
        raise Blocked(
            "no array of the drawn samples of {split} could be written to {folder}",
            split=split,
            folder=arrays_folder(target) / split,
        )
    return Moments(split=split, where=disk(target, split), all=found)


def is_written(view: TracedView) -> bool:
    """Whether its arrays were handed over."""
    path = Path(view.prefix)
    return any(path.parent.glob(f"{path.name}_*.npy"))


def traced_views(target: Target, split: str) -> tuple[tuple[TracedView, ...], ...]:
    """The views of each drawn sample that show a frame on disk: images of single cameras, or panoramas.

    Raises Skip where they are neither, Blocked where none can be traced to a frame.
    """
    where = disk(target, split)
    if not any(is_pinhole(where, view) for sample in samples(target, split).samples for view in sample.views):
        return panorama_views(target, split)
    found = pinhole_views(target, split)
    if not any(found):
        raise Blocked(
            "no view of {split} names a scenario, an agent, a frame and a camera that are on disk",
            at=given_place(target, where.part, "instance"),
            hint='give each view label "scenario/agent" and instance "frame/camera0_agent"',
            split=split,
        )
    return found


@fact
def panorama_views(target: Target, split: str) -> tuple[tuple[PanoramaView, ...], ...]:
    """The panoramas of each drawn sample that show a frame on disk.

    Raises Skip where the views are no panoramas, Blocked where none can be traced to a frame.
    """
    where, folder, found = disk(target, split), arrays_folder(target) / split, []
    for number, sample in enumerate(samples(target, split).samples):
        _require_panoramas(where, split, sample)
        cylinder = panorama_camera(where)
        found.append(
            as_filed(
                where,
                tuple(
                    PanoramaView(
                        view=view,
                        frame=frame,
                        origin=_origin(where, view, frame),
                        cylinder=cylinder,
                        prefix=folder / f"{number}_{place}",
                    )
                    for place, view in enumerate(sample.views)
                    if (frame := where.frame_of(view.identity))
                ),
            )
        )
    if not any(found):
        raise without_frames(target, split)
    return _as_shown(where, tuple(found)) if split == "train" else tuple(found)


def _as_shown(
    where: Disk, found: tuple[tuple[PanoramaView, ...], ...]
) -> tuple[tuple[PanoramaView, ...], ...]:
    """The panoramas of a training, which may lack a camera at times: then most of them lack none."""
    views = [view for each in found for view in each]
    try:
        lacking = [view for view in views if not _shows(where, view, view.rig(where))]
        if not lacking or 2 * len(lacking) >= len(views):
            return found
        return tuple(
            tuple(_without_a_camera(where, view) if view in lacking else view for view in each)
            for each in found
        )
    except Blocked:  # whoever needs their rigs will be told
        return found


def _shows(where: Disk, view: PanoramaView, cameras: Mapping[str, MountedCamera]) -> bool:
    """Whether its mask is as large as what these cameras see, or nothing tells."""
    measured, margin = view.view.mask_mean, view_margin(where)
    return measured is None or abs(rig_coverage(view.cylinder, cameras, margin) - measured) < AS_LARGE


def _without_a_camera(where: Disk, view: PanoramaView) -> PanoramaView:
    """The view, and the camera that it lacks where its mask is that of the others."""
    cameras, mask = view.rig(where), view.array("non_ambiguous_mask")
    for name in cameras:
        others = {other: camera for other, camera in cameras.items() if other != name}
        if _shows(where, view, others):
            seen = coverage(view.cylinder, others.values(), view_margin(where))
            if mask is None or float((mask.reshape(seen.shape) != seen).mean()) < AS_LARGE:
                return replace(view, left_out=name)
    return view


@fact
def pinhole_views(target: Target, split: str) -> tuple[tuple[PinholeView, ...], ...]:
    """The images of single cameras of each drawn sample that name a frame and a camera on disk."""
    where, folder = disk(target, split), arrays_folder(target) / split
    return tuple(
        as_filed(
            where,
            tuple(
                PinholeView(
                    view=view,
                    frame=frame,
                    origin=_origin(where, view, frame),
                    name=name,
                    prefix=folder / f"{number}_{place}",
                )
                for place, view in enumerate(sample.views)
                if is_pinhole(where, view)
                and (frame := where.frame_of(view.identity))
                and (name := where.camera_of(view.identity))
            ),
        )
        for number, sample in enumerate(samples(target, split).samples)
    )


def is_pinhole(where: Disk, view: View) -> bool:
    """Whether a view is the image of a single camera: as it says, else as it names one."""
    return view.is_pinhole or (view.camera_model is None and where.camera_of(view.identity) is not None)


def _require_panoramas(where: Disk, split: str, sample: Sample) -> None:
    """Raises Skip where a sample's views are those of single cameras: they have other poses and rays."""
    for view in sample.views:
        if view.camera_model not in (None, PANORAMA):
            raise Skip(
                "the views of {split} have camera_model {model}: no panoramas around a LiDAR",
                split=split,
                model=repr(view.camera_model),
            )
    shown = Counter(where.frame_of(view.identity) for view in sample.views if view.camera_model is None)
    frame, count = max(shown.items(), key=lambda pair: pair[1] if pair[0] else 0, default=(None, 0))
    if frame and count > 1:
        raise Skip(
            "a sample of {split} shows agent {agent} in {count} views without a camera_model: "
            "views of its cameras, no panoramas around its LiDAR",
            split=split,
            agent=frame.agent.name,
            count=count,
        )


def without_frames(target: Target, split: str) -> Blocked:
    """That no view says what it shows."""
    return Blocked(
        "no view of {split} names a scenario, an agent and a frame that are on disk",
        at=given_place(target, disk(target, split).part, "label"),
        hint='give each view label "scenario/agent", agent_id, and the frame\'s name in instance',
        split=split,
    )


def _origin(where: Disk, view: View, frame: Frame) -> Frame:
    """The frame of the agent that the view's label names: its pose leads there; else the view's own."""
    named = (view.identity.label or "").split("/")[-1]
    agent = where.agents.get((frame.agent.scenario, named))
    return next((other for other in agent.frames if other.name == frame.name), frame) if agent else frame


def sides(shape: tuple[int, ...]) -> str:
    """A shape in words: 64 x 256."""
    return " x ".join(map(str, shape))
