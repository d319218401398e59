"""Geometry: agent by agent, camera by camera, distance by distance: what a median of all would hide."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from opv2v_doctor import (
    Finding,
    Findings,
    Place,
    Skip,
    Target,
    Text,
    check,
    error,
    examined,
    for_each,
    note,
)
from opv2v_doctor.facts.disk.frames import is_opv2v
from opv2v_doctor.facts.geometry.sensors import Suspect, Suspects, suspects
from opv2v_doctor.facts.launch.config import line_of
from opv2v_doctor.facts.launch.splits import examined_splits


@check("GEO016", tier="data", requires=["DAT001", "ENV007"])
def each_agents_files_agree(target: Target) -> Findings:
    """Each agent's LiDAR points have the depth that its own depth files say, in each of its cameras.

    ## Why it matters
    One agent whose point cloud is turned, whose depth files are another camera's, or in another unit, is
    averaged away among the others, and trained on as truth. Files alone are compared here, of every agent
    that there is room for: no loader has a part in it.

    ## How to fix
    Take the file that is named from the original data set again, or leave the agent out.
    """
    splits = [split for split in examined_splits(target) if is_opv2v(target, split)]
    if not splits:
        raise Skip("no dataset of this launch reads the frame files of OPV2V")
    yield from for_each(splits, partial(_files, target))


def _files(target: Target, split: str) -> Findings:
    found = suspects(target, split)
    if not found.frames:
        raise Skip("the frames of {split} have no LiDAR files and depth files to compare", split=split)
    yield examined(found.frames, "frame", split=split)
    alike: dict[object, list[Suspect]] = {}
    for suspect in found.all:
        alike.setdefault(suspect.alike, []).append(suspect)
    for suspects_alike in alike.values():
        yield _suspected(split, found, suspects_alike)
    if not found.all:
        yield note(
            "depth files see through {through:.1%} of the LiDAR points of a usual frame; none is unlike it",
            of=split,
            through=found.through,
            cameras=found.cameras,
            points=found.points,
        )


def _suspected(split: str, found: Suspects, alike: Sequence[Suspect]) -> Finding:
    """One finding for what is wrong in the same way, in one agent or several."""
    first = alike[0]
    file = first.at
    agents = dict.fromkeys(suspect.frame.agent.folder for suspect in alike)
    frames = {frame.yaml for suspect in alike for frame in suspect.frames}
    after = [suspect.after.agreeing for suspect in alike if suspect.after]
    return error(
        "agent {agent} of {scenario}: {why}; LiDAR and {cameras} agree at {before:.0%} of the points, at "
        "{after:.0%} then ({frames:frame|frames} of {agents:agent|agents})"
        if after
        else "agent {agent} of {scenario}: {why}; LiDAR and {cameras} agree at {before:.0%} of the points "
        "({frames:frame|frames} of {agents:agent|agents})",
        hint="take {file} from the original data set again, or leave the agent out",
        at=Place(file, line_of(file, first.key)) if first.key else file,
        of=split,
        agent=first.frame.agent.name,
        scenario=first.frame.agent.scenario,
        why=first.why or Text("point cloud and depth files contradict each other, unexplained"),
        cameras=list(dict.fromkeys(name for suspect in alike for name in suspect.cameras)),
        before=min(suspect.before.agreeing for suspect in alike),
        after=min(after, default=None),
        frames=len(frames),
        agents=len(agents),
        file=file,
        files=[suspect.at for suspect in alike],
        usual=found.through,
    )
