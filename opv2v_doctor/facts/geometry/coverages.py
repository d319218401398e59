"""Coverages: how much of each view its mask covers, and how much of it the cameras of its frame can see."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from opv2v_doctor.check import Skip
from opv2v_doctor.facts.disk.frames import Frame, disk
from opv2v_doctor.facts.geometry.depth_maps import depth_of
from opv2v_doctor.facts.samples.moments import PanoramaView, PinholeView, traced_views
from opv2v_doctor.facts.samples.rigs import rig_coverage, view_margin
from opv2v_doctor.geometry.cameras import Pinhole
from opv2v_doctor.geometry.ranges import known_depth
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target

STEP = 4  # of the pixels of a single camera's image


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What one view's mask covers, and what it should, as fractions of the view."""

    frame: Frame
    measured: float
    seen: float  # of a panorama by the whole images; of a single camera's image where depth is known
    cropped: float | None  # by images that were first cropped to the panorama's shape

    @property
    def missing(self) -> float:
        """By how much the mask misses what it should cover: a single camera sees all of its own image."""
        return max(0.0, self.seen - self.measured) if self.cropped is None else abs(self.measured - self.seen)


@fact
def coverages(target: Target, split: str) -> tuple[Coverage, ...]:
    """Of every view of the drawn samples that has a mask and shows a frame on disk.

    Raises Skip where the views have no masks, Blocked where none shows a frame.
    """
    where = disk(target, split)
    margin = view_margin(where)
    found = []
    for shown in chain.from_iterable(traced_views(target, split)):
        if shown.view.mask_mean is None:
            continue
        cameras, cropped = shown.rig(where), None
        if isinstance(shown, PinholeView):
            seen = _known_share(shown, cameras[shown.name].pinhole)
        else:
            assert isinstance(shown, PanoramaView)
            seen = rig_coverage(shown.cylinder, cameras, margin)
            cropped = rig_coverage(shown.cylinder, cameras, margin, cropped=True)
        measured = shown.view.mask_mean
        found.append(Coverage(frame=shown.frame, measured=measured, seen=seen, cropped=cropped))
    if not found:
        raise Skip("the views of {split} have no non_ambiguous_mask", split=split)
    return tuple(found)


def _known_share(view: PinholeView, file: Pinhole) -> float:
    """The share of an image where its depth file has a depth; 1 where there is none."""
    depth = depth_of(view.frame, view.name)
    if depth is None:
        return 1.0
    places = file.project(view.camera.rays()[::STEP, ::STEP])[0]
    inside = file.inside(places)
    columns, rows = places[inside].astype(int).T
    return float(known_depth(depth[rows, columns]).sum() / inside.size)
