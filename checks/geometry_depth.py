"""Geometry: the depth of the views, against depth files, LiDAR, and one another."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial

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
    sentence,
    warning,
)
from opv2v_doctor.facts.geometry.agents import AgentRepairs, Pair, agreement, repairs, right_agreement, total
from opv2v_doctor.facts.geometry.depth_files import FAR_PLANE, DepthFile, depth_files
from opv2v_doctor.facts.geometry.images import image_matches
from opv2v_doctor.facts.geometry.lidar import LidarErrors, lidar_errors
from opv2v_doctor.facts.geometry.meanings import Meaning
from opv2v_doctor.facts.geometry.partings import camera_parting, pose_parting
from opv2v_doctor.facts.geometry.picture_partings import depth_parting, made_place, scaled_place
from opv2v_doctor.facts.geometry.places import axes_place, convention_place, pose_place, reading_place
from opv2v_doctor.facts.geometry.rays import Intrinsics, intrinsics
from opv2v_doctor.facts.geometry.reading_names import FILES, STEPS, reading_words, source_words, step_words
from opv2v_doctor.facts.geometry.readings import (
    OTHERS,
    UNEXPLAINED,
    camera_misfit,
    comparisons,
    given_and_expected,
    reading,
    reading_steps,
)
from opv2v_doctor.facts.geometry.relative_poses import relative_poses
from opv2v_doctor.facts.geometry.sensors import meaning
from opv2v_doctor.facts.launch.origins import given_place, intrinsics_place
from opv2v_doctor.facts.samples.draws import Samples, each_split
from opv2v_doctor.facts.samples.moments import PanoramaView, moments
from opv2v_doctor.geometry.agreement import Tally
from opv2v_doctor.geometry.cameras import is_camera_matrix
from opv2v_doctor.geometry.conventions import RIGHT
from opv2v_doctor.geometry.explanations import Explanation
from opv2v_doctor.geometry.readings import LENGTHENED

CEILING = Threshold(
    0.01, "of the pixels", "float32 repeats its largest value by chance only", healthy=1.4e-4, faulty=0.4
)
SKY = Threshold(1.0, "m from the far plane", "CARLA gives the sky the distance of its far plane, 1000 m")
UNLIKE = Threshold(0.05, "of the pixels", "rounding of a PNG moves fewer by more than 2 %")
RELATIVE = Threshold(
    0.01, "of focal lengths and middle", "half a pixel in a panorama of 100 rows", healthy=4.0e-8
)


def is_unexplained(known: Explanation) -> bool:
    """Whether views miss their depth files, also when read in the way that fits best."""
    return known.after > UNEXPLAINED


def _steps(
    target: Target, drawn: Samples, steps: Collection[str], fine: Text, hint: Text, words: Text | None = None
) -> Findings:
    """An error for each of the steps that are part of the explanation, in its own words or in these.

    Raises Blocked where none is, and the views miss their depth files all the same.
    """
    known = reading(target, drawn.split)
    wrong = [step for step in known.steps if step in steps and not _is_told(known, step)]
    for step in wrong:
        yield _step(target, drawn, known, step, hint, words or step_words(known, step))
    if wrong:
        return
    if is_unexplained(known):
        raise Blocked(
            "the views of {split} miss their depth files by {after:.1%} for an unknown reason, so no "
            "single step can be judged",
            at=given_place(target, drawn.part, "depthmap"),
            hint="find out how depth is made here: {command}",
            split=drawn.split,
            after=known.after,
            command=Command("opv2v-doctor check GEO001"),
        )
    yield examined(len(comparisons(target, drawn.split)), "view", split=drawn.split)
    yield note(fine, of=drawn.split, before=known.before, after=known.after)


FOCAL = 0.02  # of a focal length: else only the middle is elsewhere
BESIDE = 5.0  # times: the offsets of cameras are less than the noise of depth then


def _is_told(known: Explanation, step: str) -> bool:
    """Whether it is told with what it belongs to: a factor with its function, offsets with what hid them."""
    if step == "offsets":
        return scaled_before(known)
    return step == "scale" and "function" in known.steps


def scaled_before(known: Explanation) -> bool:
    """Whether depth had another unit before it was looked up: cameras sit where the LiDAR is, beside it."""
    times = known.reading.scale / known.right.scale
    return "scale" in known.steps and times > BESIDE and known.reading.offsets == "ignored"


def _step(target: Target, drawn: Samples, known: Explanation, step: str, hint: Text, words: Text) -> Finding:
    others = len(known.steps) - 1
    return error(
        "{wrong}: with {others:other fault|other faults} that explains the views, which miss the depth "
        "files by {before:.1%} if read right, by {after:.1%} if read so (mean, clipped at 10 %)"
        if others
        else "{wrong}: that explains the views, which miss the depth files by {before:.1%} if read "
        "right, by {after:.1%} if read so (mean, clipped at 10 %)",
        hint=hint,
        at=_depth_place(target, drawn, step),
        of=drawn.split,
        wrong=words,
        others=others,
        before=known.before,
        after=known.after,
        step=step,
        steps=list(known.steps),
    )


def _depth_place(target: Target, drawn: Samples, step: str) -> Place | None:
    """The line at which depth, or the camera that it is seen by, parts from the files."""
    if step == "scale" and scaled_before(reading(target, drawn.split)):
        return reading_place(target, drawn.part, "source")
    if step == "scale":
        times = reading(target, drawn.split).reading.scale / reading(target, drawn.split).right.scale
        if at := scaled_place(target, drawn.split, times):
            return at
    if step == "crop" and (misfit := given_and_expected(target, drawn.split)):
        _, given, expected = misfit
        words = "resiz|scale" if abs(given[0] / expected[0] - 1) > FOCAL else "crop"
        if at := intrinsics_place(target, drawn.part, words):
            return at
    if step == "rig":
        found = camera_parting(target, drawn.split, moments(target, drawn.split).views[0].frame)
    else:
        known = reading(target, drawn.split)
        alone = len(known.steps) == 1  # of several, the first parting is that of any
        parts = alone and step not in ("crop", "offsets") and known.reading.source != OTHERS
        found = depth_parting(target, drawn.split) if parts else None
    return found or reading_place(target, drawn.part, step)


def _unexplained_place(target: Target, drawn: Samples) -> Place | None:
    found = depth_parting(target, drawn.split)
    found = found or camera_parting(target, drawn.split, moments(target, drawn.split).views[0].frame)
    return found or made_place(target, drawn, "depthmap")


@check("GEO001", tier="data", requires=["DAT001", "ENV007"])
def depth_is_metres_along_the_ray(target: Target) -> Findings:
    """Depth is metres: of a panorama the range along the ray, of a single camera z, whatever the files hold.

    ## Why it matters
    A depth camera gives the distance to the image plane. Taken for the range along the ray it is too short
    by up to 1.56 at the sides of OPV2V's images and 1.79 in their corners: walls bend, agents contradict
    each other, and no loss tells. What the files hold is measured: the LiDAR's points have one z and one
    range in each camera.

    ## How to fix
    Of a panorama, multiply z-depth by the length of the pixel's ray at unit depth, once, where the line below
    applies it. Of a single camera, leave z-depth as it is.
    """
    yield from for_each(each_split(target), partial(_range, target))


def _range(target: Target, drawn: Samples) -> Findings:
    known, files = reading(target, drawn.split), meaning(target, drawn.split)
    if is_unexplained(known):
        yield warning(
            "views miss their depth files by {after:.1%} (mean, clipped at 10 %), expected at most "
            "{bound:.1%}: unexplained",
            hint="follow a depth map from its file to this line",
            at=_unexplained_place(target, drawn),
            of=drawn.split,
            after=known.after,
            bound=UNEXPLAINED,
        )
    if not files.known:
        raise _assumption(target, drawn, known, files)
    if {"depth", "scale", "function"} & set(known.steps) or not is_unexplained(known):
        yield from _steps(
            target,
            drawn,
            ("depth", "scale", "function"),
            Text("views follow from their depth files but for {after:.1%}", after=known.after),
            _range_hint(known),
        )
    yield note(
        "the depth files hold {kind} in {unit} (the LiDAR's points differ by {z:.1%} as distance to the "
        "image plane, by {range:.1%} as range along the ray)",
        of=drawn.split,
        kind=FILES[files.depth],
        unit=files.unit,
        z=files.as_z,
        range=files.as_range,
        holds=files.depth,
        scale=files.scale,
    )


def _range_hint(known: Explanation) -> Text:
    """What to do about the unit, or about z taken for range."""
    if "function" in known.steps:
        return Text("give depth in metres, as the files hold it")
    if "depth" not in known.steps:
        return Text("divide depth by {factor:g}", factor=known.reading.scale / known.right.scale)
    if known.reading.depth == LENGTHENED:
        return Text("give depthmap as the files hold it, without the length of the ray")
    if known.right.depth == "range":
        return Text("take what the files hold for the range along the ray, without multiplying it")
    return Text("multiply z-depth by the length of (u, v, 1) through the inverse intrinsics")


def _assumption(target: Target, drawn: Samples, known: Explanation, files: Meaning) -> Blocked:
    """That nobody can say what the depth files hold."""
    read = "range" if known.reading.depth == LENGTHENED else known.reading.depth
    return Blocked(
        "depth is read as {read}; whether the depth files of {split} hold that is not known: {why}"
        if known.reading.scale == 1
        else "depth is read as {read}, times {scale:g}; whether the depth files of {split} hold that is not "
        "known: {why}",
        at=moments(target, drawn.split).views[0].frame.yaml,
        hint="put the LiDAR files (.pcd) of the frames beside their frame files",
        read=FILES[read],
        scale=known.reading.scale,
        split=drawn.split,
        why=files.untold,
    )


@check("GEO002", tier="data", requires=["DAT001", "ENV007"])
def camera_offsets_are_respected(target: Target) -> Findings:
    """The panoramas' depth is that seen from the LiDAR, not from each camera.

    ## Why it matters
    OPV2V's front camera sits 3 m ahead of the LiDAR and 0.9 m below it. Where depth is looked up as if it
    sat in the middle, everything near is bent, each agent in its own way.

    ## How to fix
    Move the depth pixels' points into the LiDAR's frame and draw them into the panorama, nearest first; or
    iterate along the ray until it meets the surface.
    """
    yield from for_each(each_split(target), partial(_offsets, target))


def _offsets(target: Target, drawn: Samples) -> Findings:
    if not isinstance(moments(target, drawn.split).views[0], PanoramaView):
        raise Skip(
            "the views of {split} are images of single cameras, each measured where it is", split=drawn.split
        )
    yield from _steps(
        target,
        drawn,
        ("offsets",),
        Text("camera offsets are respected"),
        Text("move the points of the depth maps by the cameras' offsets before looking up"),
    )


@check("GEO006", tier="data", requires=["DAT001", "ENV007"])
def depth_lies_where_the_rays_point(target: Target) -> Findings:
    """Depth is upright, not mirrored, and that of a panorama begins at the azimuth of the camera model.

    ## Why it matters
    A mirrored or turned target is as smooth and as plausible as a right one.

    ## How to fix
    Column -> azimuth grows to the right from -180 degrees, row -> elevation falls from the top.
    """
    yield from for_each(each_split(target), partial(_orientation, target))


def _orientation(target: Target, drawn: Samples) -> Findings:
    yield from _steps(
        target,
        drawn,
        ("mirrored", "flipped", "turn"),
        Text("depth is upright and at its azimuth"),
        Text("let columns grow to the right from straight behind, and rows fall from the top"),
    )


@check("GEO010", tier="data", requires=["DAT001", "ENV007"])
def intrinsics_follow_every_crop(target: Target) -> Findings:
    """Crops and resizes of the images are followed by their intrinsics.

    ## Why it matters
    An image that was cropped or resized and projected with its old intrinsics lands elsewhere.

    ## How to fix
    Subtract the crop's corner from the principal point; multiply focal length and principal point by the
    scale.
    """
    yield from for_each(each_split(target), partial(_intrinsics, target))


def _intrinsics(target: Target, drawn: Samples) -> Findings:
    of_cameras = [
        view.intrinsics
        for sample in drawn.successes
        for view in sample.views
        if view.is_pinhole and view.intrinsics is not None
    ]
    malformed = [rows for rows in of_cameras if not is_camera_matrix(rows)]
    if malformed:
        yield examined(len(of_cameras), "view", split=drawn.split)
        yield error(
            "camera_intrinsics of {views:view|views} are no camera's: {rows}, expected [fx, s, cx], "
            "[0, fy, cy], [0, 0, 1]",
            hint="scale and move the first two rows only",
            at=made_place(target, drawn, "camera_intrinsics"),
            of=drawn.split,
            views=len(malformed),
            rows=", ".join(str([round(number, 3) for number in row]) for row in malformed[0]),
        )
        return
    given = intrinsics(target, drawn.split)
    if given and are_off(given):
        yield warning(
            "camera_intrinsics of {views:view|views} differ by up to {off:.0%} from the panorama's pixels "
            "per radian and middle, expected at most {bound:.0%}",
            hint="give W / (2 pi), H / vertical field of view, and the middle",
            at=made_place(target, drawn, "camera_intrinsics"),
            of=drawn.split,
            views=given.views,
            off=given.off,
            bound=RELATIVE,
        )
    yield from _steps(
        target,
        drawn,
        ("crop",),
        Text("intrinsics fit the images"),
        Text("change the intrinsics where the image is cropped or resized"),
        camera_misfit(target, drawn.split),
    )


def are_off(given: Intrinsics) -> bool:
    """Whether the views' intrinsics are not those of the panorama."""
    return given.off > RELATIVE


@check("GEO012", tier="data", requires=["DAT001", "ENV007"])
def each_panorama_shows_its_own_frame(target: Target) -> Findings:
    """Image and depth of a view are those of the agent, the frame and the camera that it names.

    ## Why it matters
    A moment ago an agent was half a metre further back: a wrong frame is hard to see, and teaches wrong
    poses.

    ## How to fix
    Build the paths of the frame file, images and depth maps from the same agent, frame and camera.
    """
    yield from for_each(each_split(target), partial(_own_frame, target))


def _own_frame(target: Target, drawn: Samples) -> Findings:
    hint = Text("build all paths of a view from the same scenario, agent and frame")
    depth: list[Finding] = []
    ending: Skip | Blocked | None = None
    try:
        for one in _steps(target, drawn, ("source",), Text("depth is that of its own frame"), hint):
            depth += [one] if isinstance(one, Finding) else []
            yield one
    except (Skip, Blocked) as problem:
        ending = problem
    if not any(finding.text.values.get("step") == "source" for finding in depth):
        yield from _others_images(target, drawn, hint)
    if ending:
        raise ending


def _others_images(target: Target, drawn: Samples, hint: Text) -> Findings:
    try:
        matches = image_matches(target, drawn.split)
    except Skip:  # views without an image
        return
    for match in matches:
        if match.explanation == "source":
            yield error(
                "the image is that of {other}: likeness {here:.2f} with its own frame, {likeness:.2f} with "
                "that one",
                hint=hint,
                at=match.view.frame.yaml,
                of=drawn.split,
                other=source_words(match.detail),
                here=match.match.here,
                likeness=match.likeness,
            )


@check("GEO011", tier="data", requires=["DAT001", "ENV007"])
def depth_files_have_no_ceiling(target: Target) -> Findings:
    """Depth files are not cut off at a largest value, have nothing below 0, and say what their PNGs say.

    ## Why it matters
    Sixteen bits of millimetres end at 65.5 m: what lies beyond becomes a wall there, and is trained on.

    ## How to fix
    Write depth as float32 metres, 0 or infinite where nothing was measured.
    """
    yield from for_each(each_split(target), partial(_files, target))


def _files(target: Target, drawn: Samples) -> Findings:
    files = depth_files(target, drawn.split)
    yield examined(
        sum(file.largest > 0 or file.negative > 0 for file in files), "depth file", split=drawn.split
    )
    wrong = [(file, fault) for file in files if (fault := file_fault(file))]
    for fault in dict.fromkeys(fault for _, fault in wrong):
        alike = [file for file, other in wrong if other == fault]
        yield warning(
            "{fault} ({wrong} of {files:file|files})",
            hint="write depth as float32 metres, 0 where nothing was measured",
            at=alike[0].path,
            of=drawn.split,
            fault=fault,
            wrong=len(alike),
            files=len(files),
        )
    if not wrong:
        yield note(
            "the largest depth is {farthest:.1f}; {zero:.0%} of the pixels are 0",
            of=drawn.split,
            farthest=max(file.largest for file in files),
            zero=sum(file.zero for file in files) / len(files),
            pngs=sum(file.disagreement is not None for file in files),
        )


def file_fault(file: DepthFile) -> Text | None:
    """What is wrong with a depth file."""
    if file.negative:
        return Text("depth below 0")
    if file.ceiling > CEILING and abs(file.largest - FAR_PLANE) > SKY:
        return Text(
            "depth ends at {largest:g}: more than {bound:.0%} of the pixels have just that value",
            largest=file.largest,
            bound=CEILING,
        )
    if file.disagreement is not None and file.disagreement > UNLIKE:
        return Text(
            "the PNG of depth ({encoding}) differs in more than {bound:.0%} of its pixels",
            encoding=file.encoding,
            bound=UNLIKE,
        )
    return None


MEDIAN = Threshold(
    0.03, "of the range, more than the depth files", "noise of sparse depth", healthy=0.011, faulty=0.058
)
NINETIETH = Threshold(
    0.25,
    "of the range, more than MEDIAN",
    "edges fill the tail of coarse panoramas",
    healthy=0.042,
    faulty=0.34,
)
JUDGED = Threshold(200, "points", "a twentieth of fewer points is chance", healthy=8277)
GOOD = Threshold(0.95, "of the judged points", "an agreement that needs no comparison")
WORSE = Threshold(
    0.05, "of the judged points", "less than the right targets of the same frames", healthy=0.011, faulty=0.12
)


@check("GEO007", tier="data", requires=["DAT001", "ENV007"])
def depth_agrees_with_the_lidar(target: Target) -> Findings:
    """Each LiDAR point has the depth that the view says at its pixel.

    ## Why it matters
    The LiDAR sits where the panorama is centred: each of its points has one pixel, and nothing can hide it. A
    single camera sees those of its agent's points that no nearer one hides from it. It needs no model, no
    second agent and no trust in any convention: a median beyond a few percent means that the targets are
    wrong.

    ## How to fix
    Follow the explanation, if there is one; else look at the sectors and distances: a fault of one camera
    shows in its sector, a fault of offsets in what is near.
    """
    yield from for_each(each_split(target), partial(_against_the_lidar, target))


def _against_the_lidar(target: Target, drawn: Samples) -> Findings:
    found = lidar_errors(target, drawn.split)
    own = meaning(target, drawn.split).error
    yield examined(found.points, "LiDAR point", split=drawn.split)
    if is_beside_the_lidar(found, own):
        yield _beside_the_lidar(target, drawn, found, MEDIAN + own)
    else:
        yield note(_errors(found), of=drawn.split)


def is_beside_the_lidar(found: LidarErrors, own: float) -> bool:
    """Whether panoramas miss the LiDAR by more than the depth files themselves, and noise."""
    return found.median > MEDIAN + own or found.ninetieth > NINETIETH + MEDIAN + own


def _errors(found: LidarErrors) -> Text:
    return Text(
        "the depth at the pixels of LiDAR points differs from their range by {median:.1%} (median; 90th "
        "percentile {ninetieth:.1%})",
        median=found.median,
        ninetieth=found.ninetieth,
        sectors={str(name): [median, ninetieth] for name, median, ninetieth in found.sectors},
        distances={str(name): [median, ninetieth] for name, median, ninetieth in found.distances},
        views=found.views,
    )


def _worst_parts(found: LidarErrors) -> list[Text]:
    """The direction and the distance with the largest median."""
    worst = [max(parts, key=lambda part: part[1]) for parts in (found.sectors, found.distances) if parts]
    return [Text("{part} {median:.1%}", part=part, median=median) for part, median, _ in worst]


def _beside_the_lidar(target: Target, drawn: Samples, found: LidarErrors, allowed: float) -> Finding:
    steps = reading_steps(target, drawn.split)
    why, place = Text("unexplained"), None
    if steps:
        after = repairs(target, drawn.split).all.lidar_median
        place = _depth_place(target, drawn, next(iter(steps)))
        why = reading_words(reading(target, drawn.split))
        if after is not None:
            why = Text("{why}; {after:.1%} once that is corrected", why=why, after=after)
    return error(
        "{errors}, expected at most {allowed:.0%} (90th percentile {tail:.0%}): {why}; largest: {parts}",
        hint="correct the reading of depth at this line"
        if steps
        else "compare depth and images in the direction and at the distance that differ most",
        at=place or _unexplained_place(target, drawn),
        of=drawn.split,
        errors=_errors(found),
        allowed=allowed,
        tail=NINETIETH + allowed,
        why=why,
        parts=_worst_parts(found),
        steps=list(steps),
    )


@check("GEO008", tier="data", requires=["DAT001", "ENV007", "DAT006"], by_split=True)
def agents_agree_with_each_other(target: Target) -> Findings:
    """What one agent measured, another one that sees there confirms.

    ## Why it matters
    The agents' targets are put into one frame by their poses, and the model learns to make them agree. Where
    the targets contradict each other it cannot, and the losses settle on a compromise. Points that another
    agent cannot see, since something nearer hides them, are not judged.

    ## How to fix
    Each repair is tried on the frames' own files, alone and together, before anybody makes it: begin with
    that which helps most, and expect the last step of the way from the last one only.
    """
    yield from for_each(each_split(target), partial(_agents, target))


def _agents(target: Target, drawn: Samples) -> Findings:
    pairs = agreement(target, drawn.split)
    found = total(pairs)
    if are_few(found):
        raise Skip(
            "{judged} points of an agent in {split} are seen from another one, {least:.0f} are needed",
            split=drawn.split,
            judged=found.comparable,
            least=JUDGED,
        )
    expected = _best_agreement(target, drawn.split)
    if contradict(found, expected):
        yield _contradicting(target, drawn, pairs, expected)
        return
    yield examined(sum(pair.tally.comparable > 0 for pair in pairs), "agent pair", split=drawn.split)
    yield note(_agreement(pairs), of=drawn.split)


def are_few(found: Tally) -> bool:
    """Whether too few points can be judged to say anything."""
    return found.comparable < JUDGED


def contradict(found: Tally, expected: float) -> bool:
    """Whether the agents confirm less of each other than with right targets they would."""
    return found.agreement < min(GOOD, expected) and expected - found.agreement > WORSE


def _best_agreement(target: Target, split: str) -> float:
    """The agreement of the right targets of the same frames; 1 where there is nothing to make them of."""
    if total(agreement(target, split)).agreement >= GOOD:
        return GOOD
    try:
        right = right_agreement(target, split)
    except Skip:
        return 1.0
    if are_few(right):
        raise Blocked(
            "{judged} points of an agent in the right targets of {split} are seen from another one, "
            "{least:.0f} are needed to compare with",
            split=split,
            judged=right.comparable,
            least=JUDGED,
        )
    return right.agreement


def _agreement(pairs: tuple[Pair, ...]) -> Text:
    found = total(pairs)
    return Text(
        "agents confirm {agreement:.0%} of each other's points that they can see",
        agreement=found.agreement,
        consistent=found.consistent,
        contradicting=found.contradicting,
        occluded=found.occluded,
        by_pair={f"{pair.one} from {pair.other}": round(pair.tally.agreement, 4) for pair in pairs},
    )


def _contradicting(target: Target, drawn: Samples, pairs: tuple[Pair, ...], expected: float) -> Finding:
    known = _repairs(target, drawn.split)
    worst = min((pair for pair in pairs if pair.tally.comparable), key=lambda pair: pair.tally.agreement)
    return error(
        "{agreed}, expected {expected:.0%} as with the right targets of these frames; worst {one} seen from "
        "{other}, {least:.0%}; {repaired}",
        hint="make the repairs in the order of what they bring"
        if known and known.steps
        else "compare the views of the worst pair",
        at=_worst_place(target, drawn, known) or pose_place(target, drawn.part),
        of=drawn.split,
        agreed=_agreement(pairs),
        expected=expected,
        one=worst.one,
        other=worst.other,
        least=worst.tally.agreement,
        repaired=sentence(_repair_effects(known), ", ") if known and known.steps else Text("unexplained"),
        repairs={" + ".join(found.steps): found.agents.agreement for found in known.outcomes}
        if known
        else {},
    )


def _repairs(target: Target, split: str) -> AgentRepairs | None:
    try:
        return repairs(target, split)
    except (Skip, Blocked):
        return None


def _repair_effects(known: AgentRepairs) -> Iterator[Text]:
    """How far each repair would bring it, alone and with others."""
    for found in sorted(known.outcomes, key=lambda found: len(found.steps)):
        if found.steps:
            yield Text(
                "with {steps} repaired {reached:.0%}",
                steps=[STEPS[step] for step in found.steps],
                reached=found.agents.agreement,
            )


def _worst_place(target: Target, drawn: Samples, known: AgentRepairs | None) -> Place | None:
    """The line of the repair that brings most alone."""
    if known is None or not known.steps:
        return None
    best = max(known.steps, key=lambda step: known.of(step).agents.agreement)
    if best == "poses":
        found = relative_poses(target, drawn.split)
        if parting := pose_parting(target, drawn.split, found.worst):
            return parting
        convention = found.convention
        if convention.relation != RIGHT.relation if convention else found.other or found.only:
            return pose_place(target, drawn.part)
        axes = convention and convention.rotation == RIGHT.rotation
        return axes_place(target, drawn.part, found) if axes else convention_place(target, drawn.part)
    return _depth_place(target, drawn, best)
