"""Stitching: the pinhole cameras of one agent become one equirectangular panorama around its LiDAR."""

import math
from dataclasses import dataclass

import numpy as np

FAR = 500.0  # metres: what settles beyond is sky
FIRST_GUESSES = (0.0, 0.25)  # inverse ranges
ITERATIONS = 4
SETTLED = 0.01  # a range has settled when the surface is this close to it
FLAT = 0.02  # largest bend of inverse depth, relative to itself, within one plane


@dataclass(frozen=True)
class CameraView:
    """One image with its z-depth, and where its camera is in the agent's frame (OpenCV axes)."""

    image: np.ndarray  # (h, w, 3)
    depth: np.ndarray  # (h, w), distance to the image plane in metres, 0 where nothing was measured
    intrinsics: np.ndarray  # (3, 3), pixel centres at +0.5
    rotation: np.ndarray  # (3, 3), camera to agent
    offset: np.ndarray  # (3,), metres

    def project(self, points):
        """Points (..., 3) in the camera's frame to pixels (..., 2); NaN behind the camera."""
        z = np.where(points[..., 2:] > 1e-6, points[..., 2:], np.nan)
        return (points / z) @ self.intrinsics[:2].T

    def inside(self, pixels):
        """Which pixels (..., 2) can be interpolated."""
        height, width = self.depth.shape
        columns, rows = pixels[..., 0], pixels[..., 1]
        return (columns >= 0.5) & (columns <= width - 0.5) & (rows >= 0.5) & (rows <= height - 0.5)

    def meets(self, directions, offset):
        """Which rays (N, 3) come into the image at a metre or farther; both are in the camera's frame.

        Each side of the image is linear in the inverse range, from 0 to 1: ahead, left, right, top, bottom.
        """
        height, width = self.depth.shape
        across, down, ahead = self.intrinsics[0], self.intrinsics[1], np.array([0.0, 0.0, 1.0])
        sides = np.stack(
            [
                ahead,
                across - 0.5 * ahead,
                (width - 0.5) * ahead - across,
                down - 0.5 * ahead,
                (height - 0.5) * ahead - down,
            ]
        )
        far, change = directions @ sides.T, sides @ offset  # a side is passed where far == inverse * change
        first, last = np.zeros(len(far)), np.ones(len(far))
        for side, rate in enumerate(change):
            at = far[:, side]
            if rate > 0:
                last = np.minimum(last, at / rate)
            elif rate < 0:
                first = np.maximum(first, at / rate)
            else:
                last = np.where(at < 0, -1.0, last)
        return first <= last + 1e-9


@dataclass(frozen=True)
class Panorama:
    """What one agent sees all around it."""

    image: np.ndarray  # (H, W, 3), uint8
    depth: np.ndarray  # (H, W), range along the ray in metres, 0 where unknown
    mask: np.ndarray  # (H, W), bool: a camera looks in this direction


class PanoramaStitcher:
    """Warps a rig of cameras into a panorama of fixed size."""

    def __init__(
        self, resolution, vertical_fov_deg=90.0, elevation_center_deg=0.0, view_selection_margin=0.05
    ):
        self.width, self.height = (int(side) for side in resolution)
        self.vertical_fov = math.radians(vertical_fov_deg)
        self.elevation_center = math.radians(elevation_center_deg)
        self.margin = float(view_selection_margin)
        self.rays = self._rays()

    @property
    def intrinsics(self):
        """Pixels per radian and the middle of the panorama, in the shape of a pinhole's matrix."""
        per_radian = self.width / (2 * math.pi)
        return np.array(
            [
                [per_radian, 0, self.width / 2],
                [0, self.height / self.vertical_fov, self.height / 2],
                [0, 0, 1],
            ],
            dtype=np.float32,
        )

    def _rays(self):
        """Unit directions (H, W, 3) through the pixel centres."""
        azimuth = ((np.arange(self.width) + 0.5) / self.width - 0.5) * 2 * math.pi
        height = 0.5 - (np.arange(self.height) + 0.5) / self.height
        azimuth, elevation = np.meshgrid(azimuth, self.elevation_center + height * self.vertical_fov)
        level = np.cos(elevation)
        return np.stack([level * np.sin(azimuth), -np.sin(elevation), level * np.cos(azimuth)], axis=-1)

    def stitch(self, cameras):
        """One panorama; where two cameras see the same, the earlier one wins."""
        image = np.zeros((self.height, self.width, 3), dtype=np.float32)
        depth = np.zeros((self.height, self.width))
        mask = np.zeros((self.height, self.width), dtype=bool)
        for camera in cameras:
            directions = self.rays @ camera.rotation  # in the camera's frame
            ahead = directions[..., 2] > self.margin
            looks = ahead & camera.inside(camera.project(directions))
            ranges = np.zeros_like(depth)
            ranges[ahead] = ranges_along(self.rays[ahead], camera)
            found = (ranges > 0) & (depth == 0)
            depth[found] = ranges[found]
            painted = found | (looks & ~mask & (depth == 0))
            image[painted] = _colour(camera, self.rays[painted], ranges[painted])
            mask |= looks
        depth[~mask] = 0.0
        return Panorama(image.round().astype(np.uint8), depth.astype(np.float32), mask)


def ranges_along(rays, camera):
    """Range (N,) at which each ray (N, 3) meets what the camera measured; 0 where that is unknown.

    The camera is not where the panorama's centre is, so the pixel to look up depends on the range: guess
    one, look up the depth there, take the range that follows, and repeat. Two first guesses, far away and
    near; where both settle, the nearer surface hides the farther one.
    """
    surface = Surface(camera)
    directions, offset = rays @ camera.rotation, camera.offset @ camera.rotation  # in the camera's frame
    met, inverse = camera.meets(directions, offset), np.zeros(len(rays))
    inverse[met] = np.maximum(*(surface.settle(directions[met], offset, guess) for guess in FIRST_GUESSES))
    return np.where(inverse > 1.0 / FAR, 1.0 / np.maximum(inverse, 1.0 / FAR), 0.0)


class Surface:
    """The inverse depth of one image: linear along a plane, so it may be interpolated within one."""

    def __init__(self, camera):
        self.camera = camera
        self.inverse = 1.0 / np.where(camera.depth > 0, camera.depth, np.inf)
        self.flat = _flat_cells(self.inverse)

    def settle(self, directions, offset, guess):
        """Inverse range (N,) of the point on each ray that lies on the surface; 0 where none was found.

        Along a plane the gap is linear in the inverse range, so two guesses give the exact answer.
        """
        last = np.full(len(directions), guess)
        last_gap, _ = self._gap(directions, offset, last)
        inverse = last + np.clip(last_gap, -0.1, 0.1)
        for _ in range(ITERATIONS):
            gap, depth = self._gap(directions, offset, inverse)
            slope = (gap - last_gap) / np.where(inverse == last, np.nan, inverse - last)
            last, last_gap = inverse, gap
            inverse = np.clip(inverse - gap / np.where(slope < 0, slope, -1.0), 0.0, 1.0)
        gap, depth = self._gap(directions, offset, inverse)
        return np.where(np.abs(gap) < SETTLED * depth, inverse, 0.0)

    def _gap(self, directions, offset, inverse):
        """How much nearer the surface is than the points at these inverse ranges, and its inverse depth."""
        points = directions - offset * inverse[:, None]  # times the range
        pixels = self.camera.project(points)
        measured = np.where(self.camera.inside(pixels), self._sample(np.nan_to_num(pixels) - 0.5), 0.0)
        scaled = measured * points[:, 2]
        return scaled - inverse, scaled

    def _sample(self, places):
        """Inverse depth (N,): bilinear in flat cells, of the nearest pixel elsewhere."""
        columns, rows = places.T
        height, width = self.inverse.shape
        flat = self.flat[_cell(rows, height - 1), _cell(columns, width - 1)]
        nearest = self.inverse[_cell(rows + 0.5, height), _cell(columns + 0.5, width)]
        return np.where(flat, bilinear(self.inverse, columns, rows), nearest)


def _flat_cells(inverse):
    """Which cells (h - 1, w - 1) between four pixels lie within one plane: no kink or step at a corner."""
    padded = np.pad(inverse, 1, mode="reflect", reflect_type="odd")
    bend = np.maximum(
        np.abs(padded[1:-1, 2:] + padded[1:-1, :-2] - 2 * inverse),
        np.abs(padded[2:, 1:-1] + padded[:-2, 1:-1] - 2 * inverse),
    )
    smooth = bend <= FLAT * inverse
    return smooth[1:, 1:] & smooth[1:, :-1] & smooth[:-1, 1:] & smooth[:-1, :-1]


def bilinear(values, columns, rows):
    """Values (h, w, ...) between the pixels, at places counted from the first pixel's centre."""
    column, row = _cell(columns, values.shape[1] - 1), _cell(rows, values.shape[0] - 1)
    right = np.clip(columns - column, 0.0, 1.0).reshape(-1, *[1] * (values.ndim - 2))
    down = np.clip(rows - row, 0.0, 1.0).reshape(right.shape)
    upper = values[row, column] * (1 - right) + values[row, column + 1] * right
    lower = values[row + 1, column] * (1 - right) + values[row + 1, column + 1] * right
    return upper * (1 - down) + lower * down


def _cell(places, count):
    """The whole number below each place, within an axis of this length."""
    return np.clip(np.floor(places).astype(np.int64), 0, count - 1)


def _colour(camera, rays, ranges):
    """Bilinear colours (N, 3) of the points at these ranges along the rays; 0 is far away."""
    points = (rays * np.where(ranges > 0, ranges, 1e6)[:, None] - camera.offset) @ camera.rotation
    columns, rows = np.nan_to_num(camera.project(points)).T - 0.5
    return bilinear(camera.image, columns, rows)
