"""Readings: how the dataset read the depth maps of the frames that it shows, found by comparing with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.frames import Disk
from opv2v_doctor.facts.geometry.depth_maps import (
    AGENTS_OWN,
    KNOWN_WRONG,
    depth_maps,
    neighbours,
    rigs,
    without_depth,
)
from opv2v_doctor.facts.geometry.lidar import meaning
from opv2v_doctor.facts.geometry.relative_poses import relative_poses
from opv2v_doctor.facts.launch.splits import examined_splits
from opv2v_doctor.facts.samples.moments import Moments, PanoramaView, moments
from opv2v_doctor.facts.samples.rigs import camera_names, rig
from opv2v_doctor.geometry.cameras import Array
from opv2v_doctor.geometry.conventions import Convention
from opv2v_doctor.geometry.explanations import Explanation, explanation
from opv2v_doctor.geometry.readings import DepthMaps, Pixels, Reading, error_of, residuals, some_pixels
from opv2v_doctor.geometry.rigs import MountedCamera
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Command

VIEWS = 4  # of different agents and moments: what is wrong with all shows in them
MANY, FEW = 1500, 300  # pixels of a view
SCALES = (1000.0, 100.0, 10.0, 0.1, 0.01, 0.001)
COARSE = 6.0  # degrees


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """One view ready to be compared: some of its pixels, its rigs and its depth maps, right and wrong."""

    view: PanoramaView
    many: Pixels
    few: Pixels
    where: Disk
    own: DepthMaps
    wrong: dict[str, Convention]

    @cached_property
    def rigs(self) -> dict[str, list[MountedCamera]]:
        """Its cameras, right and wrong."""
        return rigs(self.where, self.view.frame, self.wrong)

    @cached_property
    def sources(self) -> dict[str, dict[str, DepthMaps]]:
        """Own, another frame, another agent -> name -> its depth maps."""
        found = {"own": {"own": self.own}}
        cameras = camera_names(self.where, self.view.frame)
        for name, frame in neighbours(self.where, self.view.frame).items():
            kind = "another agent" if name.startswith("agent") else "another frame"
            found.setdefault(kind, {})[name] = depth_maps(frame, cameras)
        return found

    def misses(self, reading: Reading, pixels: Pixels) -> Array:
        """By how much each pixel misses the files; of several other agents or frames those of the nearest."""
        own = reading.source == "own"  # the right reading shall not wait for what only the wrong ones need
        cameras = self.right if reading.rig == "right" else self.rigs[reading.rig]
        sources = (self.own,) if own else self.sources[reading.source].values()
        return min((residuals(reading, pixels, cameras, maps) for maps in sources), key=error_of)

    @cached_property
    def right(self) -> list[MountedCamera]:
        """Its cameras where they are."""
        return list(rig(self.where, self.view.frame).values())

    def nearest(self, reading: Reading) -> str:
        """Which agent or frame its depth comes from, by a reading that says another one's."""
        named = self.sources[reading.source]
        return min(
            named,
            key=lambda name: error_of(residuals(reading, self.many, self.rigs[reading.rig], named[name])),
        )


@fact
def reading(target: Target, split: str) -> Explanation:
    """How the dataset made its panoramas of the depth files. Raises Skip where there are no depth files."""
    views, right = comparisons(target, split), right_reading(target, split)
    return explanation(
        right,
        lambda: list(_single(target, split, views, right)),
        lambda reading: _error(views, reading, many=True),
        lambda reading: _error(views[:2], reading, many=False),
        lambda: _turns(views, right),
        _in_first_split(target, split),
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
    views = found.views[:: max(1, len(found.views) // VIEWS)][:VIEWS]
    ready = [_comparison(found, view, wrong_conventions(target, split)) for view in views]
    filed = tuple(each for each in ready if any(depth is not None for depth in each.own))
    if not filed:
        raise without_depth(found.where, split, views[0].frame)
    if not any(each.many.ranges.size for each in filed):
        raise Blocked(
            "no pixel of the drawn panoramas of {split} has a depth above 0",
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


def _comparison(found: Moments, view: PanoramaView, named: dict[str, Convention]) -> Comparison:
    return Comparison(
        view=view,
        many=some_pixels(found.cylinder, view.ranges, MANY),
        few=some_pixels(found.cylinder, view.ranges, FEW),
        where=found.where,
        own=depth_maps(view.frame, camera_names(found.where, view.frame)),
        wrong=named,
    )


def _error(views: Sequence[Comparison], reading: Reading, *, many: bool) -> float:
    """The mean error of a reading over the views that have its source."""
    errors = [
        error_of(view.misses(reading, view.many if many else view.few))
        for view in views
        if reading.source == "own" or reading.source in view.sources
    ]
    return float(np.mean(errors))


def _single(target: Target, split: str, views: Sequence[Comparison], right: Reading) -> Iterator[Reading]:
    """The right reading with one thing changed."""
    width, height = moments(target, split).cylinder.width, moments(target, split).cylinder.height
    yield replace(right, depth="range" if right.depth == "z" else "z")
    yield from (replace(right, offsets=offsets) for offsets in ("ignored", "added"))
    yield from (replace(right, scale=right.scale * scale) for scale in SCALES)
    yield from (replace(right, mirrored=True), replace(right, flipped=True))
    yield from (replace(right, crop=crop) for crop in (f"{width}x{height}", f"{width}x{height} cut"))
    yield from (replace(right, rig=name) for name in views[0].rigs if name != "right")
    sources = dict.fromkeys(name for view in views for name in view.sources if name != "own")
    yield from (replace(right, source=name) for name in sources)


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
