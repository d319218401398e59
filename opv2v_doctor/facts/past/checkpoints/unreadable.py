"""Why a checkpoint cannot be read, in words, and other words about checkpoints."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from opv2v_doctor.check import Finding, Findings, error, warning
from opv2v_doctor.facts.past.checkpoints.archives import ArchiveDamaged, NotExaminable
from opv2v_doctor.facts.past.checkpoints.movement import Movement
from opv2v_doctor.facts.past.checkpoints.scans import Scan
from opv2v_doctor.facts.past.checkpoints.weights import KindNotRead
from opv2v_doctor.facts.past.pickles.machine import PickleRefused, Refused
from opv2v_doctor.foreign_files import open_file
from opv2v_doctor.text import Command, Text, Value

SHOWN = 5


def few(names: Sequence[Value], most: int = SHOWN) -> list[Value]:
    """The first names, and how many follow; all of them belong into values that no template names."""
    return [*names[:most], *([f"… (+{len(names) - most})"] if len(names) > most else [])]


def copying(source: Path, to: Path) -> Command:
    """What puts one checkpoint in the place of another."""
    return Command(shlex.join(["cp", str(source), str(to)]))


def scanning(path: Path) -> Command:
    """What reads every value of a checkpoint, or of all in a folder."""
    return Command(f"opv2v-doctor checkpoint --deep {shlex.quote(str(path))}")


def not_finite(path: Path, scans: Sequence[Scan]) -> Findings:
    """The values of a checkpoint that are no finite numbers."""
    bad = [scan for scan in scans if scan.bad]
    if bad:
        yield error(
            "{n:value is|values are} NaN or infinite, in {some} of {tensors} tensors, first in {first}",
            at=path,
            hint="resume from an earlier checkpoint that is finite: {command} tells which are",
            n=sum(scan.bad for scan in bad),
            some=len(bad),
            tensors=len(scans),
            first=bad[0].name,
            bad={scan.name: scan.bad for scan in bad},
            command=scanning(path.parent),
        )


def not_read(
    path: Path, tensors: Sequence[Scan | Movement], weighed: Callable[..., Finding] = error
) -> Findings:
    """The tensors of a checkpoint that could not be read, as an error or `weighed` otherwise."""
    unread = [(each.name, each.problem) for each in tensors if each.problem]
    strange = [one for one in unread if isinstance(one[1], KindNotRead)]
    damaged = [one for one in unread if one not in strange]
    for found, by, hint in (
        (damaged, weighed, "compare it with a copy; use an intact checkpoint"),
        (strange, warning, "save them as plain tensors of float32 or bfloat16: then they are read"),
    ):
        if found:
            yield by(
                "{n:tensor was|tensors were} not read: {first}: {problem}",
                at=path,
                hint=hint,
                n=len(found),
                first=found[0][0],
                problem=found[0][1].reason,
            )


LFS, HTML = b"version https://git-lfs.github.com/spec/", (b"<!doctype html", b"<html")
XML = b"<?xml"


class CheckpointUnreadable(Refused):
    """Not a checkpoint that can be read; the reason says why."""


class CheckpointNotExamined(CheckpointUnreadable):
    """Nothing is known to be wrong with it, but only running it could tell what it holds."""

    def __init__(self, problem: NotExaminable) -> None:
        super().__init__(problem.reason)
        self.hint = problem.hint


@contextmanager
def reasons(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a file becomes CheckpointUnreadable, with the reason."""
    try:
        yield
    except FileNotFoundError:
        raise CheckpointUnreadable("a link to nothing" if path.is_symlink() else "no such file") from None
    except OSError as problem:
        raise CheckpointUnreadable("cannot be read: {problem}", problem=problem.strerror) from None
    except NotExaminable as problem:
        raise CheckpointNotExamined(problem) from None
    except (ArchiveDamaged, PickleRefused) as problem:
        raise CheckpointUnreadable(stand_in(path) or problem.reason) from None


def stand_in(path: Path) -> Text | None:
    """What lies in the place of a file that was never fetched; None for anything else."""
    head = _head(path)
    if head.startswith(LFS):
        return Text("a Git LFS pointer, not the file itself")
    if head.startswith(HTML):
        return Text("an HTML page, not the file itself")
    return (
        Text("an XML page, as a web server says an error, not the file itself")
        if head.startswith(XML)
        else None
    )


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
