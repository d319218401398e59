"""Clouds: LiDAR points of a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor import clouds
from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.disk.frames import Frame
from opv2v_doctor.foreign_files import bytes_of
from opv2v_doctor.geometry.poses import UE_TO_OPENCV
from opv2v_doctor.state import of_file
from opv2v_doctor.text import Text

LARGEST_FILE = 128 << 20  # bytes
MOST_POINTS = 20_000  # more say nothing new

Array = NDArray[np.float64]


def cloud(frame: Frame) -> Array | None:
    """Points (N, 3) around the LiDAR, OpenCV axes, metres; None where the frame has none.

    Raises Blocked where the file cannot be read.
    """
    return _points(frame.cloud) if frame.agent.has(frame.cloud) else None


@of_file(most=64)
def _points(path: Path) -> Array:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise Blocked("{file}: larger than {limit} MB", file=path, limit=LARGEST_FILE >> 20)
        points = clouds.points(bytes_of(path), path.name)
    except (OSError, ValueError, KeyError) as problem:
        raise Blocked("{file}: {problem}", file=path, problem=_words(problem)) from None
    points = points[np.isfinite(points).all(-1)]
    return np.asarray(points[:: max(1, -(-len(points) // MOST_POINTS))] @ UE_TO_OPENCV.T)


def _words(problem: Exception) -> str | Text:
    """What is wrong with a file: in our words where we found it, else in those of who did."""
    said = problem.args[0] if problem.args else ""
    return said if isinstance(said, Text) else str(problem)
