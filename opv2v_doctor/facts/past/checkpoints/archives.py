"""Archives: the zip container of `torch.save`: its list of members, and each read by itself."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from opv2v_doctor.facts.past.pickles.machine import Refused
from opv2v_doctor.foreign_files import open_file
from opv2v_doctor.text import Text

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


class NotExaminable(ArchiveDamaged):
    """Whole perhaps, but only running it could tell what it holds; `hint` says what makes it readable."""

    hint = Text(
        "if you trust who wrote it, load it with torch.load(PATH, weights_only=True) and save it again with "
        "torch.save: then it can be read without running it"
    )


class TorchScript(NotExaminable):
    """A program with its weights."""

    hint = Text("to have its weights read: torch.save(torch.jit.load(PATH).state_dict(), OTHER_PATH)")


class NoTable(NotExaminable):
    """A whole module, or a model in a place of its own."""

    hint = Text("to have its weights read: torch.save(MODEL.state_dict(), PATH)")


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
        return NotExaminable(
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


LARGEST_MEMBER = 64 << 20  # bytes that are read at once; 0.4 MB in a checkpoint of 0.85 GB
STORED, DEFLATED = 0, 8
LEAST_BUDGET, TIMES_PACKED = 1 << 30, 20  # bytes that reading everything may take
NO_CHECKSUM = 0  # what torch writes after set_crc32_options(False)
PICKLE, PICKLE_ENDS = b"/data.pkl", (b"l", b"L")  # torch finds it in capitals, too
PACKED_CHUNK = 1 << 20
PADDED = 192  # bytes of a local header, its name and the padding that torch.save puts behind them
_local = struct.Struct("<4s22xHH")  # signature; bytes of name and extra field


@dataclass(frozen=True)
class Archive:
    """An open archive."""

    file: BinaryIO
    size: int
    directory: bytes
    entries: dict[bytes, int]  # where each member's entry begins; it is read when the member is asked for
    name: bytes  # the folder that all members are in
    big_endian: bool = False

    def has(self, name: str) -> bool:
        """Whether the archive holds a member of this name."""
        return self._full(name) in self.entries

    def read(self, name: str, limit: int = LARGEST_MEMBER) -> bytes:
        """A whole member, checked against its checksum."""
        member = self._member(name)
        if member.size > limit:
            raise ArchiveDamaged("{name} would take {n} bytes", name=name, n=member.size)
        packed = self._at(self._start(member, name), min(member.packed, limit))
        content = packed if member.method == STORED else _unpack(packed, member, name)
        if len(content) != member.size or member.crc not in (NO_CHECKSUM, zlib.crc32(content)):
            raise ArchiveDamaged("{name} is damaged: its checksum does not match", name=name)
        return content

    def slice(self, name: str, offset: int, length: int) -> bytes:
        """A few bytes of a member."""
        member = self._member(name)
        if member.method != STORED:
            return self.read(name)[offset : offset + length]
        self._verify(member, name, offset, length)
        head = os.pread(self.file.fileno(), PADDED + length, member.header) if offset == 0 else b""
        start = self._start(member, name, head)
        at = start - member.header + offset
        return head[at : at + length] if at + length <= len(head) else self._at(start + offset, length)

    def chunks(self, name: str, offset: int, length: int, size: int) -> Iterator[bytes]:
        """Many bytes of a member, a chunk at a time. Raises ArchiveDamaged where they are not there."""
        member = self._member(name)
        self._verify(member, name, offset, length)
        start = self._start(member, name)
        if member.method != STORED:
            yield from self._unpacked_chunks(member, name, start, (offset, length), size)
            return
        for at in range(offset, offset + length, size):
            yield self._at(start + at, min(size, offset + length - at))

    def length(self, name: str) -> int | None:
        """The bytes of a member; None where there is none of this name."""
        return self._member(name).size if self.has(name) else None

    def is_packed(self, name: str) -> bool:
        """Whether a member must be unpacked from its beginning to be read."""
        return self.has(name) and self._member(name).method != STORED

    def verify(self) -> None:
        """Raise ArchiveDamaged where its members take more bytes than the file has."""
        packed = sum(member_at(self.directory, at).packed for at in self.entries.values())
        if packed > self.size:
            raise ArchiveDamaged(
                "its members overlap: {packed} bytes in a file of {size}", packed=packed, size=self.size
            )

    def damaged(self) -> list[str]:
        """The members that do not match their checksum; every one is read. Raises ArchiveDamaged."""
        self.verify()
        members = {
            name.decode("utf-8", "backslashreplace"): member_at(self.directory, at)
            for name, at in self.entries.items()
        }
        if sum(member.size for member in members.values()) > max(LEAST_BUDGET, TIMES_PACKED * self.size):
            raise ArchiveDamaged("its members unpack to far more than the file has")
        return [name for name, member in members.items() if not self._matches(member, name)]

    def _matches(self, member: Member, name: str) -> bool:
        """Whether a member is as long as it is said to be, and has the checksum that was written, if any."""
        chunks = self._packed_chunks(member, self._start(member, name))
        found = seen = 0
        for chunk in (
            chunks if member.method == STORED else _inflate(chunks, name, member.method, PACKED_CHUNK)
        ):
            found, seen = zlib.crc32(chunk, found), seen + len(chunk)
            if seen > member.size:
                return False
        return seen == member.size and member.crc in (NO_CHECKSUM, found)

    def _verify(self, member: Member, name: str, offset: int, length: int) -> None:
        if offset < 0 or offset + length > member.size:
            raise ArchiveDamaged(
                "{name} has {n} bytes, byte {wanted} is wanted",
                name=name,
                n=member.size,
                wanted=offset + length,
            )

    def _unpacked_chunks(
        self, member: Member, name: str, start: int, span: tuple[int, int], size: int
    ) -> Iterator[bytes]:
        """The span of a packed member; what stands before it is unpacked and thrown away."""
        skip, left = span
        for chunk in _inflate(self._packed_chunks(member, start), name, member.method, size):
            wanted = chunk[skip : skip + left]
            skip, left = max(0, skip - len(chunk)), left - len(wanted)
            if wanted:
                yield wanted
            if not left:
                return
        raise ArchiveDamaged("{name} unpacks to less than its {n} bytes", name=name, n=member.size)

    def _packed_chunks(self, member: Member, start: int) -> Iterator[bytes]:
        for at in range(0, member.packed, PACKED_CHUNK):
            yield self._at(start + at, min(PACKED_CHUNK, member.packed - at))

    def _full(self, name: str) -> bytes:
        return self.name + b"/" + name.encode("utf-8", "surrogatepass")

    def _member(self, name: str) -> Member:
        at = self.entries.get(self._full(name))
        if at is None:
            raise ArchiveDamaged("{name} is missing", name=name)
        return member_at(self.directory, at)

    def _start(self, member: Member, name: str, head: bytes = b"") -> int:
        """Where the member's bytes begin, behind a local header whose length is its own affair."""
        if len(head) < _local.size:
            head = self._at(member.header, _local.size)
        signature, n, extra = _local.unpack_from(head)
        if signature != LOCAL:
            raise ArchiveDamaged("{name} does not begin where the directory says", name=name)
        return int(member.header + _local.size + n + extra)

    def _at(self, offset: int, length: int) -> bytes:
        return read_exactly(self.file, offset, length)


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """An archive to read from. Raises ArchiveDamaged, also from its methods; OSError where the disk does."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            directory, entries = entries_of(file, size)
        except struct.error:
            raise ArchiveDamaged("its directory is damaged") from None
        pickles = [name for name in entries if name.endswith(PICKLE_ENDS) and name[-9:].lower() == PICKLE]
        homes = {name.rpartition(b"/")[0] for name in pickles}
        if len(homes) != 1:
            raise ArchiveDamaged("a zip with {n} data.pkl: not written by torch.save", n=len(homes))
        archive = Archive(file, size, directory, entries, homes.pop())
        if archive.has("constants.pkl"):
            raise TorchScript("a TorchScript archive, a program: its weights are not read")
        yield replace(archive, big_endian=archive.has("byteorder") and archive.read("byteorder") == b"big")


def _inflate(packed: Iterator[bytes], name: str, method: int, size: int) -> Iterator[bytes]:
    """Unpacked chunks, none larger than the size, however little was packed."""
    if method != DEFLATED:
        raise ArchiveDamaged("{name} is packed by method {method}", name=name, method=method)
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in packed:
            while piece and not machine.eof:
                yield machine.decompress(piece, size)
                piece = machine.unconsumed_tail
        while rest := machine.decompress(b"", size):
            yield rest
    except zlib.error as problem:
        raise ArchiveDamaged("{name} does not unpack: {problem}", name=name, problem=str(problem)) from None


def _unpack(packed: bytes, member: Member, name: str) -> bytes:
    if member.method != DEFLATED:
        raise ArchiveDamaged("{name} is packed by method {method}", name=name, method=member.method)
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.size + 1)
    except zlib.error as problem:
        raise ArchiveDamaged("{name} does not unpack: {problem}", name=name, problem=str(problem)) from None
