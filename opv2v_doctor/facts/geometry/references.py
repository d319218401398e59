"""References: a view's frame on disk, as the doctor makes it, to be shown beside what training sees."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.frames import Disk, Frame, disk
from opv2v_doctor.facts.disk.lidar_files import cloud
from opv2v_doctor.facts.geometry.depth_maps import depth_of, picture_at, pictures
from opv2v_doctor.facts.geometry.images import cut_out
from opv2v_doctor.facts.interpreter.views import PANORAMA
from opv2v_doctor.facts.samples.moments import PinholeView, is_pinhole
from opv2v_doctor.facts.samples.panoramas import DrawnView
from opv2v_doctor.facts.samples.rigs import panorama_camera, rig, rig_coverage
from opv2v_doctor.geometry.agreement import seen_points
from opv2v_doctor.geometry.cameras import Array, Camera, Cylinder
from opv2v_doctor.geometry.readings import Reading
from opv2v_doctor.geometry.restitching import depth_by
from opv2v_doctor.geometry.rigs import MountedCamera
from opv2v_doctor.geometry.stitching import Image, Panorama, Stitcher
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text

SHUFFLED_BY = 777  # the seed of the order in which map-anything resizes a dataset, in epoch 0
NAMED = 0.02  # a coverage that is so near to a predicted one is explained by it


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """What the files of one frame give when the doctor stitches them, or cuts a camera's image out of one."""

    frame: Frame
    cylinder: Cylinder | None  # None: the image of a single camera
    cameras: tuple[str, ...]  # in the order that `source` counts
    images: Mapping[str, Image]  # (h, w, 3), blue first, as they are in the files
    rgb: Image  # (H, W, 3), red first
    near: bool  # whether the cameras' offsets from the LiDAR were taken into account
    ranges: NDArray[np.float32] | None  # (H, W), as depthmap, 0 where not known; None without depth maps
    mask: NDArray[np.bool_]
    source: NDArray[np.int8]  # which camera shows the pixel, -1 for none
    rig: Mapping[str, MountedCamera]
    lidar: Array | None = None  # (N, 3): column, row and depth of the LiDAR points that the view sees

    @property
    def coverage(self) -> float:
        """The share of the view that the rig sees."""
        return float(self.mask.mean())

    @cached_property
    def cropped_coverage(self) -> float:
        """That share, were every image first cropped to the panorama's shape."""
        return rig_coverage(self.cylinder, self.rig, cropped=True) if self.cylinder else self.coverage

    def explanation(self, measured: float) -> Text | None:
        """What a mask of this mean says about the images, where it is not the rig's coverage."""
        if self.cylinder is None:
            return None
        if abs(measured - self.coverage) > NAMED and abs(measured - self.cropped_coverage) < NAMED:
            return Text(
                "images cropped to {width}:{height} before stitching would cover {covered:.3f}",
                width=self.cylinder.width,
                height=self.cylinder.height,
                covered=self.cropped_coverage,
            )
        return None


def where_of(target: Target, split: str) -> tuple[Disk, Cylinder | None]:
    """The split on disk and its panorama's camera, None where it makes none.

    Raises Blocked where there is no reference to make.
    """
    try:
        where = disk(target, split)
    except Skip as skipped:
        raise Blocked("no reference: {reason}", reason=skipped.reason) from None
    with contextlib.suppress(Skip):
        return where, panorama_camera(where)
    return where, None


@dataclass(frozen=True, kw_only=True, eq=False)
class Stitching:
    """One frame, stitched for what is far, and with the cameras' offsets where its depth maps allow."""

    rig: Mapping[str, MountedCamera]
    images: Mapping[str, Image]
    far: Panorama
    near: Panorama | None


def stitching(where: Disk, cylinder: Cylinder, frame: Frame) -> Stitching:
    """Stitch the images and depth maps of a frame. Raises Blocked where they cannot be."""
    mounted = rig(where, frame)
    images = pictures(frame, tuple(mounted))
    depths = {name: depth for name in mounted if (depth := depth_of(frame, name)) is not None}
    usable = bool(depths) and all(d.shape == images[name].shape[:2] for name, d in depths.items())
    stitcher = Stitcher(mounted, cylinder)
    return Stitching(
        rig=mounted,
        images=images,
        far=stitcher.panorama(images),
        near=stitcher.panorama(images, depths) if usable else None,
    )


class References:
    """The references of a split's views; frames that are expected are stitched before they are asked for."""

    def __init__(self, where: Disk, cylinder: Cylinder | None) -> None:
        self._where, self._cylinder = where, cylinder
        self._one_by_one = ThreadPoolExecutor(1)  # the training interpreter needs the other core
        self._ahead: dict[Path, Future[Stitching]] = {}

    def expect(self, index: int) -> None:
        """Begin with the frames that a dataset's sample at this index will show, as far as one can guess."""
        if self._cylinder:
            self._one_by_one.submit(self._begin, index, self._cylinder)

    def _begin(self, index: int, cylinder: Cylinder) -> None:
        for frame in _guess(self._where, index):
            task = self._one_by_one.submit(stitching, self._where, cylinder, frame)
            self._ahead[frame.yaml] = task

    def close(self) -> None:
        """What was not begun need not be done."""
        self._one_by_one.shutdown(wait=False, cancel_futures=True)

    def of(self, drawn: DrawnView) -> Reference:
        """The reference of a view. Raises Blocked with the reason where its frame cannot be stitched.

        Of the two ways to stitch that one is shown which the view is more like.
        """
        view, identity = drawn.view, drawn.view.identity
        frame = self._where.frame_of(identity)
        if frame is None:
            raise Blocked(
                "no frame on disk is named {label} {instance}",
                label=identity.label,
                instance=identity.instance,
            )
        if is_pinhole(self._where, view):
            return _of_camera(self._where, drawn, frame)
        if view.camera_model not in (None, PANORAMA):
            raise Blocked("the camera model is {model!r}: not a panorama", model=view.camera_model)
        if self._cylinder is None:
            raise Blocked("{name} is given no panorama_resolution", name=self._where.part.class_name)
        task = self._ahead.pop(frame.yaml, None)
        found = (
            stitching(self._where, self._cylinder, frame) if task is None or task.cancel() else task.result()
        )
        near = found.near is not None and _apart(found.near, drawn) < _apart(found.far, drawn)
        shown = found.near if near and found.near else found.far
        return Reference(
            frame=frame,
            cylinder=self._cylinder,
            cameras=tuple(found.rig),
            images=found.images,
            rgb=np.ascontiguousarray(shown.rgb[..., ::-1]),
            near=near,
            ranges=found.near.ranges if found.near else None,
            mask=shown.mask,
            source=shown.source,
            rig=found.rig,
            lidar=_lidar(frame, self._cylinder),
        )


def _of_camera(where: Disk, drawn: DrawnView, frame: Frame) -> Reference:
    """What the file of a single camera shows by the view's own intrinsics, and the LiDAR points there."""
    name = where.camera_of(drawn.view.identity)
    if name is None:
        raise Blocked("no camera is named in {instance}", instance=drawn.view.identity.instance)
    view = PinholeView(view=drawn.view, frame=frame, origin=frame, name=name, prefix=drawn.prefix)
    mounted = view.rig(where)
    file, depth = mounted[name].pinhole, depth_of(frame, name)
    image = picture_at(frame.image(name))
    rgb, seen = cut_out(image, file, view.camera)
    return Reference(
        frame=frame,
        cylinder=None,
        cameras=(name,),
        images={name: image},
        rgb=np.ascontiguousarray(rgb[..., ::-1]),
        near=False,
        ranges=None if depth is None else depth_by(Reading(), view.camera, file, depth),
        mask=seen,
        source=np.where(seen, 0, -1).astype(np.int8),
        rig=mounted,
        lidar=_lidar(frame, view.camera, mounted[name].camera_to_lidar),
    )


def _lidar(frame: Frame, camera: Camera, camera_to_lidar: Array | None = None) -> Array | None:
    """Column, row and depth of the LiDAR points that a camera sees (N, 3), the nearest last."""
    points = cloud(frame)
    if points is None:
        return None
    pixels, depth, seen = seen_points(camera, points, camera_to_lidar)
    found = np.column_stack([pixels[seen], depth[seen]])
    return np.asarray(found[np.argsort(-found[:, 2])])


def _guess(where: Disk, index: int) -> tuple[Frame, ...]:
    """The frames of a sample, if the dataset counts as map-anything's does. A wrong guess costs time only."""
    scenes, part = where.scenes, where.part
    if not scenes:
        return ()
    if part.size is None:
        place = index // max(1, part.repeat) % len(scenes)
    else:  # resized: in the order of the first epoch
        order = np.random.default_rng(SHUFFLED_BY).permutation(len(scenes))
        place = int(order[index % len(scenes)])
    return scenes[place][: max(part.views)]


def _apart(shown: Panorama, drawn: DrawnView) -> float:
    """By how many levels the view differs from the panorama, in the mean, where both show something."""
    picture = drawn.rgb
    if picture is None or picture.shape != shown.rgb.shape:
        return 0.0  # nothing to tell by
    both = shown.mask & picture.any(-1)
    difference = shown.rgb[..., ::-1][both].astype(np.float32) - picture[both]
    return float(np.abs(difference).mean()) if difference.size else 0.0
