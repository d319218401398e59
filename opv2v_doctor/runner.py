"""The runner runs checks in order on one target and yields one result at a time."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from opv2v_doctor.causes import merge
from opv2v_doctor.check import Check, Crashed, Examined, Finding, NoAnswer, Severity, Skip, withheld
from opv2v_doctor.foreign_files import want_of
from opv2v_doctor.result import Result, Status, examined_text, status_of
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place, Text, quoted

SATISFIED = (Status.PASSED, Status.WARNED)


def run(
    checks: Sequence[Check],
    target: Target,
    *,
    ignored: Mapping[str, str] | None = None,
    asked: Collection[str] | None = None,
    starting: Callable[[Check], None] = lambda _: None,
) -> Iterator[Result]:
    """Run the checks in order; `starting` is told each check before it runs.

    `asked` are the codes that somebody asked for, the others being there because these require them.
    A check whose requirement did not pass is blocked; where it only does not apply (no checkpoint yet), the
    check does not either, and is skipped. One that failed of some splits only blocks those of a check that
    goes through the splits: the others are examined. Any exception of a check is its own result, keeps what
    was found until then, and the run goes on.
    """
    statuses: dict[str, Status] = {}
    failures: dict[str, frozenset[str]] = {}  # code -> the splits that it failed of, where it says which
    reasons: dict[str, Text | None] = {}
    waived = ignored or {}  # who ignores a check vouches for it: what requires it may run

    def unmet_by(check: Check) -> list[str]:
        return [code for code in check.requires if statuses.get(code) not in SATISFIED and code not in waived]

    waiting = [check for check in checks if check.ahead and check.code not in waived]
    by_split = {code for check in checks if check.by_split for code in check.requires}
    for check in checks:
        starting(check)
        while waiting and all(code in statuses or code in waived for code in waiting[0].requires):
            following = waiting.pop(0)  # in the checklist's order: what is needed first is answered first
            if not unmet_by(following):
                _begin(following, target)
        waiver, unmet = waived.get(check.code), unmet_by(check)
        if waiver is not None:
            result = Result(check=check, status=Status.SKIPPED, reason=Text("ignored: {why}", why=waiver))
        elif idle := [code for code in unmet if statuses.get(code) is Status.SKIPPED]:
            result = Result(check=check, status=Status.SKIPPED, reason=reasons[idle[0]])
        elif unmet and (without := _splits_without(check, unmet, failures)):
            result = _examine(check, target, without)
        elif unmet:
            reason = Text("needs {codes}", codes=unmet)
            result = Result(check=check, status=Status.BLOCKED, reason=reason, needs=tuple(unmet))
        else:
            result = _examine(check, target)
        if check.code in by_split:
            failures[check.code] = _failed_splits(result, target)
        statuses[check.code], reasons[check.code] = result.status, result.reason
        yield replace(result, asked=asked is None or check.code in asked)


def _begin(check: Check, target: Target) -> None:
    """Get under way what the check will ask; whatever is wrong with that, the check itself will say."""
    with contextlib.suppress(Exception):
        assert check.ahead is not None
        check.ahead(target)


def _failed_splits(result: Result, target: Target) -> frozenset[str]:
    """The splits that all errors of a check are of; none where one is of anything else, or it ended early."""
    errors = [finding for finding in result.findings if finding.severity is Severity.ERROR]
    splits = frozenset(subject for finding in errors for subject in finding.subjects)
    whole = all(finding.subjects for finding in errors) and splits < set(target.splits) and not result.reason
    return splits if whole else frozenset()


def _splits_without(
    check: Check, unmet: Sequence[str], failures: Mapping[str, frozenset[str]]
) -> dict[str, list[str]]:
    """The splits that a check cannot examine, with the codes that failed of them; none where it is all."""
    found: dict[str, list[str]] = {}
    if check.by_split and all(failures.get(code) for code in unmet):
        for code in unmet:
            for split in sorted(failures[code]):
                found.setdefault(split, []).append(code)
    return found


def _examine(check: Check, target: Target, without: Mapping[str, Sequence[str]] | None = None) -> Result:
    """One check's result, whatever the check does; ``without`` the splits that something failed of."""
    token = withheld.set(without or {})
    try:
        return _result(check, target)
    finally:
        withheld.reset(token)


def _result(check: Check, target: Target) -> Result:
    findings: list[Finding] = []
    seen: list[Examined] = []
    start = time.perf_counter()
    ending: NoAnswer | None = None
    try:
        for one in check.function(target):  # one at a time: a crash loses none
            if isinstance(one, Examined):
                seen.append(one)
            elif isinstance(one, Finding):
                findings.append(one)
            else:
                raise TypeError(f"{check.code} yielded {one!r:.80}, neither a finding nor what it examined")
        status, reason = _verdict(check, findings, seen)
    except NoAnswer as problem:  # an error that was found until then is an answer all the same
        ending, reason = problem, problem.reason
        status = Status.SKIPPED if isinstance(problem, Skip) else Status.BLOCKED
        if status_of(findings) is Status.FAILED:
            status = Status.FAILED
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # SystemExit and its like: no check decides how we end
        if lacking := want_of(problem):
            status, reason = Status.BLOCKED, Text("this machine has no more {lacking}", lacking=lacking)
        else:
            status, reason = Status.CRASHED, _crash(problem)
    return Result(
        check=check,
        status=status,
        findings=tuple(merge(findings)),
        examined=tuple(seen),
        reason=reason,
        at=ending.at if ending else None,
        hint=ending.hint if ending else None,
        seconds=time.perf_counter() - start,
    )


def _verdict(
    check: Check, findings: Sequence[Finding], seen: Sequence[Examined]
) -> tuple[Status, Text | None]:
    """The status of a check that ran to its end; a pass needs evidence."""
    status = status_of(findings)
    if status is not Status.PASSED or any(one.count for one in seen):
        return status, None
    if seen:
        return Status.SKIPPED, Text("nothing to examine: {none}", none=examined_text(seen))
    return Status.CRASHED, Text(
        "{code} ended without a word on what it examined: yield examined(COUNT, UNIT) ({place})",
        code=check.code,
        place=check.place,
    )


def _crash(problem: BaseException) -> Text:
    """What happened and where in the check, in one line."""
    if isinstance(problem, Crashed):
        return quoted(problem)
    last = traceback.extract_tb(problem.__traceback__)[-1]
    return Text(
        "{kind}: {problem} ({place})",
        kind=type(problem).__name__,
        problem=str(problem),
        place=Place(Path(Path(last.filename).name), last.lineno),
    )
