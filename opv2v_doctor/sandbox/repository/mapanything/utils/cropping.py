"""Crops and resizes of an image with its depth map; the intrinsics follow."""

import cv2
import numpy as np


def crop_resize(image, depth, intrinsics, resolution):
    """Rescale until the image covers the resolution (width, height), then crop to its middle.

    Pixels are counted from the image's corner: the first one's centre is at (0.5, 0.5).
    """
    image, depth, intrinsics = resize_to_cover(image, depth, intrinsics, resolution)
    return crop_to_middle(image, depth, intrinsics, resolution)


def resize_to_cover(image, depth, intrinsics, resolution):
    """The smallest image of the same shape that covers the resolution; depth is that of the nearest pixel."""
    height, width = depth.shape
    scale = max(resolution[0] / width, resolution[1] / height)
    size = (max(round(width * scale), resolution[0]), max(round(height * scale), resolution[1]))
    intrinsics = np.diag([size[0] / width, size[1] / height, 1.0]) @ intrinsics
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    columns = ((np.arange(size[0]) + 0.5) * width / size[0]).astype(int)
    rows = ((np.arange(size[1]) + 0.5) * height / size[1]).astype(int)
    return image, depth[rows[:, None], columns], intrinsics


def crop_to_middle(image, depth, intrinsics, resolution):
    """The middle of the image."""
    left, top = (image.shape[1] - resolution[0]) // 2, (image.shape[0] - resolution[1]) // 2
    part = slice(top, top + resolution[1]), slice(left, left + resolution[0])
    intrinsics = intrinsics - [[0, 0, left], [0, 0, top], [0, 0, 0]]
    return np.ascontiguousarray(image[part]), depth[part], intrinsics
