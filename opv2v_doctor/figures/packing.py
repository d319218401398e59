"""Packing: arrays for a page, as one compressed text that its script unpacks into typed arrays."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEPS = 65535  # positions are 16-bit numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Positions as whole numbers of steps from a corner."""

    numbers: NDArray[np.uint16]  # (N, 3)
    corner: tuple[float, float, float]  # metres
    step: float  # metres; a position is off by at most half of it


def on_grid(points: NDArray[np.floating]) -> Grid:
    """Finite points (N, 3) on the finest grid of 16 bits that holds them all; one step for all axes."""
    if not len(points):
        return Grid(numbers=np.zeros((0, 3), np.uint16), corner=(0.0, 0.0, 0.0), step=0.0)
    known = np.asarray(points, np.float64)
    low, high = known.min(0), known.max(0)
    step = float((high - low).max()) / STEPS
    numbers = np.rint((known - low) / step) if step else np.zeros_like(known)
    x, y, z = low.tolist()
    return Grid(numbers=numbers.astype(np.uint16), corner=(x, y, z), step=step)


def differences(numbers: NDArray[np.uint16]) -> bytes:
    """Columns of 16-bit numbers as changes from row to row: neighbours are alike, so this packs well.

    Low bytes first, then high bytes, column by column; sums wrap round.
    """
    columns = np.ascontiguousarray(numbers.T)
    changes = np.diff(columns, axis=1, prepend=np.uint16(0)).astype("<u2")  # wraps, as does the page's sum
    return np.ascontiguousarray(changes.view(np.uint8).reshape(3, -1, 2).transpose(0, 2, 1)).tobytes()


def pack(parts: Sequence[bytes]) -> str:
    """The parts, one after another, compressed, as text."""
    return base64.b64encode(gzip.compress(b"".join(parts), 6, mtime=0)).decode("ascii")
