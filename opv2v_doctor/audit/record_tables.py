"""Tables: all records as CSV or Parquet, record by record, and a summary of each split."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from opv2v_doctor.audit.file_record import COLUMNS, TYPES
from opv2v_doctor.audit.inventory import Inventory
from opv2v_doctor.neutral import cell
from opv2v_doctor.own_reports import PARQUET_KEY
from opv2v_doctor.user_error import UsageError

ALL = f"SELECT {', '.join(COLUMNS)} FROM files ORDER BY path"
BATCH = 10_000  # records


class SplitSummary(NamedTuple):
    """What one split holds."""

    split: str
    scenarios: int
    agents: int
    frames: int
    images: int
    depth: int
    clouds: int
    gigabytes: float
    unreadable: int


def summaries(inventory: Inventory) -> list[SplitSummary]:
    """One line a split."""
    return [
        SplitSummary(*row)
        for row in inventory.rows(
            """
            SELECT split, count(DISTINCT scenario), count(DISTINCT scenario || '/' || agent),
                sum(kind = 'frame'), sum(kind = 'image'), sum(kind = 'depth'), sum(kind = 'cloud'),
                sum(size) / 1e9, sum(problem IS NOT NULL)
            FROM files GROUP BY split ORDER BY split
            """
        )
    ]


def csv_lines(inventory: Inventory) -> Iterator[str]:
    """All records, the names of the columns first."""
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="")
    for row in chain([COLUMNS], inventory.rows(ALL)):
        writer.writerow(map(cell, row))
        yield _take(buffer)


def _take(buffer: StringIO) -> str:
    line = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return line


def write_parquet(inventory: Inventory, path: Path) -> None:
    """Write all records into one file, a batch at a time."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError("--format parquet needs PyArrow: pip install 'opv2v-doctor[parquet]'") from None
    types = {"TEXT": pyarrow.string(), "INTEGER": pyarrow.int64(), "REAL": pyarrow.float64()}
    schema = pyarrow.schema([(name, types[TYPES[name]]) for name in COLUMNS], {PARQUET_KEY: b"audit"})
    records = inventory.rows(ALL)
    with parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(records, BATCH)):
            columns: list[Any] = [list(column) for column in zip(*batch, strict=True)]
            writer.write_table(pyarrow.table(columns, schema=schema))
