"""The audit command: read every file of the dataset, judge what was found, and write it down."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from opv2v_doctor.audit.fingerprint import inventory_fingerprint
from opv2v_doctor.audit.inventory import Inventory, cache_folder, open_inventory
from opv2v_doctor.audit.listing import Dataset, dataset_at
from opv2v_doctor.audit.record_tables import SplitSummary, csv_lines, summaries, write_parquet
from opv2v_doctor.audit.survey import Advance, survey
from opv2v_doctor.audit.verdicts import VERDICTS
from opv2v_doctor.audit.workers import readers
from opv2v_doctor.cli import options
from opv2v_doctor.cli.live import announce, is_live
from opv2v_doctor.cli.reporting import report_file, write_files
from opv2v_doctor.cli.streams import quiet_libraries
from opv2v_doctor.neutral import canvas, printable
from opv2v_doctor.reporters import BY_SUFFIX, REPORTERS, Detail, Examination, Format, Medium, text
from opv2v_doctor.result import Result, exit_code
from opv2v_doctor.runner import run
from opv2v_doctor.user_error import UsageError

if TYPE_CHECKING:
    from opv2v_doctor.target import Target

TABLES = {".csv": "csv", ".parquet": "parquet"}  # of the records
WRITTEN_BY_SUFFIX = {**{suffix: str(name) for suffix, name in BY_SUFFIX.items()}, **TABLES}
WRITTEN = [*(name for name in Format if name != Format.HTML), *TABLES.values()]
AuditFormat = StrEnum("AuditFormat", WRITTEN)  # type: ignore[misc]

Root = Annotated[
    str | None,
    typer.Argument(
        help="Folder or URL with SPLIT/SCENARIO/AGENT.  [default: the ROOT that the training here reads]",
        show_default=False,
    ),
]
Depth = Annotated[
    str | None,
    typer.Option(help="Folder or URL of the depth, where it lies apart.", show_default=False),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes that read.  [default: one a core]", show_default=False)
]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Read on the Dask cluster at this address.", show_default=False),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder that remembers what was read.  [default: XDG_CACHE_HOME/opv2v-doctor/audit]",
        show_default=False,
    ),
]


Outputs = Annotated[list[Path] | None, options.output_option(WRITTEN_BY_SUFFIX)]
ReportFormat = Annotated[
    AuditFormat | None,
    typer.Option(
        "--format",
        help="Of the findings; csv and parquet are of all records.  [default: text]",
        show_default=False,
    ),
]


def audit(
    root: Root = None,
    depth: Depth = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    cache: Cache = None,
    repo: options.Repo = None,
    settings: options.SettingsFile = None,
    format: ReportFormat = None,
    output: Outputs = None,
    strict: options.Strict = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Read every file of an OPV2V dataset, and say what is wrong with it.

    What was read is remembered: an interrupted audit goes on, and a second one reads only what changed.
    """
    files = options.report_files(output, format, WRITTEN_BY_SUFFIX)
    if format == "parquet" and not files:
        raise UsageError("--format parquet needs --output FILE: it is not text")
    detail = options.detail_of(verbose, quiet)
    dataset = _dataset(root, depth, repo, settings)
    processes = workers or os.cpu_count() or 1
    known = "what an earlier audit read, and did not change, is passed over"
    announce(f"reading every file of {printable(dataset.root)} on {processes} cores; {known}")
    with open_inventory(dataset, cache or cache_folder()) as inventory:
        with quiet_libraries(), _progress() as advance:
            survey(inventory, readers(processes, scheduler), advance)
        results = list(run(VERDICTS, cast("Target", inventory)))
        head = _head(inventory, strict, detail)
        paper = canvas(sys.stdout)
        for line in _lines("text" if files else format or "text", inventory, results, head):
            paper.write(f"{line}\n")
        paper.flush()
        whole = replace(head, medium=Medium(folder=head.medium.folder))
        write_files(
            files,
            lambda format: _lines(format, inventory, results, whole),
            {"parquet": partial(_write_records, inventory)},
        )
    raise typer.Exit(exit_code(results, strict=strict))


def _dataset(root: str | None, depth: str | None, repo: Path | None, settings: Path | None) -> Dataset:
    """The dataset that was named, or the one that the training here reads; its files as the settings say."""
    from opv2v_doctor.target import find_settings, make_target

    if root is None:
        from opv2v_doctor.facts.launch.datasets import data_roots

        target = make_target(repo=repo, settings_file=settings)
        roots = [str(place) for place in data_roots(target)]
        if not roots:
            raise UsageError("which dataset? The training's config names no ROOT: give the folder")
        root, depth = roots[0], depth or next(iter(roots[1:]), None)
        layout = target.settings.layout
    else:
        layout = find_settings(repo, settings).layout
    dataset = dataset_at(root, depth, layout)
    for place, word in ((dataset.storage, "ROOT"), (dataset.storage_of("depth"), "--depth")):
        if not place.exists():
            raise UsageError(f"{word} {place.url}: no such folder")
    return dataset


def _head(inventory: Inventory, strict: bool, detail: Detail) -> Examination:
    return Examination(
        repo=inventory.path("", "frame"),
        gpus=None,
        strict=strict,
        started=datetime.now(UTC),
        medium=Medium.of(sys.stdout, detail),
    )


def _lines(format: str, inventory: Inventory, results: list[Result], head: Examination) -> Iterator[str]:
    """The audit in a format that is text."""
    if format == "csv":
        yield from csv_lines(inventory)
    elif format == "text":
        yield f"opv2v-doctor audits {printable(inventory.dataset.root)}"
        yield from text.body(results, head)
        yield from _summary(inventory, head.medium)
    else:
        yield from REPORTERS[format](results, head)


def _summary(inventory: Inventory, medium: Medium) -> Iterator[str]:
    """A table of the splits, and the fingerprint."""
    table = Table(box=None, pad_edge=False, header_style="bold" if medium.colour else "")
    for name in SplitSummary._fields:
        table.add_column(name, justify="left" if name == "split" else "right")
    for summary in summaries(inventory):
        numbers = (f"{value:.1f}" if isinstance(value, float) else str(value) for value in summary[1:])
        table.add_row(summary.split, *numbers)
    console = Console(color_system="standard" if medium.colour else None, width=120, highlight=False)
    with console.capture() as capture:
        console.print(table)
    yield ""
    yield from (line.rstrip() for line in capture.get().splitlines())
    yield f"fingerprint {inventory_fingerprint(inventory)}"


def _write_records(inventory: Inventory, path: Path) -> None:
    with report_file(path) as place:
        write_parquet(inventory, place)


@contextmanager
def _progress() -> Iterator[Advance]:
    """A bar on the terminal, with the time that is left; nothing where there is no terminal."""
    console = Console(file=canvas(sys.stderr), highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not is_live(console)) as progress:
        task = progress.add_task("listing", total=None)

        def advance(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        yield advance
