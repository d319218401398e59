"""Cropping: whether an image that was cropped or resized, and its new intrinsics, show the same content."""

from typing import NamedTuple

import numpy as np

from opv2v_doctor.geometry.cameras import Array, Pinhole
from opv2v_doctor.geometry.placings import Bools, CameraImage, Windows, normal, shift, with_texture
from opv2v_doctor.geometry.probing import TRIED, Landing, landing
from opv2v_doctor.geometry.rigs import MountedCamera

SIDE = 9  # samples across the neighbourhood of a point
ACROSS = 0.1  # of the smaller side of the image
NOTHING: Bools = np.zeros((0, 0), np.bool_)


class Shot(NamedTuple):
    """An image's brightness (h, w), and the camera that its intrinsics describe."""

    grey: Array
    pinhole: Pinhole


def crop_landing(before: Shot, after: Shot, random: np.random.Generator) -> tuple[Landing, float]:
    """Where the content of random points of the image lies after the crop, and how many of its pixels off."""
    seen = CameraImage(MountedCamera(before.pinhole, np.eye(4)), before.grey, None, NOTHING)
    found = with_texture(_windows(before.pinhole, after, random), seen)
    landed = landing(found, seen)
    scale = float(after.pinhole.intrinsics[0, 0] / before.pinhole.intrinsics[0, 0])
    return landed, shift(found, seen, landed.placing) * scale


def _windows(before: Pinhole, after: Shot, random: np.random.Generator) -> Windows:
    """What the cropped image shows around random points, and in which directions that lies."""
    points = before.back_project(
        random.uniform([0, 0], [before.width, before.height], (TRIED, 2)), np.ones(TRIED)
    )
    places = after.pinhole.project(points)[0]
    height, width = after.grey.shape
    stride = max(1, round(ACROSS * min(height, width) / (SIDE - 1)))
    offsets = (np.arange(SIDE) - SIDE // 2) * stride
    down, right = (grid.ravel() for grid in np.meshgrid(offsets, offsets, indexing="ij"))
    middle = np.floor(places).astype(np.int64)
    rows, columns = middle[:, 1:] + down, middle[:, :1] + right
    inside = ((rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)).all(-1)
    rows, columns = rows[inside], columns[inside]
    centres = np.stack([columns, rows], -1) + 0.5
    directions = after.pinhole.back_project(centres, np.ones(columns.shape))
    return Windows(normal(after.grey[rows, columns]), directions, np.ones(columns.shape, np.bool_))
