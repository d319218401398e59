"""How a report is told: in which language, and with which pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from opv2v_doctor.atomic import whole
from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.languages import ENGLISH, page_of, say
from opv2v_doctor.reporters import FOR_PEOPLE, REPORTERS, Examination, ReportPicture
from opv2v_doctor.result import Result
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place
from opv2v_doctor.user_error import UsageError

SOURCE = (".py", ".yaml", ".yml", ".sh", ".bash", ".toml", ".md")  # what a person wrote, and can edit
LARGEST = 1 << 20  # bytes of a file that a line is quoted from


def head_in(head: Examination, target: Target, language: str) -> Examination:
    """The head of a report that is told in a language, with pictures of what was measured."""
    return replace(
        head,
        language=language,
        say=partial(say, language=language),
        page=partial(page_of, language=language),
        pictures=partial(_pictures, target),
        source=partial(_source_line, target.repo),
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


def _source_line(repo: Path, place: Place) -> str:
    """The line of source at a place; nothing of a file of data, or of one that is gone."""
    if not place.line or place.path.suffix not in SOURCE:
        return ""
    try:
        lines = text_of(repo / place.path, "replace", LARGEST).split("\n")
    except OSError:
        return ""
    return lines[place.line - 1] if place.line <= len(lines) else ""


def _pictures(target: Target, results: Sequence[Result]) -> Iterator[ReportPicture]:
    """Asked for when a report is drawn, and by the reports that show any."""
    from opv2v_doctor.figures.report_figures import charts

    return charts(target, results)
