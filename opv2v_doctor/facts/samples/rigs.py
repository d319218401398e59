"""Rigs: the cameras of a frame as its file and images describe them, and how much of a panorama they see."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.damage import image_size
from opv2v_doctor.facts.disk.frames import Disk, Frame, frame_file
from opv2v_doctor.geometry.cameras import Cylinder
from opv2v_doctor.geometry.lookup_tables import RigNumbers, numbers_of
from opv2v_doctor.geometry.rigs import MountedCamera, coverage_fraction, crop_to_aspect, rig_of

MARGIN = 1e-3  # how far ahead of a camera lies what it sees: along a direction of length 1


def camera_names(where: Disk, frame: Frame) -> tuple[str, ...]:
    """The cameras that the dataset is told to use and that the frame has."""
    content = frame_file(frame)
    return tuple(name for name in where.cameras if name in content and frame.agent.has(frame.image(name)))


def rig(where: Disk, frame: Frame) -> dict[str, MountedCamera]:
    """The frame's cameras by name, each with the size of its own image.

    Raises Blocked where its file does not describe them, or none of them has an image.
    """
    names = camera_names(where, frame)
    if not names:
        raise Blocked(
            "{file}: none of the cameras that the dataset uses ({cameras}) has an entry here and an image",
            hint="set camera_ids to cameras that have both",
            file=frame.yaml,
            cameras=where.cameras,
        )
    try:
        return rig_of(frame_file(frame), {name: image_size(frame.image(name)) for name in names})
    except ValueError as problem:
        raise Blocked("{file}: {problem}", file=frame.yaml, problem=str(problem)) from None


def panorama_camera(where: Disk) -> Cylinder:
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


def view_margin(where: Disk) -> float:
    """How far ahead of a camera lies what the dataset takes of it, along a direction of length 1."""
    return max(MARGIN, float(where.part.keywords.get("view_selection_margin") or 0.0))


def rig_coverage(
    cylinder: Cylinder, cameras: Mapping[str, MountedCamera], margin: float = MARGIN, *, cropped: bool = False
) -> float:
    """The share of a panorama that a rig sees, by whole images or by such as were cropped to its shape."""
    return _coverage(cylinder, numbers_of(cameras), margin, cropped=cropped)


@cache
def _coverage(cylinder: Cylinder, rig: RigNumbers, margin: float, *, cropped: bool) -> float:
    """Cached, since one vehicle's rig is every vehicle's rig."""
    cameras = [numbers.camera for numbers in rig]
    if cropped:
        shape = cylinder.width, cylinder.height
        cameras = [MountedCamera(crop_to_aspect(c.pinhole, *shape), c.camera_to_lidar) for c in cameras]
    return coverage_fraction(cylinder, cameras, margin)
