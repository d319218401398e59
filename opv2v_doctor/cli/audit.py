"""The audit command: read every file of the dataset, judge what was found, and write it down."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from opv2v_doctor.cli import options

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


class AuditFormat(StrEnum):
    """How an audit is written: a report of its findings, or a table of its records."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    SARIF = "sarif"
    GITHUB = "github"
    MARKDOWN = "markdown"
    CSV = "csv"
    PARQUET = "parquet"


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
    format: ReportFormat = None,
    output: options.Output = None,
    strict: options.Strict = False,
) -> None:
    """Read every file of an OPV2V dataset, and say what is wrong with it.

    What was read is remembered: an interrupted audit goes on, and a second one reads only what changed.
    """
    from opv2v_doctor.cli.auditing import audited

    raise typer.Exit(
        audited(
            root,
            depth,
            workers=workers,
            scheduler=scheduler,
            cache=cache,
            format=format,
            output=output,
            strict=strict,
        )
    )
