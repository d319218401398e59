"""Cameras: the pinhole of an OPV2V image, and the equirectangular "cyl" camera of a panorama.

Both look along OpenCV axes: x right, y down, z forward, metres. Both count pixels from the image's corner:
the pixel in column ``i`` and row ``j`` has its centre at ``(i + 0.5, j + 0.5)``, and the image spans ``[0,
width) x [0, height)``. CARLA and OPV2V count so: their principal point (400, 300) is the exact middle of 800
x 600. ``cv2.remap`` and array indices count from the first pixel's centre: take 0.5 off for them.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def is_camera_matrix(rows: ArrayLike) -> bool:
    """Whether intrinsics (3, 3) are [[fx, s, cx], [0, fy, cy], [0, 0, 1]], finite, with lengths above 0."""
    matrix = np.asarray(rows, dtype=np.float64)
    form = np.isfinite(matrix).all() and not matrix[1, 0] and (matrix[2] == [0, 0, 1]).all()
    return bool(form and min(matrix[0, 0], matrix[1, 1]) > 0)


@dataclass(frozen=True, eq=False)
class Pinhole:
    """A camera without distortion: ``intrinsics`` (3, 3) in pixels, ``width`` and ``height`` of its image.

    Raises ValueError for a size below one pixel, or intrinsics that are not a finite ``[[fx, s, cx], [0, fy,
    cy], [0, 0, 1]]`` with positive focal lengths. Two cameras are equal only when they are the same object.
    """

    intrinsics: Array
    width: int
    height: int

    def __post_init__(self) -> None:
        matrix = np.array(self.intrinsics, dtype=np.float64)
        _require_size(self.width, self.height)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            raise ValueError(
                f"intrinsics are a finite (3, 3) matrix; got shape {matrix.shape}: {matrix.tolist()}"
            )
        if not is_camera_matrix(matrix):
            raise ValueError(f"intrinsics are [[fx, s, cx], [0, fy, cy], [0, 0, 1]]; got {matrix.tolist()}")
        matrix.setflags(write=False)
        object.__setattr__(self, "intrinsics", matrix)

    def pixels(self) -> Array:
        """The centre of every pixel: (H, W, 2), column first."""
        return pixel_centres(self.width, self.height)

    def project(self, points: ArrayLike) -> tuple[Array, Array]:
        """Points (..., 3), metres, to pixels (..., 2) and z-depth (...), metres: ``K p / z``.

        A point that is not in front of the camera (z <= 0) has no pixel: its pixel is NaN.
        """
        vectors = _vectors(points, 3)
        depth = vectors[..., 2]
        in_front = np.where(depth > 0, depth, np.nan)
        with np.errstate(over="ignore", invalid="ignore"):
            return vectors @ self.intrinsics[:2].T / in_front[..., None], depth

    def back_project(self, pixels: ArrayLike, depth: ArrayLike) -> Array:
        """Pixels (..., 2) and z-depth (...), metres, to points (..., 3), metres: ``z K^-1 (u, v, 1)``."""
        return self._plane(pixels) * np.asarray(depth, dtype=np.float64)[..., None]

    def rays(self) -> Array:
        """Unit direction through the centre of every pixel: (H, W, 3)."""
        plane = self._plane(self.pixels())
        return np.asarray(plane / np.linalg.norm(plane, axis=-1, keepdims=True))

    def from_corner(self) -> "Pinhole":
        """The same camera, where its intrinsics count from the first pixel's centre: half a pixel more."""
        matrix = self.intrinsics.copy()
        matrix[:2, 2] += 0.5
        return Pinhole(matrix, self.width, self.height)

    def range_per_depth(self) -> Array:
        """Range along the ray for one metre of z-depth, at the centre of every pixel: (H, W).

        With OPV2V's cameras 1.56 at the sides and 1.79 in the corners: the error of taking one for the other.
        """
        return np.asarray(np.linalg.norm(self._plane(self.pixels()), axis=-1))

    def inside(self, pixels: ArrayLike, border: float = 0.0) -> NDArray[np.bool_]:
        """Which pixels (..., 2) lie in the image, ``border`` pixels or more from its edge: (...); never NaN.

        Within a border of 0.5, that is between the centres of the outermost pixels, it can be interpolated.
        """
        return _inside(pixels, self.width, self.height, border)

    def _plane(self, pixels: ArrayLike) -> Array:
        """The point at z = 1 behind each of the pixels (..., 2): (..., 3)."""
        corners = _vectors(pixels, 2)
        homogeneous = np.concatenate([corners, np.ones_like(corners[..., :1])], axis=-1)
        return np.asarray(homogeneous @ np.linalg.inv(self.intrinsics).T)


@dataclass(frozen=True)
class Cylinder:
    """The "cyl" camera: an equirectangular panorama, ``width`` x ``height`` pixels; angles in radians.

    Column -> azimuth ``a = (u / W - 0.5) * horizontal_fov``, 0 ahead and positive to the right; row ->
    elevation ``e = elevation_center + (0.5 - v / H) * vertical_fov``, positive up; ray = ``(cos e sin a, -sin
    e, cos e cos a)``. The formulas are those of the training code's ``camera_model="cyl"``. Raises ValueError
    for a size below one pixel or a field of view that no sphere has.
    """

    width: int
    height: int
    horizontal_fov: float = 2 * math.pi
    vertical_fov: float = math.pi / 2
    elevation_center: float = 0.0

    def __post_init__(self) -> None:
        _require_size(self.width, self.height)
        if not 0 < self.horizontal_fov <= 2 * math.pi:
            raise ValueError(
                f"horizontal_fov is in radians, above 0, at most 2 pi; got {self.horizontal_fov}"
            )
        top = abs(self.elevation_center) + self.vertical_fov / 2
        if not (self.vertical_fov > 0 and top <= math.pi / 2 + 1e-9):
            raise ValueError(f"the view ends at elevation {top} radians, beyond the pole at pi / 2")

    def pixels(self) -> Array:
        """The centre of every pixel: (H, W, 2), column first."""
        return pixel_centres(self.width, self.height)

    @lru_cache(maxsize=4)  # noqa: B019 (a few cameras of a few numbers)
    def rays(self) -> Array:
        """Unit direction through the centre of every pixel: (H, W, 3), read only."""
        rays = self.directions(self.pixels())
        rays.setflags(write=False)
        return rays

    def directions(self, pixels: ArrayLike) -> Array:
        """Unit direction through each of the pixels (..., 2): (..., 3)."""
        columns, rows = np.moveaxis(_vectors(pixels, 2), -1, 0)
        azimuth = (columns / self.width - 0.5) * self.horizontal_fov
        elevation = self.elevation_center + (0.5 - rows / self.height) * self.vertical_fov
        level = np.cos(elevation)
        return np.stack([level * np.sin(azimuth), -np.sin(elevation), level * np.cos(azimuth)], axis=-1)

    def project(self, points: ArrayLike) -> tuple[Array, Array]:
        """Points (..., 3), metres, to pixels (..., 2) and range along the ray (...), metres.

        A full circle has no side edges: what is straight behind lies in column 0. Other pixels may lie
        outside of the panorama (see ``inside``). The camera's own centre has no pixel: NaN.
        """
        right, down, forward = np.moveaxis(_vectors(points, 3), -1, 0)
        level = np.hypot(right, forward)
        distance = np.hypot(level, down)
        columns = self._columns(np.arctan2(right, forward))
        elevation = np.arctan2(-down, level)
        rows = (0.5 - (elevation - self.elevation_center) / self.vertical_fov) * self.height
        pixels = np.stack([columns, rows], axis=-1)
        return np.where(distance[..., None] > 0, pixels, np.nan), distance

    def back_project(self, pixels: ArrayLike, ranges: ArrayLike) -> Array:
        """Pixels (..., 2) and range along the ray (...), metres, to points (..., 3), metres."""
        return self.directions(pixels) * np.asarray(ranges, dtype=np.float64)[..., None]

    def inside(self, pixels: ArrayLike) -> NDArray[np.bool_]:
        """Which pixels (..., 2) lie in the panorama: (...). NaN does not."""
        return _inside(pixels, self.width, self.height)

    def _columns(self, azimuth: Array) -> Array:
        """Column coordinates of azimuths in radians, wrapped at the right edge of a full circle."""
        columns = (azimuth / self.horizontal_fov + 0.5) * self.width
        if self.horizontal_fov < 2 * math.pi:
            return columns
        return np.where(columns >= self.width, 0.0, columns)


Camera = Cylinder | Pinhole  # what a view may have been taken with: a panorama, or an image


def pixel_centres(width: int, height: int) -> Array:
    """The centre of every pixel of an image, ``(i + 0.5, j + 0.5)``: (H, W, 2), column first."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([columns, rows], axis=-1)


def _inside(pixels: ArrayLike, width: int, height: int, border: float = 0.0) -> NDArray[np.bool_]:
    """Which pixels (..., 2) lie in ``[0, width) x [0, height)``, less a border on each side: (...)."""
    places = _vectors(pixels, 2)
    limits = np.array([width, height]) - border
    return np.asarray(((places >= border) & (places < limits)).all(-1))


def _vectors(values: ArrayLike, length: int) -> Array:
    """The argument as float64, (..., length), or a ValueError that names its shape."""
    vectors = np.asarray(values, dtype=np.float64)
    if vectors.shape[-1:] != (length,):
        raise ValueError(f"expected shape (..., {length}); got {vectors.shape}")
    return vectors


def _require_size(width: int, height: int) -> None:
    """A ValueError unless an image of this size has a pixel."""
    if width < 1 or height < 1:
        raise ValueError(f"an image has at least one pixel; got {width} x {height}")
