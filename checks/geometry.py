"""Geometry: poses and rays of the views, against those of their frames."""

from typing import Any

from opv2v_doctor import Finding, Findings, Place, Target, check, error, note
from opv2v_doctor.facts.geometry.places import axes_place, convention_place, pose_place
from opv2v_doctor.facts.geometry.rays import Rays, rays
from opv2v_doctor.facts.geometry.readings import reading_steps
from opv2v_doctor.facts.geometry.relative_poses import PoseErrors, relative_poses
from opv2v_doctor.facts.geometry.wording import convention_told
from opv2v_doctor.facts.origins import given_place
from opv2v_doctor.facts.samples import Samples, each_split
from opv2v_doctor.geometry.conventions import RIGHT

METRES = 0.05  # at 50 m: poses in float32 are a hundred times nearer
DEGREES = 0.05
PIXELS = 0.25
LENGTH = 1e-3
RELATIVE = 0.01
FLAT = 0.05  # degrees: where no agent is tilted by more, most conventions give the same


@check("GEO003", tier="data", requires=["DAT001", "ENV007", "DAT006"])
def poses_follow_opv2vs_convention(target: Target) -> Findings:
    """Rotations are made of roll, yaw and pitch as the simulator makes them.

    ## Why it matters
    OPV2V writes `[x, y, z, roll, yaw, pitch]` in CARLA's left-handed axes. Another order or sign of the
    angles is right on flat roads and at single headings, and off by degrees elsewhere: metres at 50 m, in
    the agents' poses and in where their cameras look.

    ## How to fix
    Use `Rz(yaw) Ry(-pitch) Rx(-roll)`, then `B R B^T` and `B t` with `B = [[0,1,0],[0,0,-1],[1,0,0]]`.
    """
    for drawn in each_split(target):
        found = relative_poses(target, drawn.split)
        convention = found.convention
        turned = convention is not None and convention.relation == RIGHT.relation
        strange = found.degrees > DEGREES and convention is None and found.other is None
        both = convention is not None and not turned and _differs(found)
        rig = "rig" in reading_steps(target, drawn.split)
        if found.metres > METRES and (turned or strange or both):
            yield _wrong_convention(target, drawn, found, rig=rig)
        elif rig:
            yield _wrong_cameras(target, drawn)
        else:
            yield note(f"{drawn.split}: {_off(found)}{_untold(found)}", **_numbers(drawn, found))


def _differs(found: PoseErrors) -> bool:
    """Whether the convention has another rotation or other axes."""
    convention = found.convention
    assert convention is not None
    return (convention.rotation, convention.axes, convention.names, convention.degrees) != (
        RIGHT.rotation,
        RIGHT.axes,
        RIGHT.names,
        RIGHT.degrees,
    )


def _off(found: PoseErrors) -> str:
    return (
        f"poses are off by up to {found.degrees:.2f} degrees and {found.metres:.2f} m at 50 m "
        f"({found.views} views, roll and pitch up to {found.tilt:.2f} degrees)"
    )


def _untold(found: PoseErrors) -> str:
    return ": too flat to tell one order of angles from another" if found.tilt < FLAT else ""


def _wrong_convention(target: Target, drawn: Samples, found: PoseErrors, *, rig: bool) -> Finding:
    convention = found.convention
    why = (
        f": {convention_told(convention)}"
        if convention
        else "; unexplained: no known convention gives these poses"
    )
    also = "; the cameras' poses follow it, too" if rig else ""
    axes = convention is not None and convention.axes != RIGHT.axes and convention.rotation == RIGHT.rotation
    place = axes_place(target, drawn.part) if axes else convention_place(target, drawn.part)
    return _error(
        drawn,
        f"{_off(found)}{why}{' (or the like)' if found.ambiguous else ''}{also}",
        place,
        f"make the rotation {RIGHT.rotation} of right-handed matrices, then B R B^T and B t",
        **_numbers(drawn, found),
    )


def _wrong_cameras(target: Target, drawn: Samples) -> Finding:
    rig = reading_steps(target, drawn.split)["rig"]
    return _error(
        drawn,
        f"the cameras' poses follow {rig}, the agents' poses are right",
        convention_place(target, drawn.part),
        "make the cameras' poses as the agents': inv(T(lidar_pose)) @ T(cords)",
        split=drawn.split,
    )


def _numbers(drawn: Samples, found: PoseErrors) -> dict[str, Any]:
    return {
        "split": drawn.split,
        "degrees": found.degrees,
        "metres_at_50_m": found.metres,
        "after": found.after,
        "tilt": found.tilt,
    }


@check("GEO004", tier="data", requires=["DAT001", "ENV007", "DAT006"])
def poses_are_agent_to_first_agent(target: Target) -> Findings:
    """Each view's pose takes points of its agent to the frame of the agent that its label names.

    ## Why it matters
    The inverse has the same numbers for two agents that stand alike, and points the other way: points of
    the agents then lie anywhere. Poses of the vehicles in place of their LiDARs are two metres off.

    ## How to fix
    `camera_pose = inv(T(lidar_pose of the first agent)) @ T(lidar_pose of the agent)`, in OpenCV axes.
    """
    for drawn in each_split(target):
        found = relative_poses(target, drawn.split)
        convention = found.convention
        related = convention is not None and convention.relation != RIGHT.relation
        moved = convention is None and found.degrees <= DEGREES
        if found.metres > METRES and (related or moved or found.other):
            yield _wrong_relation(target, drawn, found)
        else:
            yield note(
                f"{drawn.split}: {found.views} poses are agent to first agent", **_numbers(drawn, found)
            )


def _wrong_relation(target: Target, drawn: Samples, found: PoseErrors) -> Finding:
    if found.other:
        why = f"they are those of {found.other}"
    elif found.convention:
        why = convention_told(found.convention)
    else:
        why = "unexplained: their rotations are right, their places are not"
    return _error(
        drawn,
        f"{_off(found)}: {why}",
        pose_place(target, drawn.part),
        "camera_pose is inv(T(first agent's lidar_pose)) @ T(agent's lidar_pose), in OpenCV axes",
        **_numbers(drawn, found),
    )


@check("GEO005", tier="data", requires=["DAT001", "ENV007"])
def rays_are_the_panoramas(target: Target) -> Findings:
    """The rays of each view are unit vectors through its pixels' centres, and its points lie on them.

    ## Why it matters
    The losses compare `depth * ray`: a ray that is off, mirrored or not of length 1 bends every target,
    while image and depth look right.

    ## How to fix
    Ray = `(cos e sin a, -sin e, cos e cos a)` with `a = ((i + 0.5) / W - 0.5) * 2 pi` and `e` falling from
    the top to the bottom of the field of view.
    """
    for drawn in each_split(target):
        found = rays(target, drawn.split)
        for message in _wrong_rays(found):
            yield _error(
                drawn,
                message,
                given_place(target, drawn.part, "ray_directions_cam"),
                "compute the rays at the pixels' centres, and the points from them",
                split=drawn.split,
                pixels=found.pixels,
                length=found.length,
                points=found.points,
            )
        if not any(_wrong_rays(found)):
            yield note(
                f"{drawn.split}: rays of {found.views} views are within {found.pixels:.3f} pixels",
                split=drawn.split,
                pixels=found.pixels,
            )


def _wrong_rays(found: Rays) -> list[str]:
    faults = []
    if found.length > LENGTH:
        faults.append(f"rays are not of length 1: they differ by up to {found.length:.3f}")
    if found.pixels > PIXELS:
        why = f": {found.explanation}" if found.explanation else "; unexplained"
        faults.append(
            f"rays are off by {found.median:.1f} pixels (median; up to {found.pixels:.1f}), at most {PIXELS} "
            f"is expected{why}"
        )
    if found.points is not None and found.points > RELATIVE:
        faults.append(
            f"pts3d is up to {found.points:.0%} of the range away from depth times ray through the pose"
        )
    return faults


def _error(drawn: Samples, message: str, place: Place | None, hint: str, **evidence: Any) -> Finding:
    return error(
        f"{drawn.split}: {message}",
        path=place.path if place else None,
        line=place.line if place else None,
        hint=hint,
        **evidence,
    )
