"""Why a checkpoint cannot be read, in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opv2v_doctor.facts.checkpoints.directories import ArchiveDamaged, LegacyPickle
from opv2v_doctor.facts.pickles.machine import PickleRefused, printable


class CheckpointUnreadable(Exception):
    """Not a checkpoint that can be read; the message says why."""


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
        raise CheckpointUnreadable(f"cannot be read: {problem.strerror}") from None
    except LegacyPickle as problem:
        raise CheckpointNotExamined(printable(str(problem))) from None
    except (ArchiveDamaged, PickleRefused) as problem:
        raise CheckpointUnreadable(printable(str(problem))) from None
