"""What the last audit remembers of a dataset, for a run to be stamped with: nothing is read anew."""

from __future__ import annotations

import datetime
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.audit.fingerprint import fingerprint
from opv2v_doctor.audit.inventory import VERSION, cache_folder, inventory_file
from opv2v_doctor.audit.listing import Dataset
from opv2v_doctor.user_error import UsageError


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """A dataset as the last audit that came to its end saw it."""

    fingerprint: str
    files: int
    audited: datetime.datetime


def last_audit(dataset: Dataset, folder: Path | None = None) -> Remembered | None:
    """What is remembered of a dataset; None where it was never audited, or is being audited."""
    try:
        path = inventory_file(dataset, folder or cache_folder())
        written = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)
    except (OSError, UsageError, sqlite3.Error):
        return None
    try:
        ((version,),) = database.execute("PRAGMA user_version")
        ((turns,),) = database.execute("SELECT count(DISTINCT turn) FROM files")
        if version != VERSION or turns != 1:  # an audit that did not end leaves records of two turns
            return None
        records = database.execute("SELECT path, digest FROM files").fetchall()
    except sqlite3.Error:
        return None
    finally:
        database.close()
    return Remembered(
        fingerprint=fingerprint(records), files=len(records), audited=written.replace(microsecond=0)
    )
