"""The command `log`: what trainings left behind, judged, as a table, or as a page of curves."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from opv2v_doctor.cli import options

if TYPE_CHECKING:
    import pandas as pd

    from opv2v_doctor.facts.logs.log_readers import LogReader
    from opv2v_doctor.target import Target


TEXTS = ("phase", "metric", "file")  # columns


class LogFormat(StrEnum):
    """What the log is turned into."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"
    CSV = "csv"
    PARQUET = "parquet"


Paths = Annotated[
    list[Path],
    typer.Argument(
        help="Logs, run directories, folders of them, or - for standard input.", show_default=False
    ),
]
Form = Annotated[
    LogFormat, typer.Option("--format", help="Findings (text, json), curves (html) or the table.")
]
Into = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="Write here instead of to the terminal.",
        show_default=False,
        callback=options.writable,
    ),
]
Follow = Annotated[bool, typer.Option("--follow", help="Go on as the file grows, until interrupted.")]

UntilIdle = Annotated[
    float | None,
    typer.Option(
        help="With --follow: end when nothing was written for so many seconds.", min=0, show_default=False
    ),
]


def log(
    paths: Paths,
    format: Form = LogFormat.TEXT,
    output: Into = None,
    follow: Follow = False,
    until_idle: UntilIdle = None,
    settings: options.SettingsFile = None,
    ignore: options.Ignore = None,
    strict: options.Strict = False,
) -> None:
    """Say what went wrong in a training, from its log alone.

    Reads MetricLogger logs in all their variants, log.txt (JSON lines) and TensorBoard events. With --format
    csv or parquet it writes the table itself: segment, phase, epoch, step, steps_per_epoch, metric, median,
    average, file, line.
    """
    if follow:
        raise typer.Exit(_follow(paths, format, until_idle, settings, ignore or [], strict))
    found = _found(paths)
    if format in (LogFormat.CSV, LogFormat.PARQUET):
        _write_table(found, format, output)
        return
    if format is LogFormat.HTML and output is None:
        from opv2v_doctor.usage import UsageError

        raise UsageError("--format html needs --output FILE.html")
    target = _target(found, settings)
    raise typer.Exit(_examine(target, format, output, ignore or [], strict))


def _found(paths: Iterable[Path]) -> tuple[Path, ...]:
    """All logs below the paths. Raises UsageError where there is none."""
    from opv2v_doctor.facts.logs import logs_in
    from opv2v_doctor.facts.logs.blocks import STDIN
    from opv2v_doctor.usage import UsageError

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
    from opv2v_doctor.files import kind_of

    try:
        return kind_of(path.stat().st_mode)
    except OSError:
        return ""


def _target(logs: tuple[Path, ...], settings: Path | None) -> Target:
    """A target that is no training repository: the folder of the logs."""
    from opv2v_doctor.facts.logs.blocks import STDIN
    from opv2v_doctor.target import Target, find_settings

    folder = Path.cwd() if logs[0] == STDIN else logs[0].parent
    return Target(repo=folder, python=Path(sys.executable), logs=logs, settings=find_settings(None, settings))


def _examine(target: Target, form: LogFormat, output: Path | None, ignores: list[str], strict: bool) -> int:
    from opv2v_doctor.cli.examination import examine

    if form is not LogFormat.HTML:
        return examine(
            target,
            ["LOG"],
            ignores=ignores,
            format=str(form),
            output=output,
            strict=strict,
            plugins=False,
        )
    from opv2v_doctor.cli.log_judging import verdicts
    from opv2v_doctor.cli.reporting import report_file
    from opv2v_doctor.facts.logs import judged_logs
    from opv2v_doctor.figures.curves import page
    from opv2v_doctor.result import exit_code

    results = verdicts(target, ignores)
    assert output is not None
    with report_file(output) as place:
        place.write_text(page(judged_logs(target), results), encoding="utf-8")
    typer.echo(f"{output} written")
    return exit_code(results, strict=strict or target.settings.strict)


def _write_table(paths: tuple[Path, ...], form: LogFormat, output: Path | None) -> None:
    """Write the table block by block: a log of any size takes no more memory."""
    from opv2v_doctor.cli.reporting import report_file
    from opv2v_doctor.facts.logs import KEPT_LINES
    from opv2v_doctor.facts.logs.log_readers import LogReader

    readers = [LogReader(path, KEPT_LINES) for path in paths]
    frames = _frames(readers)
    if form is LogFormat.PARQUET:
        _write_parquet(frames, output)
    elif output is None:
        _write_csv(frames, sys.stdout)
    else:
        with report_file(output) as place, place.open("w", encoding="utf-8") as file:
            _write_csv(frames, file)
    unparsed = sum(reader.unparsed_count for reader in readers)
    if unparsed:
        typer.echo(f"{unparsed} lines look like metrics and could not be read", err=True)


def _frames(readers: Iterable[LogReader]) -> Iterator[pd.DataFrame]:
    from opv2v_doctor.facts.logs import records_of
    from opv2v_doctor.facts.logs.log_tables import frame_of

    for number, reader in enumerate(readers):
        if not number:
            yield frame_of([(str(reader.path), [])])
        for found in records_of(reader.path):
            yield frame_of([(str(reader.path), reader.feed(found))])


def _write_csv(frames: Iterator[pd.DataFrame], file: TextIO) -> None:
    from opv2v_doctor.neutral import cell

    for number, frame in enumerate(frames):
        safe = {name: frame[name].map({word: cell(word) for word in frame[name].unique()}) for name in TEXTS}
        frame.assign(**safe).to_csv(file, index=False, header=number == 0)


def _write_parquet(frames: Iterator[pd.DataFrame], output: Path | None) -> None:
    from opv2v_doctor.cli.reporting import report_file
    from opv2v_doctor.ours import PARQUET_KEY
    from opv2v_doctor.usage import UsageError

    if output is None:
        raise UsageError("--format parquet needs --output FILE.parquet")
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
    form: LogFormat,
    until_idle: float | None,
    settings: Path | None,
    ignores: list[str],
    strict: bool,
) -> int:
    """Follow one log; its findings when they appear, and all of them at the end."""
    from opv2v_doctor.cli.log_following import follow
    from opv2v_doctor.cli.log_judging import Judge
    from opv2v_doctor.facts.logs import keep_removed, log_table
    from opv2v_doctor.usage import UsageError

    if len(paths) != 1 or form is not LogFormat.TEXT or not paths[0].is_file():
        kind = _kind_of(paths[0])
        found = f": {paths[0]} is {kind}" if len(paths) == 1 and kind else ""
        raise UsageError(f"--follow takes one file, and --format text{found}")
    target = _target((paths[0].resolve(),), settings)
    read = follow(target.logs[0], typer.echo, Judge(target, ignores).news, until_idle)
    log_table.cache_clear()
    if not read.path.exists():
        keep_removed(read)
    return _examine(target, form, None, ignores, strict)
