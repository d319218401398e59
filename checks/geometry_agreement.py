"""Geometry: the panoramas against the LiDAR, and against each other."""

from collections.abc import Iterator
from functools import partial

from opv2v_doctor import (
    Blocked,
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
)
from opv2v_doctor.facts.geometry.agents import AgentRepairs, Pair, agreement, repairs, right_agreement, total
from opv2v_doctor.facts.geometry.lidar import LidarErrors, lidar_errors, meaning
from opv2v_doctor.facts.geometry.places import convention_place, pose_place, reading_place
from opv2v_doctor.facts.geometry.reading_names import STEPS, reading_words
from opv2v_doctor.facts.geometry.readings import reading, reading_steps
from opv2v_doctor.facts.geometry.relative_poses import relative_poses
from opv2v_doctor.facts.launch.origins import given_place
from opv2v_doctor.facts.samples.draws import Samples, each_split
from opv2v_doctor.geometry.agreement import Tally
from opv2v_doctor.geometry.conventions import RIGHT

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
    """Each LiDAR point has the range that the panorama says at its pixel.

    ## Why it matters
    The LiDAR sits where the panorama is centred: each of its points has one pixel, and nothing can hide it.
    It needs no model, no second agent and no trust in any convention: a median beyond a few percent means
    that the targets are wrong.

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
    why, place = Text("unexplained"), given_place(target, drawn.part, "depthmap")
    if steps:
        after = repairs(target, drawn.split).all.lidar_median
        place = reading_place(target, drawn.part, next(iter(steps)))
        why = reading_words(reading(target, drawn.split))
        if after is not None:
            why = Text("{why}; {after:.1%} once that is corrected", why=why, after=after)
    return error(
        "{errors}, expected at most {allowed:.0%} (90th percentile {tail:.0%}): {why}; largest: {parts}",
        hint="correct the reading of depth at this line"
        if steps
        else "compare depth and images in the direction and at the distance that differ most",
        at=place,
        of=drawn.split,
        errors=_errors(found),
        allowed=allowed,
        tail=NINETIETH + allowed,
        why=why,
        parts=_worst_parts(found),
        steps=list(steps),
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
        else "compare the panoramas of the worst pair",
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
        convention = relative_poses(target, drawn.split).convention
        related = convention is not None and convention.relation != RIGHT.relation
        return (pose_place if related else convention_place)(target, drawn.part)
    return reading_place(target, drawn.part, best)
