"""Rigs: how much of its panorama each sampled agent can see, from its frame's own cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.damage import image_size
from opv2v_doctor.facts.frames import Disk, Frame, disk, frame_file
from opv2v_doctor.facts.origins import given_place
from opv2v_doctor.facts.samples import samples
from opv2v_doctor.facts.views import View
from opv2v_doctor.geometry.cameras import Cylinder, Pinhole
from opv2v_doctor.geometry.rigs import MountedCamera, coverage_fraction, crop_to_aspect, rig_of
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target

DIGITS = 4  # rigs that agree so far are one: files round


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What one view's mask covers, and what its rig would, as fractions of the panorama."""

    frame: Frame
    measured: float
    seen: float  # by the whole images
    cropped: float  # by images that were first cropped to the shape of the panorama


@dataclass(frozen=True, kw_only=True)
class _Camera:
    """A mounted camera in plain numbers, so that equal rigs are known as equal."""

    width: int
    height: int
    intrinsics: tuple[float, ...]
    camera_to_lidar: tuple[float, ...]


@fact
def coverages(target: Target, split: str) -> tuple[Coverage, ...]:
    """Of every view of the drawn samples that shows a frame on disk.

    Raises Skip where the dataset makes no panoramas, Blocked where no view can be traced to a frame.
    """
    where = disk(target, split)
    cylinder = panorama(where)
    views = [view for view in samples(target, split).views if view.mask_mean is not None]
    pairs = [(view, frame) for view in views if (frame := where.frame_of(view))]
    if not pairs:
        raise Blocked(
            "no view of {split} names a scenario, an agent and a frame that are on disk",
            at=given_place(target, where.part, "label"),
            hint="set label to scenario/agent and instance to frame/agent, as they are named in {folder}",
            split=split,
            folder=where.folder,
        )
    return tuple(_coverage(where, cylinder, view, frame) for view, frame in pairs)


def panorama(where: Disk) -> Cylinder:
    """The panorama's camera, as the dataset's expression gives it. Raises Skip where it gives none."""
    words = where.part.keywords
    size = words.get("panorama_resolution")
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise Skip("{name} is given no panorama_resolution", name=where.part.class_name)
    return Cylinder(
        width=int(size[0]),
        height=int(size[1]),
        vertical_fov=math.radians(float(words.get("panorama_vertical_fov_deg") or 90.0)),
        elevation_center=math.radians(float(words.get("panorama_elevation_center_deg") or 0.0)),
    )


def _coverage(where: Disk, cylinder: Cylinder, view: View, frame: Frame) -> Coverage:
    margin = max(1e-3, float(where.part.keywords.get("view_selection_margin") or 0.0))
    rig = _rig(where, frame)
    assert view.mask_mean is not None
    return Coverage(
        frame=frame,
        measured=view.mask_mean,
        seen=_fraction(cylinder, rig, margin, cropped=False),
        cropped=_fraction(cylinder, rig, margin, cropped=True),
    )


def _rig(where: Disk, frame: Frame) -> tuple[_Camera, ...]:
    """The cameras that the dataset is told to use and that the frame has."""
    content = frame_file(frame.yaml)
    names = [name for name in where.cameras if name in content and frame.image(name).is_file()]
    try:
        return tuple(_rounded(rig_of(content, *image_size(frame.image(name)))[name]) for name in names)
    except ValueError as problem:
        raise Blocked("{path}: {problem}", path=frame.yaml, problem=str(problem)) from None


def _rounded(camera: MountedCamera) -> _Camera:
    return _Camera(
        width=camera.pinhole.width,
        height=camera.pinhole.height,
        intrinsics=tuple(camera.pinhole.intrinsics.round(DIGITS).ravel().tolist()),
        camera_to_lidar=tuple(camera.camera_to_lidar.round(DIGITS).ravel().tolist()),
    )


@cache
def _fraction(cylinder: Cylinder, rig: tuple[_Camera, ...], margin: float, *, cropped: bool) -> float:
    """Cached, since one vehicle's rig is every vehicle's rig."""
    import numpy as np

    cameras = []
    for camera in rig:
        pinhole = Pinhole(np.reshape(camera.intrinsics, (3, 3)), camera.width, camera.height)
        if cropped:
            pinhole = crop_to_aspect(pinhole, cylinder.width, cylinder.height)
        cameras.append((pinhole, np.reshape(camera.camera_to_lidar, (4, 4))))
    return coverage_fraction(cylinder, cameras, margin)
