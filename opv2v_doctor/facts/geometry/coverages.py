"""Coverages: how much of each panorama its mask covers, and how much of it the rig of its frame can see."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from opv2v_doctor.check import Skip
from opv2v_doctor.facts.disk.frames import Frame, disk
from opv2v_doctor.facts.samples.moments import panorama_views
from opv2v_doctor.facts.samples.rigs import MARGIN, rig, rig_coverage
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What one view's mask covers, and what its rig would, as fractions of the panorama."""

    frame: Frame
    measured: float
    seen: float  # by the whole images
    cropped: float  # by images that were first cropped to the shape of the panorama


@fact
def coverages(target: Target, split: str) -> tuple[Coverage, ...]:
    """Of every panorama of the drawn samples that has a mask and shows a frame on disk.

    Raises Skip where the views are no panoramas or have no masks, Blocked where none shows a frame.
    """
    where = disk(target, split)
    margin = max(MARGIN, float(where.part.keywords.get("view_selection_margin") or 0.0))
    found = []
    for shown in chain.from_iterable(panorama_views(target, split)):
        if shown.view.mask_mean is not None:
            cameras = rig(where, shown.frame)
            found.append(
                Coverage(
                    frame=shown.frame,
                    measured=shown.view.mask_mean,
                    seen=rig_coverage(shown.cylinder, cameras, margin),
                    cropped=rig_coverage(shown.cylinder, cameras, margin, cropped=True),
                )
            )
    if not found:
        raise Skip("the views of {split} have no non_ambiguous_mask", split=split)
    return tuple(found)
