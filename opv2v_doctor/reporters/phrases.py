"""The wording that reporters share: text that is safe to show, places, counts and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from opv2v_doctor.check import Check, Finding, Severity
from opv2v_doctor.neutral import printable
from opv2v_doctor.reporters import Examination, Say
from opv2v_doctor.result import Result, Status, examined_text, exit_code, first_to_fix
from opv2v_doctor.text import Place, Text, counted, quoted


def lines(text: str) -> list[str]:
    """The printable lines of a text, at least one."""
    return [printable(line) for line in text.splitlines()] or [""]


def one_line(text: str) -> str:
    """A text of several lines as one printable line."""
    return " ".join(line.strip() for line in lines(text))


def place(at: Place | None, examination: Examination, folder: Path | None = None) -> str:
    """`path:line` as seen from a folder (else the git root), or `near` it; empty where there is none."""
    if at is None:
        return ""
    path = printable(str(examination.relative(at.path, folder)))
    where = f"{path}:{at.line}" if at.line else path
    return examination.say("near {place}").replace("{place}", where) if at.near else where


def message(finding: Finding, examination: Examination) -> list[str]:
    """The printable lines of what a finding says, in the reader's language."""
    return lines(finding.whole.told(examination.say))


def hint(finding: Finding, examination: Examination) -> list[str]:
    """The printable lines of what to do, in the reader's language; none where there is nothing to do."""
    return lines(finding.hint.told(examination.say)) if finding.hint else []


def claim(check: Check, examination: Examination) -> str:
    """What is true on a pass, in the reader's language."""
    return one_line(examination.say(check.claim))


def evidence(result: Result, examination: Examination) -> str:
    """What was examined, in words: empty where a check gave no answer."""
    return (
        one_line(examined_text(result.examined).told(examination.say))
        if any(one.count for one in result.examined)
        else ""
    )


def counts(results: Iterable[Result]) -> dict[Status, int]:
    """How many checks ended in each status, those that none ended in included."""
    seen = Counter(result.status for result in results)
    return {status: seen[status] for status in Status}


def tally(results: Sequence[Result], say: Say = str) -> str:
    """The counts in words."""
    words = [f"{count} {say(status.value)}" for status, count in counts(results).items() if count]
    return ", ".join(words) or say("no check was run")


def verdict(results: Sequence[Result], examination: Examination) -> str:
    """The exit code in words: how many checks decided it, and what would decide it."""
    return _verdict(results, examination).told(examination.say)


def _verdict(results: Sequence[Result], examination: Examination) -> Text:
    code, seen = exit_code(results, strict=examination.strict), counts(results)
    warned, failed = seen[Status.WARNED], seen[Status.FAILED]
    if code == 1 and not failed:
        return Text("{n:check|checks} warned, which --strict counts as a failure.", n=warned)
    if code == 1:
        return Text("{n:check|checks} failed.", n=failed)
    if code == 0 and warned:
        return Text("No check failed; {n:check|checks} warned.", n=warned)
    if code == 0:
        return Text("All checks passed.")
    unanswered = seen[Status.BLOCKED] + seen[Status.CRASHED]
    if not unanswered:
        return Text("Inconclusive: no check gave an answer.")
    chosen = first_to_fix(results)
    assert chosen is not None
    return Text(
        "Inconclusive: {n:check|checks} could not run; fix {code} first.",
        n=unanswered,
        code=chosen[0].check.code,
    )


def hazards(result: Result) -> list[Finding]:
    """The warnings and errors of a result; its notes are evidence only."""
    return [finding for finding in result.findings if finding.severity > Severity.NOTE]


def news(result: Result) -> list[Finding]:
    """Its warnings and errors that stand in no baseline."""
    return [finding for finding in hazards(result) if not finding.known]


def outcome(result: Result, say: Say = str) -> str:
    """The status, and the reason where there is one: `blocked: needs DAT001`."""
    status = say(result.status.value)
    return f"{status}: {one_line(result.reason.told(say))}" if result.reason else status


def way_out(result: Result) -> Finding:
    """Why a check gave no answer, as a finding: with the place where that is decided, and what would help."""
    reason = result.reason or quoted(result.status.value)
    return Finding(
        severity=Severity.ERROR,
        text=Text("{status}: {reason}", status=Text(result.status.value), reason=reason),
        at=result.at,
        hint=result.hint,
    )


def first(results: Sequence[Result]) -> tuple[Check, Finding] | None:
    """What to fix first, as a check and a finding; a check without an answer makes one of its reason."""
    chosen = first_to_fix(results)
    if chosen is None:
        return None
    result, finding = chosen
    answered = result.status in (Status.FAILED, Status.WARNED)
    return result.check, finding if finding is not None and answered else way_out(result)


def revision(examination: Examination) -> str:
    """The commit in short, and whether the work tree differs from it."""
    if examination.commit is None:
        return examination.say("no commit")
    dirty = examination.say(" (dirty)") if examination.dirty else ""
    return f"{examination.say('commit')} {printable(examination.commit[:10])}{dirty}"


def launch(examination: Examination) -> str:
    """The launch that was examined: number of GPUs and overrides; empty where there was none."""
    if examination.gpus is None:
        return ""
    gpus = counted(examination.gpus, "GPU").told(examination.say)
    return " ".join([gpus, *map(printable, examination.overrides)])
