"""Trials: one input after the other, each within its time and memory, in a process that may die of it."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

import typer

from fuzz import Subject, source, subject
from fuzz.execution import Executed
from opv2v_doctor.user_error import UsageError

LIMIT = 20.0  # seconds of CPU for one input; the slowest known takes a twentieth of it
LARGEST = 4 << 30  # bytes of memory that a process may ask for
INPUT = "input"


class TookTooLong(BaseException):
    """An input that takes longer than LIMIT. No handler for `Exception` may hide it."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What became of one input; an empty problem is a good end."""

    number: int
    size: int
    seconds: float  # of CPU
    problem: str = ""
    place: str = ""  # the innermost line of ours: findings at one place are one finding
    details: str = ""


def tried(subject: Subject, content: bytes, folder: Path, number: int = 0) -> Trial:
    """Examine one input; whatever happens is told, unless the process dies of it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begun = time.process_time()
    problem, place, details = "", "", ""
    signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        subject.examine(content, folder)
    except (Exception, Executed, TookTooLong) as raised:
        problem = f"{type(raised).__name__}: {raised}"[:300]
        place, details = _innermost(raised), traceback.format_exc(limit=-8)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = time.process_time() - begun
    return Trial(
        number=number, size=len(content), seconds=seconds, problem=problem, place=place, details=details
    )


def ended(command: Callable[[], object]) -> None:
    """Run a command as a user gives it: exit codes, and what the program says in one line, are answers."""
    try:
        command()
    except (typer.Exit, UsageError):
        return
    except OSError as problem:
        if problem.filename is None:
            raise


def _stop(_: int, __: FrameType | None) -> None:
    raise TookTooLong(f"more than {LIMIT:g} s of CPU")


def _innermost(raised: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(raised.__traceback__) if "site-packages" not in f.filename]
    return f"{type(raised).__name__} {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def main(name: str, seed: int, first: int, place: Path) -> None:
    """Try the inputs from the first one on, and write a line for each; the last input stays in its file."""
    resource.setrlimit(resource.RLIMIT_DATA, (LARGEST, LARGEST))
    found = subject(name)
    seeds = found.seeds()
    for content in seeds[:20]:  # whatever is imported late is imported now
        tried(found, content[:20_000], place / "trial")
    number = first
    while True:
        content = found.mutated(seeds, source(seed, number))
        (place / INPUT).write_bytes(content)
        sys.stdout.write(json.dumps({**asdict(tried(found, content, place / "trial", number))}) + "\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
