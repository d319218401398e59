"""A record: one file of the dataset, where it belongs, and what reading it said."""

from __future__ import annotations

from typing import NamedTuple

from opv2v_doctor.layout import FileKind

__all__ = ["COLUMNS", "TYPES", "File", "FileKind", "FileReading", "Record"]


class File(NamedTuple):
    """A file as its folder lists it."""

    path: str  # from the root of the dataset, or of its depth
    split: str
    scenario: str
    agent: str
    frame: str
    kind: str
    camera: str  # camera0 and so on; empty for what belongs to a whole frame
    size: int  # bytes
    stamp: str  # when it was written, as the filesystem says


class FileReading(NamedTuple):
    """What reading a file said; None for what its kind does not have."""

    problem: str | None = None  # why it cannot be used
    final: int = 1  # 0 where another try may succeed: then it is read again next time
    digest: str | None = None  # of all its bytes
    width: int | None = None
    height: int | None = None
    lowest: float | None = None  # of an image's values, or of its depth in metres
    highest: float | None = None
    known: float | None = None  # the share of a depth map's pixels that say something
    points: int | None = None  # of a point cloud
    poses: str | None = None  # digest of all poses of a frame
    rig: str | None = None  # the cameras in numbers, as JSON
    x: float | None = None  # the LiDAR's pose
    y: float | None = None
    z: float | None = None
    roll: float | None = None
    yaw: float | None = None
    pitch: float | None = None


Record = tuple[object, ...]  # a File's fields and then a Reading's
COLUMNS = (*File._fields, *FileReading._fields)
_INTEGERS = {"size", "final", "width", "height", "points"}
_REALS = {"lowest", "highest", "known", "x", "y", "z", "roll", "yaw", "pitch"}
TYPES = {name: "INTEGER" if name in _INTEGERS else "REAL" if name in _REALS else "TEXT" for name in COLUMNS}
