"""Bundles: several small files as one input, each under a line with its name: mutations reach all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

LINE = b"\n=== "
LONGEST = 200  # bytes of a path


def bundle(files: Mapping[str, bytes]) -> bytes:
    """The files as one input."""
    return b"".join(
        LINE + name.encode("utf-8", "surrogateescape") + b"\n" + content for name, content in files.items()
    )


def unbundle(content: bytes) -> dict[str, bytes]:
    """The files of an input, by their names as they stand there."""
    parts = (part.partition(b"\n") for part in content.split(LINE)[1:])
    return {name.decode("utf-8", "surrogateescape"): body for name, _, body in parts}


def put(name: str, content: bytes, folder: Path) -> None:
    """Write a file of a bundle into the folder; one whose name leads out of it, or is none, is left out."""
    words = name.split("/")
    if not name or "\0" in name or len(name) > LONGEST or {"", ".", ".."} & set(words):
        return
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    except (FileExistsError, NotADirectoryError, IsADirectoryError, UnicodeEncodeError):
        return  # another one of the bundle is in its way
