"""Geometry: the images of the views: their stitching, each camera's content, and their colours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from opv2v_doctor import (
    Blocked,
    Command,
    Finding,
    Findings,
    Place,
    Skip,
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
from opv2v_doctor.facts.geometry.contents import TURNED, Contents, contents
from opv2v_doctor.facts.geometry.crops import Crop, crops
from opv2v_doctor.facts.geometry.images import ImageMatch, image_matches
from opv2v_doctor.facts.geometry.partings import camera_parting
from opv2v_doctor.facts.geometry.picture_partings import content_place, image_parting, made_place
from opv2v_doctor.facts.geometry.places import convention_place, table_place
from opv2v_doctor.facts.geometry.reading_names import CROPPED, rig_words, step_words
from opv2v_doctor.facts.geometry.readings import reading, reading_steps
from opv2v_doctor.facts.geometry.shown_colours import ALIKE as ALIKE_COLOURS
from opv2v_doctor.facts.geometry.shown_colours import (
    CameraColours,
    ShownColours,
    camera_colours,
    named_rule,
    shown_colours,
)
from opv2v_doctor.facts.interpreter.questions import Rule
from opv2v_doctor.facts.launch.origins import augmentation_place, crop_place, given_place, image_place
from opv2v_doctor.facts.launch.splits import examined_splits
from opv2v_doctor.facts.samples.draws import Samples, each_split
from opv2v_doctor.facts.samples.moments import PinholeView, TracedView
from opv2v_doctor.geometry.colours import Normalisation, typical
from opv2v_doctor.geometry.likeness import Match
from opv2v_doctor.geometry.placings import Placing
from opv2v_doctor.geometry.probing import Landing

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
    """The views' images are those that the reference makes of the same files, in the same place.

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
            "{fault}, likeness {likeness:.2f} then",
            fault=CROPPED.get(match.detail)
            or Text("intrinsics do not follow a crop to {size}", size=match.detail.split()[0]),
            likeness=match.likeness,
        )
        return ImageFault("crop", text)
    if match.explanation:  # its files are those of another frame or agent: GEO012; or camera: GEO014
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
    found = match.match
    across = match.view.horizontal_degrees / match.view.shape[1]
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
                degrees=abs(found.columns) * across,
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
        at=_place(target, drawn, fault, match.view) or frame,
        of=drawn.split,
        columns=match.match.columns,
        rows=match.match.rows,
    )


def _place(target: Target, drawn: Samples, fault: ImageFault, view: TracedView) -> Place | None:
    if fault.kind in ("rig", "elsewhere", "unlike"):
        found = camera_parting(target, drawn.split, view.frame)
        if found or fault.kind == "rig":
            return found or convention_place(target, drawn.part)
    cropped = crop_place(target, drawn.part) if fault.kind == "cropped" else None
    return cropped or content_place(target, drawn.split) or given_place(target, drawn.part, "img")


POINTS = Threshold(12, "random points", "fewer are alike somewhere by chance")
ALIKE = Threshold(0.7, "of likeness", "where the content is found")
LOST = Threshold(0.5, "of likeness", "where it is nowhere", healthy=0.56)
REGAINED = Threshold(
    0.45,
    "of the likeness that is missing where it belongs",
    "repeated windows regain less",
    healthy=0.17,
    faulty=0.52,
)
ELSEWHERE = Threshold(
    0.1, "of likeness", "whole images that are more alike elsewhere: GEO009", healthy=0.0, faulty=0.54
)
ENLARGED = Threshold(0.03, "of the size", "the search takes steps of 0.003", faulty=0.061)
DEGREES = Threshold(0.5, "degrees", "a camera against its neighbour, or all of them", faulty=2.0)
PIXELS = Threshold(0.4, "pixels of the panorama", "what can be told")
SHIFTED = Threshold(1.5, "pixels of a cropped image", "half a pixel is a matter of taste")
PLACES = {"camera": "GEO014"}  # an explanation of an image, and the check of it
OTHERS = {  # wrong steps that move what is near in the images, too, and the checks of them
    "depth": "GEO001",
    "scale": "GEO001",
    "crop": "GEO010",
    "source": "GEO012",
    "rig": "GEO003",
}


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
    yield from for_each(each_split(target), partial(_contents, target))


def _contents(target: Target, drawn: Samples) -> Findings:
    _require_their_place(target, drawn)
    seen = contents(target, drawn.split)
    faults = [fault for each in seen for fault in wrong_sizes(each)]
    for fault in sorted(faults, key=_clearest)[:1]:
        place = crop_place(target, drawn.part) or given_place(target, drawn.part, "img")
        hint = Text("change the intrinsics where the images are cropped or resized")
        yield _misplacement_finding(drawn, fault, place, hint)
    if not faults:
        _require_depth(drawn, seen)
        yield examined(sum(len(placings(each)) for each in seen), "camera image", split=drawn.split)
        yield _landing(drawn, seen)


class Misplacement(NamedTuple):
    """What is wrong with a view, in words and numbers."""

    text: Text
    contents: Contents
    cameras: tuple[str, ...]


def _crop_finding(crop: Crop) -> Finding:
    function = Text(
        "{function} ({before} to {after})",
        function=crop.function,
        before=_size(crop.before),
        after=_size(crop.after),
    )
    found = crop.landing
    if found is None or found.points < POINTS:
        return note("{function}: no points to compare", at=crop.place, function=function)
    fault = crop_fault(found, crop.pixels)
    if fault is None:
        return note(
            "{function}: {points:random point|random points} land on their content, likeness {here:.2f}",
            at=crop.place,
            function=function,
            points=found.points,
            here=found.here,
        )
    return error(
        "{function}: {points:random point|random points} are not where its intrinsics say: {fault}",
        hint="let the intrinsics follow what this function does to the image",
        at=crop.place,
        function=function,
        points=found.points,
        fault=fault,
        pixels=crop.pixels,
        zoom=found.placing.zoom,
    )


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def crop_fault(found: Landing, pixels: float) -> Text | None:
    """Where the content of a cropped image lies instead."""
    if (pixels > SHIFTED or _is_enlarged(found)) and is_sure(found):
        return Text(
            "likeness {here:.2f}, {best:.2f} at {pixels:.1f} pixels away and {zoom:.2f} times the size",
            here=found.here,
            best=found.best,
            pixels=pixels,
            zoom=found.placing.zoom,
        )
    if found.best < LOST:
        return Text("likeness {here:.2f}, no more than {best:.2f} near", here=found.here, best=found.best)
    return None


def _require_their_place(target: Target, drawn: Samples) -> None:
    """Raises Blocked where the images lie elsewhere for a reason that another check tells."""
    steps = [step for step in OTHERS if step in reading_steps(target, drawn.split)]
    if steps:
        known = reading(target, drawn.split)
        raise Blocked(
            "what is near in the images of {split} lies elsewhere for another reason: {reasons}",
            hint="correct that first: {command}",
            split=drawn.split,
            reasons=[step_words(known, step) for step in steps],
            command=Command(f"opv2v-doctor check {OTHERS[steps[0]]}"),
        )
    for each in image_matches(target, drawn.split):
        if each.explanation or lies_elsewhere(each.match):
            raise Blocked(
                "the images of {split} lie elsewhere as a whole: likeness {here:.2f} where they belong, "
                "{best:.2f} elsewhere",
                at=each.view.frame.yaml,
                hint="see where they lie: {command}",
                split=drawn.split,
                here=each.match.here,
                best=max(each.match.best, each.likeness),
                command=Command(f"opv2v-doctor check {PLACES.get(each.explanation or '', 'GEO009 GEO012')}"),
            )


def lies_elsewhere(found: Match) -> bool:
    """Whether a whole image is clearly more alike in another place."""
    return found.best > found.here + ELSEWHERE


def _require_depth(drawn: Samples, seen: Sequence[Contents]) -> None:
    """Raises Skip where no depth maps say where near things belong: the cameras' offsets misplace them."""
    if not any(each.near for each in seen):
        raise Skip(
            "the frames of {split} have no depth files: where near content belongs is not known",
            split=drawn.split,
        )


def _clearest(fault: Misplacement) -> float:
    return -fault.contents.landings[fault.cameras[0]].best


def wrong_sizes(seen: Contents) -> Iterator[Misplacement]:
    """Cameras whose content is too large or too small, or all of which are too high or too low."""
    if large := enlargements(seen):
        zoom = sum(large.values()) / len(large)
        text = Text("{cameras}: content is {zoom:.2f} times its size", cameras=list(large), zoom=zoom)
        yield Misplacement(text, seen, tuple(large))
        return
    sure = [name for name, found in seen.landings.items() if is_sure(found)]
    if isinstance(seen.view, PinholeView):
        yield from _beside_its_place(seen, sure)
        return
    pitches = [placing.pitch for placing in placings(seen).values()]
    least = min(map(abs, pitches), default=0.0)
    one_way = all(pitch > 0 for pitch in pitches) or all(pitch < 0 for pitch in pitches)
    if sure and seen.near and one_way and least > _limit(seen):
        text = Text(
            "{cameras}: content is {least:.1f} degrees too high"
            if pitches[0] > 0
            else "{cameras}: content is {least:.1f} degrees too low",
            cameras=list(seen.landings),
            least=least,
        )
        yield Misplacement(text, seen, tuple(sure))


def _beside_its_place(seen: Contents, sure: Sequence[str]) -> Iterator[Misplacement]:
    """A single camera whose content lies beside where its intrinsics say."""
    for name in sure:
        placing = seen.landings[name].placing
        if max(abs(placing.yaw), abs(placing.pitch)) > max(DEGREES, SHIFTED * seen.resolution):
            text = Text("the content of {camera} lies {away}", camera=name, away=_away(placing))
            yield Misplacement(text, seen, (name,))


def enlargements(seen: Contents) -> dict[str, float]:
    """Cameras whose content has another size, and which: a crop that is not followed is one of most."""
    sure = {name: found.placing.zoom for name, found in seen.landings.items() if is_sure(found)}
    large = {name: zoom for name, zoom in sure.items() if _is_enlarged(seen.landings[name])}
    judged = [found for found in seen.landings.values() if found.points >= POINTS]
    return large if seen.near and len(large) * 2 >= len(judged) else {}


def _is_enlarged(found: Landing) -> bool:
    return abs(math.log(found.placing.zoom)) > ENLARGED


def is_sure(found: Landing) -> bool:
    """Whether points are clearly found elsewhere: repeated windows and noise look a little alike anywhere."""
    regained = found.best - found.here > REGAINED * (1 - found.here)
    return found.points >= POINTS and found.best > ALIKE and regained


def placings(seen: Contents) -> dict[str, Placing]:
    """Where each camera's content was found."""
    found = {name: each for name, each in seen.landings.items() if each.points >= POINTS and each.best > LOST}
    return {name: each.placing if is_sure(each) else Placing() for name, each in found.items()}


def _limit(seen: Contents) -> float:
    """Degrees that can be told."""
    return max(DEGREES, PIXELS * seen.resolution)


def _landing(drawn: Samples, seen: Sequence[Contents]) -> Finding:
    landings = [found for each in seen for found in each.landings.values() if found.points]
    return note(
        "likeness at random points is {least:.2f} or more in each image",
        of=drawn.split,
        points=sum(found.points for found in landings),
        least=min((found.here for found in landings), default=0.0),
    )


def _misplacement_finding(drawn: Samples, fault: Misplacement, place: Place | None, hint: Text) -> Finding:
    first, frame = fault.contents.landings[fault.cameras[0]], fault.contents.view.frame.yaml
    return error(
        "{fault}; {points:random point|random points} of {camera} have likeness {here:.2f} where they "
        "belong, {best:.2f} there ({frame})",
        hint=hint,
        at=place or frame,
        of=drawn.split,
        fault=fault.text,
        points=first.points,
        camera=fault.cameras[0],
        here=first.here,
        best=first.best,
        frame=frame,
        cameras=list(fault.cameras),
        yaw=first.placing.yaw,
        pitch=first.placing.pitch,
        zoom=first.placing.zoom,
    )


@check("GEO014", tier="data", requires=["DAT001", "ENV007"])
def cameras_meet_at_their_seams(target: Target) -> Findings:
    """Each camera shows its own image, and its part of a panorama meets its neighbours' at the seams.

    ## Why it matters
    One camera that is turned by two degrees, or another one's image in its place, leaves a panorama that is
    right for the most part: walls break where two cameras meet, and targets behind one of them are wrong.

    ## How to fix
    Take each image with the pose and the intrinsics that its frame file gives under the same camera's name.
    """
    yield from for_each(each_split(target), partial(_seams, target))


def _seams(target: Target, drawn: Samples) -> Findings:
    seen = contents(target, drawn.split)
    faults = [fault for each in seen for fault in _exchanges(each)]
    if not faults:
        _require_their_place(target, drawn)
        _require_its_size(drawn, seen)
        faults = [fault for each in seen for fault in misplacements(each)]
    for fault in _once(faults):
        view = fault.contents.view
        place = camera_parting(target, drawn.split, view.frame)
        place = place or image_parting(target, drawn.split, view, fault.cameras[0])
        place = place or given_place(target, drawn.part, "img")
        yield _misplacement_finding(
            drawn, fault, place, Text("take image, pose and intrinsics of the same camera")
        )
    if not faults:
        _require_depth(drawn, seen)
        if isinstance(seen[0].view, PinholeView):
            yield examined(
                sum(len(each.windows[name].shown) > 0 for each in seen for name in each.windows),
                "image",
                split=drawn.split,
            )
            yield note("each image is that of the camera that its view names", of=drawn.split)
            return
        yield examined(sum(len(_found_seams(each)) for each in seen), "seam", split=drawn.split)
        yield note("no camera is misplaced against its neighbours", of=drawn.split)


def _require_its_size(drawn: Samples, seen: Sequence[Contents]) -> None:
    """Raises Blocked where content is enlarged: where it lies cannot be told then."""
    for each in seen:
        if large := enlargements(each):
            raise Blocked(
                "content of {cameras} in {split} is {zoom:.2f} times its size: where it lies cannot be told",
                at=each.view.frame.yaml,
                hint="correct its size first: {command}",
                cameras=list(large),
                split=drawn.split,
                zoom=sum(large.values()) / len(large),
                command=Command("opv2v-doctor check GEO013"),
            )


def _exchanges(seen: Contents) -> Iterator[Misplacement]:
    for name, (other, alike) in seen.instead.items():
        text = Text(
            "{camera}'s image is {other}, likeness {alike:.2f}"
            if other in TURNED
            else "the view of {camera} shows the image of {other}, likeness {alike:.2f}"
            if isinstance(seen.view, PinholeView)
            else "{camera}'s part of the panorama shows the image of {other}, likeness {alike:.2f}",
            camera=name,
            other=other,
            alike=alike,
        )
        yield Misplacement(text, seen, (name,))


def _found_seams(seen: Contents) -> list[tuple[str, str, float]]:
    """The seams between cameras whose content was found."""
    placed = placings(seen)
    return [seam for seam in seen.seams if seam[0] in placed and seam[1] in placed] if seen.near else []


def misplacements(seen: Contents) -> Iterator[Misplacement]:
    """Cameras that do not meet a neighbour, each with the seams where that shows."""
    placed = placings(seen)
    steps: dict[str, list[Text]] = {}
    for one, two, azimuth in _found_seams(seen):
        step = _step(placed[one], placed[two])
        if step > _limit(seen):
            gone, still = sorted((one, two), key=lambda name: -_step(placed[name], Placing()))
            text = Text(
                "{step:.1f} degrees to {other} at {azimuth:+.0f} degrees",
                step=step,
                other=still,
                azimuth=azimuth,
            )
            steps.setdefault(gone, []).append(text)
    for name, where in steps.items():
        text = Text(
            "{camera}'s part of the panorama lies {away}: seams of {seams}",
            camera=name,
            away=_away(placed[name]),
            seams=where,
        )
        yield Misplacement(text, seen, (name,))


def _step(one: Placing, two: Placing) -> float:
    return max(abs(one.yaw - two.yaw), abs(one.pitch - two.pitch))


def _away(placing: Placing) -> Text:
    if abs(placing.yaw) > abs(placing.pitch):
        return Text(
            "{degrees:.1f} degrees too far to the right"
            if placing.yaw > 0
            else "{degrees:.1f} degrees too far to the left",
            degrees=abs(placing.yaw),
        )
    return Text(
        "{degrees:.1f} degrees too high" if placing.pitch > 0 else "{degrees:.1f} degrees too low",
        degrees=abs(placing.pitch),
    )


def _once(faults: Sequence[Misplacement]) -> list[Misplacement]:
    """The first fault of each camera."""
    return list({fault.cameras: fault for fault in reversed(faults)}.values())[::-1]


TIMES = Threshold(1.5, "times the deviation", "blur and seams change less", healthy=1.04, faulty=4.5)
APART = Threshold(0.15, "of the brightest value", "blur and seams change less", healthy=0.0064)
LEVELS = 255
VARIED = Threshold(
    0.15, "of a logarithm, deviations of two views", "blur and seams change less", healthy=0.083, faulty=0.31
)
BRIGHTER = Threshold(
    0.03, "of the brightest value, means of two views", "as above", healthy=0.01, faulty=0.067
)


@check("GEO015", tier="data", requires=["DAT001", "ENV007"])
def images_keep_their_colours(target: Target) -> Findings:
    """Evaluation images have red first, and are normalised once, all alike, as `data_norm_type` says.

    ## Why it matters
    The encoder was trained on RGB of a certain mean and deviation. Blue first, as OpenCV reads files, or
    numbers that were normalised twice or not at all, are another world to it: the training adapts slowly,
    and inference that does it right does not match. Nothing looks wrong but the colours. Training images
    may be augmented and are not judged.

    ## How to fix
    Turn the channels once, where the file is read (`image[..., ::-1]`). Normalise once, by the entry that
    `data_norm_type` names: either the dataset's transform does it, or the model.
    """
    if set(examined_splits(target)) == {"train"}:
        raise Skip("only the training split is examined, whose images may be augmented")
    yield from for_each(each_split(target), partial(_colours, target))


def _colours(target: Target, drawn: Samples) -> Findings:
    if drawn.split == "train":
        return
    found = shown_colours(target, drawn.split)
    name = found[0].view.view.norm_type
    rule = named_rule(target, drawn.split, name) if name else None
    named = rule.normalisation if rule else None
    turned = [each for each in found if each.found.is_exchanged(named)]
    seen = typical([(each.found.turned if turned else each.found.straight).seen for each in found])
    if turned:
        yield _exchange(target, drawn, turned, len(found))
    if rule is None:
        raise _no_rule(target, drawn, name, seen)
    if not fits(seen, rule.normalisation):
        yield _unlike(target, drawn, seen, rule)
    elif varied(found):
        yield error(
            "img changes its brightness or contrast from view to view, by {spread:.0%} among "
            "{views:view|views}, as an augmentation does; this split is evaluated",
            hint="augment training images only",
            at=augmentation_place(target, drawn.split, drawn.part) or given_place(target, drawn.part, "img"),
            of=drawn.split,
            views=len(found),
            spread=math.expm1(_spread(found)),
        )
    elif not turned:
        yield examined(len(found), "view", split=drawn.split)
        yield note("colours are those of the files: {seen}", of=drawn.split, seen=_numbers(seen))


def varied(found: Sequence[ShownColours]) -> bool:
    """Whether views are not normalised alike."""
    means = [sum(each.found.straight.seen.mean) / 3 for each in found]
    return _spread(found) > VARIED or max(means) - min(means) > BRIGHTER


def _spread(found: Sequence[ShownColours]) -> float:
    """Logarithm of the largest deviation over the least."""
    deviations = [math.log(math.prod(each.found.straight.seen.deviation)) / 3 for each in found]
    return max(deviations) - min(deviations)


def _no_rule(target: Target, drawn: Samples, name: str | None, seen: Normalisation) -> Blocked:
    """That nothing says how images should be normalised."""
    return Blocked(
        "no table of the repository says mean and deviation of data_norm_type {name}; img of {split} is as "
        "if normalised by {seen}"
        if name
        else "the views of {split} have no data_norm_type; img is as if normalised by {seen}",
        at=given_place(target, drawn.part, "data_norm_type"),
        hint="give each view a data_norm_type that the repository's table of mean and deviation has",
        name=repr(name),
        split=drawn.split,
        seen=_numbers(seen),
    )


def _exchange(target: Target, drawn: Samples, turned: Sequence[ShownColours], count: int) -> Finding:
    return error(
        "red and blue are exchanged in {turned} of {views:view|views}, as OpenCV reads files: {frame}",
        hint="turn the channels where the file is read: image[..., ::-1]",
        at=image_place(target, drawn.part),
        of=drawn.split,
        turned=len(turned),
        views=count,
        frame=turned[0].view.frame.yaml,
    )


def _unlike(target: Target, drawn: Samples, seen: Normalisation, rule: Rule) -> Finding:
    return error(
        "img is normalised {story}, as if by {seen}; its data_norm_type names {named} ({source})",
        hint="normalise once, by what data_norm_type names",
        at=made_place(target, drawn, "img"),
        of=drawn.split,
        seen=_numbers(seen),
        story=_story(seen, rule),
        named=_numbers(rule.normalisation),
        source=rule.source,
    )


def fits(seen: Normalisation, other: Normalisation) -> bool:
    """Whether images are normalised so, but for what blur and seams change."""
    apart = max(abs(one - two) for one, two in zip(seen.mean, other.mean, strict=True))
    times = max(abs(math.log(one / two)) for one, two in zip(seen.deviation, other.deviation, strict=True))
    return apart < APART and times < math.log(TIMES)


def _story(seen: Normalisation, rule: Rule) -> Text:
    """What may have happened to the images."""
    none = Normalisation((0.0,) * 3, (1.0,) * 3)
    mean = tuple(m + d * m for m, d in zip(rule.mean, rule.deviation, strict=True))
    if fits(seen, Normalisation(mean, tuple(d * d for d in rule.deviation))):
        return Text("twice")
    if fits(seen, none):
        return Text("not at all")
    if fits(seen, Normalisation(none.mean, (1 / LEVELS,) * 3)):
        return Text("not at all, and still 0 to 255")
    return Text("in no known way")


def _numbers(seen: Normalisation) -> Text:
    return Text(
        "mean {mean}, deviation {deviation}",
        mean=" ".join(f"{value:.3g}" for value in seen.mean),
        deviation=" ".join(f"{value:.3g}" for value in seen.deviation),
    )


GREY = Threshold(
    0.15, "of the colour of the file", "JPEG and blur keep all but all of it", healthy=0.92, faulty=0.0
)
COLOURED = Threshold(0.03, "of the brightest value", "a street that is greyer says nothing", healthy=0.067)


@check("GEO023", tier="data", requires=["DAT001", "ENV007"])
def each_camera_keeps_its_colours(target: Target) -> Findings:
    """Every camera shows its file's colours as the others show theirs, in every view that is compared.

    ## Why it matters
    One camera that is grey, dark, or in OpenCV's order of channels vanishes in the mean of a panorama, and in
    that of a split: a quarter of what the encoder sees is of another world. Training images may be augmented
    and are not judged.

    ## How to fix
    Read the images of all cameras by the same lines.
    """
    if set(examined_splits(target)) == {"train"}:
        raise Skip("only the training split is examined, whose images may be augmented")
    yield from for_each(each_split(target), partial(_camera_colours, target))


def _camera_colours(target: Target, drawn: Samples) -> Findings:
    if drawn.split == "train":
        return
    found = camera_colours(target, drawn.split)
    name = found[0].view.view.norm_type
    rule = named_rule(target, drawn.split, name) if name else None
    usual = typical([each.found.straight.seen for each in found])
    yield examined(len(found), "camera image", split=drawn.split)
    told: dict[tuple[str, str], tuple[CameraColours, Text]] = {}
    for each in found:
        if fault := camera_fault(each, usual, rule.normalisation if rule else None):
            told.setdefault((each.camera, fault.template), (each, fault))
    exchanged = [each for each in found if each.found.is_exchanged(rule.normalisation if rule else None)]
    if len(exchanged) == len(found):  # of all of them: GEO015
        return
    for each, fault in told.values():
        yield error(
            "{camera} {fault} ({frame})",
            hint="read the images of all cameras alike, at this line",
            at=image_parting(target, drawn.split, each.view, each.camera)
            or given_place(target, drawn.part, "img"),
            of=drawn.split,
            camera=each.camera,
            fault=fault,
            frame=each.view.frame.yaml,
        )


def camera_fault(each: CameraColours, usual: Normalisation, named: Normalisation | None) -> Text | None:
    """What is wrong with the colours of one camera, against those of the others."""
    if each.least > COLOURED and each.colour < GREY:
        return Text("is grey, its file has colours")
    if each.found.is_exchanged(named):
        return Text("has red and blue exchanged, as OpenCV reads files")
    seen = each.found.straight.seen
    if max(order.alike for order in each.found) > ALIKE_COLOURS and not fits(seen, usual):
        times = math.exp(
            sum(math.log(one / two) for one, two in zip(usual.deviation, seen.deviation, strict=True)) / 3
        )
        return Text("has {times:.2f} times the contrast of the other cameras, against its file", times=times)
    return None


NUMBERS = Threshold(0.002, "of the brightest value", "tables round to three digits", healthy=0.0, faulty=0.07)
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = Normalisation((0.5,) * 3, (0.5,) * 3)
PLAIN = Normalisation((0.0,) * 3, (1.0,) * 3)
CLIP = Normalisation((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
ENCODERS: dict[str, tuple[Normalisation, ...]] = {  # as their authors trained them; UniCeption's table agrees
    "dinov2": (IMAGENET,),
    "dinov3": (IMAGENET,),
    "imagenet": (IMAGENET,),
    "roma": (IMAGENET,),
    "patch_embedder": (IMAGENET,),
    "croco": (HALVES, IMAGENET),  # DUSt3R feeds it halves, CroCo itself ImageNet's
    "dust3r": (HALVES,),
    "mast3r": (HALVES,),
    "siglip": (HALVES,),
    "identity": (PLAIN,),
    "dummy": (PLAIN,),
    "radio": (PLAIN,),
    "clip": (CLIP,),
    "openai_clip": (CLIP,),
}


@check("GEO024", tier="data", requires=["DAT001", "ENV007"])
def normalisation_is_that_of_its_name(target: Target) -> Findings:
    """Mean and deviation that `data_norm_type` names are those that the encoder of that name knows.

    ## Why it matters
    A table of the repository that says other numbers under `dinov2` agrees with itself: images, training and
    inference are all alike, and none is what the pretrained encoder knows.

    ## How to fix
    ImageNet's mean 0.485 0.456 0.406 and deviation 0.229 0.224 0.225 for DINOv2; 0.5 and 0.5 for DUSt3R; 0
    and 1 for identity. An encoder of your own needs a name of its own.
    """
    yield from for_each(each_split(target), partial(_encoder_numbers, target))


def _encoder_numbers(target: Target, drawn: Samples) -> Findings:
    name = next((view.norm_type for view in drawn.views if view.norm_type), None)
    rule = named_rule(target, drawn.split, name) if name else None
    known = ENCODERS.get((name or "").lower().replace("-", "_"))
    if name is None or known is None or rule is None:
        raise Skip(
            "{split}: which mean and deviation belong to data_norm_type {name} is not known",
            split=drawn.split,
            name=repr(name),
        )
    yield examined(1, "normalisation", split=drawn.split)
    if not any(same_numbers(rule.normalisation, each) for each in known):
        yield error(
            "data_norm_type {name} is {numbers} here ({source}), its encoder was trained with {known}",
            hint="write the encoder's numbers into the table, or give what is yours another name",
            at=table_place(target, drawn.part, name),
            of=drawn.split,
            name=repr(name),
            numbers=_numbers(rule.normalisation),
            source=rule.source,
            known=_numbers(known[0]),
        )


def same_numbers(one: Normalisation, other: Normalisation) -> bool:
    """Whether two normalisations are the same but for rounding."""
    pairs = zip([*one.mean, *one.deviation], [*other.mean, *other.deviation], strict=True)
    return all(abs(mine - theirs) <= NUMBERS for mine, theirs in pairs)
