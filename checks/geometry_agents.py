"""Geometry: agent by agent, camera by camera, distance by distance: what a median of all would hide."""

from __future__ import annotations

from collections.abc import Sequence
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
    warning,
)
from opv2v_doctor.facts.disk.frames import opv2v_splits
from opv2v_doctor.facts.geometry.partings import camera_parting
from opv2v_doctor.facts.geometry.parts import PartError, parts
from opv2v_doctor.facts.geometry.places import reading_place
from opv2v_doctor.facts.geometry.reading_names import reading_words
from opv2v_doctor.facts.geometry.readings import reading, reading_of
from opv2v_doctor.facts.geometry.sensors import Suspect, Suspects, suspects
from opv2v_doctor.facts.geometry.shared_places import Odd, shared_places
from opv2v_doctor.facts.launch.config import line_of
from opv2v_doctor.facts.launch.origins import given_place
from opv2v_doctor.facts.samples.draws import Samples, each_split


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
    yield from for_each(opv2v_splits(target), partial(_files, target))


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


@check("GEO025", tier="data", requires=["DAT001", "ENV007"])
def images_agree_on_what_they_share(target: Target) -> Findings:
    """Image files show the same places as each other in the same colours: no agent, camera or file is unlike.

    ## Why it matters
    The images of one agent that were written blue first, inverted, grey or upside down are rare enough to
    vanish in every mean, and the encoder is taught that the same car looks otherwise to each. Files alone are
    compared, at points that two depth files confirm: no loader has a part in it.

    ## How to fix
    Take the files that are named from the original data set again, or leave the agent out.
    """
    yield from for_each(opv2v_splits(target), partial(_shared, target))


def _shared(target: Target, split: str) -> Findings:
    found = shared_places(target, split)
    if not found.pairs:
        raise Skip("no two images of {split} share places that depth files confirm", split=split)
    yield examined(found.images, "image file", split=split)
    told = {frame for suspect in suspects(target, split).all for frame in suspect.frames}
    for odd in found.all:
        if told.isdisjoint(odd.frames):  # else: GEO016
            yield _unlike(split, odd)


def _unlike(split: str, odd: Odd) -> Finding:
    agent, file = odd.frames[0].agent, odd.paths[0]
    return error(
        "agent {agent} of {scenario}: the images of {cameras} {why} ({files:file|files}, frame {frames})",
        hint="take {file} from the original data set again, or write it as the others were",
        at=file,
        of=split,
        agent=agent.name,
        scenario=agent.scenario,
        cameras=odd.cameras,
        why=odd.why,
        files=len(odd.paths),
        frames=[frame.name for frame in odd.frames],
        file=file,
        paths=odd.paths,
    )


PART = Threshold(
    0.03,
    "of the depth, more than the other parts",
    "noise of 3 % moves no part by a fifth of it",
    healthy=0.0098,
)
LOST = Threshold(0.9, "of the pixels whose depth is known", "edges and gaps of sparse depth", healthy=0.38)
KEPT = Threshold(
    0.5, "of the pixels, lost elsewhere", "where depth is sparse, most are lost everywhere", faulty=0.1
)
NEAR = 45.0  # metres: what is farther, a loader may leave out on purpose
# how one of its views was read explains it
ONE_VIEW = ("scenario", "agent", "frame", "camera of an agent")
ORDER = ("scenario", "agent", "frame", "camera", "camera of an agent", "distance", "row", "column")


@check("GEO017", tier="data", requires=["DAT001", "ENV007"])
def every_part_of_the_views_follows_its_files(target: Target) -> Findings:
    """Depth follows from the files in every agent, camera, distance and direction, not only in the median.

    ## Why it matters
    Depth that wraps around or ends at some distance, one camera that is read otherwise, one band of rows or
    columns, one agent or scenario that takes another branch of the code: each is a few percent of the pixels,
    and no median moves. Each part is compared with the others of its kind.

    ## How to fix
    Follow the depth of that part from its file to the line below.
    """
    yield from for_each(each_split(target), partial(_every_part, target))


def _every_part(target: Target, drawn: Samples) -> Findings:
    found, known = parts(target, drawn.split), reading(target, drawn.split)
    if known.steps:
        raise Blocked(
            "the views of {split} are read otherwise as a whole: {words}",
            hint="correct that first: {command}",
            split=drawn.split,
            words=reading_words(known),
            command=Command("opv2v-doctor check geometry"),
        )
    yield examined(len(found), "part", split=drawn.split)
    wrong = [part for part in found if is_off(part)]
    if wrong:
        yield _off(target, drawn, worst_part(wrong), wrong)
        return
    lost = [part for part in found if is_lost(part)]
    if lost:
        yield _lost(target, drawn, lost[0])
        return
    worst = max(found, key=lambda part: part.median, default=None)
    if worst:
        yield note(
            "the part that differs most, {part}, does so by {median:.1%} (median), the others by {rest:.1%}",
            of=drawn.split,
            part=worst.name,
            median=worst.median,
            rest=worst.rest,
        )


def is_off(part: PartError) -> bool:
    """Whether a part of the views differs from the files, unlike the others of its kind."""
    return part.median > PART + part.rest


def is_lost(part: PartError) -> bool:
    """Whether the views have no depth at a distance that their files know, and do at others."""
    return part.kind == "distance" and part.far <= NEAR and part.lost > LOST and part.lost_elsewhere < KEPT


def worst_part(wrong: Sequence[PartError]) -> PartError:
    """That which says most about the cause: of those that differ most, the widest."""
    most = max(part.median - part.rest for part in wrong)
    alike = [part for part in wrong if part.median - part.rest > 0.8 * most]
    return min(alike, key=lambda part: ORDER.index(part.kind))


def _off(target: Target, drawn: Samples, part: PartError, wrong: Sequence[PartError]) -> Finding:
    own = reading_of(target, drawn.split, part.view) if part.kind in ONE_VIEW else None
    step = next(iter(own.steps), None) if own else None
    loads = part.kind in ("camera", "camera of an agent", "distance")
    return error(
        "depth of {part} is {ratio:.2f} times what its files say (differs by {median:.1%}, median of "
        "{pixels:pixel|pixels}; elsewhere by {rest:.1%}): {why}",
        hint="follow the depth of {part} from its files to this line",
        at=(step == "rig" and camera_parting(target, drawn.split, part.view.frame))
        or reading_place(target, drawn.part, step or "source")
        if step or loads
        else given_place(target, drawn.part, "depthmap"),
        of=drawn.split,
        part=part.name,
        ratio=part.ratio,
        median=part.median,
        pixels=part.pixels,
        rest=part.rest,
        why=reading_words(own) if own and step else Text("the files themselves agree with the LiDAR"),
        kind=part.kind,
        others=[str(each.name) for each in wrong],
    )


def _lost(target: Target, drawn: Samples, part: PartError) -> Finding:
    return warning(
        "the views have no depth at {lost:.0%} of what their files know at {part}, and do at other distances",
        hint="let {name} keep the depth of what is near, or take it out of the masks, too",
        at=reading_place(target, drawn.part, "source"),
        of=drawn.split,
        lost=part.lost,
        part=part.name,
        name=drawn.part.class_name,
    )
