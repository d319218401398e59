"""Copies: files of frames that are the same, byte for byte, as another camera's, agent's or moment's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from opv2v_doctor.facts.disk.damage import opened_frames
from opv2v_doctor.facts.disk.frames import Disk, Frame, disks
from opv2v_doctor.foreign_files import open_file
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target

PIECE, PIECES = 2048, 5  # bytes of a file that are compared, so many times


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One file of a frame; the camera is empty for a point cloud."""

    path: Path
    frame: Frame
    camera: str


@dataclass(frozen=True, kw_only=True)
class Copies:
    """How many files were compared, and groups of those that are the same, the newest last."""

    compared: int
    groups: tuple[tuple[Shot, ...], ...]


@fact
def copies(target: Target, split: str) -> Copies:
    """Images, depth and point clouds of the opened frames of a split, compared with one another."""
    found: dict[tuple[int, int], list[Shot]] = defaultdict(list)
    for where in disks(target, split):
        for frame in opened_frames(target, split, where):
            for shot in _shots(where, frame):
                if print_ := _print(shot.path):
                    found[print_].append(shot)
    groups = (sorted(each, key=_age) for each in found.values() if len(each) > 1)
    return Copies(compared=sum(map(len, found.values())), groups=tuple(map(tuple, groups)))


def _shots(where: Disk, frame: Frame) -> Iterator[Shot]:
    """The files of one frame that are there."""
    named = [(frame.cloud, "")]
    named += [(path, name) for name in where.cameras for path in (frame.image(name), frame.depth(name))]
    for path, camera in named:
        if frame.agent.has(path):
            yield Shot(path=path, frame=frame, camera=camera)


def _print(path: Path) -> tuple[int, int] | None:
    """Size and checksum of pieces of a file; None where it is one value throughout, or cannot be read."""
    try:
        with open_file(path) as file:
            size = file.seek(0, 2)
            pieces = []
            for number in range(PIECES):
                file.seek(max(0, (size - PIECE) * number // (PIECES - 1)))
                pieces.append(file.read(PIECE))
    except (OSError, ValueError):
        return None
    plain = all(len(set(piece[-PIECE // 2 :])) <= 4 for piece in pieces[1:])  # one float32 throughout
    return None if plain else (size, crc32(b"".join(pieces)))


def _age(shot: Shot) -> tuple[float, Path]:
    return shot.path.stat().st_mtime, shot.path
