"""Geometry: the images of the panoramas against those that the reference stitches."""

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from opv2v_doctor import (
    Finding,
    Findings,
    Place,
    Target,
    Text,
    Threshold,
    check,
    error,
    examined,
    for_each,
    note,
    warning,
)
from opv2v_doctor.facts.geometry.images import ImageMatch, image_matches
from opv2v_doctor.facts.geometry.places import convention_place
from opv2v_doctor.facts.geometry.reading_names import rig_words
from opv2v_doctor.facts.launch.origins import crop_place, given_place
from opv2v_doctor.facts.samples.draws import Samples, each_split

MOVED = Threshold(
    0.1, "of likeness", "a street is a little alike in several places", healthy=0.0, faulty=0.54
)
EMPTY = Threshold(
    0.1, "of what the rig sees", "borders that interpolation leaves out", healthy=0.0, faulty=0.69
)
ROUGH = Threshold(
    6.0, "times the usual step", "neighbouring columns differ where an object ends", healthy=2.2
)
UNLIKE = Threshold(0.3, "of likeness", "pictures of different places stay below", healthy=0.74, faulty=0.11)


@check("GEO009", tier="data", requires=["DAT001", "ENV007"])
def images_lie_where_they_belong(target: Target) -> Findings:
    """The panoramas' images are those that the reference stitches of the same files, in the same place.

    ## Why it matters
    An image that is shifted or mirrored against its depth teaches that what is seen here is there.

    ## How to fix
    Stitch image and depth with the same table of pixels; see the explanation for what differs.
    """
    yield from for_each(each_split(target), partial(_images, target))


def _images(target: Target, drawn: Samples) -> Findings:
    matches = image_matches(target, drawn.split)
    yield examined(len(matches), "image", split=drawn.split)
    first: dict[str, tuple[ImageMatch, ImageFault]] = {}  # of each kind
    for match in matches:
        for fault in image_faults(match):
            first.setdefault(fault.kind, (match, fault))
    for match, fault in first.values():
        yield _finding(target, drawn, match, fault)
    if not first:
        yield note(
            "images are like the reference's, likeness {likeness:.2f} or more",
            of=drawn.split,
            likeness=min(match.likeness for match in matches),
        )


class ImageFault(NamedTuple):
    """What is wrong with one image: rig, crop, elsewhere, unlike, cropped or open."""

    kind: str
    text: Text


def image_faults(match: ImageMatch) -> Iterator[ImageFault]:
    """What is wrong with one image."""
    if fault := _misplacement(match):
        yield fault
    if match.empty > EMPTY:
        text = Text("the image is cropped: it lacks {empty:.0%} of what the rig sees", empty=match.empty)
        yield ImageFault("cropped", text)
    if match.seam is not None and match.seam > ROUGH:
        text = Text(
            "the panorama does not close behind: its ends differ by {seam:.0f} times the usual step between "
            "columns, expected at most {bound:.0f}",
            seam=match.seam,
            bound=ROUGH,
        )
        yield ImageFault("open", text)


def _misplacement(match: ImageMatch) -> ImageFault | None:
    found = match.match
    if match.explanation == "rig":
        text = Text(
            "the cameras' poses are made by {rig}, likeness {likeness:.2f} then",
            rig=rig_words(match.detail),
            likeness=match.likeness,
        )
        return ImageFault("rig", text)
    if match.explanation == "crop":
        text = Text(
            "intrinsics do not follow a crop to {size}, likeness {likeness:.2f} then",
            size=match.detail.split()[0],
            likeness=match.likeness,
        )
        return ImageFault("crop", text)
    if match.explanation:  # its files are those of another frame or agent: GEO012
        return None
    if found.best > found.here + MOVED and found.best > UNLIKE:
        text = Text(
            "the image lies elsewhere: {how}, likeness {best:.2f} there", how=_shifts(match), best=found.best
        )
        return ImageFault("elsewhere", text)
    if found.here < UNLIKE:
        return ImageFault("unlike", Text("the image is not like the reference's: unexplained"))
    return None


def _shifts(match: ImageMatch) -> list[Text]:
    """By what the image is moved."""
    found, width = match.match, match.view.shape[1]
    words = []
    if found.mirrored:
        words.append(Text("mirrored"))
    if found.flipped:
        words.append(Text("upside down"))
    if found.columns:
        words.append(
            Text(
                "{degrees:.1f} degrees ({columns:column|columns}) too far to the right"
                if found.columns > 0
                else "{degrees:.1f} degrees ({columns:column|columns}) too far to the left",
                degrees=math.degrees(abs(found.columns) / width * 2 * math.pi),
                columns=abs(found.columns),
            )
        )
    if found.rows:
        words.append(
            Text(
                "{rows:row|rows} too low" if found.rows > 0 else "{rows:row|rows} too high",
                rows=abs(found.rows),
            )
        )
    return words


def _finding(target: Target, drawn: Samples, match: ImageMatch, fault: ImageFault) -> Finding:
    tell = warning if fault.kind in ("unlike", "open") else error
    frame = match.view.frame.yaml
    return tell(
        Text(
            "{fault}; likeness {here:.2f} where it is ({frame})",
            fault=fault.text,
            here=match.match.here,
            frame=frame,
        ),
        hint=Text("stitch image and depth of whole images with the same table of pixels"),
        at=_place(target, drawn, fault) or frame,
        of=drawn.split,
        columns=match.match.columns,
        rows=match.match.rows,
    )


def _place(target: Target, drawn: Samples, fault: ImageFault) -> Place | None:
    if fault.kind == "rig":
        return convention_place(target, drawn.part)
    cropped = crop_place(target, drawn.part) if fault.kind == "cropped" else None
    return cropped or given_place(target, drawn.part, "img")
