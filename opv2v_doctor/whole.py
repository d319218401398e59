"""Whole files: what is written is there entirely, or not at all, and replaces nothing but what is ours."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opv2v_doctor.ours import descriptor_of, is_stream, verify_replaceable
from opv2v_doctor.scratch import scratch


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
    partial = real.with_name(f".opv2v-doctor-{secrets.token_hex(8)}.partial")
    try:
        yield partial
        if not judged:
            verify_replaceable(real)  # the work may have taken days
        partial.replace(real)
    finally:
        partial.unlink(missing_ok=True)


def _pass_on(content: Path, stream: Path) -> None:
    """Write into a stream where it stands: what it was given before stays."""
    sys.stdout.flush()
    descriptor = descriptor_of(stream)
    into = stream.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb")
    with content.open("rb") as source, into as sink:
        shutil.copyfileobj(source, sink)
