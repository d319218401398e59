"""Stitching: a panorama with cached tables against a straightforward one, and against decoding its images.

The straightforward implementation is what training repositories do, the public fork's cylinder dataset among
them: for each camera of each panorama, rotate all rays into it, project them, and interpolate its image in
NumPy where it sees. It keeps nothing from one panorama to the next; that the rig is the same each time is
just what cached tables make use of. Ours blends where two cameras see the same, too; it does not. For those
who would keep the projected pixels and interpolate only, that is measured as well, under the same bound.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import Ratio, compared
from opv2v_doctor.geometry.cameras import Cylinder
from opv2v_doctor.geometry.rigs import MountedCamera, rig_of
from opv2v_doctor.geometry.stitching import Stitcher
from opv2v_doctor.layout import CAMERAS
from opv2v_doctor.sandbox.scene import write_scene

PANORAMA = Cylinder(1008, 252)
TURNS = 15
SMALLEST = {"PANORAMA": Cylinder(64, 16), "TURNS": 1}
GRAIN = 5.0  # noise that makes a ray-cast picture as large a PNG as a real one
Image = NDArray[np.uint8]


def ratios() -> Iterator[Ratio]:
    """One panorama of 1008 x 252 from four images of 800 x 600."""
    with tempfile.TemporaryDirectory() as folder:
        rig, paths = _frame(Path(folder))
        images = _decoded(paths)
        stitcher = Stitcher(rig, PANORAMA)
        places = {name: _pixels(camera) for name, camera in rig.items()}
        ours, theirs = compared(
            lambda: stitcher.panorama(images), lambda: _straightforward(rig, images), TURNS
        )
        details = f"{ours * 1e3:.2f} ms / {theirs * 1e3:.1f} ms"
        yield Ratio(
            name="straightforward, camera by camera / stitching",
            measured=theirs / ours,
            bound=15,
            at_least=True,
            details=details,
        )
        ours, theirs = compared(
            lambda: stitcher.panorama(images), lambda: _interpolated(places, images), TURNS
        )
        yield Ratio(
            name="the same without projecting / stitching",
            measured=theirs / ours,
            bound=15,
            at_least=True,
            details=f"{ours * 1e3:.2f} ms / {theirs * 1e3:.1f} ms",
        )
        both, decoding = compared(lambda: stitcher.panorama(_decoded(paths)), lambda: _decoded(paths), TURNS)
        yield Ratio(
            name="decoding four PNGs and stitching / decoding",
            measured=both / decoding,
            bound=1.3,
            details=f"{both * 1e3:.1f} ms / {decoding * 1e3:.1f} ms",
        )


def _frame(folder: Path) -> tuple[dict[str, MountedCamera], dict[str, Path]]:
    import yaml

    write_scene(folder, folder, image_size=(800, 600), scenarios={"train": (1,)}, frames=1)
    place = next(folder.glob("train/*/*/*.yaml"))
    rig = rig_of(yaml.load(place.read_bytes(), yaml.CSafeLoader), dict.fromkeys(CAMERAS, (800, 600)))
    paths = {name: place.with_name(f"{place.stem}_{name}.png") for name in rig}
    random = np.random.default_rng(0)
    for path in paths.values():
        grained = _image(path) + random.normal(0, GRAIN, (600, 800, 3))
        cv2.imwrite(str(path), np.clip(grained, 0, 255).astype(np.uint8))
    return rig, paths


def _decoded(paths: Mapping[str, Path]) -> dict[str, Image]:
    return {name: _image(path) for name, path in paths.items()}


def _image(path: Path) -> Image:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR), np.uint8)


def _straightforward(rig: Mapping[str, MountedCamera], images: Mapping[str, Image]) -> Image:
    """What one writes first: for each camera, project every ray and interpolate."""
    return _interpolated({name: _pixels(camera) for name, camera in rig.items()}, images)


def _pixels(camera: MountedCamera) -> NDArray[np.float64]:
    """The camera's pixel for every ray, (H, W, 2), NaN where it does not see."""
    pixels, _ = camera.pinhole.project(PANORAMA.rays() @ camera.camera_to_lidar[:3, :3])
    return np.where(camera.pinhole.inside(pixels, border=0.5)[..., None], pixels - 0.5, np.nan)


def _interpolated(places: Mapping[str, NDArray[np.float64]], images: Mapping[str, Image]) -> Image:
    panorama = np.zeros((PANORAMA.height, PANORAMA.width, 3))
    for name, pixels in places.items():
        image = images[name].astype(np.float64)
        seen = ~np.isnan(pixels[..., 0])
        x, y = pixels[seen].T
        left = np.minimum(np.floor(x).astype(int), image.shape[1] - 2)
        top = np.minimum(np.floor(y).astype(int), image.shape[0] - 2)
        right, below = (x - left)[:, None], (y - top)[:, None]
        upper = image[top, left] * (1 - right) + image[top, left + 1] * right
        lower = image[top + 1, left] * (1 - right) + image[top + 1, left + 1] * right
        panorama[seen] = upper * (1 - below) + lower * below
    return np.rint(panorama).astype(np.uint8)
