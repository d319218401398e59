"""The inventory: the records of a dataset in an SQLite file, which is also the memory of the next audit."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opv2v_doctor.audit.file_record import COLUMNS, TYPES, File, Record
from opv2v_doctor.audit.listing import Dataset, Folder
from opv2v_doctor.layout import Layout
from opv2v_doctor.user_error import UsageError

VERSION = 2  # of the records: a new one forgets the old
INSERT = (
    f"INSERT OR REPLACE INTO files ({', '.join(COLUMNS)}, turn) VALUES ({', '.join('?' * len(COLUMNS))}, ?)"
)

KNOWN = "SELECT path, size, stamp FROM files WHERE split = ? AND scenario = ? AND agent = ? AND final"


def cache_folder() -> Path:
    """Where inventories are kept unless said otherwise, by the XDG rules."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    place = Path(home) if home.startswith("/") else Path.home() / ".cache"
    return place / "opv2v-doctor" / "audit"


def inventory_file(dataset: Dataset, folder: Path) -> Path:
    """The inventory of one dataset. Raises UsageError where it would lie in the dataset itself."""
    for place in (dataset.storage, dataset.storage_of("depth")):
        if place.folder and folder.resolve().is_relative_to(place.folder.resolve()):
            raise UsageError(f"--cache {folder}: lies in the dataset, into which the audit writes nothing")
    roots = [place.url if place.folder is None else str(place.folder.resolve()) for place in _places(dataset)]
    told = [] if dataset.layout == Layout() else [repr(dataset.layout)]  # files are read by it
    name = hashlib.sha256(os.fsencode("\n".join([*roots, *told]))).hexdigest()[:16]
    return folder / f"{name}.sqlite"


def _places(dataset: Dataset) -> list[Any]:
    return [dataset.storage, *([dataset.storage_of("depth")] if dataset.depth else [])]


class Inventory:
    """All records of one dataset, asked in SQL: memory does not grow with the dataset."""

    def __init__(self, path: Path, dataset: Dataset) -> None:
        self.dataset = dataset
        self.unknown: Counter[str] = Counter()  # names of what was seen and is not read, FRAME for a number
        self._database = sqlite3.connect(path, timeout=30)
        self._turn = 0
        try:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing
            self._prepare()
        except BaseException:
            self.close()
            raise

    def rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """The answer to a query, row by row."""
        yield from self._database.execute(query, values)

    def number(self, query: str, *values: object) -> int:
        """The one number that a query asks for."""
        return int(next(self.rows(query, *values))[0] or 0)

    def path(self, place: str, kind: str) -> Path:
        """A file as findings name it: absolute where it is on this machine."""
        folder = self.dataset.storage_of(kind).folder
        return folder / place if folder else Path(place)

    def begin(self) -> None:
        """Begin a survey: what it does not come across will be forgotten at its end."""
        self._turn = self.number("SELECT max(turn) FROM files") + 1

    def changed(self, folder: Folder, files: Sequence[File]) -> list[File]:
        """The files that have no final record of this size and time; the others' records are kept."""
        known = {path: (size, stamp) for path, size, stamp in self.rows(KNOWN, *folder)}
        kept = [file for file in files if known.get(file.path) == (file.size, file.stamp)]
        with self._database:
            self._database.executemany(
                "UPDATE files SET turn = ? WHERE path = ?", [(self._turn, file.path) for file in kept]
            )
            self._database.execute("INSERT OR IGNORE INTO folders VALUES (?, ?, ?)", folder)
        kept_paths = {file.path for file in kept}
        return [file for file in files if file.path not in kept_paths]

    def store(self, records: Iterable[Record]) -> None:
        """Remember records: what is stored survives whatever happens next."""
        with self._database:
            self._database.executemany(INSERT, ((*record, self._turn) for record in records))

    def finish(self, folders: Iterable[Folder]) -> None:
        """Forget the files and folders that are no longer there."""
        with self._database:
            self._database.execute("DELETE FROM files WHERE turn != ?", (self._turn,))
            self._database.execute("DELETE FROM folders")
            self._database.executemany("INSERT OR IGNORE INTO folders VALUES (?, ?, ?)", folders)
            self._database.execute("ANALYZE")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _prepare(self) -> None:
        (version,) = next(self.rows("PRAGMA user_version"))
        columns = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
        with self._database:
            if version != VERSION:
                self._database.execute("DROP TABLE IF EXISTS files")
                self._database.execute("DROP TABLE IF EXISTS folders")
            self._database.execute(
                f"CREATE TABLE IF NOT EXISTS files ({columns}, turn INTEGER, PRIMARY KEY (path))"
                " WITHOUT ROWID"
            )
            self._database.execute(
                "CREATE INDEX IF NOT EXISTS places ON files (split, scenario, agent, frame, kind, camera)"
            )
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS folders "
                "(split TEXT, scenario TEXT, agent TEXT, PRIMARY KEY (split, scenario, agent)) WITHOUT ROWID"
            )
            self._database.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def open_inventory(dataset: Dataset, folder: Path) -> Iterator[Inventory]:
    """The inventory of a dataset, for one audit at a time. Raises UsageError where it cannot be kept."""
    import fcntl

    path = inventory_file(dataset, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("a")
    except OSError as problem:
        raise UsageError(f"{folder}: {problem.strerror}: give another folder with --cache") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another audit of {dataset.root} is under way") from None
        inventory = _inventory(path, dataset)
        try:
            yield inventory
        finally:
            inventory.close()


def _inventory(path: Path, dataset: Dataset) -> Inventory:
    """The inventory in a file; a file that is damaged is begun anew: it is only a memory."""
    try:
        return Inventory(path, dataset)
    except sqlite3.DatabaseError:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return Inventory(path, dataset)
