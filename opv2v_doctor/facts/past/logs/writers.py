"""Writers: whether a log is still written: by who holds it, or because it grows. A copy is young, too."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.facts.past.logs.blocks import STDIN
from opv2v_doctor.foreign_files import text_of

LOOK = 0.5  # seconds between two looks at the size of a young file
YOUNG = 600.0  # seconds since it was written: older ones are not looked at twice


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How a log is written: the process that holds it, if it is seen, and seconds since the last byte."""

    process: int | None
    grows: bool
    age: float


def writing(path: Path) -> Writing | None:
    """Whether a log is still written; None where no process holds it and it does not grow."""
    if path == STDIN or not path.is_file():
        return None
    before = path.stat()
    age = max(0.0, time.time() - before.st_mtime)
    process = holder(path)
    if process is None and age < YOUNG:
        time.sleep(LOOK)
    grows = path.stat().st_size != before.st_size
    return Writing(process=process, grows=grows, age=age) if process is not None or grows else None


def holder(path: Path) -> int | None:
    """A process that has a file open for writing; None where there is none, or it may not be seen."""
    wanted = path.stat()
    for folder in sorted(Path("/proc").glob("[0-9]*/fd")):
        try:
            for each in folder.iterdir():
                found = each.stat()
                if (found.st_ino, found.st_dev) == (wanted.st_ino, wanted.st_dev) and _writes(
                    folder, each.name
                ):
                    return int(folder.parent.name)
        except OSError:  # it ended, or is somebody else's
            continue
    return None


def _writes(folder: Path, name: str) -> bool:
    lines = text_of(folder.parent / "fdinfo" / name).splitlines()
    flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
    return flags & os.O_ACCMODE != os.O_RDONLY
