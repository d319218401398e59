"""Camera axes: which way x, y and z of a single camera point, as its training declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from opv2v_doctor.facts.samples.moments import PinholeView, is_written
from opv2v_doctor.geometry.cameras import Array
from opv2v_doctor.geometry.conventions import AXES
from opv2v_doctor.geometry.poses import UE_TO_OPENCV
from opv2v_doctor.text import Text

DECLARED: Mapping[str, str] = {"opencv": "opencv", "opengl": "opengl", "carla": "unconverted"}
AXES_WORDS: Mapping[str, Text] = {
    "opencv": Text("OpenCV's (x right, y down, z forward)"),
    "opengl": Text("OpenGL's (x right, y up, z back)"),
    "unconverted": Text("CARLA's (x forward, y right, z up)"),
}
ALIKE = 0.1  # between unit vectors: axes are told apart, how exact rays are is not judged
STEP = 8  # of the points that were handed over


def rays_axes(views: Iterable[PinholeView]) -> str | None:
    """The axes in which some views give their rays, or else their points seen through their poses."""
    for view in filter(is_written, views):
        if (rays := _given_rays(view.given())) is not None:
            return axes_of(*rays)
    return None


def axes_of(given: Array, opencv: Array) -> str | None:
    """In which of the axes that a training may declare rays (..., 3) are that are so in OpenCV's."""
    errors = {
        name: float(np.nan_to_num(np.abs(given - opencv @ from_opencv(name).T).max(), nan=np.inf))
        for name in DECLARED.values()
    }
    best = min(errors, key=lambda name: errors[name])
    return best if errors[best] < ALIKE else None


def from_opencv(axes: str) -> Array:
    """The matrix (3, 3) that takes OpenCV's axes of a camera to these."""
    return np.asarray(AXES[axes][0] @ UE_TO_OPENCV.T)


def _given_rays(view: PinholeView) -> tuple[Array, Array] | None:
    """Unit directions (..., 3) to what some pixels show, as the view gives them, and in OpenCV's axes."""
    expected, some = view.camera.rays(), slice(None, None, STEP)
    given = view.array("ray_directions_cam")
    if given is not None:
        return (given.astype(np.float64), expected) if given.shape == expected.shape else None
    points = view.array("pts3d")  # of every eighth pixel
    if points is None or points.shape != expected[some, some].shape or view.view.pose is None:
        return None
    known = view.depth[some, some] > 0
    seen = (points[known].astype(np.float64) - view.pose[:3, 3]) @ view.pose[:3, :3]
    if not len(seen):
        return None
    return seen / np.maximum(np.linalg.norm(seen, axis=-1, keepdims=True), 1e-9), expected[some, some][known]
