"""Merging: what is wrong in several splits for one cause is told once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

from opv2v_doctor.check import Finding, Findings, Severity

if TYPE_CHECKING:
    from opv2v_doctor.target import Target

Cause = tuple[Severity, Path | None, int | None, str]


def one_finding_a_cause(function: Callable[[Target], Findings]) -> Callable[[Target], Findings]:
    """Let a check that examines each split for itself yield one finding a cause, which names the splits.

    Its messages begin with `SPLIT: `. Equal are findings at one place whose messages differ in their split,
    and in numbers and paths, only. Notes are evidence, and stay as they are.
    """

    @wraps(function)
    def examine(target: Target) -> Findings:
        found: list[Finding] = []
        stopped: Exception | None = None
        try:
            for finding in function(target):
                found.append(finding)  # one at a time: a crash loses none
        except Exception as problem:
            stopped = problem
        yield from merged(found)
        if stopped is not None:
            raise stopped

    return examine


def merged(findings: Iterable[Finding]) -> Iterator[Finding]:
    """One finding for each cause, in the order in which they came."""
    causes: dict[tuple[Cause, int], list[Finding]] = {}
    times: Counter[tuple[str, Cause]] = Counter()  # a split that has a cause twice has two findings
    for finding in findings:
        split, cause = _split(finding), _cause(finding)
        times[split, cause] += 1
        causes.setdefault((cause, times[split, cause]), []).append(finding)
    for first, *others in causes.values():
        yield _joined(first, others) if others else first


def _split(finding: Finding) -> str:
    """What the message begins with."""
    return finding.message.partition(": ")[0]


def _cause(finding: Finding) -> Cause:
    words = finding.message
    if finding.severity is not Severity.NOTE:
        words = re.sub(r"\S*[\d/]\S*", "#", words.partition(": ")[2])
    return (finding.severity, finding.path, finding.line, words)


def _joined(first: Finding, others: list[Finding]) -> Finding:
    splits = [_split(finding) for finding in (first, *others)]
    return replace(
        first,
        message=f"{first.message}; likewise in {', '.join(splits[1:])}",
        evidence={**first.evidence, "splits": splits},
    )
