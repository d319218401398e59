"""Directories: the list at the end of a zip that says where its members are."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from opv2v_doctor.facts.past.pickles.machine import Refused

LARGEST_DIRECTORY = 64 << 20  # bytes; 0.5 MB in a checkpoint of 0.85 GB
LONGEST_COMMENT = 65535
FULL = 0xFFFFFFFF  # the true number is in the zip64 field
ENTRY, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
lengths_of = struct.Struct("<4s24xHHH12x").unpack_from  # signature; bytes of name, extra field, comment
LEAST_ENTRY = 46
WIDE_END = 76  # bytes of the zip64 record and of what says where it is
_sizes_of = struct.Struct("<10xH4xLLL14xL").unpack_from  # method, crc, sizes, offset


class ArchiveDamaged(Refused):
    """Not an archive that can be read; the reason says why."""


class LegacyPickle(ArchiveDamaged):
    """A pickle from before torch 1.6: whole perhaps, but no archive."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the archive: where its header is, and its sizes in the file and in full."""

    header: int
    packed: int
    size: int
    method: int
    crc: int


def member_at(directory: bytes, at: int) -> Member:
    """The member whose entry begins there."""
    method, crc, packed, full, header = _sizes_of(directory, at)
    if FULL in (packed, full, header):
        _, name, extra, _ = lengths_of(directory, at)
        end = at + LEAST_ENTRY + name
        full, packed, header = _wide(directory[end : end + extra], full, packed, header)
    return Member(header, packed, full, method, crc)


def entries_of(file: BinaryIO, size: int) -> tuple[bytes, dict[bytes, int]]:
    """The archive's directory, and where in it each member's entry begins.

    A name that is there twice would let us read other bytes than torch does.
    """
    count, length, offset = _directory(file, size)
    if length > LARGEST_DIRECTORY:
        raise ArchiveDamaged("its directory would take {n} bytes", n=length)
    directory = read_exactly(file, offset, length)
    entries: dict[bytes, int] = {}
    at, seen = 0, 0
    while at + LEAST_ENTRY <= length:
        signature, n, extra, comment = lengths_of(directory, at)
        if signature != ENTRY:
            break
        entries[directory[at + LEAST_ENTRY : at + LEAST_ENTRY + n]] = at
        at += LEAST_ENTRY + n + extra + comment
        seen += 1
    if at != length or seen != count:
        raise ArchiveDamaged("its directory is damaged: {seen} of {count} members", seen=seen, count=count)
    if len(entries) != seen:
        raise ArchiveDamaged("its directory names a member twice")
    return directory, entries


def _directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Number of members, length and offset of the directory, from the record at the file's end."""
    start = max(0, size - LONGEST_COMMENT - 22)
    tail = read_exactly(file, start, size - start)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise _no_archive(read_exactly(file, 0, min(size, 16)))
    count, length, offset = struct.unpack_from("<HLL", tail, at + 10)
    end = start + at
    if at >= 20 and tail[at - 20 : at - 16] == b"PK\x06\x07":
        end -= WIDE_END
        wide = read_exactly(file, end, 56)
        if struct.unpack_from("<Q", tail, at - 12)[0] != end or wide[:4] != b"PK\x06\x06":
            raise ArchiveDamaged("its last records do not follow one another")
        if count == 0xFFFF or FULL in (length, offset):
            count, length, offset = struct.unpack_from("<QQQ", wide, 32)
    if offset + length > size:
        raise ArchiveDamaged("truncated: its directory lies behind its end")
    if offset + length != end:  # readers that look from the end and from the beginning would differ
        raise ArchiveDamaged("its directory does not end where the file's last record begins")
    return count, length, offset


def _no_archive(head: bytes) -> ArchiveDamaged:
    """What a file without a directory is."""
    if not head:
        return ArchiveDamaged("empty")
    if head.startswith(LOCAL):
        return ArchiveDamaged("truncated: its directory, which is written last, is not there")
    if head[0] == 0x80 and head[1:2] <= b"\x05":
        return LegacyPickle(
            "a legacy pickle, from before torch 1.6: only running it could tell what it holds"
        )
    return ArchiveDamaged("not a file that torch.save wrote: no zip")


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


def read_exactly(file: BinaryIO, offset: int, length: int) -> bytes:
    """Exactly these bytes."""
    try:
        content = os.pread(file.fileno(), length, offset)
    except (OverflowError, ValueError):
        content = b""
    if len(content) != length:
        raise ArchiveDamaged(
            "truncated: {wanted} bytes wanted at byte {byte}, {there} are there",
            wanted=length,
            byte=offset,
            there=len(content),
        )
    return content
