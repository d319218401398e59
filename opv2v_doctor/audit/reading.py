"""Reading: what one file says, whatever is in it. Nothing in it is run, or grows beyond a limit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from opv2v_doctor.audit.file_record import File, FileKind, FileReading, Record
from opv2v_doctor.audit.frame_files import read_frame_file
from opv2v_doctor.audit.image_files import read_depth, read_picture
from opv2v_doctor.audit.listing import Dataset
from opv2v_doctor.audit.storage import TooLarge
from opv2v_doctor.clouds import Header, points
from opv2v_doctor.layout import Layout
from opv2v_doctor.rasters import NotReadError

MEGABYTE = 1 << 20
LIMITS: Mapping[str, int] = {
    FileKind.FRAME: 8 * MEGABYTE,
    FileKind.IMAGE: 64 * MEGABYTE,
    FileKind.CLOUD: 256 * MEGABYTE,
    FileKind.DEPTH: 256 * MEGABYTE,
}


class Chunk(NamedTuple):
    """Files that are read together, by one worker."""

    dataset: Dataset
    files: Sequence[File]


def read_chunk(chunk: Chunk) -> list[Record]:
    """The records of a chunk's files."""
    return [(*file, *read_file(chunk.dataset, file)) for file in chunk.files]


def read_file(dataset: Dataset, file: File) -> FileReading:
    """What a file says; why, where it cannot be read. Never raises: hostile bytes may break any parser."""
    try:
        content = dataset.storage_of(file.kind).read(file.path, LIMITS[file.kind])
    except TooLarge as problem:
        return FileReading(problem=str(problem))
    except Exception as problem:  # each filesystem has its own
        reason = getattr(problem, "strerror", None) or f"{type(problem).__name__}: {problem}"
        return FileReading(problem=f"cannot be read: {_short(reason)}", final=0)
    digest = hashlib.sha256(content).hexdigest()[:32]
    if not content:
        return FileReading(problem="empty file", digest=digest)
    try:
        return _reader(file, dataset.layout)(content)._replace(digest=digest)
    except NotReadError:
        return FileReading(final=0, digest=digest)
    except MemoryError:
        return FileReading(problem="needs more memory than there is", final=0, digest=digest)
    except Exception as problem:
        words = str(problem) if type(problem) is ValueError else f"{type(problem).__name__}: {problem}"
        return FileReading(problem=_short(words), digest=digest)


def _reader(file: File, layout: Layout) -> Callable[[bytes], FileReading]:
    if file.kind == FileKind.DEPTH:
        return lambda content: read_depth(content, layout.depth_scale)
    if file.kind == FileKind.FRAME:
        return lambda content: read_frame_file(content, layout)
    return read_picture if file.kind == FileKind.IMAGE else lambda content: _read_cloud(content, file.path)


def _read_cloud(content: bytes, path: str) -> FileReading:
    """The number of points. Raises ValueError where not all of them are there that its header promises."""
    if not path.endswith(".pcd"):
        return FileReading(points=len(points(content, path)))
    header = Header(content)
    header.verify()
    return FileReading(points=header.points)


def _short(words: str) -> str:
    """A message in one line of bounded length: it may quote what it choked on."""
    return " ".join(words[:2000].split())[:200]
