"""A result is what became of one check; the exit code is what became of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from opv2v_doctor.check import Check, Examined, Finding, Severity
from opv2v_doctor.text import Place, Text, counted, sentence


class Status(StrEnum):
    """The outcome of one check."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    KNOWN = "known"  # what it found stands in the baseline
    SKIPPED = "skipped"
    BLOCKED = "blocked"
    CRASHED = "crashed"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One check's outcome: its findings, what it examined, and why it gave no answer.

    A reason says why the check was skipped, blocked or crashed, where that is decided, and what would help;
    `needs` are the required checks that did not pass, where that is the reason.
    """

    check: Check
    status: Status
    findings: tuple[Finding, ...] = ()
    examined: tuple[Examined, ...] = ()
    reason: Text | None = None
    needs: tuple[str, ...] = ()
    at: Place | None = None
    hint: Text | None = None
    seconds: float = 0.0
    asked: bool = True  # False for what only ran because another check requires it


def status_of(findings: Sequence[Finding]) -> Status:
    """What the findings of a check make of it."""
    worst = max((finding.severity for finding in findings), default=Severity.NOTE)
    return {
        Severity.NOTE: Status.PASSED,
        Severity.WARNING: Status.WARNED,
        Severity.ERROR: Status.FAILED,
    }[worst]


def examined_text(seen: Iterable[Examined]) -> Text:
    """What was examined, in words: "12 views of 3 splits, 4 logs"."""
    units: dict[str, list[Examined]] = {}
    for one in seen:
        units.setdefault(one.unit, []).append(one)
    return sentence((_amount(unit, of_it) for unit, of_it in units.items()), ", ")


def _amount(unit: str, seen: Sequence[Examined]) -> Text:
    """So many of a unit, and of how many splits, agents or the like, if of several."""
    text = counted(sum(one.count for one in seen), unit)
    for name in dict.fromkeys(name for one in seen for name in one.where):
        different = {str(one.where[name]) for one in seen if one.count and name in one.where}
        if len(different) > 1:
            text = Text("{things} of {groups}", things=text, groups=counted(len(different), name))
    return text


def exit_code(results: Iterable[Result], *, strict: bool = False) -> int:
    """0 all good or known, 1 a check failed (or warned, when strict), 3 blocked, crashed or nothing ran.

    A failure outweighs a missing answer: it is an answer. No answer is not "fine", and a requirement that
    passed is no answer to what was asked.
    """
    kept = list(results)
    seen = {result.status for result in kept}
    if Status.FAILED in seen or (strict and Status.WARNED in seen):
        return 1
    good = {Status.PASSED, Status.WARNED, Status.KNOWN}
    answered = {result.status for result in kept if result.asked} & good
    unanswered = seen & {Status.BLOCKED, Status.CRASHED}
    return 0 if answered and not unanswered else 3


def first_to_fix(results: Iterable[Result]) -> tuple[Result, Finding | None] | None:
    """The result to look at first: the earliest failure, else the earliest crash, block or warning.

    The checklist is ordered from cause to consequence, so the earliest is the one that others follow from.
    What happened in a log has an order of its own: of the events in the log that the earliest failure is
    about, the first is the cause.
    """
    kept = list(results)
    for status in (Status.FAILED, Status.CRASHED, Status.BLOCKED, Status.WARNED):
        worst = [(result, _worst(result)) for result in kept if result.status is status]
        if worst:
            return _earliest(worst, kept)
    return None


def _worst(result: Result) -> Finding | None:
    new = [finding for finding in result.findings if not finding.known]
    return max(new, key=lambda finding: finding.severity, default=None)


def _earliest(
    candidates: Sequence[tuple[Result, Finding | None]], results: Sequence[Result]
) -> tuple[Result, Finding | None]:
    """The first candidate, or the first event of the log that it tells of, if that is as bad."""
    result, finding = candidates[0]
    if finding is None or finding.event is None or finding.severity is Severity.NOTE:
        return result, finding
    events = [
        (other.event, result, other)
        for result in results
        for other in result.findings
        if other.event is not None
        and not other.known
        and other.path == finding.path
        and other.severity >= finding.severity
    ]
    _, result, finding = min(events, key=lambda event: event[0])
    return result, finding
