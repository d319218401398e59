"""The text report: for people, one line a check as it ends, and what to fix first at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import StringIO

from rich.console import Console
from rich.text import Text as Line

from opv2v_doctor import __version__
from opv2v_doctor.check import Finding, Severity
from opv2v_doctor.neutral import printable
from opv2v_doctor.reporters import Examination, Medium
from opv2v_doctor.reporters.phrases import (
    claim,
    evidence,
    first,
    hint,
    launch,
    message,
    outcome,
    place,
    revision,
    tally,
    verdict,
    way_out,
)
from opv2v_doctor.result import Result, Status
from opv2v_doctor.text import Text

SYMBOLS = {
    Status.PASSED: ("✓", "ok", "green"),
    Status.WARNED: ("!", "WARN", "yellow"),
    Status.FAILED: ("✗", "FAIL", "bold red"),
    Status.SKIPPED: ("-", "skip", "dim"),
    Status.BLOCKED: ("?", "BLOCKED", "magenta"),
    Status.CRASHED: ("‼", "CRASHED", "bold magenta"),
}
STYLES = {Severity.NOTE: "dim", Severity.WARNING: "yellow", Severity.ERROR: "red"}

Part = str | tuple[str, str]


class _Pen:
    """Writes lines for one medium: never wrapped, since `path:line` must stay whole; markup is plain text."""

    def __init__(self, medium: Medium) -> None:
        self._medium = medium
        self._console = Console(
            file=StringIO(),
            force_terminal=medium.colour,
            force_jupyter=False,
            color_system="standard" if medium.colour else None,
            no_color=not medium.colour,
        )

    def line(self, *parts: Part) -> str:
        with self._console.capture() as capture:
            self._console.print(Line.assemble(*parts), soft_wrap=True, end="")
        encoding = self._medium.encoding
        return capture.get().encode(encoding, "backslashreplace").decode(encoding)

    def symbol(self, status: Status) -> tuple[str, str]:
        """The sign of a status and its style; a word where the signs cannot all be encoded."""
        sign, word, style = SYMBOLS[status]
        try:
            "".join(sign for sign, _, _ in SYMBOLS.values()).encode(self._medium.encoding)
        except UnicodeEncodeError:
            sign = f"{word:7}"
        return sign, style


def report(results: Iterable[Result], examination: Examination) -> Iterator[str]:
    """Write each result as it comes, then the counts and what to fix first."""
    pen = _Pen(examination.medium)
    kept: list[Result] = []
    yield from _head(pen, examination)
    for result in results:
        if not kept or kept[-1].check.family != result.check.family:
            yield ""
            yield pen.line((result.check.family, "bold"))
        yield from _result(pen, result, examination)
        kept.append(result)
    yield from _end(pen, kept, examination)


def _head(pen: _Pen, examination: Examination) -> Iterator[str]:
    repo = printable(str(examination.repo))
    say = examination.say
    yield pen.line(
        (f"opv2v-doctor {__version__}", "bold"), f" {say('examines')} {repo}, {revision(examination)}"
    )
    if examination.gpus is not None:
        yield pen.line(f"{say('launch')}: {launch(examination)}")


def _result(pen: _Pen, result: Result, examination: Examination) -> Iterator[str]:
    check = result.check
    parts: list[Part] = [
        "  ",
        pen.symbol(result.status),
        " ",
        (check.code, "bold"),
        f" {claim(check, examination)}",
    ]
    if seen := evidence(result, examination):
        parts.append((f" ({seen})", "dim"))
    if result.seconds > 1:
        parts.append((f" ({result.seconds:.1f} s)", "dim"))
    if result.reason:
        parts.append((f" {outcome(result, examination.say)}", SYMBOLS[result.status][2]))
    yield pen.line(*parts)
    if where := place(result.at, examination, examination.medium.folder):
        yield pen.line(f"      {where}")
    if result.hint:
        yield from _hint(pen, way_out(result), examination, "        ")
    for finding in result.findings:
        yield from _finding(pen, finding, examination)


def _finding(pen: _Pen, finding: Finding, examination: Examination) -> Iterator[str]:
    """A note in one line; a warning or an error with all that it says, and the hint below."""
    where = place(finding.at, examination, examination.medium.folder)
    style = STYLES[finding.severity]
    severity = examination.say(finding.severity.name.lower())
    prefix = f"      {where}: " if where else "      "
    head, *rest = message(finding, examination)
    if finding.severity is Severity.NOTE:
        yield pen.line((f"{prefix}{severity}: {' '.join(line.strip() for line in (head, *rest))}", style))
        return
    yield pen.line(prefix, (severity, style), f": {head}")
    yield from (pen.line(f"        {line}") for line in rest)
    yield from _hint(pen, finding, examination, "        ")


def _hint(pen: _Pen, finding: Finding, examination: Examination, indent: str) -> Iterator[str]:
    if told := hint(finding, examination):
        head, *rest = told
        yield pen.line(indent, (examination.say("fix: "), "cyan"), head)
        yield from (pen.line(f"{indent}     {line}") for line in rest)


def _end(pen: _Pen, results: list[Result], examination: Examination) -> Iterator[str]:
    say = examination.say
    took = Text(" in {seconds:.1f} s: ", seconds=sum(result.seconds for result in results)).told(say)
    yield ""
    yield pen.line((tally(results, say), "bold"), f"{took}{verdict(results, examination)}")
    chosen = first(results)
    if chosen is None:
        return
    check, finding = chosen
    where = place(finding.at, examination, examination.medium.folder)
    yield ""
    said = " ".join(line.strip() for line in message(finding, examination))
    yield pen.line((say("First to fix: "), "bold"), (check.code, "bold"), f" {said}")
    if where:
        yield pen.line(f"  {where}")
    yield from _hint(pen, finding, examination, "  ")
    yield pen.line(f"  opv2v-doctor explain {check.code}")
