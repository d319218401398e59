"""Geometry: the panoramas against the LiDAR, and against each other."""

from typing import Any

from opv2v_doctor import Blocked, Finding, Findings, Place, Skip, Target, check, error, note
from opv2v_doctor.facts.geometry.agents import Pair, Repairs, agreement, repairs, right_agreement, total
from opv2v_doctor.facts.geometry.lidar import LidarErrors, lidar_errors, meaning
from opv2v_doctor.facts.geometry.places import convention_place, pose_place, reading_place
from opv2v_doctor.facts.geometry.readings import reading, reading_steps
from opv2v_doctor.facts.geometry.wording import STEPS, all_told
from opv2v_doctor.facts.origins import given_place
from opv2v_doctor.facts.samples import Samples, each_split

MEDIAN, NINETIETH = 0.03, 0.25  # relative errors; edges fill the tail of sound panoramas
JUDGED = 200  # points, to say anything
GOOD = 0.95  # an agreement that needs no comparison
WORSE = 0.05  # than the right targets of the same frames


@check("GEO007", tier="data", requires=["DAT001", "ENV007"])
def depth_agrees_with_the_lidar(target: Target) -> Findings:
    """Each LiDAR point has the range that the panorama says at its pixel.

    ## Why it matters
    The LiDAR sits where the panorama is centred: each of its points has one pixel, and nothing can hide it.
    It needs no model, no second agent and no trust in any convention: a median beyond a few percent means
    that the targets are wrong.

    ## How to fix
    Follow the explanation, if there is one; else look at the sectors and distances: a fault of one camera
    shows in its sector, a fault of offsets in what is near.
    """
    for drawn in each_split(target):
        found = lidar_errors(target, drawn.split)
        if found is None:
            raise Skip(f"no LiDAR points at pixels of known depth in {drawn.split}")
        allowed = MEDIAN + meaning(target, drawn.split).error
        if found.median > allowed or found.ninetieth > NINETIETH + allowed:
            yield _beside_the_lidar(target, drawn, found, allowed)
        else:
            yield note(
                f"{drawn.split}: {_lidar_told(found)}; {_parts_told(found)}", **_lidar_numbers(drawn, found)
            )


def _lidar_told(found: LidarErrors) -> str:
    return (
        f"{found.points} LiDAR points differ by {found.median:.1%} from the depth at their pixels (median; "
        f"90th percentile {found.ninetieth:.1%})"
    )


def _parts_told(found: LidarErrors) -> str:
    parts = [
        f"{name} {median:.1%}/{ninetieth:.1%}"
        for name, median, ninetieth in (*found.sectors, *found.distances)
    ]
    return ", ".join(parts)


def _lidar_numbers(drawn: Samples, found: LidarErrors) -> dict[str, Any]:
    return {
        "split": drawn.split,
        "median": found.median,
        "ninetieth": found.ninetieth,
        "sectors": {name: [median, ninetieth] for name, median, ninetieth in found.sectors},
        "distances": {name: [median, ninetieth] for name, median, ninetieth in found.distances},
    }


def _beside_the_lidar(target: Target, drawn: Samples, found: LidarErrors, allowed: float) -> Finding:
    steps = reading_steps(target, drawn.split)
    why, after, place = "unexplained", None, given_place(target, drawn.part, "depthmap")
    if steps:
        after = repairs(target, drawn.split).all.lidar_median
        place = reading_place(target, drawn.part, next(iter(steps)))
        left = f"; {after:.1%} without" if after is not None else ""
        why = f"{all_told(reading(target, drawn.split))}{left}"
    return error(
        f"{drawn.split}: {_lidar_told(found)}, a median of at most {allowed:.0%} is expected: {why}; "
        f"{_parts_told(found)}",
        path=place.path if place else None,
        line=place.line if place else None,
        hint="put right what explains it" if steps else "look at the sectors and distances that are worst",
        after=after,
        steps=list(steps),
        **_lidar_numbers(drawn, found),
    )


@check("GEO008", tier="data", requires=["DAT001", "ENV007", "DAT006"])
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
    for drawn in each_split(target):
        pairs = agreement(target, drawn.split)
        found = total(pairs)
        expected = _expected(target, drawn.split) if found.judged >= JUDGED else 1.0
        if found.judged < JUDGED:
            few = f"only {found.judged} points of an agent are seen from another one: too few to judge"
            yield note(f"{drawn.split}: {few}", **_agent_numbers(drawn, pairs))
        elif found.agreement < min(GOOD, expected) and expected - found.agreement > WORSE:
            yield _contradicting(target, drawn, pairs, expected)
        else:
            yield note(f"{drawn.split}: {_agreed(pairs)}", **_agent_numbers(drawn, pairs))


def _expected(target: Target, split: str) -> float:
    """The agreement of the right targets of the same frames; 1 where there is nothing to make them of."""
    if total(agreement(target, split)).agreement >= GOOD:
        return GOOD
    try:
        return right_agreement(target, split).agreement
    except Skip:
        return 1.0


def _agreed(pairs: tuple[Pair, ...]) -> str:
    found = total(pairs)
    return (
        f"agents confirm {found.agreement:.0%} of each other's points that they can see ({found.consistent} "
        f"consistent, {found.contradicting} contradicting, {found.occluded} hidden; {len(pairs)} pairs)"
    )


def _agent_numbers(drawn: Samples, pairs: tuple[Pair, ...]) -> dict[str, Any]:
    found = total(pairs)
    return {
        "split": drawn.split,
        "agreement": found.agreement,
        "consistent": found.consistent,
        "contradicting": found.contradicting,
        "occluded": found.occluded,
        "pairs": {f"{pair.one} from {pair.other}": round(pair.split.agreement, 4) for pair in pairs},
    }


def _contradicting(target: Target, drawn: Samples, pairs: tuple[Pair, ...], expected: float) -> Finding:
    known = _repairs(target, drawn.split)
    worst = min((pair for pair in pairs if pair.split.judged), key=lambda pair: pair.split.agreement)
    place = _worst_place(target, drawn, known) or pose_place(target, drawn.part)
    return error(
        f"{drawn.split}: {_agreed(pairs)}, right targets of these frames {expected:.0%}; worst {worst.one} "
        f"seen from {worst.other}, {worst.split.agreement:.0%}{_repairs_told(known)}",
        path=place.path if place else None,
        line=place.line if place else None,
        hint="make the repairs, in the order of what they bring"
        if known and known.steps
        else "compare the panoramas of the worst pair",
        expected=expected,
        repairs={" + ".join(found.steps): found.agents.agreement for found in known.tried} if known else {},
        **_agent_numbers(drawn, pairs),
    )


def _repairs(target: Target, split: str) -> Repairs | None:
    try:
        return repairs(target, split)
    except (Skip, Blocked):
        return None


def _repairs_told(known: Repairs | None) -> str:
    """How far each repair would bring it, alone and all together."""
    if known is None or not known.steps:
        return "; unexplained"
    alone = [f"{STEPS[step]} alone {known.of(step).agents.agreement:.0%}" for step in known.steps]
    if len(alone) == 1:
        return f"; repaired ({STEPS[known.steps[0]]}) {known.all.agents.agreement:.0%}"
    pairs = [
        f"{' and '.join(STEPS[step] for step in found.steps)} {found.agents.agreement:.0%}"
        for found in known.tried
        if 1 < len(found.steps) < len(known.steps)
    ]
    return f"; repaired: {', '.join([*alone, *pairs])}, all together {known.all.agents.agreement:.0%}"


def _worst_place(target: Target, drawn: Samples, known: Repairs | None) -> Place | None:
    """The line of the repair that brings most alone."""
    if known is None or not known.steps:
        return None
    best = max(known.steps, key=lambda step: known.of(step).agents.agreement)
    if best == "poses":
        return convention_place(target, drawn.part)
    return reading_place(target, drawn.part, best)
