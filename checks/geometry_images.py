"""Geometry: the images of the panoramas against those that the reference stitches."""

import math

from opv2v_doctor import Finding, Findings, Target, check, error, note, warning
from opv2v_doctor.facts.geometry.images import ImageMatch, image_matches
from opv2v_doctor.facts.geometry.places import convention_place
from opv2v_doctor.facts.origins import crop_place, given_place
from opv2v_doctor.facts.samples import Samples, each_split

MOVED = 0.1  # an image is more alike elsewhere by so much
EMPTY = 0.1  # of what the rig sees may be missing
ROUGH = 6.0  # times the usual step between columns
UNLIKE = 0.3


@check("GEO009", tier="data", requires=["DAT001", "ENV007"])
def images_lie_where_they_belong(target: Target) -> Findings:
    """The panoramas' images are those that the reference stitches of the same files, in the same place.

    ## Why it matters
    An image that is shifted or mirrored against its depth teaches that what is seen here is there.

    ## How to fix
    Stitch image and depth with the same table of pixels; see the explanation for what differs.
    """
    for drawn in each_split(target):
        matches = image_matches(target, drawn.split)
        faults = [(match, fault) for match in matches for fault in _image_faults(match)]
        seen: set[str] = set()
        for match, fault in faults:
            kind = fault.split(":")[0]
            if kind not in seen:
                seen.add(kind)
                yield _image_finding(target, drawn, match, fault)
        if not faults:
            likeness = min(match.likeness for match in matches)
            yield note(
                f"{drawn.split}: images are like the reference's, {likeness:.2f} or more", likeness=likeness
            )


def _image_faults(match: ImageMatch) -> list[str]:
    """What is wrong with one image; the words before a colon are its kind."""
    found, faults = match.match, []
    if match.explanation == "rig":
        faults.append(
            f"cameras are elsewhere: their poses follow {match.detail}, likeness {match.likeness:.2f}"
        )
    elif match.explanation == "crop":
        faults.append(f"intrinsics do not follow a crop: to {match.detail}, likeness {match.likeness:.2f}")
    elif match.explanation is None and found.best > found.here + MOVED and found.best > UNLIKE:
        faults.append(f"the image lies elsewhere: {_moved(match)}, likeness {found.best:.2f} there")
    elif match.explanation is None and found.here < UNLIKE:
        faults.append("the image is not like the reference's: unexplained")
    if match.empty > EMPTY:
        faults.append(f"the image is cropped: it lacks {match.empty:.0%} of what the rig sees")
    if match.seam is not None and match.seam > ROUGH:
        faults.append(
            f"the panorama does not close behind: its ends differ {match.seam:.0f} times the usual step"
        )
    return faults


def _moved(match: ImageMatch) -> str:
    """In words by what the image is moved."""
    found, width = match.match, match.view.shape[1]
    words = [word for word, is_so in (("mirrored", found.mirrored), ("upside down", found.flipped)) if is_so]
    if found.columns:
        side = "right" if found.columns > 0 else "left"
        degrees = math.degrees(abs(found.columns) / width * 2 * math.pi)
        words.append(f"{degrees:.1f} degrees ({abs(found.columns)} columns) too far to the {side}")
    if found.rows:
        words.append(f"{abs(found.rows)} rows too {'low' if found.rows > 0 else 'high'}")
    return " and ".join(words)


def _image_finding(target: Target, drawn: Samples, match: ImageMatch, fault: str) -> Finding:
    cropped = fault.startswith("the image is cropped")
    place = (crop_place(target, drawn.part) if cropped else None) or given_place(target, drawn.part, "img")
    if match.explanation == "rig" and not cropped:
        place = convention_place(target, drawn.part)
    tell = warning if "unexplained" in fault or "close behind" in fault else error
    return tell(
        f"{drawn.split}: {fault}; {match.match.here:.2f} where it is ({match.view.frame.yaml})",
        path=place.path if place else match.view.frame.yaml,
        line=place.line if place else None,
        hint="stitch image and depth of whole images with the same table of pixels",
        split=drawn.split,
        likeness=match.likeness,
        columns=match.match.columns,
        rows=match.match.rows,
    )
