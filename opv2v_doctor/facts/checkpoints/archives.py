"""Archives: the zip container of `torch.save`, read member by member, never as a whole."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

LARGEST_DIRECTORY = LARGEST_MEMBER = 64 << 20  # bytes; 0.5 MB and 0.4 MB in a checkpoint of 0.85 GB
LONGEST_COMMENT = 65535
STORED, DEFLATED = 0, 8
FULL = 0xFFFFFFFF  # the true number is in the zip64 field
_entry = struct.Struct("<4s4x2xH4xLLLHHH8xL")  # signature, method, crc, sizes, lengths, offset


class ArchiveDamaged(Exception):
    """Not an archive that can be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the archive: where its header is, and its sizes in the file and in full."""

    header: int
    packed: int
    size: int
    method: int
    crc: int


@dataclass(frozen=True)
class Archive:
    """An open archive."""

    file: BinaryIO
    members: dict[str, Member]
    name: str  # the folder that all members are in
    big_endian: bool = False

    def has(self, name: str) -> bool:
        """Whether the archive holds a member of this name."""
        return f"{self.name}/{name}" in self.members

    def read(self, name: str, limit: int = LARGEST_MEMBER) -> bytes:
        """A whole member, checked against its checksum."""
        member = self._member(name)
        if member.size > limit:
            raise ArchiveDamaged(f"{name} would take {member.size} bytes")
        packed = self._at(self._start(member, name), min(member.packed, limit))
        content = packed if member.method == STORED else _unpacked(packed, member, name)
        if len(content) != member.size or zlib.crc32(content) != member.crc:
            raise ArchiveDamaged(f"{name} is damaged: its checksum does not match")
        return content

    def slice(self, name: str, offset: int, length: int) -> bytes:
        """A few bytes of a member."""
        member = self._member(name)
        if member.method != STORED:
            return self.read(name)[offset : offset + length]
        if offset < 0 or offset + length > member.size:
            raise ArchiveDamaged(f"{name} has {member.size} bytes, byte {offset + length} is wanted")
        return self._at(self._start(member, name) + offset, length)

    def _member(self, name: str) -> Member:
        member = self.members.get(f"{self.name}/{name}")
        if member is None:
            raise ArchiveDamaged(f"{name} is missing")
        return member

    def _start(self, member: Member, name: str) -> int:
        """Where the member's bytes begin, behind a local header whose length is its own affair."""
        header = self._at(member.header, 30)
        if header[:4] != b"PK\x03\x04":
            raise ArchiveDamaged(f"{name} does not begin where the directory says")
        return (
            member.header
            + 30
            + int.from_bytes(header[26:28], "little")
            + int.from_bytes(header[28:], "little")
        )

    def _at(self, offset: int, length: int) -> bytes:
        return _read(self.file, offset, length)


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """An archive to read from. Raises ArchiveDamaged, also from its methods; OSError where the disk does."""
    with path.open("rb") as file:
        try:
            members = _members(file, os.fstat(file.fileno()).st_size)
        except struct.error:
            raise ArchiveDamaged("its directory is damaged") from None
        homes = {name.rpartition("/")[0] for name in members if name.lower().endswith("/data.pkl")}
        if len(homes) != 1:
            raise ArchiveDamaged(f"a zip with {len(homes)} data.pkl: not written by torch.save")
        archive = Archive(file, members, homes.pop())
        yield replace(archive, big_endian=archive.has("byteorder") and archive.read("byteorder") == b"big")


def _unpacked(packed: bytes, member: Member, name: str) -> bytes:
    if member.method != DEFLATED:
        raise ArchiveDamaged(f"{name} is packed by method {member.method}")
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.size + 1)
    except zlib.error as problem:
        raise ArchiveDamaged(f"{name} does not unpack: {problem}") from None


def _members(file: BinaryIO, size: int) -> dict[str, Member]:
    """The archive's directory; a name that is there twice would let us read other bytes than torch does."""
    count, length, offset = _directory(file, size)
    if length > LARGEST_DIRECTORY:
        raise ArchiveDamaged(f"its directory would take {length} bytes")
    directory = _read(file, offset, length)
    members: dict[str, Member] = {}
    at = 0
    while at + _entry.size <= length:
        signature, method, crc, packed, full, n, extra, comment, header = _entry.unpack_from(directory, at)
        end = at + 46 + n
        if signature != b"PK\x01\x02":
            break
        name = directory[at + 46 : end].decode("utf-8", "replace")
        if FULL in (packed, full, header):
            full, packed, header = _wide(directory[end : end + extra], full, packed, header)
        if name in members:
            raise ArchiveDamaged(f"its directory names {name} twice")
        members[name] = Member(header, packed, full, method, crc)
        at = end + extra + comment
    if at != length or len(members) != count:
        raise ArchiveDamaged(f"its directory is damaged: {len(members)} of {count} members")
    return members


def _directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Number of members, length and offset of the directory, from the record at the file's end."""
    start = max(0, size - LONGEST_COMMENT - 22)
    tail = _read(file, start, size - start)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise ArchiveDamaged(_kind(_read(file, 0, min(size, 16))))
    count, length, offset = struct.unpack_from("<HLL", tail, at + 10)
    if (count == 0xFFFF or FULL in (length, offset)) and tail[max(0, at - 20) :][:4] == b"PK\x06\x07":
        wide = _read(file, struct.unpack_from("<Q", tail, at - 12)[0], 56)
        count, length, offset = struct.unpack_from("<QQQ", wide, 32)
    if offset + length > size:
        raise ArchiveDamaged("truncated: its directory lies behind its end")
    return count, length, offset


def _kind(head: bytes) -> str:
    """What a file without a directory is."""
    if not head:
        return "empty"
    if head.startswith(b"PK\x03\x04"):
        return "truncated: its directory, which is written last, is not there"
    if head[0] == 0x80 and head[1:2] <= b"\x05":
        return "a legacy pickle, from before torch 1.6: only running it could tell what it holds"
    return "not a file that torch.save wrote: no zip"


def _wide(extra: bytes, *numbers: int) -> list[int]:
    """The numbers, with those that did not fit replaced by the zip64 field's, in the same order."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            found = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            return [next(found, FULL) if number == FULL else number for number in numbers]
        at += 4 + length
    return list(numbers)


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    """Exactly these bytes."""
    try:
        content = os.pread(file.fileno(), length, offset)
    except (OverflowError, ValueError):
        content = b""
    if len(content) != length:
        raise ArchiveDamaged(f"truncated: {length} bytes wanted at byte {offset}, {len(content)} are there")
    return content
