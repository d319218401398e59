"""The text report: for people, each failure as it comes, how the families did, and what to fix first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text as Line

from opv2v_doctor import __version__
from opv2v_doctor.check import Finding, Severity
from opv2v_doctor.neutral import printable
from opv2v_doctor.reporters import Detail, Examination, Medium, Say
from opv2v_doctor.reporters.phrases import (
    claim,
    evidence,
    first,
    hint,
    launch,
    message,
    news,
    one_line,
    outcome,
    place,
    revision,
    tally,
    verdict,
    way_out,
)
from opv2v_doctor.reporters.wrapping import breaks
from opv2v_doctor.result import Result, Status, exit_code
from opv2v_doctor.text import Text

SYMBOLS = {
    Status.PASSED: ("✓", "ok", "green"),
    Status.WARNED: ("!", "WARN", "yellow"),
    Status.FAILED: ("✗", "FAIL", "bold red"),
    Status.KNOWN: ("=", "known", "dim"),
    Status.SKIPPED: ("-", "skip", "dim"),
    Status.BLOCKED: ("?", "BLOCKED", "magenta"),
    Status.CRASHED: ("‼", "CRASHED", "bold magenta"),
}
STYLES = {Severity.NOTE: "dim", Severity.WARNING: "yellow", Severity.ERROR: "red"}

WORSE = [
    *(Status.SKIPPED, Status.PASSED, Status.KNOWN, Status.WARNED),
    *(Status.BLOCKED, Status.CRASHED, Status.FAILED),
]  # the sign of a family is that of its worst check
SLOW = (
    5.0  # seconds from which on a check tells its time: all that draws samples of a small scene takes as long
)
WRITTEN = (".py", ".yaml", ".yml", ".sh", ".bash", ".toml", ".md")  # files that a person wrote, and can edit
LONGEST_QUOTE = 160  # columns of a line of source where the medium has no width

Part = str | tuple[str, str]


class _Pen:
    """Writes lines for one medium, wrapped at words where it has a width; markup is plain text."""

    def __init__(self, medium: Medium) -> None:
        self._medium = medium
        self._console = Console(
            file=StringIO(),
            force_terminal=medium.colour,
            force_jupyter=False,
            color_system="standard" if medium.colour else None,
            no_color=not medium.colour,
        )

    def lines(self, *parts: Part, hanging: int = 0) -> Iterator[str]:
        """A line; what does not fit into the width goes on below, behind so many blanks."""
        line, width = Line.assemble(*parts), self._medium.width
        pieces = line.divide(breaks(line.plain, width, hanging)) if width else [line]
        for number, piece in enumerate(pieces):
            piece.rstrip()
            with self._console.capture() as capture:
                self._console.print(piece, soft_wrap=True, end="")
            encoding = self._medium.encoding
            told = capture.get().encode(encoding, "backslashreplace").decode(encoding)
            yield " " * hanging + told if number else told

    def cut(self, text: str, indent: int) -> str:
        """As much of a text as stands in one line behind so many columns."""
        most = (self._medium.width or LONGEST_QUOTE) - indent
        return text if cell_len(text) <= most else f"{set_cell_size(text, most - 4)} ..."

    def symbol(self, status: Status) -> tuple[str, str]:
        """The sign of a status and its style; a word where the signs cannot all be encoded."""
        sign, word, style = SYMBOLS[status]
        try:
            "".join(sign for sign, _, _ in SYMBOLS.values()).encode(self._medium.encoding)
        except UnicodeEncodeError:
            sign = f"{word:7}"
        return sign, style


def report(results: Iterable[Result], examination: Examination) -> Iterator[str]:
    """Write each failure as it comes, then the families, the counts and what to fix first."""
    pen = _Pen(examination.medium)
    if examination.medium.detail > Detail.FAILURES:
        yield from _head(pen, examination)
    yield from body(results, examination)


def body(results: Iterable[Result], examination: Examination) -> Iterator[str]:
    """The report without its head, which says what is examined."""
    pen, detail = _Pen(examination.medium), examination.medium.detail
    kept: list[Result] = []
    told: list[Result] = []
    for result in results:
        kept.append(result)
        if not _is_told(result, examination):
            continue
        if not told or told[-1].check.family != result.check.family:
            yield from [""] if told or detail > Detail.FAILURES else []
            yield from pen.lines((examination.say(result.check.family), "bold"))
        yield from _result(pen, result, examination)
        told.append(result)
    if detail is Detail.FAMILIES:
        yield from _families(pen, kept, examination)
    if detail > Detail.FAILURES or told:
        yield from _end(pen, kept, told, examination)


def _is_told(result: Result, examination: Examination) -> bool:
    """Whether a result stands in the report by itself.

    A pass does where all do; what waits for another check does not, where that one is told.
    """
    detail = examination.medium.detail
    if detail is Detail.EVERYTHING or result.status is Status.FAILED:
        return True
    if result.status is Status.WARNED:
        return detail > Detail.FAILURES or examination.strict
    return result.status in (Status.BLOCKED, Status.CRASHED) and not result.needs


def _head(pen: _Pen, examination: Examination) -> Iterator[str]:
    repo = printable(str(examination.repo))
    say = examination.say
    yield from pen.lines(
        (f"opv2v-doctor {__version__}", "bold"),
        f" {say('examines')} {repo}, {revision(examination)}",
        hanging=2,
    )
    if examination.subject:
        yield from pen.lines(printable(examination.subject), hanging=2)
    if examination.gpus is not None:
        yield from pen.lines(f"{say('launch')}: {launch(examination)}", hanging=2)


def _result(pen: _Pen, result: Result, examination: Examination) -> Iterator[str]:
    check, all_of_it = result.check, examination.medium.detail is Detail.EVERYTHING
    parts: list[Part] = [
        "  ",
        pen.symbol(result.status),
        " ",
        (check.code, "bold"),
        f" {claim(check, examination)}",
    ]
    if seen := evidence(result, examination):
        parts.append((f" ({seen})", "dim"))
    if all_of_it and result.seconds > SLOW:
        parts.append((f" ({result.seconds:.1f} s)", "dim"))
    if result.reason:
        parts.append((f" {outcome(result, examination.say)}", SYMBOLS[result.status][2]))
    yield from pen.lines(*parts, hanging=6)
    if where := place(result.at, examination, examination.medium.folder):
        yield from pen.lines(f"      {where}")
    if result.hint:
        yield from _hint(pen, way_out(result), examination, 8)
    for finding in result.findings:
        if all_of_it or (finding.severity > Severity.NOTE and not finding.known):
            yield from _finding(pen, finding, examination)


def _finding(pen: _Pen, finding: Finding, examination: Examination) -> Iterator[str]:
    """A note in one line; a warning or an error with all that it says, its line of source, and the hint."""
    where = place(finding.at, examination, examination.medium.folder)
    style = STYLES[finding.severity]
    severity = examination.say(finding.severity.name.lower())
    severity = (
        Text("known {severity}", severity=severity).told(examination.say) if finding.known else severity
    )
    prefix = f"      {where}: " if where else "      "
    head, *rest = message(finding, examination)
    if finding.severity is Severity.NOTE:
        told = " ".join(line.strip() for line in (head, *rest))
        yield from pen.lines((f"{prefix}{severity}: {told}", style), hanging=8)
        return
    yield from pen.lines(prefix, (severity, style), f": {head}", hanging=8)
    for line in rest:
        yield from pen.lines(f"        {line}", hanging=8)
    if source := _source(finding, examination):
        number = f"        {finding.line} | "
        yield from pen.lines((f"{number}{pen.cut(source, len(number))}", "dim"), hanging=8)
    yield from _hint(pen, finding, examination, 8)


def _source(finding: Finding, examination: Examination) -> str:
    """The line at the place of a finding, where a person wrote it; data and logs speak for themselves."""
    if not finding.at or finding.at.path.suffix not in WRITTEN:
        return ""
    excerpt = examination.excerpts({finding.at}).get(finding.at, ())
    return next((line.strip() for number, line in excerpt if number == finding.line), "")


def _hint(pen: _Pen, finding: Finding, examination: Examination, indent: int) -> Iterator[str]:
    if told := hint(finding, examination):
        head, *rest = told
        hanging = indent + cell_len(fix := examination.say("fix: "))
        yield from pen.lines(" " * indent, (fix, "cyan"), head, hanging=hanging)
        for line in rest:
            yield from pen.lines(f"{' ' * hanging}{line}", hanging=hanging)


def _families(pen: _Pen, results: Sequence[Result], examination: Examination) -> Iterator[str]:
    """A line a family of what was asked for, unless all of it is told above."""
    families: dict[str, list[Result]] = {}
    for result in results:
        if result.asked or result.status not in (Status.PASSED, Status.WARNED):
            families.setdefault(result.check.family, []).append(result)
    alone = sum(map(len, families.values())) == 1
    shown = {
        examination.say(family): of_it
        for family, of_it in families.items()
        if not all(_is_told(result, examination) for result in of_it)
    }
    yield from [""] if shown else []
    width = max(map(cell_len, shown), default=0)
    roots = _roots(results)
    for name, of_it in shown.items():
        sign, style = pen.symbol(max((result.status for result in of_it), key=WORSE.index))
        begin = f" {name}{' ' * (width - cell_len(name) + 2)}"
        told = [_single(of_it[0], examination)] if alone else _outcomes(of_it, roots, examination.say)
        yield from pen.lines((sign, style), f"{begin}{'; '.join(told)}", hanging=cell_len(f"{sign}{begin}"))


def _single(result: Result, examination: Examination) -> str:
    """The only check that was asked for, with its claim."""
    said = evidence(result, examination) or outcome(result, examination.say)
    return f"{result.check.code} {claim(result.check, examination)} ({said})"


def _outcomes(results: Sequence[Result], roots: Mapping[str, Sequence[str]], say: Say) -> Iterator[str]:
    """How many passed; which did not, where that is told above, else how many and why."""
    for status in Status:
        reasons: dict[str, list[str]] = {}
        for result in results:
            if result.status is status:
                reasons.setdefault(_why(result, roots, say), []).append(result.check.code)
        number = sum(map(len, reasons.values()))
        if status is Status.SKIPPED and len(reasons) > 1:
            yield f"{number} {say(status.value)} ({say('-v tells why')})"
            continue
        for why, codes in reasons.items():
            if status is Status.PASSED:
                yield f"{number} {say(status.value)}"
            elif why:
                yield f"{len(codes)} {say(status.value)}: {why}"
            else:
                yield f"{say(status.value)}: {', '.join(codes)}"


def _why(result: Result, roots: Mapping[str, Sequence[str]], say: Say) -> str:
    """Why a check that is not told by itself gave no answer."""
    if result.needs:
        return Text("needs {codes}", codes=list(roots[result.check.code])).told(say)
    if result.status is Status.SKIPPED and result.reason:
        return one_line(result.reason.told(say))
    return ""


def _end(
    pen: _Pen, results: Sequence[Result], told: Sequence[Result], examination: Examination
) -> Iterator[str]:
    say = examination.say
    seconds = sum(result.seconds for result in results)
    if _is_plain(results, examination):
        took = Text(" in {seconds:.1f} s.", seconds=seconds).told(say)
    else:
        took = Text(" in {seconds:.1f} s: ", seconds=seconds).told(say) + verdict(results, examination)
    yield ""
    yield from pen.lines((_tally(results, say), "bold"), took, hanging=2)
    chosen = first(results)
    if chosen is None:
        return
    check, finding = chosen
    yield ""
    alone = examination.medium.detail < Detail.EVERYTHING and _weight(told) == 1
    if alone:  # its message stands just above
        yield from pen.lines(
            (say("First to fix: "), "bold"), (check.code, "bold"), f" (opv2v-doctor explain {check.code})"
        )
        return
    where = place(finding.at, examination, examination.medium.folder)
    said = " ".join(line.strip() for line in message(finding, examination))
    yield from pen.lines((say("First to fix: "), "bold"), (check.code, "bold"), f" {said}", hanging=2)
    if where:
        yield from pen.lines(f"  {where}")
    yield from _hint(pen, finding, examination, 2)
    yield f"  opv2v-doctor explain {check.code}"


def _weight(told: Iterable[Result]) -> int:
    """How many findings of weight, or reasons of no answer, were told."""
    return sum(len(news(result)) + bool(result.reason) for result in told)


def _is_plain(results: Sequence[Result], examination: Examination) -> bool:
    """Whether the counts are all that there is to say of the verdict."""
    statuses = {result.status for result in results}
    code = exit_code(results, strict=examination.strict)
    return code == 0 or (code == 1 and Status.FAILED in statuses)


def _tally(results: Sequence[Result], say: Say) -> str:
    """The counts in words; checks that only ran because others require them are counted apart."""
    passed = [result for result in results if result.status is Status.PASSED]
    asked = sum(result.asked for result in passed)
    if not passed:
        return tally(results, say)
    required = len(passed) - asked
    first = Text("{n:check|checks} passed", n=asked or required)
    if asked and required:
        first = Text(
            "{n:check|checks} passed ({required:required one|required ones} too)", n=asked, required=required
        )
    rest = [result for result in results if result.status is not Status.PASSED]
    return ", ".join([first.told(say), *([tally(rest, say)] if rest else [])])


def _roots(results: Iterable[Result]) -> dict[str, tuple[str, ...]]:
    """Of each check that waits for others, those at the bottom: what it waits for may wait itself."""
    roots: dict[str, tuple[str, ...]] = {}
    for result in results:  # what is required comes first
        if result.needs:
            found = [root for code in result.needs for root in roots.get(code, (code,))]
            roots[result.check.code] = tuple(dict.fromkeys(found))
    return roots
