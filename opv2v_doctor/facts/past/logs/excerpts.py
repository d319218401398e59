"""Excerpts: the lines around some lines of a text, a log or a source file, read once, never as a whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from opv2v_doctor.facts.past.logs.blocks import blocks, chunks
from opv2v_doctor.facts.past.logs.event_files import is_event_file
from opv2v_doctor.neutral import printable

LONGEST = 240  # characters of a line that are shown


def excerpts(path: Path, lines: Collection[int], around: int = 2) -> Mapping[int, list[tuple[int, str]]]:
    """For each of these lines of a file the lines around it, with their numbers; none where it is no text.

    Raises OSError where the file cannot be read.
    """
    wanted = sorted({near for line in lines for near in range(max(1, line - around), line + around + 1)})
    if not wanted or is_event_file(path):
        return {}
    found: dict[int, str] = {}
    for block in blocks(chunks(path)):
        if block.line > wanted[-1]:
            break
        last = block.line + len(block.ends) - 1
        for number in wanted:
            if block.line <= number <= last:
                found[number] = _shown(block.text(number - block.line))
    near = {line: range(line - around, line + around + 1) for line in lines if line in found}
    return {line: [(n, found[n]) for n in numbers if n in found] for line, numbers in near.items()}


def _shown(line: bytes) -> str:
    text = line[: 4 * LONGEST].decode("utf-8", "replace").rstrip().replace("\t", "    ")
    return printable(text if len(text) <= LONGEST else f"{text[:LONGEST]} …")
