"""How a report is told: in which language, and with which pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import typer

from opv2v_doctor.atomic import whole
from opv2v_doctor.facts.past.logs.blocks import STDIN
from opv2v_doctor.facts.past.logs.excerpts import excerpts
from opv2v_doctor.facts.source.code_hosts import page_of_line
from opv2v_doctor.facts.source.commit import git_state
from opv2v_doctor.languages import ENGLISH, page_of, say
from opv2v_doctor.reporters import FOR_PEOPLE, REPORTERS, Examination, Excerpt, ReportPicture
from opv2v_doctor.result import Result
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place
from opv2v_doctor.user_error import UsageError

MOST_EXCERPTS = 200  # of a report


def head_in(head: Examination, target: Target, language: str) -> Examination:
    """The head of a report that is told in a language, with pictures of what was measured, and quotes."""
    return replace(
        head,
        language=language,
        say=partial(say, language=language),
        page=partial(page_of, language=language),
        pictures=partial(_pictures, target),
        excerpts=partial(_excerpts, head),
        address=partial(_address, head, target),
    )


def report_lines(format: str, results: Iterable[Result], head: Examination) -> Iterator[str]:
    """The lines of a report; what programs read stays English."""
    if format not in FOR_PEOPLE or head.language == ENGLISH:
        return REPORTERS[format](
            results, replace(head, language=ENGLISH, say=str, page=lambda check: check.page)
        )
    return REPORTERS[format](results, head)


@contextmanager
def report_file(output: Path, word: str = "--output") -> Iterator[Path]:
    """Where to write the file of an option. Raises UsageError where it cannot be written."""
    try:
        with whole(output) as partial_file:
            yield partial_file
    except OSError as problem:
        raise UsageError(f"{word} {output}: cannot be written: {problem.strerror}") from None


def write_report(output: Path, lines: Iterable[str], word: str = "--output") -> None:
    """Write a report file as a whole or not at all. Raises UsageError where it cannot be written."""
    with (
        report_file(output, word) as place,
        place.open("w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        file.writelines(f"{line}\n" for line in lines)


def write_files(
    files: Iterable[tuple[Path, str]],
    lines: Callable[[str], Iterable[str]],
    own: Mapping[str, Callable[[Path], None]] | None = None,
    *,
    announces: bool = True,
) -> None:
    """Write each file in its format, and say so; `own` has what writes the formats that are no lines.

    Raises UsageError for one that cannot be written.
    """
    for output, format in files:
        if own and format in own:
            own[format](output)
        else:
            write_report(output, lines(format))
        if announces:
            typer.echo(f"opv2v-doctor: wrote {output} ({format})", err=True)


def _pictures(target: Target, results: Sequence[Result]) -> Iterator[ReportPicture]:
    """Asked for when a report is drawn, and by the reports that show any."""
    from opv2v_doctor.figures.report_figures import charts

    return charts(target, results)


def _excerpts(head: Examination, places: Collection[Place]) -> Mapping[Place, Excerpt]:
    """What stands around the lines of these places; nothing where a file cannot be read, or is no text."""
    by_path: dict[Path, list[Place]] = {}
    for at in sorted(places, key=lambda at: at.line or 0)[:MOST_EXCERPTS]:
        if at.line and at.path != STDIN:
            by_path.setdefault(head.repo / at.path, []).append(at)
    found: dict[Place, Excerpt] = {}
    for path, ones in by_path.items():
        with suppress(OSError, ValueError):
            near = excerpts(path, {at.line for at in ones if at.line})
            found |= {at: near[at.line] for at in ones if at.line and at.line in near}
    return found


def _address(head: Examination, target: Target, at: Place) -> str:
    """The line's page at the code host; none of a file that is not as it was committed."""
    state, path = git_state(target), str(head.relative(at.path, head.repo))
    if Path(path).is_absolute() or path in (*state.dirty, *state.untracked, *state.untold):
        return ""
    return page_of_line(state.remote, state.commit, state.prefix + path, at.line)
