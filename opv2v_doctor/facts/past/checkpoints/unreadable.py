"""Why a checkpoint cannot be read, in words."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opv2v_doctor.facts.past.checkpoints.directories import ArchiveDamaged, LegacyPickle
from opv2v_doctor.facts.past.pickles.machine import PickleRefused, Refused
from opv2v_doctor.foreign_files import open_file
from opv2v_doctor.text import Command, Text

LFS, HTML = b"version https://git-lfs.github.com/spec/", (b"<!doctype html", b"<html")

LEGACY = Text(  # what makes a file readable of which only running it could tell what it holds
    "if you trust who wrote it, load it with torch.load(PATH, weights_only=True) and save it again with "
    "torch.save: then it can be read without running it"
)


class CheckpointUnreadable(Refused):
    """Not a checkpoint that can be read; the reason says why."""


class CheckpointNotExamined(CheckpointUnreadable):
    """Nothing is known to be wrong with it, but only running it could tell what it holds."""


@contextmanager
def reasons(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a file becomes CheckpointUnreadable, with the reason."""
    try:
        yield
    except FileNotFoundError:
        raise CheckpointUnreadable("a link to nothing" if path.is_symlink() else "no such file") from None
    except OSError as problem:
        raise CheckpointUnreadable("cannot be read: {problem}", problem=problem.strerror) from None
    except LegacyPickle as problem:
        raise CheckpointNotExamined(problem.reason) from None
    except (ArchiveDamaged, PickleRefused) as problem:
        raise CheckpointUnreadable(stand_in(path) or problem.reason) from None


def stand_in(path: Path) -> Text | None:
    """What lies in the place of a file that was never fetched; None for anything else."""
    head = _head(path)
    if head.startswith(LFS):
        return Text("a Git LFS pointer, not the file itself")
    return Text("an HTML page, not the file itself") if head.startswith(HTML) else None


def _head(path: Path) -> bytes:
    """The first bytes; none of what is no file: a pipe would keep its reader waiting."""
    try:
        if not path.is_file():
            return b""
        with open_file(path) as file:
            return file.read(512).lstrip().lower()
    except OSError:
        return b""


def remedy(path: Path) -> Text:
    """What brings a file that cannot be read."""
    if _head(path).startswith(LFS):
        command = Command(f"git lfs pull --include {shlex.quote(path.name)}")
        return Text("fetch it: {command}", command=command)
    return Text("fetch the file again") if path.exists() else Text("correct the path, or fetch the file")
