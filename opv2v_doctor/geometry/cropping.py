"""Cropping: whether an image that was cropped or resized, and its new intrinsics, show the same content."""

from typing import NamedTuple

import numpy as np

from opv2v_doctor.geometry.cameras import Array, Pinhole
from opv2v_doctor.geometry.placings import Bools, CameraImage, Windows, normal, shift, with_texture
from opv2v_doctor.geometry.probing import TRIED, Landing, landing
from opv2v_doctor.geometry.rigs import MountedCamera, crop_to_aspect

SIDE = 9  # samples across the neighbourhood of a point
ACROSS = 0.1  # of the smaller side of the image
NOTHING: Bools = np.zeros((0, 0), np.bool_)


CROPS = ("covered", "stretched", "cut")
ZOOMS = (1.0, 1.03, 1.06, 1.1, 1.15, 1.2, 1.3)  # of the scale that covers: loaders crop at random
FOUND = 0.8  # of likeness: less is no place of the image
SMALL = 160  # pixels across what is searched for at first


class Shot(NamedTuple):
    """An image's brightness (h, w), and the camera that its intrinsics describe."""

    grey: Array
    pinhole: Pinhole


def cropped(pinhole: Pinhole, how: str, width: int, height: int) -> Pinhole:
    """The camera of an image that was made ``width`` x ``height``, in one of the ways that loaders have.

    "covered": rescaled until it covers that, and cropped to its middle; "stretched": rescaled, each axis for
    itself; "cut": its middle, at its own scale.
    """
    if how == "covered":
        return crop_to_aspect(pinhole, width, height)
    matrix = pinhole.intrinsics.copy()
    if how == "stretched":
        matrix = np.diag([width / pinhole.width, height / pinhole.height, 1.0]) @ matrix
    else:
        matrix[:2, 2] -= [(pinhole.width - width) / 2, (pinhole.height - height) / 2]
    return Pinhole(matrix, width, height)


def crop_camera(before: Shot, after: Shot) -> Pinhole | None:
    """The camera of a crop by where its content lies in the image before; None where it lies nowhere.

    The scales that are tried are that of its intrinsics, and some that cover its size.
    """
    covering = max(side / whole for side, whole in zip(after.grey.shape, before.grey.shape, strict=True))
    claimed = float(after.pinhole.intrinsics[0, 0] / before.pinhole.intrinsics[0, 0])
    step = max(1, after.grey.shape[1] // SMALL)
    rough = [
        (_found(before, after, scale, step)[0], scale) for scale in (claimed, *(covering * z for z in ZOOMS))
    ]
    start = max(rough)[1]
    close = [(_found(before, after, scale, step)[0], scale) for scale in start * np.linspace(0.98, 1.02, 9)]
    most, camera = _found(before, after, max([*close, *rough])[1], 1)
    return camera if most > FOUND else None


def _found(before: Shot, after: Shot, scale: float, step: int) -> tuple[float, Pinhole | None]:
    """The best likeness of the crop with any part of the rescaled image, and its camera there."""
    import cv2

    height, width = after.grey.shape
    small = cv2.resize(after.grey, (width // step, height // step), interpolation=cv2.INTER_AREA)
    size = [round(side * scale / step) for side in before.grey.shape[::-1]]
    if size[0] < small.shape[1] or size[1] < small.shape[0]:
        return -1.0, None
    whole = cv2.resize(before.grey, size, interpolation=cv2.INTER_AREA)
    likeness = cv2.matchTemplate(whole.astype(np.float32), small.astype(np.float32), cv2.TM_CCOEFF_NORMED)
    row, column = np.unravel_index(int(likeness.argmax()), likeness.shape)
    matrix = np.diag([size[0] / before.pinhole.width, size[1] / before.pinhole.height, 1.0])
    matrix = matrix @ before.pinhole.intrinsics
    matrix[:2, 2] -= [column, row]
    matrix[:2] *= step
    return float(likeness.max()), Pinhole(matrix, width, height)


def crop_landing(before: Shot, after: Shot, random: np.random.Generator) -> tuple[Landing, float]:
    """Where the content of random points of the image lies after the crop, and how many of its pixels off."""
    seen = camera_shot(before.pinhole, before.grey)
    found = crop_windows(seen, after, random)
    landed = landing(found, seen)
    scale = float(after.pinhole.intrinsics[0, 0] / before.pinhole.intrinsics[0, 0])
    return landed, shift(found, seen, landed.placing) * scale


def camera_shot(pinhole: Pinhole, grey: Array) -> CameraImage:
    """A camera's image, to be compared with what was cut out of it."""
    return CameraImage(MountedCamera(pinhole, np.eye(4)), grey, None, NOTHING)


def crop_windows(seen: CameraImage, after: Shot, random: np.random.Generator) -> Windows:
    """The neighbourhoods of random points of the image in what was cut out of it."""
    return with_texture(_windows(seen.camera.pinhole, after, random), seen)


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
