"""The output of a launch: a file for each rank, followed while they grow, and their last lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.foreign_files import open_file

OWN = "launch.log"  # the launcher's own words; all there is of a training without torchrun
CHUNK, LONGEST = 1 << 20, 1 << 16  # bytes; of a line that does not end, what there is
TAIL = 1 << 14


@dataclass(frozen=True, kw_only=True)
class OutputLine:
    """One line of output, and the rank that wrote it; None: torchrun, or a training of one process."""

    rank: int | None
    text: str


class Output:
    """The output files of one launch, and how far they are read."""

    def __init__(self, folder: Path, first_rank: int = 0) -> None:
        self.folder = folder
        self._first_rank = first_rank  # of this node
        self._read: dict[Path, int] = {}
        self._waiting: dict[Path, bytes] = {}

    def new_lines(self, *, end: bool = False) -> Iterator[OutputLine]:
        """What was written since the last call: whole lines, at the end also one that does not end."""
        for path in self.files():
            text = self._waiting.pop(path, b"") + self._new_bytes(path)
            *lines, rest = re.split(rb"\r?\n|\r", text)
            if rest and (end or len(rest) > LONGEST):
                lines.append(rest)
            elif rest:
                self._waiting[path] = rest
            for line in lines:
                yield OutputLine(rank=self.rank_of(path), text=line.decode("utf-8", "replace"))

    def _new_bytes(self, path: Path) -> bytes:
        try:
            with open_file(path) as file:
                file.seek(self._read.get(path, 0))
                found = file.read(CHUNK)
        except OSError:
            return b""
        self._read[path] = self._read.get(path, 0) + len(found)
        return found

    def files(self) -> list[Path]:
        """The files that are there by now; torchrun names folders for attempts and ranks."""
        ranks = [path for name in ("stdout.log", "stderr.log") for path in self.folder.glob(f"*/*/*/{name}")]
        return [self.folder / OWN, *sorted(ranks)]

    def rank_of(self, path: Path) -> int | None:
        """The rank that writes a file."""
        return None if path.name == OWN else self._first_rank + int(path.parent.name)

    def last_lines(self, rank: int | None, count: int) -> tuple[str, ...]:
        """The last lines that a rank wrote, errors after the rest."""
        texts = [_tail(path) for path in self.files() if self.rank_of(path) == rank]
        lines = [line.rstrip() for text in reversed(texts) for line in text.splitlines() if line.strip()]
        return tuple(lines[-count:])


def _tail(path: Path) -> str:
    """The end of a file."""
    try:
        with open_file(path) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
