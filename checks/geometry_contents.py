"""Geometry: where the content of the cameras' images lies, camera by camera, in crops and in panoramas."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from opv2v_doctor import Finding, Findings, Place, Target, check, error, note
from opv2v_doctor.facts.geometry.contents import Contents, contents
from opv2v_doctor.facts.geometry.crops import Crop, crops
from opv2v_doctor.facts.geometry.images import image_matches
from opv2v_doctor.facts.geometry.readings import reading_steps
from opv2v_doctor.facts.origins import crop_place, given_place
from opv2v_doctor.facts.samples import Samples, each_split
from opv2v_doctor.geometry.placings import Placing
from opv2v_doctor.geometry.probing import Landing

POINTS = 12  # random points of an image, to say anything
ALIKE = 0.7  # where the content is found
LOST = 0.5  # where it is nowhere
REGAINED = 0.45  # there, of the likeness that it lacks where it belongs
ELSEWHERE = 0.1  # a whole image that is more alike elsewhere by so much is a matter of its own
ENLARGED = 0.03  # share of the size
DEGREES = 0.5  # of a camera against its neighbour, or all of them
PIXELS = 0.4  # of the panorama: what can be told
OTHERS = {"rig", "crop", "depth", "scale", "source"}  # wrong steps that move what is near in the images, too
SHIFTED = 1.5  # pixels of a cropped image: half a pixel is a matter of taste


@check("GEO013", tier="data", requires=["DAT001", "ENV007"])
def random_points_land_on_their_content(target: Target) -> Findings:
    """Random points of the images land on their own content through every crop and resize.

    ## Why it matters
    An image that was cropped or resized and is projected with other intrinsics than its own looks right, and
    what it shows lies elsewhere: it is too large, or too low, against the depth of the same pixels.

    ## How to fix
    Change the intrinsics where the image is changed: subtract the crop's corner from the principal point;
    multiply focal length and principal point by the scale.
    """
    for crop in crops(target):
        yield _crop_finding(crop)
    for drawn in each_split(target):
        if _explained(target, drawn):
            yield _told_elsewhere(drawn)
            continue
        told = contents(target, drawn.split)
        faults = [fault for each in told for fault in _unfollowed(each)]
        for fault in sorted(faults, key=_clearest)[:1]:
            place = crop_place(target, drawn.part) or given_place(target, drawn.part, "img")
            yield _finding(
                drawn, fault, place, "change the intrinsics where the images are cropped or resized"
            )
        if not faults:
            yield _landed(drawn, told)


class Fault(NamedTuple):
    """What is wrong with a view, in words and numbers."""

    message: str
    contents: Contents
    cameras: tuple[str, ...]


def _crop_finding(crop: Crop) -> Finding:
    sizes = " to ".join(f"{width}x{height}" for width, height in (crop.before, crop.after))
    found = crop.landing
    if found is None or found.points < POINTS:
        return note(
            f"{crop.function} ({sizes}): no points to compare", path=crop.place.path, line=crop.place.line
        )
    pixels = crop.pixels
    words = f"{crop.function} ({sizes}): {found.points} random points"
    wrong = pixels > SHIFTED or abs(math.log(found.placing.zoom)) > ENLARGED
    if found.best < LOST or (wrong and _is_sure(found)):
        where = (
            f"{pixels:.1f} pixels away and {found.placing.zoom:.2f} times as large"
            if wrong
            else "nowhere near"
        )
        return error(
            f"{words} are not where its intrinsics say: likeness {found.here:.2f}, {found.best:.2f} {where}",
            path=crop.place.path,
            line=crop.place.line,
            hint="let the intrinsics follow what this function does to the image",
            likeness=found.here,
            pixels=pixels,
            zoom=found.placing.zoom,
        )
    return note(f"{words} land on their content, likeness {found.here:.2f}", likeness=found.here)


def _explained(target: Target, drawn: Samples) -> bool:
    """Whether the images lie elsewhere for a reason that other checks tell."""
    if OTHERS & set(reading_steps(target, drawn.split)):
        return True
    matches = image_matches(target, drawn.split)
    moved = any(each.match.best > each.match.here + ELSEWHERE for each in matches)
    return moved or any(each.explanation for each in matches)


def _clearest(fault: Fault) -> float:
    return -fault.contents.landings[fault.cameras[0]].best


def _told_elsewhere(drawn: Samples) -> Finding:
    return note(
        f"{drawn.split}: not judged: images lie elsewhere for reasons that other checks of geometry tell"
    )


def _unfollowed(told: Contents) -> Iterator[Fault]:
    """Cameras whose content is too large or too small, or all of which are too high or too low."""
    if large := _enlarged(told):
        zoom = sum(large.values()) / len(large)
        yield Fault(
            f"{', '.join(large)}: content is {zoom:.2f} times as large as it should be", told, tuple(large)
        )
        return
    sure = [name for name, found in told.landings.items() if _is_sure(found)]
    pitches = [placing.pitch for placing in _placings(told).values()]
    least = min(map(abs, pitches), default=0.0)
    one_way = all(pitch > 0 for pitch in pitches) or all(pitch < 0 for pitch in pitches)
    if sure and told.near and one_way and least > _limit(told):
        side = "high" if pitches[0] > 0 else "low"
        yield Fault(
            f"{', '.join(told.landings)}: content is {least:.1f} degrees too {side}", told, tuple(sure)
        )


def _enlarged(told: Contents) -> dict[str, float]:
    """Cameras whose content has another size, and which: a crop that is not followed is one of most."""
    sure = {name: found.placing.zoom for name, found in told.landings.items() if _is_sure(found)}
    large = {name: zoom for name, zoom in sure.items() if abs(math.log(zoom)) > ENLARGED}
    judged = [found for found in told.landings.values() if found.points >= POINTS]
    return large if told.near and len(large) * 2 >= len(judged) else {}


def _is_sure(found: Landing) -> bool:
    """Whether points are clearly found elsewhere: repeated windows and noise look a little alike anywhere."""
    regained = found.best - found.here > REGAINED * (1 - found.here)
    return found.points >= POINTS and found.best > ALIKE and regained


def _placings(told: Contents) -> dict[str, Placing]:
    """Where each camera's content was found."""
    found = {name: each for name, each in told.landings.items() if each.points >= POINTS and each.best > LOST}
    return {name: each.placing if _is_sure(each) else Placing() for name, each in found.items()}


def _limit(told: Contents) -> float:
    """Degrees that can be told."""
    return max(DEGREES, PIXELS * told.resolution)


def _landed(drawn: Samples, told: Sequence[Contents]) -> Finding:
    landings = [found for each in told for found in each.landings.values() if found.points]
    least = min((found.here for found in landings), default=0.0)
    points = sum(found.points for found in landings)
    return note(
        f"{drawn.split}: likeness at {points} random points of the images is {least:.2f} or more in each"
    )


def _finding(drawn: Samples, fault: Fault, place: Place | None, hint: str) -> Finding:
    first = fault.contents.landings[fault.cameras[0]]
    return error(
        f"{drawn.split}: {fault.message}; {first.points} random points of {fault.cameras[0]} have likeness "
        f"{first.here:.2f} where they belong, {first.best:.2f} there ({fault.contents.view.frame.yaml})",
        path=place.path if place else fault.contents.view.frame.yaml,
        line=place.line if place else None,
        hint=hint,
        split=drawn.split,
        cameras=list(fault.cameras),
        yaw=first.placing.yaw,
        pitch=first.placing.pitch,
        zoom=first.placing.zoom,
    )


@check("GEO014", tier="data", requires=["DAT001", "ENV007"])
def cameras_meet_at_their_seams(target: Target) -> Findings:
    """Each camera's part of a panorama is its own image, and meets its neighbours' at the seams.

    ## Why it matters
    One camera that is turned by two degrees, or another one's image in its place, leaves a panorama that is
    right for the most part: walls break where two cameras meet, and targets behind one of them are wrong.

    ## How to fix
    Take each image with the pose and the intrinsics that its frame file gives under the same camera's name.
    """
    for drawn in each_split(target):
        told = contents(target, drawn.split)
        faults = [fault for each in told for fault in _exchanged(each)]
        if not faults and _explained(target, drawn):
            yield _told_elsewhere(drawn)
            continue
        enlarged = any(_enlarged(each) for each in told)  # GEO013 tells, and where it lies cannot be told
        faults = faults or [fault for each in told for fault in _misplaced(each) if not enlarged]
        for fault in _once(faults):
            place = given_place(target, drawn.part, "img")
            yield _finding(drawn, fault, place, "take image, pose and intrinsics of the same camera")
        if not faults:
            seams = len({seam[:2] for each in told for seam in each.seams})
            yield note(f"{drawn.split}: nothing is misplaced at the {seams} seams between cameras")


def _exchanged(told: Contents) -> Iterator[Fault]:
    for name, (other, alike) in told.instead.items():
        message = f"{name}'s part of the panorama shows the image of {other}, likeness {alike:.2f}"
        yield Fault(message, told, (name,))


def _misplaced(told: Contents) -> Iterator[Fault]:
    """Cameras that do not meet a neighbour, each with the seams where that shows."""
    placed = _placings(told)
    steps: dict[str, list[str]] = {}
    for one, two, azimuth in told.seams if told.near else ():
        if one in placed and two in placed and _step(placed[one], placed[two]) > _limit(told):
            moved, still = sorted((one, two), key=lambda name: -_step(placed[name], Placing()))
            step = _step(placed[one], placed[two])
            steps.setdefault(moved, []).append(f"{step:.1f} degrees to {still} at {azimuth:+.0f} degrees")
    for name, where in steps.items():
        message = f"{name}'s part of the panorama lies {_away(placed[name])}: seams of {' and '.join(where)}"
        yield Fault(message, told, (name,))


def _step(one: Placing, two: Placing) -> float:
    return max(abs(one.yaw - two.yaw), abs(one.pitch - two.pitch))


def _away(placing: Placing) -> str:
    sideways = f"{abs(placing.yaw):.1f} degrees too far to the {'right' if placing.yaw > 0 else 'left'}"
    upwards = f"{abs(placing.pitch):.1f} degrees too {'high' if placing.pitch > 0 else 'low'}"
    return sideways if abs(placing.yaw) > abs(placing.pitch) else upwards


def _once(faults: Sequence[Fault]) -> list[Fault]:
    """The first fault of each camera."""
    return list({fault.cameras: fault for fault in reversed(faults)}.values())[::-1]
