"""Splits: each one is judged, also where another one cannot be."""

from __future__ import annotations

from collections.abc import Callable

from opv2v_doctor.check import Blocked, Examined, Findings, Severity, Skip, note
from opv2v_doctor.facts.samples import Samples, each_split
from opv2v_doctor.target import Target


def of_each_split(target: Target, judge: Callable[[Target, Samples], Findings]) -> Findings:
    """What a judgement says of every split.

    Raises at the end the first Blocked of a split. A Skip of one is a note where there was something to say
    of another one, else it is raised.
    """
    blocked: Blocked | None = None
    skipped: list[Skip] = []
    answered = False
    for drawn in each_split(target):
        try:
            for one in judge(target, drawn):
                answered |= one.count > 0 if isinstance(one, Examined) else one.severity > Severity.NOTE
                yield one
        except Blocked as problem:
            blocked = blocked or problem
        except Skip as problem:
            skipped.append(problem)
    if blocked:
        raise blocked
    if skipped and not answered:
        raise skipped[0]
    for reason in (skip.reason for skip in skipped):
        yield note("not examined: {reason}", reason=reason)
