"""A reporter writes results down: a stream of results in, a stream of lines out."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Protocol, TextIO

from opv2v_doctor.check import Check
from opv2v_doctor.result import Result
from opv2v_doctor.text import Place, Text

NARROWEST = 40  # columns that a report is wrapped at: in fewer, a sentence is a word a line


class Detail(IntEnum):
    """How much of an examination a text report tells."""

    FAILURES = 0  # what decides the exit code
    FAMILIES = 1  # and of each family, how many checks passed
    EVERYTHING = 2  # and each check with its notes


@dataclass(frozen=True, kw_only=True)
class Medium:
    """What a report is read on: whether it takes colour, which characters, and where its reader stands.

    Lines are wrapped at `width` columns; a pipe or a file has none, so that who searches it finds sentences.
    """

    colour: bool = False
    encoding: str = "utf-8"
    folder: Path = field(default_factory=Path.cwd)
    width: int | None = None
    detail: Detail = Detail.EVERYTHING

    @staticmethod
    def of(stream: TextIO, detail: Detail = Detail.EVERYTHING) -> Medium:
        """The medium behind a stream: colour on a terminal only, and never under NO_COLOR."""
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        from shutil import get_terminal_size

        return Medium(
            colour=stream.isatty() and not plain,
            encoding=stream.encoding or "utf-8",
            width=max(NARROWEST, get_terminal_size().columns) if stream.isatty() else None,
            detail=detail,
        )


Say = Callable[[str | Text], str]  # a text of the program -> the same in the reader's language


Excerpt = Sequence[tuple[int, str]]  # some lines of a file, with their numbers


class ReportPicture(Protocol):
    """What a report can show of the facts: drawn elsewhere, since reporters know results only."""

    @property
    def title(self) -> str | Text: ...
    @property
    def family(self) -> str: ...
    @property
    def caption(self) -> str | Text: ...
    @property
    def missing(self) -> str | Text:
        """Why there is nothing to see, else empty."""
        ...

    @property
    def legend(self) -> Sequence[tuple[str, str | Text]]:
        """The classes and the name of each series."""
        ...

    def svg(self, say: Say) -> str:
        """The picture as an element of a page."""
        ...


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What the results are about, and how they are judged: the head of every report.

    `root` is the git work tree that the repository lies in, where it is not the repository itself.
    """

    repo: Path
    commit: str | None = None
    dirty: bool | None = None
    overrides: tuple[str, ...] = ()
    gpus: int | None = 1  # None: this is no launch
    strict: bool = False
    compared: bool = False  # with a baseline
    subject: str = ""  # what is examined, in a line, where it is no launch
    started: datetime | None = None
    root: Path | None = None
    medium: Medium = field(default_factory=Medium)
    language: str = "en"
    say: Say = str
    page: Callable[[Check], str] = lambda check: check.page
    pictures: Callable[[Sequence[Result]], Iterable[ReportPicture]] = lambda _: ()
    excerpts: Callable[[Collection[Place]], Mapping[Place, Excerpt]] = lambda _: {}  # what stands around them
    address: Callable[[Place], str] = lambda _: ""  # where a browser can see the place at this commit

    def relative(self, path: Path, folder: Path | None = None) -> Path:
        """The path as seen from a folder (the git root unless given), absolute where it lies elsewhere."""
        absolute = Path(os.path.normpath(self.repo / path))
        start = folder or self.root or self.repo
        return absolute.relative_to(start) if absolute.is_relative_to(start) else absolute


Reporter = Callable[[Iterable[Result], Examination], Iterator[str]]


class Format(StrEnum):
    """How a report is written."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    SARIF = "sarif"
    GITHUB = "github"
    MARKDOWN = "markdown"
    HTML = "html"


BY_SUFFIX = {
    ".json": Format.JSON,
    ".xml": Format.JUNIT,
    ".sarif": Format.SARIF,
    ".md": Format.MARKDOWN,
    ".txt": Format.TEXT,
    ".html": Format.HTML,
}
FOR_PEOPLE = (Format.TEXT, Format.MARKDOWN, Format.HTML)  # told in the reader's language


class _Reporters(Mapping[str, Reporter]):
    """The reporters by format, each imported when it is asked for: most need what the others do not."""

    def __getitem__(self, name: str) -> Reporter:
        if name not in tuple(Format):
            raise KeyError(name)
        reporter: Reporter = importlib.import_module(f"{__name__}.{name}").report
        return reporter

    def __iter__(self) -> Iterator[str]:
        return iter(Format)

    def __len__(self) -> int:
        return len(Format)


REPORTERS: Mapping[str, Reporter] = _Reporters()
