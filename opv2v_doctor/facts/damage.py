"""Damage: what is wrong with a file of a frame, told from its beginning and end, without decoding it."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from time import monotonic
from zlib import crc32

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.frames import Disk, Frame, disk, frame_file
from opv2v_doctor.target import Target

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND\xaeB`\x82"
PATIENCE = 3.0  # seconds a split: opening every file of the full OPV2V would take minutes


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """A file that the training would fail on."""

    path: Path
    problem: str
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What was found in a split, and how much of it was looked into."""

    files: tuple[Damaged, ...]
    frames: int  # of which all files were looked for
    opened: int  # frames whose files were opened too, before patience ended


@cache
def damage(target: Target, split: str) -> Damage:
    """Missing files among all frames, and damaged ones among as many, spread evenly, as there is time for."""
    found, opened = list(_missing(disk(target, split))), 0
    gone = {entry.path for entry in found}
    end = monotonic() + PATIENCE
    for frame in _spread(disk(target, split).frames):
        if monotonic() > end:
            break
        opened += 1
        found += [entry for entry in _damaged(disk(target, split), frame) if entry.path not in gone]
    return Damage(files=tuple(found), frames=len(disk(target, split).frames), opened=opened)


def _spread(frames: tuple[Frame, ...]) -> list[Frame]:
    """All frames, in an order of which every beginning is spread over the whole."""
    return sorted(frames, key=lambda frame: crc32(str(frame.yaml).encode()))


def _files_of(where: Disk, frame: Frame) -> list[Path]:
    """What the dataset reads for a frame, but for a camera that its whole scenario lacks."""
    present = where.by_name[frame.agent.scenario].cameras
    cameras = [camera for camera in where.cameras if camera in present]
    return [path for camera in cameras for path in (frame.image(camera), frame.depth(camera))]


def _missing(where: Disk) -> list[Damaged]:
    """Files that a frame should have and that are not in its folders."""
    return [
        Damaged(path=path, problem="missing")
        for frame in where.frames
        for path in _files_of(where, frame)
        if not frame.agent.has(path)
    ]


def _damaged(where: Disk, frame: Frame) -> list[Damaged]:
    found = [yaml_damage(frame.yaml)]
    for path in _files_of(where, frame):
        problem = npy_damage(path) if path.suffix == ".npy" else png_damage(path)
        found.append(Damaged(path=path, problem=problem) if problem else None)
    return [entry for entry in found if entry is not None]


def yaml_damage(path: Path) -> Damaged | None:
    """Why a frame file cannot be used, with its line."""
    try:
        content = frame_file(path)
    except Blocked as blocked:
        lines = re.findall(r"line (\d+)", str(blocked))
        problem = str(blocked).removeprefix(f"{path}: ")
        return Damaged(path=path, problem=problem, line=int(lines[-1]) if lines else None)
    return None if "lidar_pose" in content else Damaged(path=path, problem="it has no lidar_pose", line=1)


def png_damage(path: Path) -> str | None:
    """Why a PNG cannot be read to its end."""
    try:
        with path.open("rb") as file:
            begins = file.read(8) == PNG_SIGNATURE
            size = file.seek(0, 2)
            file.seek(max(0, size - 8))
            ends = file.read() == PNG_END
    except OSError as problem:
        return problem.strerror or str(problem)
    return None if begins and ends else ("truncated: it has no end" if begins else "not a PNG")


def image_size(path: Path) -> tuple[int, int]:
    """Width and height from a PNG's header. Raises Blocked where it is none."""
    try:
        with path.open("rb") as file:
            header = file.read(24)
    except OSError as problem:
        raise Blocked(f"{path}: {problem.strerror}") from None
    if header[:8] != PNG_SIGNATURE or len(header) < 24:
        raise Blocked(f"{path}: not a PNG")
    width, height = struct.unpack(">II", header[16:24])
    return width, height


@dataclass(frozen=True, kw_only=True)
class RawDepth:
    """Fractions of a depth file's pixels, before the dataset mends them, and whether all are one number."""

    nan: float
    infinite: float
    zero: float
    constant: bool


@cache
def raw_depth(path: Path) -> RawDepth | None:
    """What a depth file holds, None where it cannot be read. A pickle in it is not opened."""
    import numpy as np

    try:
        depth = np.load(path, mmap_mode="r", allow_pickle=False)
        values = np.asarray(depth, dtype=np.float32)
    except (OSError, ValueError, TypeError, EOFError):
        return None
    known = values[np.isfinite(values)]
    return RawDepth(
        nan=float(np.isnan(values).mean()),
        infinite=float(np.isinf(values).mean()),
        zero=float((values == 0).mean()),
        constant=known.size > 0 and float(known.min()) == float(known.max()),
    )


def npy_damage(path: Path) -> str | None:
    """Why an array cannot be read, told from its header and its size."""
    from numpy.lib import format as npy

    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(file)
            begin, size = file.tell(), file.seek(0, 2)
    except OSError as problem:
        return problem.strerror or str(problem)
    except (ValueError, EOFError) as problem:
        return f"not an array: {problem}"
    if dtype.hasobject:
        return "it holds pickled objects, which run code when they are read"
    wanted = begin + dtype.itemsize * prod(shape)
    return None if size >= wanted else f"truncated: {size} bytes, {wanted} are needed"
