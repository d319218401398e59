"""Geometry: the depth of the panoramas against the depth files of their frames, explained step by step."""

from typing import Any

from opv2v_doctor import Finding, Findings, Target, check, error, note, warning
from opv2v_doctor.facts.geometry.depth_files import FAR_PLANE, DepthFile, depth_files
from opv2v_doctor.facts.geometry.images import image_matches
from opv2v_doctor.facts.geometry.lidar import meaning
from opv2v_doctor.facts.geometry.places import reading_place
from opv2v_doctor.facts.geometry.rays import rays
from opv2v_doctor.facts.geometry.readings import reading, reading_steps
from opv2v_doctor.facts.geometry.wording import FILES, told
from opv2v_doctor.facts.origins import given_place
from opv2v_doctor.facts.samples import Samples, each_split

UNEXPLAINED = 0.075  # mean error, each pixel up to 0.1, that noise and interpolation do not reach
CEILING = 0.01  # of the pixels may have the largest value
UNLIKE = 0.05  # of the pixels may differ between a file and its PNG
RELATIVE = 0.01


def _explained(target: Target, drawn: Samples, steps: tuple[str, ...], fine: str, hint: str) -> Findings:
    """An error for each of the steps that are part of the explanation; a note where none is."""
    known = reading(target, drawn.split)
    for step in known.steps:
        if step in steps:
            yield _step(target, drawn, step, hint)
    if not set(known.steps) & set(steps):
        untold = not known.steps and known.before > UNEXPLAINED
        what = "cannot be told: the panoramas do not follow from the depth files" if untold else fine
        yield note(f"{drawn.split}: {what}", **_numbers(drawn, known))


def _step(target: Target, drawn: Samples, step: str, hint: str) -> Finding:
    known, place = reading(target, drawn.split), reading_place(target, drawn.part, step)
    others = f", together with {len(known.steps) - 1} other fault(s)" if len(known.steps) > 1 else ""
    return error(
        f"{drawn.split}: {told(known, step)}: that explains the panoramas{others}: they miss the depth "
        f"files by {known.before:.1%} if read right, by {known.after:.1%} if read so (mean, clipped at 10 %)",
        path=place.path if place else None,
        line=place.line if place else None,
        hint=hint,
        step=step,
        **_numbers(drawn, known),
    )


def _numbers(drawn: Samples, known: Any) -> dict[str, Any]:
    return {"split": drawn.split, "before": known.before, "after": known.after, "steps": list(known.steps)}


@check("GEO001", tier="data", requires=["DAT001", "ENV007"])
def depth_is_metres_along_the_ray(target: Target) -> Findings:
    """The panoramas' depth is the range along the ray in metres, whatever the depth files hold.

    ## Why it matters
    A depth camera gives the distance to the image plane. Taken for the range along the ray it is too short
    by up to 1.56 at the sides of OPV2V's images and 1.79 in their corners: walls bend, agents contradict
    each other, and no loss tells. What the files hold is measured: the LiDAR's points have one z and one
    range in each camera.

    ## How to fix
    Multiply z-depth by the length of the pixel's ray at unit depth, once, where the line below applies it.
    """
    for drawn in each_split(target):
        yield from _explained(
            target,
            drawn,
            ("depth", "scale"),
            "depth is read as what the files hold",
            "multiply z-depth by the length of (u, v, 1) through the inverse intrinsics; give metres",
        )
        yield from _left(target, drawn)
        yield _files_told(target, drawn)


def _left(target: Target, drawn: Samples) -> Findings:
    """What no explanation takes away; a warning where that is much."""
    known = reading(target, drawn.split)
    if known.after <= UNEXPLAINED:
        left = f"panoramas follow from their depth files but for {known.after:.1%}"
        yield note(f"{drawn.split}: {left}", **_numbers(drawn, known))
        return
    place = given_place(target, drawn.part, "depthmap")
    yield warning(
        f"{drawn.split}: panoramas miss their depth files by {known.after:.1%} (mean, clipped at 10 %), "
        f"at most {UNEXPLAINED:.0%} is expected: unexplained",
        path=place.path if place else None,
        line=place.line if place else None,
        hint="follow a depth map from its file to this line",
        **_numbers(drawn, known),
    )


def _files_told(target: Target, drawn: Samples) -> Finding:
    files = meaning(target, drawn.split)
    how = (
        f"the LiDAR's points differ by {files.error:.1%}, else by {files.otherwise:.1%}"
        if files.known
        else "assumed, no LiDAR points tell"
    )
    return note(
        f"{drawn.split}: the depth files hold {FILES[files.depth]} in {files.unit} ({how})",
        split=drawn.split,
        holds=files.depth,
        scale=files.scale,
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
    for drawn in each_split(target):
        yield from _explained(
            target,
            drawn,
            ("offsets",),
            "camera offsets are kept",
            "move the points of the depth maps by the cameras' offsets before looking up",
        )


@check("GEO006", tier="data", requires=["DAT001", "ENV007"])
def depth_lies_where_the_rays_point(target: Target) -> Findings:
    """The panoramas' depth is upright, not mirrored, and begins at the azimuth of the camera model.

    ## Why it matters
    A mirrored or turned target is as smooth and as plausible as a right one.

    ## How to fix
    Column -> azimuth grows to the right from -180 degrees, row -> elevation falls from the top.
    """
    for drawn in each_split(target):
        yield from _explained(
            target,
            drawn,
            ("mirrored", "flipped", "turn"),
            "depth is upright and turned to where it belongs",
            "let columns grow to the right from straight behind, and rows fall from the top",
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
    hint = "change the intrinsics where the image is cropped or resized"
    for drawn in each_split(target):
        yield from _explained(target, drawn, ("crop",), "intrinsics fit the images", hint)
        off = rays(target, drawn.split).intrinsics
        if off is not None and off > RELATIVE:
            place = given_place(target, drawn.part, "camera_intrinsics")
            yield warning(
                f"{drawn.split}: camera_intrinsics differ by {off:.0%} from the panorama's pixels per radian",
                path=place.path if place else None,
                line=place.line if place else None,
                hint="give W / (2 pi), H / vertical field of view, and the middle",
                split=drawn.split,
            )


@check("GEO012", tier="data", requires=["DAT001", "ENV007"])
def each_panorama_shows_its_own_frame(target: Target) -> Findings:
    """Image and depth of a view are those of the agent and the frame that it names.

    ## Why it matters
    A moment ago an agent was half a metre further back: a wrong frame is hard to see, and teaches wrong
    poses.

    ## How to fix
    Build the paths of the frame file, images and depth maps from the same agent and frame.
    """
    hint = "build all paths of a view from the same scenario, agent and frame"
    for drawn in each_split(target):
        yield from _explained(target, drawn, ("source",), "depth is that of its own frame", hint)
        if "source" not in reading_steps(target, drawn.split):
            for match in image_matches(target, drawn.split):
                if match.explanation == "source":
                    yield error(
                        f"{drawn.split}: the image of {match.view.frame.yaml} is that of {match.detail}: "
                        f"likeness {match.match.here:.2f}, {match.likeness:.2f} with that",
                        path=match.view.frame.yaml,
                        hint=hint,
                        split=drawn.split,
                    )


@check("GEO011", tier="data", requires=["DAT001", "ENV007"])
def depth_files_have_no_ceiling(target: Target) -> Findings:
    """Depth files are not cut off at a largest value, have nothing below 0, and say what their PNGs say.

    ## Why it matters
    Sixteen bits of millimetres end at 65.5 m: what lies beyond becomes a wall there, and is trained on.

    ## How to fix
    Write depth as float32 metres, 0 or infinite where nothing was measured.
    """
    for drawn in each_split(target):
        files = depth_files(target, drawn.split)
        wrong = [(file, fault) for file in files if (fault := _fault(file))]
        for fault in dict.fromkeys(fault for _, fault in wrong):
            first = next(file for file, other in wrong if other == fault)
            yield warning(
                f"{drawn.split}: {fault} ({sum(other == fault for _, other in wrong)} of {len(files)} files)",
                path=first.path,
                hint="write depth as float32 metres, 0 where nothing was measured",
                split=drawn.split,
            )
        if not wrong:
            zero = sum(file.zero for file in files) / len(files)
            farthest = max(file.largest for file in files)
            yield note(
                f"{drawn.split}: {len(files)} depth files, up to {farthest:.1f}, {zero:.0%} of it zero"
            )


def _fault(file: DepthFile) -> str | None:
    """What is wrong with a depth file."""
    if file.negative:
        return "depth below 0"
    if file.ceiling > CEILING and abs(file.largest - FAR_PLANE) > 1:
        return f"depth ends at {file.largest:g}: more than {CEILING:.0%} of the pixels have just that value"
    if file.disagreement is not None and file.disagreement > UNLIKE:
        return (
            f"the PNG of depth ({file.encoding}) says something else in more than {UNLIKE:.0%} of its pixels"
        )
    return None
