"""PLY files: a coloured cloud for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.atomic import whole

RECORD = np.dtype(
    [
        ("x", "<f4"),
        ("y", "<f4"),
        ("z", "<f4"),
        ("red", "u1"),
        ("green", "u1"),
        ("blue", "u1"),
        ("agent", "u1"),
    ]
)
NAMES = {"f4": "float", "u1": "uchar"}


def write_ply(
    path: Path,
    points: NDArray[np.floating],
    colours: NDArray[np.uint8],
    agents: NDArray[np.integer],
    comments: Sequence[str],
) -> None:
    """Write points (N, 3), metres, with colours (N, 3) and the number of each one's agent, as binary PLY."""
    rows = np.zeros(len(points), RECORD)
    rows["x"], rows["y"], rows["z"] = np.asarray(points, np.float32).T
    rows["red"], rows["green"], rows["blue"] = np.asarray(colours, np.uint8).T
    rows["agent"] = agents
    with whole(path) as partial:
        partial.write_bytes(_header(len(rows), comments) + rows.tobytes())


def _header(count: int, comments: Sequence[str]) -> bytes:
    kinds = {name: RECORD[name].str.lstrip("<|") for name in RECORD.names or ()}
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {' '.join(comment.split())}" for comment in comments),
        f"element vertex {count}",
        *(f"property {NAMES[kind]} {name}" for name, kind in kinds.items()),
        "end_header",
    ]
    return "".join(f"{line}\n" for line in lines).encode("ascii", "replace")
