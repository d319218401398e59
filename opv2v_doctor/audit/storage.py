"""Storage: the one way to a dataset's folders and files, on this machine or on object storage."""

from __future__ import annotations

import os
import re
import stat
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from opv2v_doctor.user_error import UsageError

BYTE = re.compile(r"\\x([89a-f][0-9a-f])")  # of a name that is no UTF-8, as we write it


class StoredFile(NamedTuple):
    """A file in a folder."""

    name: str
    size: int
    stamp: str


class TooLarge(ValueError):
    """A file is larger than its kind can be."""


class Storage:
    """A folder behind a path or a URL that fsspec knows, such as `s3://bucket/OPV2V`."""

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url
        try:
            self._files, self.root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError, OSError) as problem:
            raise UsageError(f"{url}: {problem}") from None
        self._local = isinstance(self._files, fsspec.implementations.local.LocalFileSystem)
        self.root = self.root.rstrip("/") or "/"

    @property
    def folder(self) -> Path | None:
        """The folder on this machine, None where it lies elsewhere."""
        return Path(self.root) if self._local else None

    def exists(self) -> bool:
        """Whether the folder is there."""
        return bool(self._files.isdir(self.root))

    def folders(self, path: str = "") -> list[str]:
        """The names of the folders in a folder, sorted; none where it is not there."""
        return sorted(_name(entry) for entry in self._listed(path) if entry["type"] == "directory")

    def entries(self, path: str) -> list[StoredFile]:
        """The files in a folder, sorted by name; none where it is not there."""
        found = [entry for entry in self._listed(path) if entry["type"] != "directory"]
        return sorted(StoredFile(_name(entry), int(entry["size"] or 0), _stamp(entry)) for entry in found)

    def names(self, path: str) -> list[str]:
        """The names of all that is in a folder; faster than `entries`."""
        try:
            return [
                _shown(entry.rsplit("/", 1)[-1]) for entry in self._files.ls(self._place(path), detail=False)
            ]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, path: str, limit: int) -> bytes:
        """All bytes of a file. Raises TooLarge beyond the limit, without reading on, and OSError."""
        place = self._place(path)
        if self._local:
            return _local_bytes(place, limit)
        with self._files.open(place, "rb", cache_type="all") as file:
            content: bytes = file.read(limit + 1)
        return _within(content, len(content), limit)

    def _listed(self, path: str) -> list[dict[str, Any]]:
        try:
            listed: list[dict[str, Any]] = self._files.ls(self._place(path), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return listed

    def _place(self, path: str) -> str:
        named = BYTE.sub(lambda byte: chr(0xDC00 + int(byte[1], 16)), path)
        return f"{self.root}/{named}" if path else self.root


@cache
def storage(url: str) -> Storage:
    """The storage behind a URL, opened once a process: the URL must not depend on the working directory."""
    return Storage(url)


def absolute(url: str) -> str:
    """The URL as any process would understand it: a path of this machine as a whole one."""
    folder = Storage(url).folder
    return url if folder is None else str(folder)


def _local_bytes(place: str, limit: int) -> bytes:
    """All bytes of a file of this machine. Raises OSError for a pipe, which has no end."""
    descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise OSError("not a regular file")
        return _within(file.read() if state.st_size <= limit else b"", state.st_size, limit)


def _within(content: bytes, size: int, limit: int) -> bytes:
    if size > limit:
        raise TooLarge(f"larger than {limit >> 20} MB")
    return content


def _name(entry: dict[str, Any]) -> str:
    return _shown(str(entry["name"]).rstrip("/").rsplit("/", 1)[-1])


def _shown(name: str) -> str:
    """A name as text that can be stored and printed: of bytes that are no UTF-8 their numbers, `\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _stamp(entry: dict[str, Any]) -> str:
    """When a file was last written, or what else changes with it."""
    keys = ("mtime", "LastModified", "last_modified", "updated", "ETag", "etag", "created")
    return next((str(entry[key]) for key in keys if entry.get(key)), "")
