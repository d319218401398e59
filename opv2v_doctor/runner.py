"""The runner runs checks in order on one target and yields one result at a time."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from opv2v_doctor.check import Blocked, Check, Crashed, Finding, Skip
from opv2v_doctor.result import Result, Status, judged
from opv2v_doctor.target import Target

SATISFIED = (Status.PASSED, Status.WARNED)


def run(
    checks: Sequence[Check],
    target: Target,
    *,
    ignored: Mapping[str, str] | None = None,
    asked: Collection[str] | None = None,
    starting: Callable[[Check], None] = lambda check: None,
) -> Iterator[Result]:
    """Run the checks in order; `starting` is told each check before it runs.

    `asked` are the codes that somebody asked for, the others being there because these require them.
    A check whose requirement did not pass is blocked; where it only does not apply (no checkpoint yet), the
    check does not either, and is skipped. Any exception of a check is its own result, keeps what was found
    until then, and the run goes on.
    """
    statuses: dict[str, Status] = {}
    reasons: dict[str, str] = {}
    waived = ignored or {}  # who ignores a check vouches for it: what requires it may run

    def unmet_by(check: Check) -> list[str]:
        return [code for code in check.requires if statuses.get(code) not in SATISFIED and code not in waived]

    waiting = [check for check in checks if check.ahead and check.code not in waived]
    for check in checks:
        starting(check)
        while waiting and all(code in statuses or code in waived for code in waiting[0].requires):
            following = waiting.pop(0)  # in the checklist's order: what is needed first is answered first
            if not unmet_by(following):
                _begin(following, target)
        reason, unmet = waived.get(check.code), unmet_by(check)
        if reason is not None:
            result = Result(check=check, status=Status.SKIPPED, reason=f"ignored: {reason}")
        elif idle := [code for code in unmet if statuses.get(code) is Status.SKIPPED]:
            result = Result(check=check, status=Status.SKIPPED, reason=reasons[idle[0]])
        elif unmet:
            result = Result(check=check, status=Status.BLOCKED, reason=f"needs {', '.join(unmet)}")
        else:
            result = _examined(check, target)
        statuses[check.code], reasons[check.code] = result.status, result.reason
        yield replace(result, asked=asked is None or check.code in asked)


def _begin(check: Check, target: Target) -> None:
    """Get under way what the check will ask; whatever is wrong with that, the check itself will say."""
    with contextlib.suppress(Exception):
        assert check.ahead is not None
        check.ahead(target)


def _examined(check: Check, target: Target) -> Result:
    """One check's result, whatever the check does."""
    findings: list[Finding] = []
    start = time.perf_counter()
    try:
        for finding in check.function(target):
            findings.append(finding)  # one at a time: a crash loses none
        status, reason = judged(findings), ""
    except Skip as skip:
        status, reason = Status.SKIPPED, str(skip)
    except Blocked as blocked:  # an error that was found until then is an answer all the same
        failed = judged(findings) is Status.FAILED
        status, reason = Status.FAILED if failed else Status.BLOCKED, str(blocked)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # SystemExit and its like: no check decides how we end
        status, reason = Status.CRASHED, _crash(problem)
    return Result(
        check=check,
        status=status,
        findings=tuple(findings),
        reason=reason,
        seconds=time.perf_counter() - start,
    )


def _crash(problem: BaseException) -> str:
    """What happened and where in the check, in one line."""
    if isinstance(problem, Crashed):
        return str(problem)
    last = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{type(problem).__name__}: {problem} ({Path(last.filename).name}:{last.lineno})"
