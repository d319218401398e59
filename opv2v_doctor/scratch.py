"""Scratch: folders for what is needed while a process lives, gone when it ends, however it ends."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "opv2v-doctor-"
UNFINISHED = f".{PREFIX}"  # a folder that its owner is about to lock
LOCK = ".alive"  # locked by the folder's owner; the kernel lets go of it when that dies
YOUNG = 60.0  # seconds: a folder that was just made may not be locked yet

_locks: dict[Path, int] = {}  # open as long as we live


def scratch_folder(purpose: str = "") -> Path:
    """A new folder of this process's own, gone at its end; those of killed processes go first.

    It gets its name once it is locked: whoever sweeps meets no folder that only seems to be left behind.
    """
    sweep()
    made = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=_temporary()))
    folder = made.with_name(f"{PREFIX}{purpose}{'-' if purpose else ''}{made.name.removeprefix(UNFINISHED)}")
    atexit.register(_remove, made, os.getpid())  # at once: a signal may end us any moment
    atexit.register(_remove, folder, os.getpid())
    lock = os.open(made / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(OSError):  # a filesystem without locks: then nobody removes it but we
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _locks[folder] = lock
    made.rename(folder)
    return folder


@contextlib.contextmanager
def scratch(purpose: str = "") -> Iterator[Path]:
    """A folder of this process's own for one piece of work, gone at its end."""
    folder = scratch_folder(purpose)
    try:
        yield folder
    finally:
        _remove(folder, os.getpid())
        os.close(_locks.pop(folder))


def sweep() -> None:
    """Remove what processes of ours that were killed have left."""
    for folder in _left_behind(_temporary()):
        _clear(folder)


def _temporary() -> Path:
    """Where tempfile makes its folders: never the working directory, its last resort, which is examined."""
    if tempfile.tempdir is None:
        named = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
        places = [Path(place).absolute() for place in (*named, "/tmp", "/var/tmp", "/usr/tmp") if place]  # noqa: S108 (folders, as tempfile knows them)
        usable = (place for place in places if os.access(place, os.W_OK | os.X_OK))
        tempfile.tempdir = str(next(usable, places[0]))  # who writes there will be told what is wrong
    return Path(tempfile.tempdir)


def _remove(folder: Path, owner: int) -> None:
    """At the end of the process that made it, not of one that was forked from it."""
    if os.getpid() == owner:
        _clear(folder)


def _clear(folder: Path) -> None:
    """Remove all that is in it, its lock last: who is ended in between leaves what the next one sweeps."""
    with contextlib.suppress(OSError):
        for entry in list(folder.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != LOCK:
                entry.unlink()
        if folder.name.startswith(PREFIX):
            folder = folder.rename(folder.with_name(f"{UNFINISHED}{folder.name.removeprefix(PREFIX)}"))
    shutil.rmtree(folder, ignore_errors=True)


def _left_behind(place: Path) -> Iterator[Path]:
    """Our user's folders whose owner is gone. One without a lock may be anybody's: it stays."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if not entry.name.startswith((PREFIX, UNFINISHED)):
                continue
            with contextlib.suppress(OSError):
                if _is_left_behind(Path(entry.path)):
                    yield Path(entry.path)


def _is_left_behind(folder: Path) -> bool:
    """Raises OSError where that cannot be told."""
    state = folder.lstat()
    if state.st_uid != os.geteuid() or not stat.S_ISDIR(state.st_mode):
        return False
    if folder.name.startswith(UNFINISHED):
        names = [path.name for path in folder.iterdir()]
        is_empty = not names or (names == [LOCK] and _is_free(folder / LOCK))
        return is_empty and time.time() - state.st_mtime > YOUNG
    return _is_free(folder / LOCK)


def _is_free(lock: Path) -> bool:
    """Whether nobody holds the lock; also of a process that we cannot see, in another container."""
    descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
