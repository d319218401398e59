"""Runs: the directory that the last training wrote into, its checkpoints, and the length of its epochs."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.check import Skip
from opv2v_doctor.facts.launch.config import run_directory
from opv2v_doctor.foreign_files import open_file
from opv2v_doctor.state import fact, of_file
from opv2v_doctor.target import Target

LAST, BEST = "checkpoint-last.pth", "checkpoint-best.pth"
CHECKPOINTS, LEFTOVERS, LOG = "checkpoint-*.pth", "*.pth.tmp", "train.log"
CHUNK, LONGEST_HEADER, PREFIX = 1 << 20, 256, 32  # bytes
_header = re.compile(rb"Epoch: \[(\d{1,9})(?:/\d{1,9})?\]\s{1,9}\[\s{0,9}\d{1,12}/(\d{1,12})\]")
_evaluation = re.compile(rb"(?i)\b(test|eval|val|valid|validation)\s$")


@dataclass(frozen=True, kw_only=True)
class EpochLength:
    """The number of steps that the log gives an epoch, at the last line that says so."""

    epoch: int
    steps: int
    log: Path
    line: int


@fact
def last_run(target: Target) -> Path | None:
    """The run that is examined: the one asked for, else the launch's own directory, else its newest sibling.

    A directory that is named for the time of the launch (`<now:%Y-%m-%d>`) is new each time: what an earlier
    launch left lies beside it. None where no training has written anything yet.
    """
    if target.run is not None:
        return target.run
    folder = run_directory(target)
    if "<now:" not in folder:
        place = target.cwd / folder
        return place if _has(place, CHECKPOINTS, LEFTOVERS, LOG) else None
    anchor = Path(Path(folder).anchor) if Path(folder).is_absolute() else target.cwd
    found = anchor.glob(_siblings(folder.removeprefix(str(anchor))))
    runs = [place for place in found if _has(place, CHECKPOINTS)]
    return max(runs, key=lambda place: (_time_of_change(place), str(place)), default=None)


def _siblings(folder: str) -> str:
    """A glob of all directories that other launches of the same config would have got."""
    parts = re.split(r"<now:([^>]*)>", folder)
    text = (re.sub("%.", "*", part) if n % 2 else glob.escape(part) for n, part in enumerate(parts))
    return re.sub(r"\*+", "*", "".join(text))  # %Y%m%d is one star: two have a meaning of their own


def _has(folder: Path, *patterns: str) -> bool:
    return any(True for pattern in patterns for _ in folder.glob(pattern))


def _time_of_change(folder: Path) -> float:
    return max(path.lstat().st_mtime for path in folder.glob(CHECKPOINTS))


def saved_checkpoints(target: Target) -> tuple[Path, ...]:
    """The checkpoints of the last run. Raises Skip where there is none yet."""
    found = checkpoints(target)
    if not found:
        place = last_run(target) or target.cwd / run_directory(target)
        raise Skip("no checkpoint yet in {place}", place=place)
    return found


def checkpoints(target: Target) -> tuple[Path, ...]:
    """The checkpoints of the last run: the numbered ones in their order, then the others by name."""
    run = last_run(target)
    found = run.glob(CHECKPOINTS) if run else ()
    return tuple(sorted(found, key=lambda path: (number_of(path) is None, number_of(path) or 0, path.name)))


def leftovers(target: Target) -> tuple[Path, ...]:
    """What saves that were killed left behind in the last run."""
    run = last_run(target)
    return tuple(sorted(run.glob(LEFTOVERS))) if run else ()


def number_of(checkpoint: Path) -> int | None:
    """N of `checkpoint-N.pth`, None for last, best and final."""
    found = re.fullmatch(r"checkpoint-(\d{1,9})\.pth", checkpoint.name)
    return int(found[1]) if found else None


def steps_per_epoch_of(run: Path) -> tuple[int, Path, int] | None:
    """Steps per epoch that the run's log said last, with file and line; None where no log says it."""
    lengths = epoch_lengths(run)
    if not lengths:
        return None
    last = max(lengths, key=lambda length: length.line)
    return last.steps, last.log, last.line


def epoch_lengths(run: Path) -> tuple[EpochLength, ...]:
    """The length of each training epoch that the run's log shows, in the order of the epochs."""
    for log in _logs(run):
        if lengths := _lengths_in(log):
            return lengths
    return ()


def _logs(run: Path) -> list[Path]:
    """The run's logs: train.log first, then the others, newest first."""
    found = [path for path in run.glob("*.log") if path.is_file()]
    return sorted(found, key=lambda path: (path.name != LOG, -path.stat().st_mtime))


@of_file(most=8)
def _lengths_in(log: Path) -> tuple[EpochLength, ...]:
    """Each epoch's last word: a resumed run may write the same epoch again, with another length."""
    found = {length.epoch: length for length in _headers(log)}
    return tuple(found[epoch] for epoch in sorted(found))


def _headers(log: Path) -> Iterator[EpochLength]:
    """Every training header, read in chunks: a log of any size, with lines of any length, takes no memory."""
    text, line, seen, more = b"", 1, 0, True
    with open_file(log) as file:
        while more:
            chunk = file.read(CHUNK)
            more, text = bool(chunk), text + chunk
            end = max(seen, len(text) - LONGEST_HEADER) if more else len(text)
            yield from _headers_in(text, seen, end, line, log)
            behind = max(0, end - PREFIX)  # kept: what stands before a header tells a test from a training
            line += text.count(b"\n", 0, behind)
            text, seen = text[behind:], end - behind


def _headers_in(text: bytes, start: int, end: int, line: int, log: Path) -> Iterator[EpochLength]:
    counted = 0
    for found in _header.finditer(text, start):
        at = found.start()
        if at >= end:
            return
        if not _evaluation.search(text[max(0, at - PREFIX) : at]):
            line += text.count(b"\n", counted, at)
            counted = at
            yield EpochLength(epoch=int(found[1]), steps=int(found[2]), log=log, line=line)
