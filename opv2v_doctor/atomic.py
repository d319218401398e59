"""Atomic writes: what is written is there entirely or not at all, whenever a process or the machine dies."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from opv2v_doctor.own_reports import descriptor_of, is_stream, verify_replaceable
from opv2v_doctor.scratch import scratch

ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PROBE = 1 << 14  # bytes


class NotWritten(Exception):
    """A file of a run could not be written; what was there before is as it was."""


@contextmanager
def whole(path: Path, *, judged: bool = False) -> Iterator[Path]:
    """Where to write what shall become the file: it takes that place when all of it is there.

    A link is followed. A stream, as a pipe, cannot be replaced: it is given all of it at the end. Raises
    UsageError where somebody else's file is in the way, unless the caller has judged that.
    """
    if is_stream(path):
        with scratch("report") as folder:
            partial = folder / "partial"
            yield partial
            _pass_on(partial, path)
        return
    if not judged:
        verify_replaceable(path)
    real = path.resolve()
    with _partial(real.with_name(f".opv2v-doctor-{secrets.token_hex(8)}.partial")) as partial:
        yield partial
        if not judged:
            verify_replaceable(real)  # the work may have taken days
        partial.replace(real)


def write(path: Path, content: bytes) -> None:
    """Write a file of a run so that any reader, also after a crash of the machine, sees the old or the new.

    Raises NotWritten with the reason.
    """
    try:
        with _partial(path.with_name(f".{path.name}.partial")) as partial:
            _write_through(partial, content)
            partial.replace(path)
        _remember(path.parent)
    except OSError as problem:
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
    try:
        with _partial(folder / ".room") as probe:
            _write_through(probe, bytes(PROBE))
    except OSError as problem:
        return problem.errno not in ROOM
    return True


@contextmanager
def _partial(path: Path) -> Iterator[Path]:
    """A file on its way; what is left of it goes."""
    try:
        yield path
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


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
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(path: Path, size: int, problem: OSError) -> str:
    if problem.errno not in ROOM:
        return f"{path} cannot be written: {problem.strerror}"
    with suppress(OSError):
        free = shutil.disk_usage(path.parent).free
        return f"{path} cannot be written: no room ({size:,} bytes wanted, {free:,} free in {path.parent})"
    return f"{path} cannot be written: {problem.strerror}"


def _pass_on(content: Path, stream: Path) -> None:
    """Write into a stream where it stands: what it was given before stays."""
    sys.stdout.flush()
    descriptor = descriptor_of(stream)
    into = stream.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb")
    with content.open("rb") as source, into as sink:
        shutil.copyfileobj(source, sink)
