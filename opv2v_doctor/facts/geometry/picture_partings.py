"""Picture partings: the line at which an image, or depth, parts from the file that it was read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.frames import Frame, disk
from opv2v_doctor.facts.geometry.depth_maps import depth_of, picture_at
from opv2v_doctor.facts.geometry.partings import sighting_place, trail, trail_folder
from opv2v_doctor.facts.geometry.places import DEPTH
from opv2v_doctor.facts.geometry.readings import comparisons, right_reading
from opv2v_doctor.facts.interpreter.questions import Sighting
from opv2v_doctor.facts.interpreter.views import handed_over
from opv2v_doctor.facts.launch.origins import given_place
from opv2v_doctor.facts.samples.draws import Samples
from opv2v_doctor.facts.samples.moments import TracedView, moments, traced_views
from opv2v_doctor.facts.samples.rigs import camera_names
from opv2v_doctor.geometry.cameras import Pinhole
from opv2v_doctor.geometry.readings import Pixels, error_of
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

GRID = 48  # rows and columns of a large array that are looked at
LEAST = 0.1  # of a map is known, to be judged
FITS = 0.025  # mean error, clipped at 0.1: what leaves less is the depth of the files
MULTIPLE = 0.05  # of the logarithm: a factor is found as well as the reading that has it
ALIKE = 0.9999  # correlation of two images that differ by rounding to 8 bits
SAME = 1e-3  # of the brightest value, or of a depth
Seen = tuple[Sighting, NDArray[Any]]


def image_parting(target: Target, split: str, view: TracedView, camera: str) -> Place | None:
    """Where a camera's image parts from its file: None where nobody knows."""
    image = picture_at(view.frame.image(camera))
    grids = [_grid(picture_at(frame.image(name))) / 1.0 for frame, name in _files(target, split, view)]
    ways = [each * scale for grid in grids for each in (grid, grid[..., ::-1]) for scale in (1, 1 / 255)]

    def is_right(array: NDArray[Any]) -> bool:
        return any(_same(array, way) for way in ways)

    return _first_change(_seen(target, split, view), image.shape, is_right, lambda _: True)


def depth_parting(target: Target, split: str) -> Place | None:
    """Where depth parts from its file, or from what it should be made of it: None where nobody knows."""
    try:
        compared, right = comparisons(target, split)[0], right_reading(target, split)
    except (Blocked, Skip):
        return None
    seen = _seen(target, split, compared.view)
    grids = [_grid(depth) / 1.0 for depth in _maps(target, split, compared.view)]

    def is_right(array: NDArray[Any]) -> bool:
        return any(_same(array, grid) for grid in grids)

    shape = next(depth.shape for depth in compared.own if depth is not None)
    found = _first_change(seen, shape, is_right, lambda each: bool(DEPTH.search(each.name)))
    if found:
        return found
    view = compared.view
    rays = np.ascontiguousarray(_grid(view.camera.rays())).reshape(-1, 3)

    def fits(array: NDArray[Any]) -> bool:
        values = array.reshape(-1).astype(np.float64)
        known = np.isfinite(values) & (values > 0)
        lengths = 1 / rays[known, 2] if isinstance(view.camera, Pinhole) else np.ones(known.sum())
        return error_of(compared.misses(right, Pixels(rays[known], values[known], lengths))) < FITS

    if any(each.shape == shape and is_right(array) for each, array in seen):
        return _last_fit(seen, view, fits)
    alike = (each for each, _ in seen if each.shape == shape and DEPTH.search(each.name) and not each.given)
    first = next(alike, None)  # the file itself is never seen: it is changed where it is read
    return _last_fit(seen, view, fits) or (sighting_place(first) if first else None)


def scaled_place(target: Target, split: str, times: float) -> Place | None:
    """The line at which a depth map of a file, or its inverse, is there so many times too large, or small."""
    try:
        compared = comparisons(target, split)[0]
    except (Blocked, Skip):
        return None
    maps = _maps(target, split, compared.view)
    grids = [_grid(depth) / 1.0 for depth in maps]

    def is_scaled(array: NDArray[Any]) -> bool:
        return any(
            _is_multiple(array, way, factor)
            for grid in grids
            for way in (grid, 1 / np.where(grid > 0, grid, np.nan))
            for factor in (times, 1 / times)
        )

    shapes = {depth.shape for depth in maps}
    made = (
        each
        for each, array in _seen(target, split, compared.view)
        if each.shape in shapes and not each.given and is_scaled(array)
    )
    first = next(made, None)
    return sighting_place(first) if first else None


def _is_multiple(array: NDArray[Any], other: NDArray[Any], factor: float) -> bool:
    """Whether an array is this many times another one, in nearly all that both know."""
    with np.errstate(invalid="ignore", divide="ignore"):
        off = (
            np.abs(np.log(array / other / factor))
            if array.shape == other.shape and array.dtype.kind == "f"
            else np.empty(0)
        )
    known = off[np.isfinite(off)]
    return known.size > LEAST * off.size and bool(np.quantile(known, 0.9) < MULTIPLE)


def made_place(target: Target, drawn: Samples, key: str) -> Place | None:
    """The line at which what a view holds under this key is there first, else where it is given the key."""
    return _first_seen(target, drawn.split, key) or given_place(target, drawn.part, key)


def _first_seen(target: Target, split: str, key: str) -> Place | None:
    try:
        view = moments(target, split).views[0]
    except (Blocked, Skip):
        return None
    if key == "camera_intrinsics":
        return _made_matrix(target, split, view)
    final = view.given().array(key)
    if final is None:
        return None
    flat = final.reshape([side for side in final.shape if side != 1])
    grid = _grid(np.moveaxis(flat, 0, -1) if flat.ndim == 3 and flat.shape[0] == 3 else flat)
    made = (each for each, array in _seen(target, split, view) if not each.given and _same(array, grid))
    first = next(made, None)
    return sighting_place(first) if first else None


def content_place(target: Target, split: str) -> Place | None:
    """The line at which a view's image is there first, before its colours are scaled; None: nobody knows."""
    try:
        view = moments(target, split).views[0]
    except (Blocked, Skip):
        return None
    final = view.given().array("img")
    if final is None or final.ndim != 3 or final.shape[0] != 3:
        return None
    grid = _grid(np.moveaxis(final, 0, -1)).astype(np.float64)
    for each, array in _seen(target, split, view):
        if (
            array.shape == grid.shape
            and not each.given
            and (_is_scaled(array, grid) or _is_scaled(array[..., ::-1], grid))
        ):
            return sighting_place(each)
    return None


def _is_scaled(image: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether each channel of an image is that of another one, times a factor and with an offset."""
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = [
            np.corrcoef(image[..., channel].ravel(), other[..., channel].ravel())[0, 1]
            for channel in range(3)
        ]
    return bool(min(alike) > ALIKE)


def _made_matrix(target: Target, split: str, view: TracedView) -> Place | None:
    """The same of a view's intrinsics."""
    try:
        sightings = trail(target, split, _place_of(target, split, view), grid=GRID).sightings
    except (Blocked, Skip):
        return None
    final = np.array(view.given().view.intrinsics or ()).reshape(-1)
    for each in sightings:
        if final.size and each.shape == (3, 3) and not each.given and np.allclose(each.numbers, final):
            return sighting_place(each)
    return None


def _last_fit(seen: Sequence[Seen], view: TracedView, fits: Callable[[NDArray[Any]], bool]) -> Place | None:
    """The first map of a view that does not fit, after one that did."""
    size = view.shape[0] * view.shape[1]
    maps = [
        (each, array)
        for each, array in seen
        if int(np.prod(each.shape)) == size and array.dtype.kind in "fiu" and DEPTH.search(each.name)
        if (array > 0).mean() > LEAST
    ]
    final = _grid(view.depth).astype(np.float64)
    end = next((n for n, (_, array) in enumerate(maps) if _same(array, final)), -1)
    judged = [fits(array) for _, array in maps[: end + 1]]
    if not any(judged) or all(judged):
        return None
    begin = max(n for n, right in enumerate(judged) if right)
    return sighting_place(maps[begin + 1][0]) if begin < end else None


def _first_change(
    seen: Sequence[Seen],
    shape: tuple[int, ...],
    is_right: Callable[[NDArray[Any]], bool],
    is_meant: Callable[[Sighting], bool],
) -> Place | None:
    """What a function makes of a file that it has read, and that is another one of the same size."""
    alike = [(each, array) for each, array in seen if each.shape == shape and array.dtype.kind in "fiu"]
    read = next((each for each, array in alike if is_right(array) and not each.given), None)
    if read is None:
        return None
    later = alike[next(n for n, (each, _) in enumerate(alike) if each is read) :]
    inside = [(each, array) for each, array in later if _within(each, read)]
    changed = (each for each, array in inside if is_meant(each) and not is_right(array))
    found = next(changed, None)
    return sighting_place(found) if found else None


def _within(each: Sighting, read: Sighting) -> bool:
    return (each.file, each.function, each.callers) == (read.file, read.function, read.callers)


@fact
def _large(target: Target, split: str, place: int) -> tuple[Seen, ...]:
    """The large values of a trail, with what was kept of them."""
    folder = trail_folder(target, split, place)
    found = trail(target, split, place, grid=GRID).sightings
    grids = {n: handed_over(Path(folder) / f"{n}.npy") for n in {each.grid for each in found}}
    return tuple(
        (each, grid) for each in found if each.grid is not None and (grid := grids[each.grid]) is not None
    )


def _seen(target: Target, split: str, view: TracedView) -> tuple[Seen, ...]:
    try:
        return _large(target, split, _place_of(target, split, view))
    except (Blocked, Skip):
        return ()


def _place_of(target: Target, split: str, view: TracedView) -> int:
    """The first drawn sample that shows the frame of a view."""
    samples = traced_views(target, split)
    return next(n for n, views in enumerate(samples) if any(v.frame == view.frame for v in views))


def _files(target: Target, split: str, view: TracedView) -> list[tuple[Frame, str]]:
    """The frames and cameras of the sample of a view."""
    where = disk(target, split)
    sample = next(views for views in traced_views(target, split) if any(v.frame == view.frame for v in views))
    return [
        (frame, name)
        for frame in dict.fromkeys(v.frame for v in sample)
        for name in camera_names(where, frame)
    ]


def _maps(target: Target, split: str, view: TracedView) -> list[NDArray[Any]]:
    """The depth files of the sample of a view, those that are there."""
    maps = (depth_of(frame, name) for frame, name in _files(target, split, view))
    return [depth for depth in maps if depth is not None]


def _grid(array: NDArray[Any]) -> NDArray[Any]:
    """Every so manieth row and column, as the training interpreter keeps them."""
    rows, columns = (max(1, side // GRID) for side in array.shape[:2])
    return array[::rows, ::columns]


def _same(array: NDArray[Any], other: NDArray[Any]) -> bool:
    flat = array.reshape([side for side in array.shape if side != 1])
    if flat.shape != other.shape:
        return False
    one, two = np.nan_to_num(flat, posinf=0, neginf=0), np.nan_to_num(other, posinf=0, neginf=0)
    return bool(np.allclose(one, two, rtol=SAME, atol=SAME * two.max(initial=0)))
