"""Clouds: LiDAR points of a frame, from PCD files, ASCII or binary; nothing else is accepted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.disk.frames import Frame
from opv2v_doctor.foreign_files import bytes_of
from opv2v_doctor.geometry.poses import UE_TO_OPENCV
from opv2v_doctor.state import of_file
from opv2v_doctor.text import Text

LARGEST_FILE = 128 << 20  # bytes
LONGEST_HEADER = 4096
MOST_POINTS = 20_000  # more say nothing new
KINDS = {("F", 4): "<f4", ("F", 8): "<f8", ("U", 1): "u1", ("U", 4): "<u4", ("I", 4): "<i4"}

Array = NDArray[np.float64]


def cloud(frame: Frame) -> Array | None:
    """Points (N, 3) around the LiDAR, OpenCV axes, metres; None where the frame has none.

    Raises Blocked where the file cannot be read.
    """
    path = frame.agent.folder / f"{frame.name}.pcd"
    return _points(path) if frame.agent.has(path) else None


@of_file(most=64)
def _points(path: Path) -> Array:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise Blocked("{file}: larger than {limit} MB", file=path, limit=LARGEST_FILE >> 20)
        points = read_points(bytes_of(path))
    except (OSError, ValueError, KeyError) as problem:
        raise Blocked("{file}: {problem}", file=path, problem=_words(problem)) from None
    points = points[np.isfinite(points).all(-1)]
    return np.asarray(points[:: max(1, -(-len(points) // MOST_POINTS))] @ UE_TO_OPENCV.T)


def _words(problem: Exception) -> str | Text:
    """What is wrong with a file: in our words where we found it, else in those of who did."""
    said = problem.args[0] if problem.args else ""
    return said if isinstance(said, Text) else str(problem)


def read_points(content: bytes) -> Array:
    """The x, y and z (N, 3) of a PCD file. Raises ValueError where it is damaged or of another kind."""
    header, body = _header_and_body(content)
    names = header["FIELDS"].split()
    count = int(header["POINTS"])
    if any(axis not in names for axis in "xyz") or set(header.get("COUNT", "1").split()) != {"1"}:
        raise ValueError(
            Text("its fields are {names}, not x y z with one number each", names=repr(" ".join(names)[:80]))
        )
    if header["DATA"] == "ascii":
        return _from_text(body, names, count)
    if header["DATA"] == "binary":
        return _from_binary(body, names, count, header)
    raise ValueError(Text("DATA {kind} is neither ascii nor binary", kind=repr(header["DATA"][:40])))


def _header_and_body(content: bytes) -> tuple[dict[str, str], bytes]:
    """The header's words by key, and what follows it."""
    header: dict[str, str] = {}
    place = 0
    while "DATA" not in header:
        end = content.find(b"\n", place, LONGEST_HEADER)
        if end < 0:
            raise ValueError(Text("not a PCD file: no DATA line"))
        key, _, words = content[place:end].decode("ascii", "replace").strip().partition(" ")
        header[key], place = words.strip(), end + 1
    return header, content[place:]


def _from_text(body: bytes, names: list[str], count: int) -> Array:
    numbers = np.array(body.split(), dtype=np.float64)
    if numbers.size != count * len(names):
        raise ValueError(
            Text(
                "{found} numbers, expected {points:point|points} of {each} numbers",
                found=numbers.size,
                points=count,
                each=len(names),
            )
        )
    return np.asarray(numbers.reshape(count, len(names))[:, [names.index(axis) for axis in "xyz"]])


def _from_binary(body: bytes, names: list[str], count: int, header: dict[str, str]) -> Array:
    sizes = (int(word) for word in header["SIZE"].split())
    kinds = [KINDS[pair] for pair in zip(header["TYPE"].split(), sizes, strict=True)]
    record = np.dtype(list(zip(names, kinds, strict=True)))
    if len(body) < count * record.itemsize:
        raise ValueError(
            Text(
                "truncated: {found} bytes, {points:point|points} need {needed}",
                found=len(body),
                points=count,
                needed=count * record.itemsize,
            )
        )
    points = np.frombuffer(body, record, count)
    return np.stack([points[axis].astype(np.float64) for axis in "xyz"], axis=-1)
