"""Stitching: the images of a rig, and their depth where there is some, as one panorama around the LiDAR.

Without depth a panorama shows what lies far away where it belongs, and what is near shifted by the camera's
offset from the LiDAR. Where depth is known, the offset is respected: see ``ranges`` for the method and its
error. Colours blend where several cameras see the same; depth never does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from opv2v_doctor.geometry.cameras import Cylinder
from opv2v_doctor.geometry.lookup_tables import FAINT, Blend, Tables, feather, numbers_of, tables
from opv2v_doctor.geometry.ranges import Float, known_depth, panorama_ranges
from opv2v_doctor.geometry.rigs import MountedCamera

AGREEMENT = 0.1  # a camera sees a point when its depth there is the point's, within this share

Image = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Panorama:
    """What a rig's images say about each ray of a panorama; arrays of (H, W).

    ``mask`` is what the rig covers far away, that is ``rigs.coverage``; ``ranges`` is metres along the ray, 0
    where no depth is known; ``source`` is the place in the rig of the camera that shows most of the pixel, -1
    for none, and ``measured`` that of the camera whose depth it is.
    """

    rgb: Image  # (H, W, 3), in the images' order of channels; 0 where nothing is seen
    ranges: Float
    mask: NDArray[np.bool_]
    source: NDArray[np.int8]
    measured: NDArray[np.int8]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where a range is known."""
        return np.asarray(self.ranges > 0)


class Stitcher:
    """Stitches panoramas of one rig. Making one is cheap where a rig of the same numbers was seen before."""

    def __init__(self, rig: Mapping[str, MountedCamera], cylinder: Cylinder) -> None:
        numbers = numbers_of(rig)
        self.rig = {camera.name: camera.camera for camera in numbers}
        self.cylinder = cylinder
        self._tables = tables(numbers, cylinder)

    @property
    def names(self) -> tuple[str, ...]:
        """The cameras' names, in the order that ``Panorama.source`` counts."""
        return tuple(self.rig)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """What the rig covers of a panorama: (H, W)."""
        return self._tables.mask

    def panorama(
        self, images: Mapping[str, Image], depths: Mapping[str, ArrayLike] | None = None
    ) -> Panorama:
        """The panorama of an image (h, w, 3) of each camera, and of z-depth (h, w), metres, of some or all.

        Raises ValueError for a camera without an image, or an image or a depth map that is not of its size.
        """
        pictures = [self._of_size(name, images.get(name), (3,)) for name in self.rig]
        if not depths:
            none = np.full(self.mask.shape, -1, np.int8)
            rgb = _far_colours(pictures, self._tables)
            return Panorama(rgb, np.zeros(none.shape, np.float32), self.mask, self._tables.source, none)
        maps = [self._of_size(name, depths[name], ()) if name in depths else None for name in self.rig]
        return self._near(pictures, maps)

    def ranges(self, depths: Mapping[str, ArrayLike]) -> Float:
        """Range along each ray, (H, W), from z-depth alone; 0 where it is not known."""
        maps = [self._of_size(name, depths[name], ()) if name in depths else None for name in self.rig]
        return panorama_ranges(list(self.rig.values()), self.cylinder, maps).ranges

    def _near(self, pictures: list[Any], maps: list[Any]) -> Panorama:
        """The panorama whose pixels of known range show the point there, not the direction."""
        cameras = list(self.rig.values())
        ranges, measured = panorama_ranges(cameras, self.cylinder, maps)
        total = np.zeros(ranges.shape, np.float32)
        colour = np.zeros((*ranges.shape, 3), np.float32)
        heaviest, source = np.zeros_like(total), np.full_like(measured, -1)
        points = self.cylinder.rays() * np.where(ranges > 0, ranges, 1)[..., None]
        for index, (camera, picture, depth) in enumerate(zip(cameras, pictures, maps, strict=True)):
            where, weight = _sight(camera, points, ranges, depth)
            weight[(measured == index) & (weight == 0)] = FAINT  # outside of its image by a crack's width
            total += weight
            colour += weight[..., None] * _colours_at(picture, where)
            source[weight > heaviest] = index
            heaviest = np.maximum(heaviest, weight)
        rgb = np.rint(colour / np.where(total > 0, total, 1)[..., None]).astype(np.uint8)
        return Panorama(rgb, ranges, self.mask, source, measured)

    def _of_size(self, name: str, picture: ArrayLike | None, channels: tuple[int, ...]) -> NDArray[Any]:
        """The picture as an array, or a ValueError that names the camera."""
        if picture is None:
            raise ValueError(f"{name} has no image")
        array, pinhole = np.asarray(picture), self.rig[name].pinhole
        if array.shape != (pinhole.height, pinhole.width, *channels):
            wanted = (pinhole.height, pinhole.width, *channels)
            raise ValueError(f"{name}: expected shape {wanted}; got {array.shape}")
        return array


def _far_colours(pictures: list[Image], lookup: Tables) -> Image:
    """The panorama (H, W, 3) of what is far away, by the cached tables."""
    import cv2

    rgb = np.zeros((*lookup.mask.shape, 3), np.uint8)
    for tile in lookup.tiles:
        warped = cv2.remap(pictures[tile.camera], *tile.maps, cv2.INTER_LINEAR)
        cv2.copyTo(warped, tile.alone, rgb[tile.place])
    for blend in lookup.blends:
        mixed = _blend_colours([pictures[camera] for camera in blend.cameras], blend)
        rgb.reshape(-1, 3)[blend.pixels] = mixed.reshape(-1, 3)[: blend.pixels.size]
    return rgb


def _blend_colours(pictures: list[Image], blend: Blend) -> Image:
    """The colours of pixels that several cameras see: (r, ROW, 3)."""
    import cv2

    warped = [
        cv2.remap(picture, *maps, cv2.INTER_LINEAR)
        for picture, maps in zip(pictures, blend.maps, strict=True)
    ]
    if len(warped) == 2:
        return np.asarray(cv2.blendLinear(*warped, *blend.weights), np.uint8)
    parts = (one * weight[..., None] for one, weight in zip(warped, blend.weights, strict=True))
    return np.rint(sum(parts, np.float32(0))).astype(np.uint8)


def _sight(
    camera: MountedCamera, points: NDArray[np.float64], ranges: Float, depth: NDArray[Any] | None
) -> tuple[tuple[Float, Float], Float]:
    """Where the camera sees each point or, without a range, direction, and with which weight: (H, W)."""
    import cv2

    rotation, place = camera.camera_to_lidar[:3, :3], camera.camera_to_lidar[:3, 3]
    pixels, distance = camera.pinhole.project((points - place * (ranges > 0)[..., None]) @ rotation)
    sees = (distance > 1e-3) & camera.pinhole.inside(pixels, border=0.5)
    last = [camera.pinhole.width - 1, camera.pinhole.height - 1]
    columns, rows = np.moveaxis(np.nan_to_num(np.clip(pixels - 0.5, 0, last)).astype(np.float32), -1, 0)
    where = np.ascontiguousarray(columns), np.ascontiguousarray(rows)
    weight = np.where(sees, feather(camera.pinhole, pixels), np.float32(0))
    if depth is not None:
        nearest = cv2.remap(depth.astype(np.float32), *where, cv2.INTER_NEAREST)
        hidden = (ranges > 0) & ~(known_depth(nearest) & (np.abs(nearest - distance) < AGREEMENT * distance))
        weight[hidden] = 0
    return where, weight


def _colours_at(picture: Image, where: tuple[Float, Float]) -> Image:
    """The picture's colours at index coordinates (H, W): (H, W, 3)."""
    import cv2

    return np.asarray(cv2.remap(picture, *where, cv2.INTER_LINEAR), np.uint8)
