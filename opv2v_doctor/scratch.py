"""Scratch: folders for what is needed while a process lives, gone when it ends, however it ends."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "opv2v-doctor-"
LOCK = ".alive"  # locked by the folder's owner; the kernel lets go of it when that dies
YOUNG = 60.0  # seconds: a folder that was just made may not be locked yet

_locks: list[int] = []  # open as long as we live


def scratch_folder(purpose: str = "") -> Path:
    """A new folder of this process's own, gone at its end; those of killed processes go first."""
    for folder in _left_behind(Path(tempfile.gettempdir())):
        shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{purpose}{'-' if purpose else ''}"))
    atexit.register(_remove, folder, os.getpid())  # at once: a signal may end us any moment
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    with contextlib.suppress(OSError):  # a filesystem without locks: then nobody removes it but we
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _locks.append(lock)
    return folder


def _remove(folder: Path, owner: int) -> None:
    """At the end of the process that made it, not of one that was forked from it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _left_behind(place: Path) -> Iterator[Path]:
    """Our user's folders whose owner is gone. One without a lock may be anybody's: it stays."""
    for folder in place.glob(f"{PREFIX}*"):
        try:
            state = folder.lstat()
            ours = state.st_uid == os.geteuid() and folder.is_dir() and not folder.is_symlink()
            if ours and time.time() - state.st_mtime > YOUNG and _is_free(folder / LOCK):
                yield folder
        except OSError:
            continue


def _is_free(lock: Path) -> bool:
    """Whether nobody holds the lock; also of a process that we cannot see, in another container."""
    descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
