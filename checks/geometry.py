"""Geometry: poses and rays of the views, against those of their frames."""

import ast
import contextlib
from collections.abc import Iterator
from functools import partial
from math import isinf

from opv2v_doctor import (
    Blocked,
    Command,
    Finding,
    Findings,
    Skip,
    Target,
    Text,
    Threshold,
    check,
    error,
    examined,
    for_each,
    note,
)
from opv2v_doctor.facts.geometry.camera_axes import AXES_WORDS
from opv2v_doctor.facts.geometry.partings import camera_parting, pose_parting
from opv2v_doctor.facts.geometry.places import axes_place, convention_place, pose_place
from opv2v_doctor.facts.geometry.rays import Rays, rays
from opv2v_doctor.facts.geometry.reading_names import convention_words, mistake_words, other_words, rig_words
from opv2v_doctor.facts.geometry.readings import reading_steps
from opv2v_doctor.facts.geometry.relative_poses import WORLD, PoseErrors, relative_poses
from opv2v_doctor.facts.launch.origins import first_place, given_place
from opv2v_doctor.facts.launch.splits import examined_splits, parts
from opv2v_doctor.facts.samples.draws import Samples, each_split
from opv2v_doctor.facts.samples.moments import traced_views
from opv2v_doctor.geometry.conventions import RIGHT

METRES = Threshold(
    0.05, "m at 50 m", "poses in float32 are ten thousand times nearer", healthy=3.2e-6, faulty=1.8
)
DEGREES = Threshold(0.05, "degrees", "moves a point at 50 m by METRES", healthy=2.6e-7, faulty=1.8)
PIXELS = Threshold(
    0.25,
    "pixels of the panorama",
    "half of what rays through the pixels' corners are off",
    healthy=7.7e-6,
    faulty=127,
)
LENGTH = Threshold(1e-3, "of the length 1", "rays in float16 round by half of it", healthy=4.5e-8)
RELATIVE = Threshold(0.01, "of the range", "points in float16 round by a twentieth of it", healthy=8.3e-7)
UNEXPLAINED = Text(
    "unexplained, no convention, no other entry, frame, agent or camera, and no single change of right poses "
    "gives them"
)
FLAT = Threshold(0.05, "degrees of roll or pitch", "less moves no point at 50 m by METRES", healthy=0.2)


@check("GEO003", tier="data", requires=["DAT001", "ENV007"])
def poses_follow_opv2vs_convention(target: Target) -> Findings:
    """Rotations are made of roll, yaw and pitch as the simulator makes them.

    ## Why it matters
    OPV2V writes `[x, y, z, roll, yaw, pitch]` in CARLA's left-handed axes. Another order or sign of the
    angles is right on flat roads and at single headings, and off by degrees elsewhere: metres at 50 m, in
    the agents' poses and in where their cameras look.

    ## How to fix
    Use `Rz(yaw) Ry(-pitch) Rx(-roll)`, then `B R B^T` and `B t` with `B = [[0,1,0],[0,0,-1],[1,0,0]]`.

    The axes of single cameras are OpenCV's, unless the views' rays, or their points, are in those of OpenGL
    or CARLA and the poses are nearer to right in them. `poses.axes` in `opv2v-doctor.toml` (`"opencv"`,
    `"opengl"` or `"carla"`) declares them.
    """
    yield from for_each(each_split(target), partial(_convention, target))


def _convention(target: Target, drawn: Samples) -> Findings:
    found = relative_poses(target, drawn.split)
    rig = reading_steps(target, drawn.split).get("rig")
    if has_wrong_convention(found):
        yield _wrong_convention(target, drawn, found, rig=rig is not None)
    elif rig:
        yield _wrong_cameras(target, drawn, rig)
    elif not number_moved(found.moved):
        raise Skip(
            "the {samples:drawn sample|drawn samples} of {split} show no agent away from its first one: the "
            "right poses are the identity in every convention",
            split=drawn.split,
            samples=len(drawn.successes),
        )
    elif is_flat(found):
        raise Skip(
            "roll and pitch of the {views:view|views} of {split} are at most {tilt:.3f} degrees: too flat to "
            "tell one order of angles from another, expected {flat} or more",
            split=drawn.split,
            views=found.views,
            tilt=found.tilt,
            flat=FLAT,
        )
    else:
        yield examined(number_moved(found.moved), "pose", split=drawn.split)
        elsewhere = Text("rotations are right; the poses are off otherwise, which GEO004 examines")
        yield note(elsewhere if found.metres > METRES else off(found), of=drawn.split, after=found.after)
        if undone := sum(any(view.as_given for view in views) for views in traced_views(target, drawn.split)):
            yield note(
                "{undone} of {samples:drawn sample|drawn samples} are mirrored, or turned, as a whole, poses "
                "too: they are judged with that undone",
                of=drawn.split,
                undone=undone,
                samples=len(drawn.successes),
            )
        if found.right.axes != RIGHT.axes:
            yield note("the cameras' axes are {axes}", of=drawn.split, axes=AXES_WORDS[found.right.axes])


def has_wrong_convention(found: PoseErrors) -> bool:
    """Whether the poses are off, and their rotations or axes are why."""
    if found.metres <= METRES:
        return False
    if found.convention is None:
        if found.mistake:
            return found.mistake.turns
        return found.degrees > DEGREES and found.other is None and not found.only
    return found.convention.relation == RIGHT.relation or _differs(found)


def _differs(found: PoseErrors) -> bool:
    """Whether the convention has another rotation or other axes."""
    convention = found.convention
    assert convention is not None
    return (convention.rotation, convention.axes, convention.names, convention.degrees) != (
        RIGHT.rotation,
        found.right.axes,
        RIGHT.names,
        RIGHT.degrees,
    )


def number_moved(metres: tuple[float, ...]) -> int:
    """How many poses differ from what they are compared with: the others are right in any case."""
    return sum(each > METRES for each in metres)


def is_flat(found: PoseErrors) -> bool:
    """Whether the agents are tilted so little that most orders of angles give the same poses."""
    return found.tilt < FLAT


def _explained(found: PoseErrors, why: Text) -> Text:
    """Why, and what is left then."""
    return Text(
        "{why}; that explains {wrong} of {views:pose|poses}, all that are off, and leaves {after:.3f} m",
        why=why,
        wrong=found.wrong,
        views=found.views,
        after=found.after,
    )


def off(found: PoseErrors) -> Text:
    """How far the poses are from those of the frame files."""
    return Text(
        "poses of {only} are off by up to {degrees:.2f} degrees, {metres:.2f} m at 50 m"
        if found.only
        else "poses are off by up to {degrees:.2f} degrees, {metres:.2f} m at 50 m",
        only=list(found.only),
        degrees=found.degrees,
        metres=found.metres,
        views=found.views,
        tilt=found.tilt,
    )


def _wrong_convention(target: Target, drawn: Samples, found: PoseErrors, *, rig: bool) -> Finding:
    convention = found.convention
    axes = convention and convention.axes != found.right.axes and convention.rotation == RIGHT.rotation
    if found.mistake:
        why = _explained(found, mistake_words(found.mistake))
    elif convention is None:
        why = UNEXPLAINED
    elif found.ambiguous:
        why = Text("{convention} (or the like)", convention=convention_words(convention, found.right))
    else:
        why = convention_words(convention, found.right)
    return error(
        "{off}: {why}; the cameras' poses are made in the same way" if rig else "{off}: {why}",
        hint="turn the cameras' axes into {axes}, or say poses.axes in opv2v-doctor.toml"
        if axes and found.of_cameras
        else "leave rotations at this line as those of the frame files"
        if found.mistake
        else "make the rotation {rotation} of right-handed matrices, then B R B^T and B t",
        at=axes_place(target, drawn.part, found)
        if axes
        else pose_parting(target, drawn.split, found.worst) or convention_place(target, drawn.part),
        of=drawn.split,
        off=off(found),
        why=why,
        after=found.after,
        rotation=RIGHT.rotation,
        axes=AXES_WORDS[found.right.axes],
    )


def _wrong_cameras(target: Target, drawn: Samples, rig: str) -> Finding:
    drawn_frame = relative_poses(target, drawn.split).worst
    return error(
        "the cameras' poses are made by {rig}, the agents' poses are right",
        hint="make the cameras' poses as the agents': inv(T(lidar_pose)) @ T(cords)",
        at=camera_parting(target, drawn.split, drawn_frame) or convention_place(target, drawn.part),
        of=drawn.split,
        rig=rig_words(rig),
    )


@check("GEO004", tier="data", requires=["DAT001", "ENV007"])
def poses_lead_to_one_place(target: Target) -> Findings:
    """Each view's pose leads from its camera to the frame of reference that the views of a sample share.

    ## Why it matters
    The inverse has the same numbers for two agents that stand alike, and points the other way: points of
    the agents then lie anywhere. Poses of the vehicles in place of their LiDARs are two metres off.

    The camera of a panorama is the LiDAR of its agent, and its pose leads to the LiDAR of the agent that the
    label names. Poses of single cameras may lead to anything that they share, the world or the first of them:
    they are compared with one another.

    ## How to fix
    `camera_pose = inv(T(lidar_pose of the first agent)) @ T(lidar_pose of the agent)`, in OpenCV axes; for a
    single camera `T(cords)` in the place of the agent's.
    """
    yield from for_each(each_split(target), partial(_relation, target))
    yield from _one_origin(target)


def _one_origin(target: Target) -> Findings:
    """Splits whose single cameras' poses lead to the world where the first split's do not, or the other way.

    What else they lead to may be one thing under two names, where each sample is of one agent.
    """
    origins: dict[str, Text] = {}
    for split in examined_splits(target):
        with contextlib.suppress(Skip, Blocked):  # told already
            found = relative_poses(target, split)
            if found.of_cameras and found.origin:
                origins[split] = found.origin
    first = next(iter(origins), "")
    for split, origin in origins.items():
        if origin != origins[first] and WORLD in (origin, origins[first]):
            part = parts(target, split)[0]
            yield error(
                "poses lead to {origin}, those of {first} to {other}: what is learned of the one is asked of "
                "the other",
                hint="let both splits have their poses in one frame of reference",
                at=first_place(target, part, _asks_for_split) or pose_place(target, part),
                of=split,
                origin=origin,
                first=first,
                other=origins[first],
            )


def _asks_for_split(node: ast.AST) -> bool:
    return isinstance(node, ast.If | ast.IfExp) and "split" in ast.unparse(node.test)


def _relation(target: Target, drawn: Samples) -> Findings:
    found = relative_poses(target, drawn.split)
    if has_wrong_relation(found):
        yield _wrong_relation(target, drawn, found)
    elif found.metres > METRES and found.convention is None and found.mistake is None:
        raise Blocked(
            "the poses of {split} are off by up to {metres:.2f} m at 50 m and follow no known convention: "
            "their direction cannot be told",
            at=pose_place(target, drawn.part),
            hint="make their rotations right first: {command}",
            split=drawn.split,
            metres=found.metres,
            command=Command("opv2v-doctor check GEO003"),
        )
    elif not number_moved(found.turned):
        raise Skip(
            "the {samples:drawn sample|drawn samples} of {split} show no agent away from its first one: the "
            "right poses are their own inverses",
            split=drawn.split,
            samples=len(drawn.successes),
        )
    else:
        yield examined(number_moved(found.turned), "pose", split=drawn.split)
        right = Text("poses are agent to first agent")
        if found.of_cameras:
            right = Text("poses lead from each camera to {origin}", origin=found.origin or Text("one place"))
        yield note(right, of=drawn.split, metres=found.metres, views=found.views)


def has_wrong_relation(found: PoseErrors) -> bool:
    """Whether the poses are off, and lead from or to something else."""
    if found.metres <= METRES:
        return False
    if found.convention is None:
        if found.mistake:
            return not found.mistake.turns
        return found.other is not None or bool(found.only) or found.degrees <= DEGREES
    return found.convention.relation != RIGHT.relation


def _wrong_relation(target: Target, drawn: Samples, found: PoseErrors) -> Finding:
    if found.other:
        why = _explained(found, other_words(found.other, found.end))
    elif found.mistake:
        why = _explained(found, mistake_words(found.mistake))
    elif found.convention and found.of_cameras:
        why = Text("they lead to each camera, expected from it")
    elif found.convention:
        why = convention_words(found.convention)
    elif found.only:
        why = (
            Text("unexplained, those of the other cameras are right")
            if found.of_cameras
            else Text("unexplained, those of the other agents are right")
        )
    else:
        why = Text("unexplained, their rotations are right and their positions are not")
    return error(
        "{off}: {why}",
        hint="set camera_pose to T(cords of the camera), seen from one place for all views, in OpenCV axes"
        if found.of_cameras
        else "set camera_pose to inv(T(first agent's lidar_pose)) @ T(agent's lidar_pose), in OpenCV axes",
        at=pose_parting(target, drawn.split, found.worst) or pose_place(target, drawn.part),
        of=drawn.split,
        off=off(found),
        why=why,
        after=found.after,
    )


@check("GEO005", tier="data", requires=["DAT001", "ENV007"])
def rays_are_those_of_their_cameras(target: Target) -> Findings:
    """The rays of each view are unit vectors through its pixels' centres, and its points lie on them.

    ## Why it matters
    The losses compare `depth * ray`: a ray that is off, mirrored or not of length 1 bends every target,
    while image and depth look right.

    ## How to fix
    Ray = `(cos e sin a, -sin e, cos e cos a)` with `a = ((i + 0.5) / W - 0.5) * 2 pi` and `e` falling from
    the top to the bottom of the field of view. Of a pinhole: `inv(K) (u, v, 1)` with the view's own
    intrinsics, of length 1; its points are z-depth times `ray / ray_z`.
    """
    yield from for_each(each_split(target), partial(_rays, target))


def _rays(target: Target, drawn: Samples) -> Findings:
    found = rays(target, drawn.split)
    yield examined(found.views, "view", split=drawn.split)
    faults = list(ray_faults(found))
    for fault in faults:
        yield error(
            fault,
            hint="compute the rays at the pixels' centres, and the points from them",
            at=given_place(target, drawn.part, "ray_directions_cam"),
            of=drawn.split,
            points=found.points,
        )
    if not faults:
        yield note(
            "rays are within {pixels:.3f} pixels; no pts3d to compare"
            if found.points is None
            else "rays are within {pixels:.3f} pixels, pts3d within {points:.2%} of the range",
            of=drawn.split,
            pixels=found.pixels,
            points=found.points,
        )


def ray_faults(found: Rays) -> Iterator[Text]:
    """What is wrong with the rays."""
    if isinf(found.length):
        yield Text("some rays are not finite")
    elif found.length > LENGTH:
        yield Text("rays are not of length 1: they differ by up to {length:.3f}", length=found.length)
    if found.pixels > PIXELS:
        yield Text(
            "rays are off by {median:.1f} pixels (median; up to {pixels:.1f}), at most {bound} is expected: "
            "{why}",
            median=found.median,
            pixels=found.pixels,
            bound=PIXELS,
            why=found.explanation or Text("unexplained"),
        )
    if found.points is not None and found.points > RELATIVE:
        yield Text(
            "pts3d is up to {points:.0%} of the range away from depth times ray through the pose, at most "
            "{bound:.0%} is expected",
            points=found.points,
            bound=RELATIVE,
        )
