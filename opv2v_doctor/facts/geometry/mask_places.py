"""Mask places: where the masks of panoramas lie, against the directions in which their cameras look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Skip
from opv2v_doctor.facts.disk.frames import Frame
from opv2v_doctor.facts.geometry.readings import comparisons, reading, right_reading
from opv2v_doctor.facts.samples.moments import PanoramaView, moments
from opv2v_doctor.facts.samples.rigs import view_margin
from opv2v_doctor.geometry.readings import residuals
from opv2v_doctor.geometry.rigs import coverage
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text
from opv2v_doctor.threshold import Threshold

BORDER = 2  # pixels: interpolation moves a border by one, an erosion of 3 x 3 by another
EXPLAINED = Threshold(0.25, "of the pixels that are wrong", "an explanation leaves less")
GROWN = range(3, 16)  # pixels that masks are dilated or eroded by

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class MaskPlace:
    """How much of one view's mask lies elsewhere, and what makes it lie there."""

    frame: Frame
    wrong: float  # share of the view that is wrong, but for BORDER
    explanation: Text | None
    after: float  # the share that is wrong then


@fact
def mask_places(target: Target, split: str) -> tuple[MaskPlace, ...]:
    """Of the panoramas that were handed over. Raises Skip where none has a mask."""
    found = moments(target, split)
    margin = view_margin(found.where)
    places = []
    for view in found.views:
        mask = view.array("non_ambiguous_mask")
        if not isinstance(view, PanoramaView) or mask is None or mask.size != view.shape[0] * view.shape[1]:
            continue
        seen = coverage(view.cylinder, view.rig(found.where).values(), margin)
        places.append(_place(view.frame, mask.reshape(view.shape).astype(bool), seen))
    if not places:
        raise Skip("no panorama of {split} has a non_ambiguous_mask", split=split)
    return tuple(places)


def _place(frame: Frame, mask: Bools, seen: Bools) -> MaskPlace:
    wrong = misplaced(mask, seen)
    best: tuple[float, Text | None] = (wrong, None)
    if wrong > 0:
        tried = ((misplaced(mask, other), text) for text, other in mistaken_masks(mask, seen))
        best = min([best, *tried], key=lambda each: each[0])
    clear = best[0] < EXPLAINED * wrong
    return MaskPlace(frame=frame, wrong=wrong, explanation=best[1] if clear else None, after=best[0])


def misplaced(mask: Bools, seen: Bools) -> float:
    """The share of pixels that are marked and not seen, or seen and not marked, away from borders."""
    return float(((mask & ~_grown(seen, BORDER)) | (~mask & ~_grown(~seen, BORDER))).mean())


def mistaken_masks(mask: Bools, seen: Bools) -> Iterator[tuple[Text, Bools]]:
    """What may have been done to a right mask."""
    yield Text("it is the opposite of the right one"), ~seen
    yield Text("it marks every pixel"), np.ones_like(seen)
    yield Text("it marks no pixel"), np.zeros_like(seen)
    yield Text("it is upside down"), seen[::-1]
    yield Text("it is mirrored"), seen[:, ::-1]
    yield Text("it is upside down and mirrored"), seen[::-1, ::-1]
    rows, columns = _shift(mask, seen)
    moved = np.roll(seen, (rows, columns), (0, 1))
    yield (
        Text("it is moved by {rows:row|rows} and {columns:column|columns}", rows=rows, columns=columns),
        moved,
    )
    for pixels in GROWN:
        yield Text("it is grown by {pixels} pixels on all sides", pixels=pixels), _grown(seen, pixels)
        yield Text("it is shrunk by {pixels} pixels on all sides", pixels=pixels), ~_grown(~seen, pixels)


def _shift(mask: Bools, seen: Bools) -> tuple[int, int]:
    """Rows down and columns right by which a mask is most like what is seen, around all edges."""
    one, two = (np.fft.rfft2(each - each.mean()) for each in (mask.astype(float), seen.astype(float)))
    likeness = np.fft.irfft2(one * two.conj(), mask.shape)
    place = np.unravel_index(int(likeness.argmax()), mask.shape)
    rows, columns = (
        int(at) - size if at > size // 2 else int(at) for at, size in zip(place, mask.shape, strict=True)
    )
    return rows, columns


def _grown(mask: Bools, pixels: int) -> Bools:
    import cv2

    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    wide = np.pad(mask, ((0, 0), (pixels, pixels)), mode="wrap").astype(np.uint8)  # it closes behind
    return np.asarray(cv2.dilate(wide, kernel)[:, pixels:-pixels], np.bool_)


@dataclass(frozen=True, kw_only=True)
class Invented:
    """How much of the depth of a split's views no depth file knows."""

    views: int
    most: float  # share of a view's known pixels
    worst: Frame


@fact
def invented_depth(target: Target, split: str) -> Invented | None:
    """Of the views whose depth is read rightly; None where it is not. Raises Skip without depth files."""
    if reading(target, split).steps:
        return None
    right = right_reading(target, split)
    found = [
        (float(np.isnan(residuals(right, each.many, each.right, each.own)).mean()), each.view.frame)
        for each in comparisons(target, split)
        if each.many.depths.size
    ]
    most, worst = max(found, key=lambda each: each[0])
    return Invented(views=len(found), most=most, worst=worst)
