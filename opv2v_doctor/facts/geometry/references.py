"""References: a view's frame on disk, stitched by the doctor, to be shown beside what training sees."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.frames import Disk, Frame, disk
from opv2v_doctor.facts.geometry.depth_maps import depth_of, pictures
from opv2v_doctor.facts.interpreter.views import PANORAMA
from opv2v_doctor.facts.samples.moments import is_pinhole
from opv2v_doctor.facts.samples.panoramas import DrawnView
from opv2v_doctor.facts.samples.rigs import panorama_camera, rig, rig_coverage
from opv2v_doctor.geometry.cameras import Cylinder
from opv2v_doctor.geometry.rigs import MountedCamera
from opv2v_doctor.geometry.stitching import Image, Panorama, Stitcher
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text

SHUFFLED_BY = 777  # the seed of the order in which map-anything resizes a dataset, in epoch 0
NAMED = 0.02  # a coverage that is so near to a predicted one is explained by it


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """What the files of one frame give when the doctor stitches them."""

    frame: Frame
    cylinder: Cylinder
    cameras: tuple[str, ...]  # in the order that `source` counts
    images: Mapping[str, Image]  # (h, w, 3), blue first, as they are in the files
    rgb: Image  # (H, W, 3), red first
    near: bool  # whether the cameras' offsets from the LiDAR were taken into account
    ranges: NDArray[np.float32] | None  # (H, W), metres, 0 where not known; None without depth maps
    mask: NDArray[np.bool_]
    source: NDArray[np.int8]  # which camera shows the pixel, -1 for none
    rig: Mapping[str, MountedCamera]

    @property
    def coverage(self) -> float:
        """The share of the panorama that the rig sees."""
        return float(self.mask.mean())

    @cached_property
    def cropped_coverage(self) -> float:
        """That share, were every image first cropped to the panorama's shape."""
        return rig_coverage(self.cylinder, self.rig, cropped=True)

    def explanation(self, measured: float) -> Text | None:
        """What a mask of this mean says about the images, where it is not the rig's coverage."""
        if abs(measured - self.coverage) > NAMED and abs(measured - self.cropped_coverage) < NAMED:
            return Text(
                "images cropped to {width}:{height} before stitching would cover {covered:.3f}",
                width=self.cylinder.width,
                height=self.cylinder.height,
                covered=self.cropped_coverage,
            )
        return None


def where_of(target: Target, split: str) -> tuple[Disk, Cylinder]:
    """The split on disk and its panorama's camera. Raises Blocked where there is no reference to make."""
    try:
        where = disk(target, split)
        return where, panorama_camera(where)
    except Skip as skipped:
        raise Blocked("no reference: {reason}", reason=skipped.reason) from None


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

    def __init__(self, where: Disk, cylinder: Cylinder) -> None:
        self._where, self._cylinder = where, cylinder
        self._one_by_one = ThreadPoolExecutor(1)  # the training interpreter needs the other core
        self._ahead: dict[Path, Future[Stitching]] = {}

    def expect(self, index: int) -> None:
        """Begin with the frames that a dataset's sample at this index will show, as far as one can guess."""
        self._one_by_one.submit(self._begin, index)

    def _begin(self, index: int) -> None:
        for frame in _guess(self._where, index):
            task = self._one_by_one.submit(stitching, self._where, self._cylinder, frame)
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
        if view.camera_model not in (None, PANORAMA) or is_pinhole(self._where, view):
            raise Blocked("the camera model is {model!r}: not a panorama", model=view.camera_model)
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
        )


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
