"""Readings: how the dataset read the depth maps of the frames that it shows, found by comparing with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, product

import numpy as np

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.frames import Disk
from opv2v_doctor.facts.geometry.depth_maps import (
    AGENTS_OWN,
    KNOWN_WRONG,
    depth_maps,
    neighbours,
    picture_at,
    rigs,
    without_depth,
)
from opv2v_doctor.facts.geometry.lidar import some_views
from opv2v_doctor.facts.geometry.reading_names import step_words
from opv2v_doctor.facts.geometry.relative_poses import relative_poses
from opv2v_doctor.facts.geometry.sensors import meaning
from opv2v_doctor.facts.launch.splits import examined_splits
from opv2v_doctor.facts.samples.moments import Moments, PinholeView, TracedView, moments
from opv2v_doctor.facts.samples.rigs import camera_names
from opv2v_doctor.geometry.cameras import Array, Pinhole
from opv2v_doctor.geometry.conventions import Convention
from opv2v_doctor.geometry.cropping import CROPS, Shot, crop_camera, cropped
from opv2v_doctor.geometry.explanations import Explanation, explanation
from opv2v_doctor.geometry.likeness import grey
from opv2v_doctor.geometry.readings import (
    LENGTHENED,
    DepthMaps,
    Pixels,
    Reading,
    error_of,
    factor,
    residuals,
    some_pixels,
)
from opv2v_doctor.geometry.rigs import MountedCamera
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Command, Text
from opv2v_doctor.threshold import Threshold

UNEXPLAINED = Threshold(
    0.075,
    "of the range (mean, clipped at 0.1)",
    "noise and interpolation of sound views do not reach it",
    healthy=0.013,
    faulty=0.1,
)
OTHERS, SEEN = "another camera", "as the image shows"
MANY, FEW = 1500, 300  # pixels of a view
SCALES = (1000.0, 100.0, 10.0, 0.1, 0.01, 0.001)
POWERS = {"kept": 1.0, "log1p": 0.0, "log": 0.0, "square root": 0.5, "square": 2.0, "inverse": -1.0}
UNIT = 0.01  # a unit that differs by less is none of its own
COARSE = 6.0  # degrees
DIGITS = 5  # of an error: of two that are alike, the first counts


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """One view ready to be compared: some of its pixels, its rigs and its depth maps, right and wrong."""

    view: TracedView
    many: Pixels
    few: Pixels
    where: Disk
    own: DepthMaps
    wrong: dict[str, Convention]
    agents_right: bool = True  # else two cameras may change places with their poses

    @cached_property
    def rigs(self) -> dict[str, list[MountedCamera]]:
        """Its cameras, right and wrong."""
        return rigs(self.where, self.view.frame, self.wrong)

    @cached_property
    def right(self) -> list[MountedCamera]:
        """Its cameras where they are."""
        return list(self.view.rig(self.where).values())

    @property
    def depths(self) -> tuple[str, ...]:
        """What the files' numbers may be taken for."""
        return "z", "range"

    @property
    def offsets(self) -> tuple[str, ...]:
        """What may be done with the cameras' offsets from where the view is."""
        return "ignored", "added"

    @property
    def crops(self) -> tuple[str, ...]:
        """What the images may have been cropped to without their intrinsics."""
        height, width = self.view.shape
        return f"{width}x{height}", f"{width}x{height} cut"

    @cached_property
    def sources(self) -> dict[str, dict[str, DepthMaps]]:
        """Own, another frame, another agent, two cameras exchanged -> name -> its depth maps."""
        found = {"own": {"own": self.own}}
        cameras = tuple(self.view.rig(self.where))
        for name, frame in neighbours(self.where, self.view.frame).items():
            kind = "another agent" if name.startswith("agent") else "another frame"
            found.setdefault(kind, {})[name] = depth_maps(frame, cameras)
        for one, other in combinations(range(len(cameras)), 2) if self.agents_right else ():
            maps = list(self.own)
            maps[one], maps[other] = maps[other], maps[one]
            found.setdefault(OTHERS, {})[f"{cameras[one]} and {cameras[other]}"] = maps
        return found

    def misses(self, reading: Reading, pixels: Pixels) -> Array:
        """By how much each pixel misses the files; of several other agents or frames those of the nearest."""
        own = reading.source == "own"  # the right reading shall not wait for what only the wrong ones need
        cameras = self.right if reading.rig == "right" else self.rigs[reading.rig]
        sources = (self.own,) if own else self.sources[reading.source].values()
        return min((residuals(reading, pixels, cameras, maps) for maps in sources), key=error_of)


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraComparison(Comparison):
    """The same of the image of a single camera, which is where its own depth map was measured."""

    view: PinholeView

    @cached_property
    def right(self) -> list[MountedCamera]:
        (camera,) = self.view.rig(self.where).values()
        return [MountedCamera(camera.pinhole, np.eye(4))]

    @cached_property
    def rigs(self) -> dict[str, list[MountedCamera]]:
        return {"right": self.right}

    @cached_property
    def _cropped(self) -> dict[str, Pinhole]:
        return {}

    def cropped(self, crop: str) -> Pinhole:
        """Its camera, had its image been cropped so: looked for once."""
        if crop not in self._cropped:
            self._cropped[crop] = shown_camera(self.where, self.view, crop)
        return self._cropped[crop]

    @property
    def depths(self) -> tuple[str, ...]:
        return "z", "range", LENGTHENED

    @property
    def offsets(self) -> tuple[str, ...]:
        return ()

    @property
    def crops(self) -> tuple[str, ...]:
        return CROPS

    @cached_property
    def sources(self) -> dict[str, dict[str, DepthMaps]]:
        """Those of its camera; and of the agent's others, beside its own, as two may be exchanged."""
        frame, found = self.view.frame, super().sources
        names = [name for name in camera_names(self.where, frame) if name != self.view.name]
        return {**found, OTHERS: {"own": self.own, **{name: depth_maps(frame, [name]) for name in names}}}

    def misses(self, reading: Reading, pixels: Pixels) -> Array:
        if reading.crop == Reading.crop:
            return super().misses(reading, pixels)
        count = MANY if pixels is self.many else FEW
        seen = some_pixels(self.cropped(reading.crop), self.view.depth, count)
        return super().misses(replace(reading, crop=Reading.crop), seen)


def shown_camera(where: Disk, view: PinholeView, crop: str) -> Pinhole:
    """The camera of a view whose image was cropped so: its own, where it is not known where that lies."""
    file = view.rig(where)[view.name].pinhole
    if crop != SEEN:
        height, width = view.shape
        return cropped(file, crop, width, height)
    image = view.array("img")
    if image is None or grey(image).shape != view.shape:
        return view.camera
    before = Shot(grey(picture_at(view.frame.image(view.name))), file)
    return crop_camera(before, Shot(np.nan_to_num(grey(image)), view.camera)) or view.camera


@fact
def reading(target: Target, split: str) -> Explanation:
    """How the dataset made its views' depth of the depth files. Raises Skip where there are none."""
    return _explained(
        comparisons(target, split), right_reading(target, split), _in_first_split(target, split)
    )


def reading_of(target: Target, split: str, view: TracedView) -> Explanation:
    """How one view was read, which may be in another way than most."""
    own = _comparison(target, moments(target, split), view)
    return _explained((own,), right_reading(target, split))


def _explained(views: Sequence[Comparison], right: Reading, seen: tuple[Reading, ...] = ()) -> Explanation:
    return explanation(
        right,
        lambda: list(_single(views, right)),
        lambda reading: _error(views, reading, many=True),
        lambda reading: _error(views[:2], reading, many=False),
        lambda: _seen(right) if isinstance(views[0], CameraComparison) else _turns(views, right),
        seen,
    )


def _in_first_split(target: Target, split: str) -> tuple[Reading, ...]:
    """How the first split was read: mostly all splits are read by the same code."""
    first = examined_splits(target)[0]
    if split == first:
        return ()
    try:
        known = reading(target, first)
    except (Blocked, Skip):
        return ()
    return (known.reading,) if known.steps else ()


def given_and_expected(target: Target, split: str) -> tuple[str, Array, Array] | None:
    """A camera whose intrinsics follow no crop, with fx, fy, cx, cy as they are and should be; else None."""
    known = reading(target, split)
    cameras = [each for each in comparisons(target, split) if isinstance(each, CameraComparison)]
    if not cameras or "crop" not in known.steps:
        return None
    matrices = cameras[0].view.camera.intrinsics, cameras[0].cropped(known.reading.crop).intrinsics
    given, expected = (matrix[[0, 1, 0, 1], [0, 1, 2, 2]] for matrix in matrices)
    return cameras[0].view.name, given, expected


def camera_misfit(target: Target, split: str) -> Text | None:
    """What the intrinsics of one view are and should be, where those of single cameras follow no crop."""
    if not (found := given_and_expected(target, split)):
        return None
    camera, given, expected = found
    exchanged = np.allclose(given[[2, 3, 0, 1]], expected, rtol=0.02)
    return Text(
        "camera_intrinsics have focal lengths and middle exchanged: fx, fy, cx, cy of {camera} are {given}, "
        "expected {expected}"
        if exchanged
        else "{crop}: fx, fy, cx, cy of {camera} are {given}, expected {expected}",
        crop=step_words(reading(target, split), "crop"),
        camera=camera,
        given=" ".join(f"{value:.1f}" for value in given),
        expected=" ".join(f"{value:.1f}" for value in expected),
    )


def reading_steps(target: Target, split: str) -> dict[str, str]:
    """The wrong steps of the reading and what is done instead; none where there are no depth files."""
    try:
        known = reading(target, split)
    except (Blocked, Skip):
        return {}
    return {step: str(getattr(known.reading, step)) for step in known.steps}


def right_reading(target: Target, split: str) -> Reading:
    """The right one for what the files hold."""
    files = meaning(target, split)
    return Reading(depth=files.depth, scale=1.0 / files.scale)


@fact
def comparisons(target: Target, split: str) -> tuple[Comparison, ...]:
    """Some views of a split with all that is compared with them.

    Raises Skip where their frames have no depth files, Blocked where the views have no depth.
    """
    found = moments(target, split)
    views = some_views(found)
    ready = [_comparison(target, found, view) for view in views]
    filed = tuple(each for each in ready if any(depth is not None for depth in each.own))
    if not filed:
        raise without_depth(found.where, split, views[0].frame)
    if not any(each.many.depths.size for each in filed):
        raise Blocked(
            "no pixel of the drawn views of {split} has a depth above 0",
            hint="see what the depth files hold: {command}",
            command=Command("opv2v-doctor check DAT009"),
            split=split,
        )
    return filed


def wrong_conventions(target: Target, split: str) -> dict[str, Convention]:
    """Those that are often seen, and that of the split's poses."""
    seen = relative_poses(target, split).convention
    own = replace(seen, relation="agent to first") if seen else None
    return {
        **KNOWN_WRONG,
        **({AGENTS_OWN: own} if own and own not in KNOWN_WRONG.values() else {}),
    }


def _comparison(target: Target, found: Moments, view: TracedView) -> Comparison:
    own = depth_maps(view.frame, view.rig(found.where))
    if isinstance(view, PinholeView):
        right = right_reading(target, found.split)
        cameras = view.camera, view.camera.from_corner()
        both = [_of_camera(view, camera, found.where, own) for camera in cameras]
        return min(both, key=lambda each: error_of(each.misses(right, each.many)))
    many, few = (some_pixels(view.camera, view.depth, count) for count in (MANY, FEW))
    wrong = wrong_conventions(target, found.split)
    return Comparison(
        view=view,
        many=many,
        few=few,
        where=found.where,
        own=own,
        wrong=wrong,
        agents_right=relative_poses(target, found.split).convention is None,
    )


def _of_camera(view: PinholeView, camera: Pinhole, where: Disk, own: DepthMaps) -> CameraComparison:
    """With its intrinsics, which may count pixels from the image's corner or the first one's centre."""
    many, few = (some_pixels(camera, view.depth, count) for count in (MANY, FEW))
    return CameraComparison(view=view, many=many, few=few, where=where, own=own, wrong={})


def _error(views: Sequence[Comparison], reading: Reading, *, many: bool) -> float:
    """The mean error of a reading over the views that have its source."""
    errors = [
        error_of(view.misses(reading, view.many if many else view.few))
        for view in views
        if reading.source == "own" or reading.source in view.sources
    ]
    return round(float(np.mean(errors)), DIGITS)


def _single(views: Sequence[Comparison], right: Reading) -> Iterator[Reading]:
    """The right reading with one thing changed."""
    first = views[0]
    yield from (replace(right, depth=depth) for depth in first.depths if depth != right.depth)
    yield from (replace(right, offsets=offsets) for offsets in first.offsets)
    yield from (replace(right, scale=right.scale * scale) for scale in SCALES)
    yield from _changed_values(views, right)
    yield from (replace(right, mirrored=True), replace(right, flipped=True))
    yield from (replace(right, crop=crop) for crop in first.crops)
    sources = dict.fromkeys(name for view in views for name in view.sources if name != "own")
    yield from (
        replace(right, source=name) for name in sources
    )  # before rigs that put cameras where others are
    yield from (replace(right, rig=name) for name in first.rigs if name != "right")


def _changed_values(views: Sequence[Comparison], right: Reading) -> Iterator[Reading]:
    """Depth in another unit, or another function of it, by the factor that fits."""
    first = views[0]
    for function, power in POWERS.items():
        found, far = replace(right, function=function), ("ignored",) if first.offsets else ()
        for offsets in (*far, "kept", "kept") if power else ():  # far away they move nothing: a first guess
            tried = replace(found, offsets=offsets)
            times = float(np.median([factor(tried, each.few, each.right, each.own) for each in views]))
            found = replace(found, scale=found.scale * times**power)
        found = replace(found, scale=float(f"{found.scale:.3g}"))
        if function != Reading.function or abs(found.scale / right.scale - 1) > UNIT:
            yield found


def _seen(right: Reading) -> list[Reading]:
    """The right reading, but of intrinsics that do not follow what the image shows."""
    return [replace(right, crop=SEEN)]


def _turns(views: Sequence[Comparison], right: Reading) -> list[Reading]:
    """The best turned panorama, mirrored and flipped or not, found in coarse then fine steps."""
    found = []
    for mirrored, flipped in product((False, True), repeat=2):
        start = replace(right, mirrored=mirrored, flipped=flipped)
        turns = [replace(start, turn=float(turn)) for turn in np.arange(-180 + COARSE, 180.1, COARSE)]
        best = min(turns, key=lambda reading: _error(views[:2], reading, many=False))
        for step in (COARSE / 4, COARSE / 16):
            near = [replace(best, turn=best.turn + step * place) for place in range(-4, 5)]
            best = min(near, key=lambda reading: _error(views[:2], reading, many=False))
        found.append((_error(views, best, many=False), best))
    return [min(found, key=lambda pair: pair[0])[1]]
