"""Whole files: what is written is there entirely, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STREAMS = ("/dev/", "/proc/")  # /dev/stdout is a name for what somebody else has opened


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what shall become the file: it takes that place when all of it is there.

    A link is followed. What is no regular file, as a pipe, cannot be replaced: it is written as it is.
    """
    if path.exists() and (not path.is_file() or str(path.absolute()).startswith(STREAMS)):
        yield path
        return
    path = path.resolve()
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
