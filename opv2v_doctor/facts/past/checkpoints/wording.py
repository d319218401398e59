"""Wording: many names in few words, the commands that hints name, and what several verdicts say alike."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from opv2v_doctor.check import Finding, Findings, error
from opv2v_doctor.facts.past.checkpoints.movement import Movement
from opv2v_doctor.facts.past.checkpoints.scans import Scan
from opv2v_doctor.text import Command, Value

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
    unread = [each for each in tensors if each.problem]
    if unread:
        yield weighed(
            "{n:tensor was|tensors were} not read: {first}: {problem}",
            at=path,
            hint="compare it with a copy; use an intact checkpoint",
            n=len(unread),
            first=unread[0].name,
            problem=unread[0].problem,
        )
