"""Scenes: cameras, clocks and poses of the agents of a scenario agree, and no frame is in two splits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any

from opv2v_doctor.audit.inventory import Inventory
from opv2v_doctor.audit.verdicts.verdict import agent_folder, spoken, verdict
from opv2v_doctor.check import Findings, Skip, error, examined, note, warning
from opv2v_doctor.threshold import Threshold

SECONDS_A_NUMBER = 0.05  # CARLA ticks at 20 Hz, frames are numbered by tick, and OPV2V keeps every second
FASTEST = Threshold(70.0, "m/s", "no car of OPV2V, motorway scenarios included, comes near")


@verdict("AUD007")
def scenarios_have_all_cameras(inventory: Inventory) -> Findings:
    """Every scenario has the cameras that others have.

    ## Why it matters
    One scenario of the public OPV2V has no camera3. A loader that wants it skips or substitutes every sample.

    ## How to fix
    Leave the scenario out, or use cameras that all scenarios have.
    """
    yield examined(0, "scenario")
    every = [
        name
        for (name,) in inventory.rows("SELECT DISTINCT camera FROM files WHERE kind = 'image' ORDER BY 1")
    ]
    if not every:
        return
    rows = inventory.rows(
        "SELECT DISTINCT split, scenario, CASE kind WHEN 'image' THEN camera ELSE '' END FROM files "
        "WHERE kind IN ('frame', 'image') ORDER BY 1, 2, 3"
    )
    for (split, scenario), group in groupby(rows, key=lambda row: row[:2]):
        yield examined(1, "scenario")
        lacking = sorted(set(every) - {row[2] for row in group})
        if lacking:
            yield warning(
                "no frame of the scenario has an image of {cameras}",
                at=agent_folder(inventory, split, scenario),
                hint="leave {scenario} out of {split}, or {cameras} out of camera_ids",
                cameras=lacking,
                scenario=scenario,
                split=split,
            )


@verdict("AUD008")
def frames_follow_each_other(inventory: Inventory) -> Findings:
    """The frame numbers of every agent follow each other without gaps.

    ## Why it matters
    Frames that are missing inside a drive were lost in copying, or belong to another drive.

    ## How to fix
    Unpack the scenario again.
    """
    steps = Counter(
        later - sooner for _, numbers in _clocks(inventory) for sooner, later in pairwise(numbers)
    )
    yield examined(steps.total(), "pair of frames")
    if not steps:
        return
    usual = steps.most_common(1)[0][0]
    yield note("frames are numbered in steps of {step}", step=usual)
    for (split, scenario, agent), numbers in _clocks(inventory):
        gaps = [(sooner, later) for sooner, later in pairwise(numbers) if later - sooner != usual]
        if gaps:
            sooner, later = gaps[0]
            yield warning(
                "frame {sooner:06d} is followed by {later:06d}, expected {expected:06d} ({n:gap|gaps})",
                at=agent_folder(inventory, split, scenario, agent),
                hint="unpack this agent's frames again",
                sooner=sooner,
                later=later,
                expected=sooner + usual,
                n=len(gaps),
                gaps=[list(gap) for gap in gaps],
            )


def _clocks(inventory: Inventory) -> Iterator[tuple[tuple[str, str, str], list[int]]]:
    """The frame numbers of each agent, in order."""
    rows = inventory.rows(
        "SELECT split, scenario, agent, frame FROM files WHERE kind = 'frame' ORDER BY split, scenario, agent"
    )
    for agent, group in groupby(rows, key=lambda row: row[:3]):
        yield agent, sorted(int(row[3]) for row in group)


@verdict("AUD009")
def agents_share_their_clock(inventory: Inventory) -> Findings:
    """The agents of a scenario have the same frames, from when each comes until it goes.

    ## Why it matters
    Cooperative samples join the agents' frames by number: where one lacks a frame, the sample has fewer
    agents, or the loader substitutes another. An agent may come later than the others, or go sooner: that is
    a note.

    ## How to fix
    Unpack the agents' frames again.
    """
    rows = inventory.rows(
        "SELECT split, scenario, agent, frame FROM files WHERE kind = 'frame' ORDER BY split, scenario, agent"
    )
    for (split, scenario), group in groupby(rows, key=lambda row: row[:2]):
        frames = {agent: {row[3] for row in part} for agent, part in groupby(group, key=lambda row: row[2])}
        every = set().union(*frames.values())
        yield examined(len(frames) if len(frames) > 1 else 0, "agent", scenario=f"{split}/{scenario}")
        for agent, own in frames.items():
            within = sorted(frame for frame in every - own if min(own) < frame < max(own))
            yield from _lacking(inventory, (split, scenario, agent), within, len(every))
            if len(own) + len(within) < len(every):
                yield note(
                    "agent {agent} is there from frame {first} to {last} of {start} to {end}",
                    at=agent_folder(inventory, split, scenario, agent),
                    agent=agent,
                    first=min(own),
                    last=max(own),
                    start=min(every),
                    end=max(every),
                )


def _lacking(inventory: Inventory, place: tuple[str, str, str], lacking: list[str], every: int) -> Findings:
    if lacking:
        yield warning(
            "agent {agent} lacks {missing} of the {all} frames of the scenario, between frames that it has",
            at=agent_folder(inventory, *place),
            hint="unpack this agent's frames again, or expect samples with fewer agents",
            agent=place[2],
            missing=spoken(lacking),
            all=every,
            frames=lacking,
        )


@verdict("AUD010")
def poses_do_not_jump(inventory: Inventory) -> Findings:
    """No agent moves faster than a car can between two frames.

    ## Why it matters
    A pose that jumps is of another frame, another agent or another drive; the ground truth of all views of
    that sample is wrong with it.

    ## How to fix
    Compare the frame file with the original's; leave the frame out where that jumps, too.
    """
    rows = inventory.rows(
        "SELECT split, scenario, agent, CAST(frame AS INTEGER), x, y, z, path FROM files "
        "WHERE kind = 'frame' AND problem IS NULL ORDER BY split, scenario, agent, 4"
    )
    fastest: float | None = None
    pairs = 0
    for _, group in groupby(rows, key=lambda row: row[:3]):
        for before, after in pairwise(group):
            speed = _speed(before, after)
            pairs += 1
            if speed <= FASTEST:
                fastest = max(fastest or 0.0, speed)
            else:
                yield warning(
                    "{distance:.1f} m from frame {before:06d}: {speed:.0f} m/s, expected at most {bound:.0f}",
                    at=inventory.path(after[7], "frame"),
                    hint="compare lidar_pose with the original's; leave the frame out where that jumps, too",
                    distance=math.dist(before[4:7], after[4:7]),
                    before=before[3],
                    speed=speed,
                    bound=FASTEST,
                )
    yield examined(pairs, "pair of frames")
    if fastest is not None:
        yield note("the fastest agent drives {speed:.1f} m/s", speed=fastest)


def _speed(before: tuple[Any, ...], after: tuple[Any, ...]) -> float:
    """Metres a second between two rows of (split, scenario, agent, frame, x, y, z, ...)."""
    seconds = (after[3] - before[3]) * SECONDS_A_NUMBER
    return math.dist(before[4:7], after[4:7]) / seconds if seconds > 0 else 0.0


@verdict("AUD011")
def splits_share_no_frame(inventory: Inventory) -> Findings:
    """No frame is in two splits, by its content.

    ## Why it matters
    A model that is evaluated on frames that it was trained on is better than it is. Names do not tell: a
    scenario that was copied under another name has the same poses and the same images.

    ## How to fix
    Remove the copy from the split that is trained on.
    """
    splits = inventory.number("SELECT count(DISTINCT split) FROM files WHERE poses IS NOT NULL")
    if splits == 1:
        raise Skip("the dataset has a single split: a frame has no other one to be in")
    yield examined(inventory.number("SELECT count(*) FROM files WHERE poses IS NOT NULL"), "frame")
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = {}  # folder, where it is from -> frames and paths
    for _, group in groupby(inventory.rows(SAME_CONTENT), key=lambda row: row[0]):
        first, *others = group
        for other in others:
            if other[1] != first[1]:
                pair = ("/".join(other[1:4]), "/".join(first[1:4]))
                pairs.setdefault(pair, []).append((other[4], other[5]))
    for (folder, original), found in sorted(pairs.items()):
        names = sorted(frame for frame, _ in found)
        yield error(
            "{frames} also in {other}, with the same poses and images",
            at=inventory.path(min(path for _, path in found), "frame"),
            hint="remove {folder} or {other}",
            frames=spoken(names),
            folder=folder,
            other=original,
            names=names,
        )


SAME_CONTENT = """
    WITH contents AS (
        SELECT poses || coalesce((
            SELECT group_concat(i.camera || i.digest) FROM files i
            WHERE i.split = f.split AND i.scenario = f.scenario AND i.agent = f.agent
                AND i.frame = f.frame AND i.kind = 'image'
        ), '') AS content, split, scenario, agent, frame, path
        FROM files f WHERE kind = 'frame' AND poses IS NOT NULL)
    SELECT * FROM contents WHERE content IN (
        SELECT content FROM contents GROUP BY content HAVING count(DISTINCT split) > 1)
    ORDER BY content, split, scenario, agent, frame
"""
