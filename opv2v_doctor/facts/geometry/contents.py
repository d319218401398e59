"""Contents: where random points of the cameras' images lie in the views that the dataset made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Skip
from opv2v_doctor.facts.geometry.depth_maps import depth_maps, pictures
from opv2v_doctor.facts.geometry.images import brightness, image_matches, shown_part
from opv2v_doctor.facts.geometry.meanings import Meaning
from opv2v_doctor.facts.geometry.sensors import meaning
from opv2v_doctor.facts.samples.moments import Moments, PanoramaView, PinholeView, TracedView, moments
from opv2v_doctor.facts.samples.rigs import rig
from opv2v_doctor.geometry.cameras import Array, Cylinder
from opv2v_doctor.geometry.cropping import Shot, camera_shot, crop_windows
from opv2v_doctor.geometry.likeness import grey
from opv2v_doctor.geometry.placings import CameraImage, Windows, likeness
from opv2v_doctor.geometry.probing import (
    WIDEST_IMAGE,
    GreyPanorama,
    Landing,
    camera_of_size,
    landing,
    small_camera,
    small_cylinder,
    small_picture,
    windows,
)
from opv2v_doctor.geometry.ranges import panorama_ranges
from opv2v_doctor.geometry.restitching import sparse_camera
from opv2v_doctor.geometry.rigs import MountedCamera, coverage
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.threshold import Threshold

SEED = 0
SURE = 0.7  # points that land so well need no second opinion
LOST = Threshold(
    0.5, "of likeness", "less is looked for in the other cameras' images", healthy=0.55, faulty=0.19
)
FOUND = Threshold(0.3, "of likeness", "so much better than in their own image is no chance", faulty=0.52)
TURNED: Mapping[str, Callable[[Array], Array]] = {  # an image in its own place
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "upside down": lambda image: np.ascontiguousarray(image[::-1]),
    "turned by 180 degrees": lambda image: np.ascontiguousarray(image[::-1, ::-1]),
}
WHOLE = 0.99  # of a reduced pixel is shown

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Contents:
    """What one view shows of each of its cameras, by name."""

    view: TracedView
    seen: Mapping[str, CameraImage]
    windows: Mapping[str, Windows]
    landings: Mapping[str, Landing]  # where the content of random points of each camera lies
    seams: tuple[tuple[str, str, float], ...]  # neighbours, and the azimuth at which they meet, degrees
    near: bool  # whether it is known where near things lie: without depth they seem misplaced in a panorama
    resolution: float  # degrees of a pixel of the view, as probed

    @cached_property
    def instead(self) -> Mapping[str, tuple[str, float]]:
        """Which camera's image stands in the place of which other's, and how alike it is there."""
        found = {}
        for name in self.windows:
            own = self.seen[name]
            here = likeness(self.windows[name], own)
            others = {
                other: likeness(self.windows[name], _in_place_of(own, self.seen[other]))
                for other in self.seen
            }
            if here < LOST:
                turned = {word: replace(own, grey=turn(own.grey)) for word, turn in TURNED.items()}
                others |= {word: likeness(self.windows[name], each) for word, each in turned.items()}
            best = max(others, key=lambda other: others[other])
            if len(self.windows[name].shown) and is_exchanged(here, others[best]):
                found[name] = best, others[best]
        return found


def is_exchanged(own: float, other: float) -> bool:
    """Whether points are so much more like another camera's image than their own that it stands there."""
    return own < LOST and other > own + FOUND


@fact
def contents(target: Target, split: str) -> tuple[Contents, ...]:
    """Of the views whose images are compared. Raises Skip where the views have no image."""
    found = moments(target, split)
    files = meaning(target, split)
    return tuple(
        _camera_contents(found, match.view)
        if isinstance(match.view, PinholeView)
        else _contents(found, match.view, files)
        for match in image_matches(target, split)
    )


def _camera_contents(found: Moments, view: PinholeView) -> Contents:
    """Those of the image of a single camera: all of it lies where its intrinsics say, be it near or far."""
    image, name = view.array("img"), view.name
    assert image is not None
    cameras = rig(found.where, view.frame)
    images = pictures(view.frame, tuple(cameras))
    seen = {each: camera_shot(camera.pinhole, grey(images[each])) for each, camera in cameras.items()}
    after = Shot(brightness(image), view.camera)
    chosen = crop_windows(seen[name], after, np.random.default_rng(SEED))
    return Contents(
        view=view,
        seen=seen,
        windows={name: chosen},
        landings={name: landing(chosen, seen[name])},
        seams=(),
        near=True,
        resolution=float(np.rad2deg(1 / view.camera.intrinsics[0, 0])),
    )


def _contents(found: Moments, view: TracedView, files: Meaning) -> Contents:
    assert isinstance(view, PanoramaView)
    cameras = view.rig(found.where)
    small = small_cylinder(view.cylinder)
    covered = {name: coverage(small, [camera]) for name, camera in cameras.items()}
    maps = depth_maps(view.frame, cameras)
    depths = {
        name: None if depth is None else _z_depth(files, camera, depth)
        for (name, camera), depth in zip(cameras.items(), maps, strict=True)
    }
    near = any(depth is not None for depth in depths.values())
    picture = _picture(view, small, list(cameras.values()), list(depths.values()))
    seen = _camera_images(view, cameras, depths, covered)
    chosen, here = _probes(picture, seen)
    if near and min(here) < SURE:  # perhaps the dataset did not respect the cameras' offsets
        flat = _probes(replace(picture, ranges=np.zeros_like(picture.ranges)), seen)
        chosen, here = max((chosen, here), flat, key=lambda each: sum(each[1]))
    return Contents(
        view=view,
        seen=seen,
        windows=chosen,
        landings={name: landing(chosen[name], each) for name, each in seen.items()},
        seams=_seams(covered, small),
        near=near,
        resolution=360 / small.width,
    )


def _z_depth(files: Meaning, camera: MountedCamera, depth: NDArray[Any]) -> NDArray[Any]:
    """A depth file's distance to the image plane in metres."""
    if files.depth == "z":
        return depth if files.scale == 1 else depth / files.scale
    height, width = depth.shape
    pinhole = camera_of_size(camera, width, height).pinhole
    return np.asarray(depth / files.scale / pinhole.range_per_depth())


def _picture(
    view: PanoramaView, small: Cylinder, cameras: list[MountedCamera], depths: list[NDArray[Any] | None]
) -> GreyPanorama:
    """The view's image, and the ranges that its depth files give."""
    image = view.array("img")
    if image is None:
        raise Skip("the view of {frame} has no img", frame=view.frame.yaml)
    thin = [_thin(camera, depth) for camera, depth in zip(cameras, depths, strict=True)]
    ranges = panorama_ranges([camera for camera, _ in thin], small, [depth for _, depth in thin]).ranges
    return GreyPanorama(small_picture(brightness(image), small.width, small.height), small, ranges)


def _thin(camera: MountedCamera, depth: NDArray[Any] | None) -> tuple[MountedCamera, NDArray[Any] | None]:
    """Every second or third pixel of a depth map that is large, and its camera."""
    if depth is None:
        return camera, None
    camera, step = (
        camera_of_size(camera, depth.shape[1], depth.shape[0]),
        max(1, depth.shape[1] // WIDEST_IMAGE),
    )
    fewer = depth[step // 2 :: step, step // 2 :: step]
    pinhole = sparse_camera(camera.pinhole.intrinsics, step, fewer.shape[1], fewer.shape[0])
    return MountedCamera(pinhole, camera.camera_to_lidar), fewer


def _camera_images(
    view: PanoramaView,
    cameras: Mapping[str, MountedCamera],
    depths: Mapping[str, NDArray[Any] | None],
    covered: Mapping[str, Bools],
) -> dict[str, CameraImage]:
    """Each camera's image, and where the panorama shows it alone."""
    image = view.array("img")
    assert image is not None
    whole = shown_part(view, brightness(image), coverage(view.cylinder, cameras.values()))
    height, width = next(iter(covered.values())).shape
    visible = small_picture(whole.astype(np.float64), width, height) > WHOLE
    alone = visible & (np.sum([*covered.values()], axis=0) == 1)
    images = pictures(view.frame, tuple(cameras))
    probed = {name: small_camera(camera) for name, camera in cameras.items()}
    return {
        name: CameraImage(
            camera,
            small_picture(grey(images[name]), camera.pinhole.width, camera.pinhole.height),
            depths[name],
            alone & covered[name],
        )
        for name, camera in probed.items()
    }


def _probes(picture: GreyPanorama, seen: Mapping[str, CameraImage]) -> tuple[dict[str, Windows], list[float]]:
    """Random points of each camera, and how well they land on their own content."""
    random = np.random.default_rng(SEED)
    chosen = {name: windows(picture, each, random) for name, each in seen.items()}
    return chosen, [likeness(chosen[name], each) for name, each in seen.items()]


def _in_place_of(place: CameraImage, image: CameraImage) -> CameraImage:
    """One camera's image as if another had taken it."""
    pinhole = image.camera.pinhole
    return replace(image, camera=MountedCamera(pinhole, place.camera.camera_to_lidar))


def _seams(covered: Mapping[str, Bools], cylinder: Cylinder) -> tuple[tuple[str, str, float], ...]:
    """Neighbours around the horizon, and the azimuth in degrees where they meet or overlap."""
    row = np.array([each[cylinder.height // 2] for each in covered.values()])  # (cameras, W)
    names, found = list(covered), []
    for one, two in combinations(range(len(names)), 2):
        touching = row[one] & (row[two] | np.roll(row[two], 3) | np.roll(row[two], -3))
        if touching.any():
            azimuths = cylinder.pixels()[0, touching, 0] / cylinder.width * 2 * np.pi - np.pi
            middle = np.angle(np.exp(1j * azimuths).sum())
            found.append((names[one], names[two], float(np.rad2deg(middle))))
    return tuple(found)
