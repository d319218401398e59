"""The command `log`: what trainings left behind, judged, as a table, or as a page of curves."""

from __future__ import annotations

import contextlib
import datetime
import importlib
import os
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from opv2v_doctor.check import Finding, NoAnswer, Severity
from opv2v_doctor.cli import options
from opv2v_doctor.cli.examination import examine, ignore_of
from opv2v_doctor.cli.reporting import report_file, write_files, write_report
from opv2v_doctor.facts.past.logs import KEPT_LINES, judged_logs, log_table, logs_in, records_of
from opv2v_doctor.facts.past.logs.blocks import STDIN, growing
from opv2v_doctor.facts.past.logs.encodings import PACKED
from opv2v_doctor.facts.past.logs.log_files import Log, LogTable, frame_of
from opv2v_doctor.facts.past.logs.log_readers import LogReader
from opv2v_doctor.facts.past.logs.metric_rows import MetricRows
from opv2v_doctor.facts.past.logs.records import Records, records
from opv2v_doctor.facts.past.logs.summaries import summary
from opv2v_doctor.facts.past.runs import LOG
from opv2v_doctor.foreign_files import kind_of
from opv2v_doctor.languages import say as said_in
from opv2v_doctor.neutral import cell, printable
from opv2v_doctor.own_reports import PARQUET_KEY
from opv2v_doctor.registry import ignored_codes, installed_checks, select
from opv2v_doctor.reporters import BY_SUFFIX, Examination, Say
from opv2v_doctor.reporters.phrases import one_line
from opv2v_doctor.result import Result
from opv2v_doctor.runner import run
from opv2v_doctor.runs.directory import RECORD
from opv2v_doctor.state import State
from opv2v_doctor.target import Target, find_settings
from opv2v_doctor.text import Text
from opv2v_doctor.user_error import UsageError

if TYPE_CHECKING:
    import pandas as pd


TEXTS = ("phase", "metric", "file")  # columns
QUIET = {"launch", "rank", "job", "length", "criterion", "testing", "weights", "keys"}
FAMILY = ["LOG"]
NEVER_CAME = 3  # the exit code where a log that was waited for was never written
Stamp = tuple[int, int, int]  # file, size, time
SHARE = 0.05  # of the time that may go into judging a log that grows


LogFormat = Literal[  # what the log is turned into
    "text", "json", "markdown", "sarif", "junit", "github", "html", "csv", "parquet"
]
TABLES: tuple[LogFormat, ...] = ("csv", "parquet")
BY_SUFFIX_OF_LOGS = {**BY_SUFFIX, ".csv": "csv", ".parquet": "parquet"}
Paths = Annotated[
    list[Path],
    typer.Argument(
        help="Logs, run directories, folders of them, or - for standard input.", show_default=False
    ),
]
Form = Annotated[
    LogFormat | None,
    typer.Option(
        "--format",
        help="A report, a page of curves with it (html), or the table of metrics (csv, parquet).  "
        "[default: by the suffix of --output, else text]",
        show_default=False,
    ),
]
Into = Annotated[list[Path] | None, options.output_option(BY_SUFFIX_OF_LOGS)]
Follow = Annotated[bool, typer.Option("--follow", help="Go on as the file grows, until interrupted.")]

UntilIdle = Annotated[
    float | None,
    typer.Option(
        help="With --follow: end when nothing was written for so many seconds.", min=0, show_default=False
    ),
]


def log(
    paths: Paths,
    format: Form = None,
    output: Into = None,
    follow: Follow = False,
    until_idle: UntilIdle = None,
    settings: options.SettingsFile = None,
    ignore: options.Ignore = None,
    strict: options.Strict = False,
    lang: options.Lang = "en",
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Say what went wrong in a training, from its log alone.

    Reads MetricLogger logs in all their variants, log.txt (JSON lines) and TensorBoard events. With --format
    csv or parquet it writes the table itself: segment, phase, epoch, step, steps_per_epoch, metric, median,
    average, file, line. Of several runs there is a table first: how far each came, its end, and what is
    wrong.
    """
    files = options.report_files(output, format, BY_SUFFIX_OF_LOGS)
    presentation = options.Presentation(
        format=format,
        files=files,
        language=lang,
        strict=strict,
        detail=options.detail_of(verbose, quiet),
    )
    if follow:
        raise typer.Exit(_follow(paths, presentation, until_idle, settings, ignore or []))
    found = _logs_below(paths)
    if format in ("html", "parquet") and not files:
        raise UsageError(f"--format {format} needs --output FILE.{format}")
    if not files and format in TABLES:
        _write_table(found, format, None)
        return
    if STDIN in found and len(files) > 1 and any(form in TABLES for _, form in files):
        raise UsageError(
            "a table beside another file: standard input is read once, so give a log that is one"
        )
    target = _target(found, settings)
    if files and all(form in TABLES for _, form in files):
        write_files(files, lambda _: (), {form: partial(_write_table, found, form) for form in TABLES})
        return
    if files or format in (None, "text"):
        for line in _overview(target, ignore or [], partial(said_in, language=lang)):
            typer.echo(line)
    raise typer.Exit(_examine(target, presentation, ignore or []))


def _overview(target: Target, ignores: Sequence[str], say: Say) -> Iterator[str]:
    """A table of several runs, one a folder; nothing for one run, or where there is no training."""
    try:
        logs = {log.path.parent: log for log in reversed(judged_logs(target))}
    except NoAnswer:
        return
    if len(logs) < 2:
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    root = Path(os.path.commonpath([str(folder) for folder in logs]))
    table = Table(box=None, pad_edge=False)
    for name in (say("run"), say("epochs"), say("end"), say("best"), say("first problem")):
        table.add_column(name, overflow="fold")
    results = verdicts(target, ignores)
    for folder, log in sorted(logs.items()):
        row = summary(log)
        said = [row.progress, row.end, row.best]
        cells = [str(folder.relative_to(root)), *map(say, said), _first_problem(results, folder, say)]
        table.add_row(*(escape(printable(text)) for text in cells))
    console = Console(color_system=None, width=160, highlight=False)
    with console.capture() as capture:
        console.print(table)
    yield from (line.rstrip() for line in capture.get().splitlines())


def _first_problem(results: Sequence[Result], folder: Path, say: Say) -> str:
    """What to fix first in a run: the worst that is told of its log, of these the first."""
    found = [
        (finding.severity, -(finding.event or finding.line or 0), f"{result.check.code} {say(finding.text)}")
        for result in results
        for finding in result.findings
        if finding.severity > Severity.NOTE and finding.path and finding.path.parent == folder
    ]
    return textwrap.shorten(max(found, key=lambda one: one[:2])[2], 90, placeholder=" ...") if found else ""


def _logs_below(paths: Iterable[Path]) -> tuple[Path, ...]:
    """All logs below the paths. Raises UsageError where there is none."""
    found: dict[Path, None] = {}
    for path in paths:
        if path != STDIN and not path.exists():
            raise UsageError(f"{path}: no such file or directory")
        if path != STDIN and not path.is_dir() and (kind := _kind_of(path)):
            raise UsageError(f"{path}: {kind}, not a file: standard input is read as `-`")
        logs = logs_in(path)
        if not logs:
            raise UsageError(f"{path}: no log below it (*.log, log.txt, events.out.tfevents.*)")
        found |= dict.fromkeys(log if log == STDIN else log.resolve() for log in logs)
    return tuple(found)


def _kind_of(path: Path) -> str:
    """What is no regular file, in words; nothing for one, and where there is none."""
    try:
        return kind_of(path.stat().st_mode)
    except OSError:
        return ""


def _target(logs: tuple[Path, ...], settings: Path | None) -> Target:
    """A target that is no training repository: the folder of the logs."""
    folder = Path.cwd() if logs[0] == STDIN else logs[0].parent
    return Target(repo=folder, python=Path(sys.executable), logs=logs, settings=find_settings(None, settings))


def _examine(target: Target, presentation: options.Presentation, ignores: list[str]) -> int:
    def table(form: LogFormat, _: Sequence[Result], __: Examination, output: Path) -> None:
        _write_table(target.logs, form, output)

    return examine(
        target,
        FAMILY,
        ignores=ignores,
        presentation=presentation,
        plugins=False,
        subject=said_in(_training(target), presentation.language),
        own={"html": partial(_draw, target), **{form: partial(table, form) for form in TABLES}},
    )


def _training(target: Target) -> Text:
    """The training that is judged, in a line: how far it came, how it ended, and what was best."""
    try:
        logs = judged_logs(target)
    except NoAnswer:  # a finding tells it
        return Text("")
    if len(logs) != 1:
        return Text("")
    row = summary(logs[0])
    return Text(
        "training: {log}, {progress} epochs, {end}; best {best}",
        log=Text("standard input") if logs[0].path == STDIN else logs[0].path.name,
        progress=row.progress,
        end=row.end,
        best=row.best,
    )


def _draw(target: Target, results: Sequence[Result], head: Examination, output: Path) -> None:
    """The page: the report with the curves."""
    from opv2v_doctor.figures.curves import page

    try:
        logs = judged_logs(target)
    except NoAnswer:  # the findings tell it
        logs = ()
    write_report(output, [page(logs, results, replace(head, pictures=lambda _: ()))])


def _write_table(paths: tuple[Path, ...], form: LogFormat, output: Path | None) -> None:
    """Write the table block by block: a log of any size takes no more memory."""
    readers = [LogReader(path, KEPT_LINES) for path in paths]
    frames = _frames(readers)
    if form == "parquet":
        _write_parquet(frames, output)
    elif output is None:
        _write_csv(frames, sys.stdout)
    else:
        with (
            report_file(output) as place,
            place.open("w", encoding="utf-8", errors="backslashreplace") as file,
        ):
            _write_csv(frames, file)
    unparsed = sum(reader.unparsed_count for reader in readers)
    if unparsed:
        typer.echo(f"{unparsed} lines look like metrics and could not be read", err=True)


def _frames(readers: Iterable[LogReader]) -> Iterator[pd.DataFrame]:
    for number, reader in enumerate(readers):
        if not number:
            yield frame_of([(str(reader.path), [])])
        try:
            for found in records_of(reader.path):
                yield frame_of([(str(reader.path), reader.feed(found))])
        except NoAnswer as reason:
            raise UsageError(f"{reason}: {reason.hint}") from None


def _write_csv(frames: Iterator[pd.DataFrame], file: TextIO) -> None:
    for number, frame in enumerate(frames):
        safe = {name: frame[name].map({word: cell(word) for word in frame[name].unique()}) for name in TEXTS}
        frame.assign(**safe).to_csv(file, index=False, header=number == 0)


def _write_parquet(frames: Iterator[pd.DataFrame], output: Path | None) -> None:
    assert output is not None
    try:
        pa, pq = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UsageError("--format parquet needs pyarrow: pip install 'opv2v-doctor[parquet]'") from None
    with report_file(output) as place, contextlib.ExitStack() as stack:
        writer = None
        for frame in frames:
            # a column of no lines, too: pandas 2 would take it for one of no type
            texts = {name: frame[name].astype("string") for name in TEXTS}
            table = pa.Table.from_pandas(frame.assign(**texts), preserve_index=False)
            if writer is None:
                marked = table.schema.with_metadata({**(table.schema.metadata or {}), PARQUET_KEY: b"log"})
                writer = stack.enter_context(pq.ParquetWriter(place, marked))
            writer.write_table(table.cast(writer.schema))


def _follow(
    paths: list[Path],
    presentation: options.Presentation,
    until_idle: float | None,
    settings: Path | None,
    ignores: list[str],
) -> int:
    """Follow one log; its findings when they appear, and all of them at the end."""
    if len(paths) == 1 and any((paths[0] / name).exists() for name in (LOG, RECORD)):
        paths = [paths[0] / LOG]  # a run's, whether its training has begun or waits for its turn
    kind = _kind_of(paths[0])
    packed = paths[0].suffix in PACKED
    form, files = presentation.format, presentation.files
    if len(paths) != 1 or form not in (None, "text") or files or kind or packed or paths[0] == STDIN:
        found = f": {paths[0]} is {kind}" if len(paths) == 1 and kind else ""
        raise UsageError(f"--follow takes one file that is not packed, and --format text{found}")
    target = _target((paths[0].resolve(),), settings)
    if not paths[0].exists():
        limit = "Ctrl-C ends that" if until_idle is None else f"for {until_idle:g} s, as --until-idle says"
        typer.echo(f"{paths[0].name}: not there yet, waiting for it ({limit})")
    read = follow(target.logs[0], typer.echo, _Judge(target, ignores).news, until_idle)
    target.state.forget()
    if not read.path.exists() and not read.lines:
        typer.echo(f"opv2v-doctor: {paths[0]} never came: there is nothing to judge", err=True)
        return NEVER_CAME
    if not read.path.exists():  # then it is judged as it was read
        target = replace(target, state=State({log_table: LogTable(logs=(read,))}))
    return _examine(target, presentation, ignores)


def follow(
    path: Path,
    say: Callable[[str], object],
    news: Callable[[], Iterable[str]] = tuple,
    until_idle: float | None = None,
) -> Log:
    """Say what a log says as it grows, and what `news` adds when it is quiet, until SIGINT or SIGTERM.

    With `until_idle` it ends after so many quiet seconds. A log that starts anew is another log. Returns what
    was read of the last one: who judges it needs that where the file was removed.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    reader = LogReader(path, KEPT_LINES)
    quiet = _Quiet(say, news, until_idle)
    try:
        while True:
            for found in records(quiet.heard(growing(path, quiet.wait))):
                for text in _news(reader, found):
                    say(text)
            say(f"{path.name} starts anew: it was cut off or replaced")
            reader = LogReader(path, KEPT_LINES)
    except (KeyboardInterrupt, _Idle):
        unread = f", {reader.unparsed_count} could not be read" if reader.unparsed_count else ""
        say(f"{path.name}: {reader.lines} lines{unread}")
    return reader.log()


class _Idle(Exception):
    """Nothing was written for as long as was asked for."""


@dataclass
class _Quiet:
    """What happens while nothing is written."""

    say: Callable[[str], object]
    news: Callable[[], Iterable[str]]
    until_idle: float | None
    since: float = field(default_factory=time.monotonic)

    def heard(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks, each of them a sign that the log is written: also one that ends no line."""
        for chunk in chunks:
            self.since = time.monotonic()
            yield chunk

    def wait(self) -> None:
        """Say what is new; end where it was quiet for long enough."""
        for text in self.news():
            self.say(text)
        if self.until_idle is not None and time.monotonic() - self.since > self.until_idle:
            raise _Idle


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _news(reader: LogReader, found: Records) -> Iterator[str]:
    """What one block adds, in the order of its lines."""
    incidents, unparsed = len(reader.incidents.found), reader.unparsed_count
    raised = reader.tracebacks.count
    news = [(int(run.line[-1]), _metrics(run)) for _, run in reader.feed(found)]
    for incident in reader.incidents.found[incidents:]:
        if incident.kind not in QUIET:
            news.append((incident.line, printable(incident.text[:200])))
    for one in reader.tracebacks.latest(reader.tracebacks.count - raised):
        news.append((one.exception_line, printable(f"raised {one.summary[:200]}")))
    yield from (f"{reader.path.name}:{line}: {text}" for line, text in sorted(news))
    if reader.unparsed_count > unparsed:
        yield f"{reader.path.name}: {reader.unparsed_count - unparsed} lines of metrics could not be read"


def _metrics(run: MetricRows) -> str:
    shown = []
    for name in ("loss", "lr", "time"):
        if name in run.names:
            column = run.names.index(name)
            average = f" ({run.averages[-1, column]:.4g})" if run.averaged[column] else ""
            shown.append(f"{name} {run.medians[-1, column]:.4g}{average}")
    return f"{run.phase} epoch {run.epoch[-1]} step {run.step[-1]}/{run.steps}  {'  '.join(shown)}"


def verdicts(target: Target, ignores: Sequence[str]) -> list[Result]:
    """The results of the log family, with the exceptions of the settings and of the command line."""
    installed = installed_checks()
    given = (*target.settings.ignore, *map(ignore_of, ignores))
    others = bool(target.settings.plugins)  # no plugin's check is about logs alone
    exceptions = ignored_codes(installed, given, datetime.date.today(), others=others)
    return list(run(select(installed, FAMILY), target, ignored=exceptions))


class _Judge:
    """Told when a growing log is quiet, it says the findings that were not there before.

    It reads the log again from its beginning, so that every verdict is that of `log` itself; seldom enough
    that this takes a twentieth of the time.
    """

    def __init__(self, target: Target, ignores: Sequence[str]) -> None:
        self._target, self._ignores = target, ignores
        self._told: dict[str, int] = {}
        self._next = 0.0
        self._seen: Stamp | None = None  # what was judged last

    def news(self) -> Iterator[str]:
        """What is wrong now and was not said yet; nothing where it is too early to look again."""
        begun, now = time.monotonic(), _stamp(self._target.logs[0])
        if begun < self._next or now in (None, self._seen):
            return
        if self._seen and now and (now[0] != self._seen[0] or now[1] < self._seen[1]):  # another log
            self._told.clear()
        self._seen = now
        self._target.state.forget()
        results = verdicts(self._target, self._ignores)
        taken = time.monotonic() - begun
        self._next = begun + taken / SHARE
        for result in results:
            found = [finding for finding in result.findings if finding.severity > Severity.NOTE]
            for finding in found[self._told.get(result.check.code, 0) :]:
                yield _line(result.check.code, finding)
            self._told[result.check.code] = max(len(found), self._told.get(result.check.code, 0))


def _stamp(path: Path) -> Stamp | None:
    """What changes when a file does; None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _line(code: str, finding: Finding) -> str:
    place = f"{finding.path.name if finding.path else ''}{f':{finding.line}' if finding.line else ''}"
    fix = f" (fix: {one_line(str(finding.hint))})" if finding.hint else ""
    return f"{place}: {finding.severity.name} {code} {one_line(finding.message)}{fix}"
