"""Blocks: a log as pieces of whole lines, in bounded memory, whatever lies in the file."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.past.logs.encodings import as_utf8, pieces, unpacked, without_colours
from opv2v_doctor.foreign_files import open_file

BLOCK = 1 << 20  # bytes: the arrays of one block stay in the cache of the processor
LONGEST_LINE = 1 << 20  # bytes; what is longer is cut, and said
PAD = b"\n" * 160  # readable bytes behind the last line, for words that are read as a whole
PAUSE = 0.2  # seconds between two looks at a growing file
STDIN = Path("-")

Positions = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some whole lines of a log; the last one may lack its end where the log does."""

    data: bytes  # the lines, then PAD
    line: int  # the number of the first one
    terminated: bool = True  # whether the last line ends with a line end
    nulls: int = 0  # NUL bytes that were taken out
    nulls_at: int = 0  # the line that they stood in
    nulls_last: bool = False  # whether they are the end of the log
    cut: int = 0  # lines that were longer than can be read

    @cached_property
    def array(self) -> NDArray[np.uint8]:
        return np.frombuffer(self.data, np.uint8)

    @cached_property
    def ends(self) -> Positions:
        """Where each line ends."""
        return np.flatnonzero(self.array[: len(self.data) - len(PAD)] == 10)

    @cached_property
    def starts(self) -> Positions:
        """Where each line starts."""
        return np.concatenate((np.zeros(1, np.int64), self.ends[:-1] + 1))[: len(self.ends)]

    @cached_property
    def marks(self) -> Positions:
        """Where the colons and dots are: what the layout of a line of metrics hangs on."""
        text = self.array[: len(self.data) - len(PAD)]
        found = text == ord(":")
        found |= text == ord(".")
        return np.flatnonzero(found)

    @cached_property
    def first_marks(self) -> Positions:
        """The index of each line's first mark, and one more."""
        return np.searchsorted(self.marks, np.append(self.starts, len(self.data)))

    def text(self, index: int) -> bytes:
        """One line, without its end."""
        return self.data[self.starts[index] : self.ends[index]]


def blocks(chunks: Iterable[bytes]) -> Iterator[Block]:
    """Cut a stream of bytes into blocks of whole lines."""
    keep_freed_memory()
    rest, line, cut = b"", 1, 0
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if not end:
            rest += chunk
            rest = rest[max(0, rest.rfind(b"\r", 0, -1)) :]  # a progress bar: what a terminal shows of it
            if len(rest) > LONGEST_LINE:  # keep the head, which says what it is
                rest, cut = rest[:LONGEST_LINE].strip(b"\0")[:LONGEST_LINE], cut + (not cut)
            continue
        block = _block(b"".join((rest, memoryview(chunk)[:end], PAD)), line, cut)
        line += len(block.ends)
        rest, cut = chunk[end:], 0
        yield block
    if rest:
        yield _block(rest + b"\n" + PAD, line, cut, terminated=False)


def keep_freed_memory() -> None:
    """Let the C library keep what is freed, up to some dozen megabytes, instead of giving it back each time.

    glibc takes the size of a large piece that was freed as the size from which on pieces are worth returning.
    Without this, the arrays of every block are fresh pages, and a fourth of the time goes into making them.
    """
    bytes(31 << 20)


def _block(text: bytes, line: int, cut: int, terminated: bool = True) -> Block:
    nulls = text.count(b"\0") if b"\0" in text else 0
    at = line + text.count(b"\n", 0, text.find(b"\0")) if nulls else 0
    last = nulls > 0 and text.rstrip(b"\n").endswith(b"\0")
    if nulls:
        text = text.replace(b"\0", b"")
    text = without_colours(text)
    if b"\r" in text and b"\r\n" in text:
        text = text.replace(b"\r\n", b"\n")
    return Block(
        data=text, line=line, terminated=terminated, nulls=nulls, nulls_at=at, nulls_last=last, cut=cut
    )


def chunks(path: Path, size: int = BLOCK) -> Iterator[bytes]:
    """A file, or standard input, piece by piece."""
    if path == STDIN:
        yield from as_utf8(pieces(sys.stdin.buffer, size))
        return
    with open_file(path) as file, unpacked(file, path) as content:
        yield from as_utf8(pieces(content, size))


def growing(path: Path, idle: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """A file that is still written; `idle` is called when there is nothing new.

    It ends when the file becomes shorter or another one takes its place: what follows is another log. One
    that was renamed or removed is read on as long as nothing takes its place: who writes it goes on, too.
    """
    with _open(path, idle) as file:
        yield from as_utf8(_growing(file, path, idle))


def _growing(file: IO[bytes], path: Path, idle: Callable[[], None]) -> Iterator[bytes]:
    while chunk := _next(file, path, idle):
        yield chunk
    yield from pieces(file, BLOCK)  # what was written before the other one was there


def _open(path: Path, idle: Callable[[], None]) -> IO[bytes]:
    """The file, once it is there: what took another one's place may be gone again."""
    while True:
        try:
            return open_file(path)
        except FileNotFoundError:
            idle()
            time.sleep(PAUSE)


def _next(file: IO[bytes], path: Path, idle: Callable[[], None]) -> bytes:
    """The next piece of a growing file; empty when it was cut off or replaced."""
    while not (chunk := file.read(BLOCK)):
        if _is_replaced(file, path):
            return b""
        idle()
        time.sleep(PAUSE)
    return chunk


def _is_replaced(file: IO[bytes], path: Path) -> bool:
    opened = os.fstat(file.fileno())
    try:
        now = path.stat()
    except FileNotFoundError:
        now = opened
    return (now.st_ino, now.st_dev) != (opened.st_ino, opened.st_dev) or opened.st_size < file.tell()
