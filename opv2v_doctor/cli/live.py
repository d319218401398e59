"""What a terminal shows while an examination runs: the check of now, its progress and the time."""

from __future__ import annotations

import sys
from textwrap import shorten
from types import TracebackType

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from opv2v_doctor.check import Check
from opv2v_doctor.fact_progress import listen
from opv2v_doctor.neutral import canvas
from opv2v_doctor.result import Result


def is_live(console: Console) -> bool:
    """Whether a bar may be drawn: FORCE_COLOR makes rich take a pipe for a terminal."""
    return console.file.isatty() and not console.is_dumb_terminal


def announce(text: str) -> None:
    """Tell who sits at a terminal what will take long, before it does."""
    if sys.stderr.isatty():
        typer.echo(f"opv2v-doctor: {text}", err=True)


BESIDE = 48  # columns of a line that the bar, the counts and the times take
SHORTEST = 20  # columns of what runs now


class LiveLine:
    """A live line on the terminal, above which the report is written; only the report where there is none."""

    def __init__(self, total: int) -> None:
        self.results: list[Result] = []
        self._shared = sys.stdout.isatty()  # report and live line on one terminal
        self._paper = canvas(sys.stdout)
        console = Console(file=self._paper if self._shared else canvas(sys.stderr), highlight=False)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not is_live(console),
        )
        self._checks = self._progress.add_task("examining", total=total)
        self._work = self._progress.add_task("", total=1, visible=False)

    def __enter__(self) -> LiveLine:
        listen(self._advance)
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        listen(None)
        self._progress.stop()

    def start(self, check: Check) -> None:
        """Say which check runs now."""
        self._progress.update(self._checks, description=self._cut(f"{check.code} {check.claim}"))

    def finish(self, result: Result) -> None:
        """Keep a result, and count it."""
        self.results.append(result)
        self._progress.update(self._checks, advance=1)
        self._progress.update(self._work, visible=False)

    def write(self, line: str) -> None:
        """Write a line of the report."""
        if self._shared:
            self._progress.console.print(Text.from_ansi(line), soft_wrap=True)
        else:
            self._paper.write(f"{line}\n")
            self._paper.flush()

    def _advance(self, what: str, done: int, total: int) -> None:
        self._progress.update(
            self._work, description=self._cut(what), completed=done, total=total, visible=True
        )

    def _cut(self, text: str) -> str:
        """As much as stands in one line beside the bar."""
        return shorten(text, max(SHORTEST, self._progress.console.width - BESIDE), placeholder=" ...")
