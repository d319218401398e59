"""Texts that many lines share: compared in long words, for all lines at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.logs.blocks import Block, Positions
from opv2v_doctor.facts.logs.digits import gathered

LONG, SHORT = 32, 8  # bytes


@dataclass(frozen=True, kw_only=True)
class Anchored:
    """A text that every line has, and how far behind one of the line's marks it ends."""

    mark: int
    behind: int
    text: bytes


class SharedTexts:
    """Anchored texts, cut into words; the last word of a long text overlaps the one before it."""

    def __init__(self, texts: Sequence[Anchored]) -> None:
        pieces = [piece for text in texts for piece in _pieces(text)]
        self._words = [_Words(pieces, size) for size in (LONG, SHORT)]

    def hold(self, block: Block, marks: Positions) -> NDArray[np.bool_]:
        """Which of the lines with these marks have all the texts."""
        long, short = (words.hold(block, marks) for words in self._words)
        return long & short


def _pieces(text: Anchored) -> list[Anchored]:
    """The text in pieces of at most LONG bytes; those of a long one are all LONG."""
    length = len(text.text)
    if length < LONG:
        size = SHORT
        starts = list(range(0, max(1, length - size + 1), size))
        if starts[-1] + size < length:
            starts.append(length - size)
    else:
        size = LONG
        starts = [*range(0, length - size, size), length - size]
    return [
        Anchored(mark=text.mark, behind=text.behind - length + start, text=text.text[start : start + size])
        for start in starts
    ]


class _Words:
    """All pieces that are read as words of one size; `behind` is where each starts."""

    def __init__(self, pieces: Sequence[Anchored], size: int) -> None:
        chosen = [piece for piece in pieces if (len(piece.text) == LONG) == (size == LONG)]
        self._size = size
        self._marks = [piece.mark for piece in chosen]
        self._offsets = np.array([piece.behind for piece in chosen], np.int64)
        self._wanted = np.frombuffer(b"".join(piece.text.ljust(size, b"\0") for piece in chosen), "<u8")
        masks = b"".join((b"\xff" * len(piece.text)).ljust(size, b"\0") for piece in chosen)
        self._masks = np.frombuffer(masks, "<u8") if size == SHORT else None

    def hold(self, block: Block, marks: Positions) -> NDArray[np.bool_]:
        places = np.take(marks, self._marks, axis=1) + self._offsets
        found = gathered(block, places, self._size).reshape(len(marks), len(self._wanted))
        if self._masks is not None:
            found &= self._masks
        valid: NDArray[np.bool_] = (found == self._wanted).all(axis=1)
        return valid
