"""A result is what became of one check; the exit code is what became of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from opv2v_doctor.check import Check, Finding, Severity


class Status(StrEnum):
    """The outcome of one check."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    SKIPPED = "skipped"
    BLOCKED = "blocked"
    CRASHED = "crashed"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One check's outcome: its findings, and the reason where it was skipped, blocked or crashed."""

    check: Check
    status: Status
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    seconds: float = 0.0
    asked: bool = True  # False for what only ran because another check requires it


def judged(findings: Sequence[Finding]) -> Status:
    """The status of a check that ran to its end."""
    worst = max((finding.severity for finding in findings), default=Severity.NOTE)
    return {
        Severity.NOTE: Status.PASSED,
        Severity.WARNING: Status.WARNED,
        Severity.ERROR: Status.FAILED,
    }[worst]


def exit_code(results: Iterable[Result], *, strict: bool = False) -> int:
    """0 all good, 1 a check failed (or warned, when strict), 3 blocked, crashed or nothing ran.

    A failure outweighs a missing answer: it is an answer. No answer is not "fine", and a requirement that
    passed is no answer to what was asked.
    """
    kept = list(results)
    seen = {result.status for result in kept}
    if Status.FAILED in seen or (strict and Status.WARNED in seen):
        return 1
    answered = {result.status for result in kept if result.asked} & {Status.PASSED, Status.WARNED}
    unanswered = seen & {Status.BLOCKED, Status.CRASHED}
    return 0 if answered and not unanswered else 3


def first_to_fix(results: Iterable[Result]) -> tuple[Result, Finding | None] | None:
    """The result to look at first: the earliest failure, else the earliest crash, block or warning.

    The checklist is ordered from cause to consequence, so the earliest is the one that others follow from.
    """
    kept = list(results)
    for status in (Status.FAILED, Status.CRASHED, Status.BLOCKED, Status.WARNED):
        for result in kept:
            if result.status is status:
                return result, max(result.findings, key=lambda f: f.severity, default=None)
    return None
