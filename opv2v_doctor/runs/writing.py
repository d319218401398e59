"""Writing whole files or none: a temporary file, its content on the disk, then a rename."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PROBE = 1 << 14  # bytes


class NotWritten(Exception):
    """A file of a run could not be written; what was there before is as it was."""


def write(path: Path, content: bytes) -> None:
    """Write a file so that any reader, also after a crash, sees the old content or the new.

    Raises NotWritten with the reason.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        _write_through(partial, content)
        partial.replace(path)
        _remember(path.parent)
    except OSError as problem:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise NotWritten(_reason(path, len(content), problem)) from None


def write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files into a folder, or none of them. Raises NotWritten with the reason."""
    written: list[Path] = []
    try:
        for name, content in files.items():
            written.append(folder / name)
            write(folder / name, content)
    except NotWritten:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def has_room(folder: Path) -> bool:
    """Whether a small file can be written there; quotas count, which free bytes do not tell."""
    probe = folder / ".room"
    try:
        _write_through(probe, bytes(PROBE))
    except OSError as problem:
        return problem.errno not in ROOM
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return True


def _write_through(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remember(folder: Path) -> None:
    """The rename itself shall survive a power loss; not every file system can promise that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(path: Path, size: int, problem: OSError) -> str:
    if problem.errno not in ROOM:
        return f"{path} cannot be written: {problem.strerror}"
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(path.parent).free
        return f"{path} cannot be written: no room ({size:,} bytes wanted, {free:,} free in {path.parent})"
    return f"{path} cannot be written: {problem.strerror}"
