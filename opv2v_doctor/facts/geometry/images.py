"""Images: those of the dataset's views, against the reference's of the same files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.geometry.depth_maps import (
    INVERSE,
    depth_of,
    neighbours,
    picture_at,
    pictures,
    rigs,
)
from opv2v_doctor.facts.geometry.lidar import some_views
from opv2v_doctor.facts.geometry.readings import wrong_conventions
from opv2v_doctor.facts.samples.moments import Moments, PanoramaView, PinholeView, TracedView, moments, sides
from opv2v_doctor.facts.samples.rigs import camera_names, rig
from opv2v_doctor.geometry.cameras import Array, Pinhole
from opv2v_doctor.geometry.cropping import CROPS, cropped
from opv2v_doctor.geometry.likeness import Match, best_match, grey, seam
from opv2v_doctor.geometry.readings import file_pixels
from opv2v_doctor.geometry.rigs import MountedCamera
from opv2v_doctor.geometry.stitching import Image, Stitcher
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.threshold import Threshold

VIEWS = 2
ENOUGH = Threshold(
    0.6, "of likeness", "pictures that are less alike are tried otherwise", healthy=0.74, faulty=0.53
)
DOUBT = Threshold(0.02, "of likeness", "what is so much better than the explanation before is another one")
BETTER = Threshold(0.15, "of likeness", "an explanation makes pictures so much more alike, chance does not")

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageMatch:
    """How one view's image lies against the reference, and under which explanation it does best."""

    view: TracedView
    match: Match
    explanation: str | None = None  # crop, source, camera or rig: what else was tried and made it alike
    detail: str = ""
    likeness: float = 0.0  # under the explanation
    seam: float | None = None  # how much rougher the image is behind, where its ends meet
    empty: float = 0.0  # share of what the rig sees that is one colour
    reference: Image  # (H, W, 3), blue first
    compared: Bools  # (H, W): where both show something
    names: tuple[str, ...] = ()  # of its cameras
    source: NDArray[np.int8] | None = None  # (H, W): whose image that is, by its place among the names


@fact
def image_matches(target: Target, split: str) -> tuple[ImageMatch, ...]:
    """Some views of a split. Raises Skip where the views have no image."""
    found = moments(target, split)
    views = some_views(found, VIEWS)
    kept = [_image_match(target, found, view) for view in views if view.array("img") is not None]
    if not kept:
        raise Skip("the views of {split} have no img", split=split)
    return tuple(kept)


def _image_match(target: Target, found: Moments, view: TracedView) -> ImageMatch:
    image = view.array("img")
    assert image is not None
    picture = brightness(image)
    if picture.shape != view.shape:
        raise Blocked(
            "img is {given}, the view {expected}",
            hint="give img the size of panorama_resolution",
            given=sides(image.shape),
            expected=sides(view.shape),
        )
    if isinstance(view, PinholeView):
        return _camera_match(found, view, picture)
    assert isinstance(view, PanoramaView)
    cameras = view.rig(found.where)
    stitcher = Stitcher(cameras, view.cylinder)
    images = pictures(view.frame, tuple(cameras))
    shown = shown_part(view, picture, stitcher.mask)
    stitched = stitcher.panorama(images)
    reference, compared = stitched.rgb, stitcher.mask & shown
    match = best_match(picture, grey(reference), compared)
    doubtful = match.best < ENOUGH or match.best > match.here + DOUBT
    if doubtful and (near := _near(view, stitcher, images)) is not None:
        nearly = best_match(picture, grey(near), compared)
        match, reference = (nearly, near) if nearly.here > match.here else (match, reference)
    plain = ImageMatch(
        view=view,
        match=match,
        reference=reference,
        compared=compared,
        source=stitched.source,
        names=tuple(cameras),
        likeness=match.here,
        seam=seam(picture, stitcher.mask),
        empty=float((stitcher.mask & ~shown).sum() / max(1, stitcher.mask.sum())),
    )
    others = _others(target, found, view)
    return _best_explanation(plain, picture, shown, others) if match.best < ENOUGH else plain


def _camera_match(found: Moments, view: PinholeView, picture: Array) -> ImageMatch:
    """That of the image of a single camera, which the reference cuts out of the file by its intrinsics."""
    ((name, mounted),) = view.rig(found.where).items()
    file = picture_at(view.frame.image(name))
    reference, seen = cut_out(file, mounted.pinhole, view.camera)
    match = best_match(picture, grey(reference), seen)
    plain = ImageMatch(
        view=view,
        match=match,
        reference=reference,
        compared=seen,
        source=np.where(seen, 0, -1).astype(np.int8),
        names=(name,),
        likeness=match.here,
    )
    others = _other_cuts(found, view, mounted.pinhole)
    everything = np.ones_like(seen)
    return _best_explanation(plain, picture, everything, others) if match.here < ENOUGH else plain


def cut_out(image: Image, file: Pinhole, camera: Pinhole) -> tuple[Image, Bools]:
    """What a camera sees of the image (h, w, 3) of the file's camera in the same place, and where."""
    import cv2

    step = max(1, round(camera_scale(file, camera)))
    if step > 1:  # several pixels of the file in one
        size = file.width // step, file.height // step
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        scale = np.diag([size[0] / file.width, size[1] / file.height, 1.0])
        file = Pinhole(scale @ file.intrinsics, *size)
    places = file.project(camera.rays())[0]
    columns, rows = np.moveaxis(places - 0.5, -1, 0).astype(np.float32)
    cut = cv2.remap(image, np.ascontiguousarray(columns), np.ascontiguousarray(rows), cv2.INTER_LINEAR)
    return np.asarray(cut, np.uint8), file.inside(places)


def camera_scale(file: Pinhole, camera: Pinhole) -> float:
    """How many pixels of the file's image one of the camera's is across."""
    return float(file.intrinsics[0, 0] / camera.intrinsics[0, 0])


def _other_cuts(found: Moments, view: PinholeView, file: Pinhole) -> Iterator[tuple[str, str, Array, Bools]]:
    """Wrong ways to cut it out: explanation, detail, and the image with its mask."""
    height, width = view.shape
    own = picture_at(view.frame.image(view.name))
    for crop in CROPS:
        cut, seen = cut_out(own, file, cropped(file, crop, width, height))
        yield "crop", crop, grey(cut), seen
    frames = neighbours(found.where, view.frame)
    paths = [("source", name, frame.agent, frame.image(view.name)) for name, frame in frames.items()]
    paths += [
        ("camera", name, view.frame.agent, view.frame.image(name))
        for name in camera_names(found.where, view.frame)
        if name != view.name
    ]
    for explanation, name, agent, path in paths:
        if agent.has(path):
            cut, seen = cut_out(picture_at(path), file, view.camera)
            yield explanation, name, grey(cut), seen


def brightness(image: NDArray[Any]) -> Array:
    """Of a view's image (H, W): black where it is not finite."""
    return np.nan_to_num(grey(image), posinf=0.0, neginf=0.0)


def _near(view: PanoramaView, stitcher: Stitcher, images: Mapping[str, Image]) -> Image | None:
    """The reference that respects the cameras' offsets, where there are depth maps of the images' size."""
    found = {name: depth_of(view.frame, name) for name in images}
    depths = {name: depth for name, depth in found.items() if depth is not None}
    if any(depth.shape != images[name].shape[:2] for name, depth in depths.items()) or not depths:
        return None
    return stitcher.panorama(images, depths).rgb


def _best_explanation(
    plain: ImageMatch, picture: Array, shown: Bools, others: Iterable[tuple[str, str, Array, Bools]]
) -> ImageMatch:
    """The match under what else may have happened to the images, where that makes them more alike."""
    best = plain
    for explanation, detail, expected, mask in others:
        match = best_match(picture, expected, mask & shown)
        if explains(match.here, plain.match.best, best.likeness):
            best = replace(plain, explanation=explanation, detail=detail, likeness=match.here)
    return best


def explains(likeness: float, unexplained: float, before: float) -> bool:
    """Whether an explanation makes pictures clearly more alike: than none does, and than those before."""
    return likeness > max(unexplained + BETTER, before + DOUBT)


def lies_right(match: ImageMatch) -> bool:
    """Whether an image is where it belongs."""
    return match.explanation is None and match.match.here >= ENOUGH


def _others(target: Target, found: Moments, view: PanoramaView) -> Iterator[tuple[str, str, Array, Bools]]:
    """Wrong ways to stitch: explanation, detail, and the panorama with its mask."""
    own = rig(found.where, view.frame)
    size = f"{view.cylinder.width}x{view.cylinder.height}"
    for crop in (size, f"{size} cut"):
        images = pictures(view.frame, tuple(own))
        shape = next(iter(images.values())).shape
        cameras = {
            name: MountedCamera(_not_followed(c.pinhole, crop, shape), c.camera_to_lidar)
            for name, c in own.items()
        }
        yield ("crop", crop, *_panorama(cameras, view, images))
    for name, frame in neighbours(found.where, view.frame).items():
        if all(frame.agent.has(frame.image(camera)) for camera in own):
            yield ("source", name, *_panorama(own, view, pictures(frame, tuple(own))))
    wrong = rigs(found.where, view.frame, wrong_conventions(target, found.split))
    for name in sorted(wrong, key=lambda name: name == INVERSE):  # of two that look alike the likelier one
        if name != "right":
            mounted = dict(zip(own, wrong[name], strict=True))
            yield ("rig", name, *_panorama(mounted, view, pictures(view.frame, tuple(own))))


def _not_followed(pinhole: Pinhole, crop: str, shape: tuple[int, ...]) -> Pinhole:
    """The camera that looks up the file's pixels as one does whose intrinsics do not follow the crop."""
    zero, one = (file_pixels(crop, np.array([p, p]), shape) for p in (0.0, 1.0))
    affine = np.diag([one[0] - zero[0], one[1] - zero[1], 1.0])
    affine[:2, 2] = zero
    return Pinhole(affine @ pinhole.intrinsics, pinhole.width, pinhole.height)


def _panorama(
    cameras: Mapping[str, MountedCamera], view: PanoramaView, images: Mapping[str, Image]
) -> tuple[Array, Bools]:
    stitcher = Stitcher(cameras, view.cylinder)
    return grey(stitcher.panorama(images).rgb), stitcher.mask


def shown_part(view: PanoramaView, picture: Array, mask: Bools) -> Bools:
    """Where the view shows something: by its own mask, less what has the one colour of what lies outside."""
    own = view.array("non_ambiguous_mask")
    usable = own is not None and own.size == mask.size and own.any()
    shown = own.reshape(mask.shape) if own is not None and usable else np.ones_like(mask)
    outside = picture[~mask]
    if not outside.size or outside.std() > 1e-3:
        return shown
    return np.asarray(shown & ~np.isclose(picture, outside.mean(), atol=1e-3))
