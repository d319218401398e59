"""Run directories: choosing a new one, and claiming one, so that no two launches write into the same."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from opv2v_doctor.atomic import NotWritten
from opv2v_doctor.user_error import UsageError

if TYPE_CHECKING:
    from opv2v_doctor.runs.record import Run

LOCK, RECORD, RESERVE = ".launch.lock", "run.json", ".reserve"
MOST_NAMES = 100
STAMPED = ("config.yaml", "diff.patch", "untracked.txt", "packages.txt", "sources.txt", "report.json")
# what a launch leaves that was killed before its record was written, and was no run yet
OWN = {LOCK, RESERVE, *STAMPED, *(f".{name}.partial" for name in (*STAMPED, RECORD, RESERVE))}


OUTPUT = "output"


class DirectoryTaken(UsageError):
    """Another launch has the directory; the message says which."""


@dataclass(kw_only=True)
class Claim:
    """A run directory that only this launch writes into, for as long as the lock is held."""

    path: Path
    lock: int  # descriptor: the supervisor holds it too, until the last process of the launch is gone
    made: bool  # whether the directory is new
    kept: bool = field(default=False)  # whether what is in it shall stay

    def keep(self) -> None:
        """From now on the directory is a run, whatever happens."""
        self.kept = True


@contextlib.contextmanager
def claim(places: Sequence[Path], *, resume: bool) -> Iterator[Claim]:
    """Claim a directory: the first that is not there yet, else the last place, if it is empty.

    With `resume` it is one that holds a run. A new one that does not become a run is removed again. Raises
    Taken where another launch has it, or where a run is in it already.
    """
    path, made = _make(places)
    was_ours = (path / LOCK).exists()  # a launch was here before, and left it
    lock = _lock(path)
    place = Claim(path=path, lock=lock, made=made)
    try:
        if not resume:
            _verify_empty(path, OWN if was_ours else {LOCK})
        yield place
    finally:
        if made and not place.kept:
            shutil.rmtree(path, ignore_errors=True)
        elif not place.kept and not was_ours:
            (path / LOCK).unlink(missing_ok=True)
        os.close(lock)


def _make(places: Sequence[Path]) -> tuple[Path, bool]:
    """The directory, and whether it is new; of launches at once only one makes it."""
    for path in places:
        try:
            path.mkdir(parents=True, exist_ok=False)
            return path, True
        except FileExistsError:
            continue
        except OSError as problem:
            raise NotWritten(f"run directory {path} cannot be made: {problem.strerror}") from None
    if not places[-1].is_dir():
        raise UsageError(f"run directory {places[-1]}: there is a file of this name")
    return places[-1], False


def _lock(path: Path) -> int:
    """The descriptor of the directory's lock, which ends with the last process that holds it."""
    while True:
        try:
            lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # removed by a launch that did not become a run
            path.mkdir(parents=True, exist_ok=True)
            continue
        except OSError as problem:
            raise NotWritten(f"{path} cannot be written into: {problem.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 200, 0).decode(errors="replace").strip()
            os.close(lock)
            raise DirectoryTaken(
                f"{path} belongs to another launch that still runs ({holder or 'starting'})"
            ) from None
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(lock).st_ino == (path / LOCK).stat().st_ino:
                _sign(lock)
                return lock
        os.close(lock)  # the file that we locked is not the directory's any more


def _sign(lock: int) -> None:
    """Say who holds the lock; where there is no room even for that, it is held all the same."""
    with contextlib.suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)


def _verify_empty(path: Path, own: Collection[str]) -> None:
    found = sorted(entry.name for entry in path.iterdir() if entry.name not in own)
    if RECORD in found:
        raise DirectoryTaken(
            f"{path} holds a run already: --resume {path} goes on with it, --fresh starts beside it"
        )
    if found:
        raise DirectoryTaken(
            f"{path} is not empty ({', '.join(found[:3])}{', ...' if found[3:] else ''}): "
            f"`opv2v-doctor runs adopt {path}` and --resume go on with it, --fresh starts beside it"
        )


def new_directories(root: Path, commit: str | None) -> list[Path]:
    """Names for a new directory, after the time and the commit; launches of one second get different ones."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d_%H-%M-%S")
    name = f"{now}_{commit[:8] if commit else 'no-commit'}"
    return [root / (f"{name}_{number}" if number > 1 else name) for number in range(1, MOST_NAMES)]


def number_of_launch(earlier: Run | None) -> int:
    """The number that the next launch of a run gets."""
    return len(earlier.launches) + 1 if earlier else 1


def output_folder(run: Path, number: int, node: int = 0) -> Path:
    """Where the output of a launch goes."""
    return run / OUTPUT / (f"{number}-node{node}" if node else str(number))
