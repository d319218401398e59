"""Dataset: what the files of the frames say of each other: poses that are given twice, motion, copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial

from opv2v_doctor import (
    Finding,
    Findings,
    Place,
    Target,
    Text,
    check,
    error,
    examined,
    for_each,
    note,
    warning,
)
from opv2v_doctor.facts.disk.copies import Copies, Shot, copies
from opv2v_doctor.facts.disk.frames import opv2v_splits
from opv2v_doctor.facts.disk.statements import (
    FASTEST,
    MOVED,
    UNSTEADY,
    Doubt,
    Motion,
    motions,
    statements,
    ways_expected,
)
from opv2v_doctor.facts.launch.config import line_of

UNUSED = ("extrinsic", "true_ego_pos")  # what loaders seldom read


@check("DAT011", tier="data", requires=["DAT001", "ENV007"])
def frame_files_agree_with_each_other(target: Target) -> Findings:
    """What the frame files say twice is the same: extrinsics and poses, LiDAR and car, each other's places.

    ## Why it matters
    A pose that is a few degrees off, or that of another moment, is as smooth as a right one. But a frame file
    says most things twice: `extrinsic` is `inv(T(cords)) @ T(lidar_pose)`, the LiDAR sits in one place of
    every car (`true_ego_pos`), and the other agents of the moment list where it is (`vehicles`).

    ## How to fix
    Take the frame file from the original data set again; where that says the same, leave the agent out.
    """
    yield from for_each(opv2v_splits(target), partial(_statements, target))


def _statements(target: Target, split: str) -> Findings:
    found = statements(target, split)
    yield examined(found.frames, "frame file", split=split)
    alike: dict[tuple[str, str, str], list[Doubt]] = defaultdict(list)
    for doubt in found.doubts:
        alike[doubt.frame.agent.scenario, doubt.frame.agent.name, doubt.key].append(doubt)
    for doubts in alike.values():
        yield _doubtful(split, doubts)
    if found.unlike:
        yield note("extrinsics follow no known rule in {split}: not compared", split=split)
    elif not found.doubts and found.frames:
        yield note(
            "{extrinsics:extrinsic|extrinsics} and {witnesses:statement|statements} of agents about each "
            "other agree with the poses",
            of=split,
            extrinsics=found.extrinsics,
            witnesses=found.witnesses,
        )


def _doubtful(split: str, doubts: Sequence[Doubt]) -> Finding:
    """One agent's statement, in all frames where it is contradicted."""
    worst, first = max(doubts, key=lambda doubt: doubt.metres), doubts[0]
    place = Place(first.frame.yaml, line_of(first.frame.yaml, first.words))
    tell = warning if first.key.endswith(UNUSED) or first.guessed else error
    return tell(
        "{key} of agent {agent} of {scenario} contradicts {against}, by up to {metres:.2f} m and "
        "{degrees:.1f} degrees, in {frames:frame|frames}"
        if worst.degrees
        else "{key} of agent {agent} of {scenario} contradicts {against}, by up to {metres:.2f} m at 50 "
        "m, in {frames:frame|frames}",
        hint="take {file} from the original data set again, or leave the agent out",
        at=place,
        of=split,
        key=".".join(first.words),
        agent=first.frame.agent.name,
        scenario=first.frame.agent.scenario,
        against=worst.against,
        metres=worst.metres,
        degrees=worst.degrees,
        frames=len(doubts),
        file=first.frame.yaml,
        names=[doubt.frame.name for doubt in doubts],
    )


@check("DAT012", tier="data", requires=["DAT001", "ENV007"])
def frames_follow_one_another(target: Target) -> Findings:
    """Agents move from frame to frame as they say they drive, and no file is a copy of another one.

    ## Why it matters
    A frame that has the pose or the images of the frame before is wrong by half a metre, in every sample that
    shows it. Files of another camera or agent are worse, and load just as well.

    ## How to fix
    Take the files that are named from the original data set again; leave the frame out where they are the
    same there.
    """
    yield from for_each(opv2v_splits(target), partial(_order, target))


def _order(target: Target, split: str) -> Findings:
    found, same = motions(target, split), copies(target, split)
    yield examined(len(found), "motion", split=split)
    yield examined(same.compared, "file", split=split)
    expected = ways_expected(found)
    faults = [
        (motion, fault)
        for motion, way in zip(found, expected, strict=True)
        if (fault := motion_fault(motion, way))
    ]
    for motion, fault in faults:
        yield _wrong_motion(split, motion, fault)
    yield from _copied(split, same, found)


def motion_fault(motion: Motion, expected: float) -> Text | None:
    """What is wrong with how an agent moved, whose speed would have moved it by so many metres."""
    if motion.same and expected > MOVED:
        return Text("it has the lidar_pose of frame {before}", before=motion.before.name)
    if motion.seconds > 0 and motion.moved / motion.seconds > FASTEST:
        return Text("it is {moved:.1f} m from frame {before}", moved=motion.moved, before=motion.before.name)
    if abs(motion.moved - expected) > max(2 * MOVED, UNSTEADY * expected):
        return Text("it is {moved:.2f} m from frame {before}", moved=motion.moved, before=motion.before.name)
    return None


def _wrong_motion(split: str, motion: Motion, fault: Text) -> Finding:
    file = motion.after.yaml
    return error(
        "frame {frame} of agent {agent} of {scenario}: {fault}; at {speed:.0f} km/h it has driven elsewhere",
        hint="compare lidar_pose in {file} with the original's; leave the frame out where that says the same",
        at=Place(file, line_of(file, (motion.after.agent.layout.lidar_pose,))),
        of=split,
        frame=motion.after.name,
        agent=motion.after.agent.name,
        scenario=motion.after.agent.scenario,
        fault=fault,
        speed=motion.speed * 3.6,
        file=file,
        moved=motion.moved,
    )


def _copied(split: str, found: Copies, moved: Sequence[Motion]) -> Iterator[Finding]:
    """One finding for all files of one agent that are the same as those of one other folder or moment."""
    standing = {motion.after.yaml for motion in moved if motion.moved <= MOVED}
    kinds: dict[tuple[object, ...], list[tuple[Shot, Shot]]] = defaultdict(list)
    for group in found.groups:
        first, *others = group
        for other in others:
            one, two = first.frame, other.frame
            if one.agent == two.agent and one.name != two.name and {one.yaml, two.yaml} & standing:
                continue  # nothing has moved before its cameras
            key = (
                two.agent.scenario,
                two.agent.name,
                one.agent.name,
                one.name == two.name,
                other.camera == first.camera,
            )
            kinds[key].append((first, other))
    for pairs in kinds.values():
        original, copy = pairs[0]
        yield error(
            "{copy} of agent {agent} of {scenario} is, byte for byte, {original}"
            if len(pairs) == 1
            else "{pairs} files of agent {agent} of {scenario} are, byte for byte, others: "
            "{copy} is {original}",
            hint="take {copy} from the original data set again",
            at=copy.path,
            of=split,
            pairs=len(pairs),
            copy=copy.path,
            original=original.path,
            agent=copy.frame.agent.name,
            scenario=copy.frame.agent.scenario,
            copies=[each.path for _, each in pairs],
        )
