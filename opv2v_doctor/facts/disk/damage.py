"""Damage: what is wrong with a file of a frame, told from its beginning and end, without decoding it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from zlib import crc32

from opv2v_doctor import rasters
from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.disk.frames import Disk, Frame, disks, document
from opv2v_doctor.foreign_files import open_file
from opv2v_doctor.layout import Layout
from opv2v_doctor.state import fact, of_file
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text

MOST_KEYS = 12  # that a sentence names
HEADER = 1 << 18  # bytes in which a JPEG says its size, whatever a camera wrote before
MOST_OPENED = 2000  # files of a split, which takes two seconds: all of the full OPV2V would take minutes


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """A file that the training would fail on."""

    path: Path
    problem: Text
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What was found in a split, and how much of it was looked into."""

    files: tuple[Damaged, ...]
    expected: int  # files that the frames should have; each was looked for
    present: int  # of them
    opened: int  # of those that are present: all, or a fixed number that is spread over the split
    frames: tuple[Frame, ...]  # whose files were opened


@fact
def damage(target: Target, split: str) -> Damage:
    """Missing files among all frames, and damaged ones among MOST_OPENED files at most.

    Which ones are opened depends on their names alone: the same split gets the same answer everywhere.
    """
    frames = [(frame, _files_of(where, frame)) for where in disks(target, split) for frame in where.frames]
    found = [
        Damaged(path=path, problem=Text("missing"))
        for frame, files in frames
        for path in files
        if not frame.agent.has(path)
    ]
    gone, opened, looked_into = {entry.path for entry in found}, 0, []
    unread = () if find_spec("OpenEXR") else (".exr",)
    for frame, files in _spread(frames):
        there = [path for path in files if path not in gone and path.suffix not in unread]
        if opened and opened + len(there) > MOST_OPENED:
            break
        opened += len(there)
        looked_into.append(frame)
        found += filter(None, (_damage(frame, path) for path in there))
    expected = sum(len(files) for _, files in frames)
    named = tuple(sorted(found, key=lambda entry: entry.path))
    return Damage(
        files=named,
        expected=expected,
        present=expected - len(gone),
        opened=opened,
        frames=tuple(looked_into),
    )


def opened_frames(target: Target, split: str, where: Disk) -> tuple[Frame, ...]:
    """Those frames of one folder of a split whose files were opened, agent by agent."""
    mine = {frame.yaml for frame in where.frames}
    opened = [frame for frame in damage(target, split).frames if frame.yaml in mine]
    return tuple(sorted(opened, key=lambda frame: frame.yaml))


def _spread(frames: list[tuple[Frame, list[Path]]]) -> list[tuple[Frame, list[Path]]]:
    """All frames, in an order of which every beginning is spread over the whole.

    The agents of one moment come together, and with them the moment before or after: they are compared.
    """

    def order(entry: tuple[Frame, list[Path]]) -> int:
        frame, _ = entry
        return crc32(f"{frame.agent.scenario}/{int(frame.name) // 4}".encode())

    return sorted(frames, key=order)


def _files_of(where: Disk, frame: Frame) -> list[Path]:
    """What the dataset reads of a frame, but for a camera that its whole scenario lacks."""
    present = where.by_name[frame.agent.scenario].cameras
    cameras = [camera for camera in where.cameras if camera in present]
    return [
        frame.yaml,
        *(path for camera in cameras for path in (frame.image(camera), frame.depth(camera))),
    ]


def _damage(frame: Frame, path: Path) -> Damaged | None:
    """What is wrong with a file of a frame, None where nothing is."""
    if path == frame.yaml:
        return yaml_damage(path, frame.agent.layout)
    problem = {".npy": npy_damage, ".npz": depth_damage, ".exr": depth_damage}.get(path.suffix, image_damage)(
        path
    )
    return Damaged(path=path, problem=problem) if problem else None


def yaml_damage(path: Path, layout: Layout) -> Damaged | None:
    """Why a frame file cannot be used, with its line."""
    try:
        content = document(path)
    except Blocked as blocked:
        problem = blocked.reason.values["problem"]
        assert isinstance(problem, Text)
        lines = re.findall(r"line (\d+)", str(problem))
        return Damaged(path=path, problem=problem, line=int(lines[-1]) if lines else None)
    if layout.lidar_pose in content:
        return None
    keys = [str(key) for key in content][:MOST_KEYS]
    return Damaged(path=path, problem=Text("no {key} among {keys}", key=layout.lidar_pose, keys=keys), line=1)


def _unreadable(problem: OSError) -> Text:
    return Text("cannot be read: {problem}", problem=problem.strerror or str(problem))


def image_damage(path: Path) -> Text | None:
    """Why a PNG or JPEG cannot be read to its end."""
    try:
        with open_file(path) as file:
            head, size = file.read(8), file.seek(0, 2)
            file.seek(max(0, size - rasters.TAIL))
            return None if rasters.is_whole(head, file.read()) else Text("truncated: it has no end")
    except OSError as problem:
        return _unreadable(problem)
    except ValueError as problem:
        return Text("not an image: {problem}", problem=str(problem))


def depth_damage(path: Path) -> Text | None:
    """Why depth that is compressed cannot be read: it is read for that."""
    try:
        rasters.depth_of(path)
    except OSError as problem:
        return _unreadable(problem)
    except rasters.NotReadError:
        return None
    except ValueError as problem:
        return Text("not depth: {problem}", problem=str(problem))
    return None


def image_size(path: Path) -> tuple[int, int]:
    """Width and height from the header of a PNG or JPEG. Raises Blocked where it is none."""
    try:
        with open_file(path) as file:
            return rasters.image_size(file.read(HEADER))
    except OSError as problem:
        raise Blocked("{path}: {problem}", path=path, problem=str(problem.strerror)) from None
    except ValueError as problem:
        raise Blocked("{path}: {problem}", path=path, problem=str(problem)) from None


@dataclass(frozen=True, kw_only=True)
class RawDepth:
    """Fractions of a depth file's pixels, before the dataset mends them, and whether all are one number."""

    nan: float
    infinite: float
    zero: float
    constant: bool


@of_file()
def raw_depth(path: Path) -> RawDepth | None:
    """What a depth file holds, None where it cannot be read. A pickle in it is not opened."""
    import numpy as np

    try:
        values = rasters.depth_of(path, 1.0).astype(np.float32, copy=False)
    except (OSError, ValueError):
        return None
    known = values[np.isfinite(values)]
    return RawDepth(
        nan=float(np.isnan(values).mean()),
        infinite=float(np.isinf(values).mean()),
        zero=float((values == 0).mean()),
        constant=known.size > 0 and float(known.min()) == float(known.max()),
    )


def npy_damage(path: Path) -> Text | None:
    """Why an array cannot be read, told from its header and its size."""
    from numpy.lib import format as npy

    try:
        with open_file(path) as file:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(file)
            begin, size = file.tell(), file.seek(0, 2)
    except OSError as problem:
        return _unreadable(problem)
    except (ValueError, EOFError) as problem:
        return Text("not an array: {problem}", problem=str(problem))
    if dtype.hasobject:
        return Text("it holds pickled objects, which run code when they are read")
    wanted = begin + dtype.itemsize * prod(shape)
    if size >= wanted:
        return None
    return Text("truncated: {size} bytes, expected {wanted}", size=size, wanted=wanted)
