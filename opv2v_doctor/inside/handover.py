"""Handing arrays over: what a view holds, written as .npy files, since JSON is no place for a panorama."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Sequence

ALONE = "alone_"  # before the name of a depth map that is all that is handed over of a sample
STRIDE = 8  # points are wanted for a comparison only
KEYS = {
    "img": "float16",
    "depthmap": "float32",
    "ray_directions_cam": "float32",
    "camera_intrinsics": "float64",
    "non_ambiguous_mask": "bool",
    "valid_mask": "bool",
    "pts3d": "float32",
}


def chosen(plan: Sequence[tuple[Any, int | None]], count: int) -> set[int]:
    """The places in the plan of the samples to hand over: those with most views."""
    places = sorted(range(len(plan)), key=lambda place: -(plan[place][1] or 0))
    return set(places[:count])


def hand_over(views: Sequence[Any], folder: str, number: int) -> None:
    """Write the arrays of a sample's views, as FOLDER/SAMPLE_VIEW_KEY.npy.

    A full disk leaves them incomplete: that is no fault of the sample.
    """
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
        _write(views, folder, number)


def hand_over_depth(views: Sequence[Any], folder: str, number: int) -> None:
    """Write the depth of a sample's views only: it tells whether the sample was mirrored as a whole."""
    import numpy

    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
        for place, view in enumerate(views):
            if "depthmap" in view:
                path = os.path.join(folder, "{}{}_{}_depthmap.npy".format(ALONE, number, place))
                numpy.save(path, numpy.ascontiguousarray(_array(view["depthmap"]), dtype="float32"))


def _write(views: Sequence[Any], folder: str, number: int) -> None:
    """Equal rays become one file."""
    import numpy

    rays: tuple[str, Any] | None = None
    for place, view in enumerate(views):
        for key, kind in KEYS.items():
            if key not in view:
                continue
            path = os.path.join(folder, "{}_{}_{}.npy".format(number, place, key))
            array = _array(view[key])
            array = array[::STRIDE, ::STRIDE] if key == "pts3d" else array
            if key == "ray_directions_cam" and rays is not None and numpy.array_equal(array, rays[1]):
                os.link(rays[0], path)
                continue
            numpy.save(path, numpy.ascontiguousarray(array, dtype=kind))
            rays = (path, array) if key == "ray_directions_cam" else rays


def _array(value: Any) -> Any:
    import numpy

    return numpy.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
