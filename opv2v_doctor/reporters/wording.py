"""The wording that reporters share: text that is safe to show, places, counts and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from opv2v_doctor.check import Check, Finding, Severity
from opv2v_doctor.reporters import Examination, Say
from opv2v_doctor.result import Result, Status, exit_code, first_to_fix

VERDICTS = {
    0: "nothing found that speaks against it",
    1: "fix this first",
    3: "no verdict: checks were blocked or crashed, or none gave an answer",
}


def printable(text: str) -> str:
    r"""The text in one line, with every control, line-breaking or invisible character spelled out, as `\x1b`.

    Messages quote logs and files: raw, they could repaint a terminal or forge a line of the report.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def lines(text: str) -> list[str]:
    """The printable lines of a text, at least one."""
    return [printable(line) for line in text.splitlines()] or [""]


def one_line(text: str) -> str:
    """A text of several lines as one printable line."""
    return " ".join(line.strip() for line in lines(text))


def place(finding: Finding, examination: Examination, folder: Path | None = None) -> str:
    """`path:line` as seen from a folder (the git root unless given); empty where the finding has no path."""
    if finding.path is None:
        return ""
    path = printable(str(examination.relative(finding.path, folder)))
    return f"{path}:{finding.line}" if finding.line else path


def counts(results: Iterable[Result]) -> dict[Status, int]:
    """How many checks ended in each status, those that none ended in included."""
    seen = Counter(result.status for result in results)
    return {status: seen[status] for status in Status}


def tally(results: Sequence[Result], say: Say = str) -> str:
    """The counts in words."""
    words = [f"{count} {say(status.value)}" for status, count in counts(results).items() if count]
    return ", ".join(words) or say("no check was run")


def verdict(results: Sequence[Result], examination: Examination) -> str:
    """The exit code in words, and why a warning may have been enough for it."""
    code, say = exit_code(results, strict=examination.strict), examination.say
    if code == 0 and any(result.status is Status.WARNED for result in results):
        return say("nothing found that forbids it, but read the warnings first")
    strict = " (strict: a warning counts as a failure)" if examination.strict and code == 1 else ""
    return say(VERDICTS[code]) + say(strict)


def hazards(result: Result) -> list[Finding]:
    """The warnings and errors of a result; its notes are evidence only."""
    return [finding for finding in result.findings if finding.severity > Severity.NOTE]


def outcome(result: Result, say: Say = str) -> str:
    """The status, and the reason where there is one: `blocked: needs DAT001`."""
    status = say(result.status.value)
    return f"{status}: {one_line(result.reason)}" if result.reason else status


def first(results: Sequence[Result], say: Say = str) -> tuple[Check, Finding] | None:
    """What to fix first, as a check and a finding; a check without an answer makes one of its reason."""
    chosen = first_to_fix(results)
    if chosen is None:
        return None
    result, finding = chosen
    if finding is None or result.reason:
        finding = Finding(severity=Severity.ERROR, message=outcome(result, say))
    return result.check, finding


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
    gpus = f"{examination.gpus} GPU{'s' if examination.gpus != 1 else ''}"
    return " ".join([gpus, *map(printable, examination.overrides)])
