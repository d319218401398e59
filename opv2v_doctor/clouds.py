"""Clouds of somebody else: points of .pcd files in all three forms, of .ply, and of .bin and .npy files."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from opv2v_doctor import rasters
from opv2v_doctor.text import Text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LONGEST_HEADER = 4096  # bytes
NUMBERS = b"0123456789.+-eEnaifNIF \t\r\n"
BIN = 4  # numbers of a point in a .bin file: x y z intensity, as KITTI writes them
KINDS = {("F", 4): "<f4", ("F", 8): "<f8", ("U", 1): "u1", ("U", 2): "<u2", ("U", 4): "<u4", ("I", 4): "<i4"}

PLY = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4",
    "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip


class Header:
    """The head of a PCD file: its words, and what follows it. Raises ValueError where it is none."""

    def __init__(self, content: bytes) -> None:
        self.words: dict[str, str] = {}
        place = 0
        while "DATA" not in self.words:
            end = content.find(b"\n", place, LONGEST_HEADER)
            if end < 0:
                raise ValueError(Text("no PCD file, or truncated in its header: no DATA line"))
            key, _, words = content[place:end].decode("ascii", "replace").strip().partition(" ")
            self.words[key], place = words.strip(), end + 1
        self.body = content[place:]

    @property
    def form(self) -> str:
        """How its points are written: ascii, binary or binary_compressed."""
        return self.words["DATA"]

    @property
    def points(self) -> int:
        """How many points it promises."""
        word = self.words.get("POINTS", "")
        if not word.isdigit() or len(word) > 12:
            raise ValueError(Text("POINTS is not a number: {word}", word=repr(word[:40])))
        return int(word)

    @property
    def fields(self) -> list[str]:
        return self.words.get("FIELDS", "").split()

    @property
    def sizes(self) -> list[int]:
        """Bytes of each field."""
        counts = _numbers(self.words, "COUNT") or [1] * len(self.fields)
        return [s * c for s, c in zip(_numbers(self.words, "SIZE"), counts, strict=False)]

    @property
    def numbers(self) -> int:
        """How many numbers a point has."""
        return sum(_numbers(self.words, "COUNT") or [1] * len(self.fields))

    def verify(self) -> None:
        """Raises ValueError where not all points are there that it promises; nothing is parsed for that."""
        if self.form == "ascii":
            _verify_text(self.body, self.points, self.numbers)
        else:
            self.raw()

    def raw(self) -> bytes:
        """The points' bytes: point by point in binary, field by field where they were compressed."""
        needed = self.points * sum(self.sizes)
        if self.form == "binary_compressed":
            return _unpacked(self.body, lambda size: self._verify_size(size, needed))
        if self.form != "binary":
            raise ValueError(Text("unknown DATA {form}", form=repr(self.form[:40])))
        self._verify_size(len(self.body), needed)
        return self.body

    def _verify_size(self, size: int, needed: int) -> None:
        if size < needed or not self.sizes:
            raise ValueError(
                Text(
                    "truncated: {found} bytes, {points:point|points} need {needed}",
                    found=size,
                    points=self.points,
                    needed=needed,
                )
            )


def points(content: bytes, name: str) -> Array:
    """The x, y and z (N, 3) of a file of this name. Raises ValueError for a damaged or another one."""
    import numpy as np

    if name.endswith(".bin"):
        if len(content) % (4 * BIN):
            raise ValueError(
                Text(
                    "{size} bytes are no whole points of {each} numbers of 4 bytes",
                    size=len(content),
                    each=BIN,
                )
            )
        return np.frombuffer(content, "<f4").reshape(-1, BIN)[:, :3].astype(np.float64)
    if name.endswith(".npy"):
        found = rasters.array(content)
        if found.ndim != 2 or found.shape[1] < 3:
            raise ValueError(
                Text("points have shape (N, 3) or more; this is {shape}", shape=str(found.shape))
            )
        return found[:, :3].astype(np.float64)
    return _of_ply(content) if name.endswith(".ply") else _of_pcd(Header(content))


def _of_ply(content: bytes) -> Array:
    """The vertices of a PLY file (http://paulbourke.net/dataformats/ply), which stand first in it."""
    import numpy as np

    head, mark, body = content[:LONGEST_HEADER].partition(b"end_header")
    lines = [line.split() for line in head.decode("ascii", "replace").splitlines()]
    if not mark or not lines or lines[0] != ["ply"]:
        raise ValueError(Text("no PLY file, or truncated in its header: no end_header line"))
    body = content[len(head) + len(mark) :].partition(b"\n")[2]
    elements = [words for words in lines if words[:1] == ["element"]]
    first = lines.index(elements[0]) + 1 if elements else 0
    after = lines.index(elements[1]) if len(elements) > 1 else len(lines)
    fields = [words[1:3] for words in lines[first:after] if words[:1] == ["property"]]
    names = [words[-1] for words in fields]
    is_plain = bool(elements) and elements[0][1:2] == ["vertex"] and elements[0][2].isdigit()
    if not is_plain or any(axis not in names for axis in "xyz") or any(f[0] not in PLY for f in fields):
        raise ValueError(Text("its first element is not vertices with x y z of one number each"))
    count, form = int(elements[0][2]), next((w[1] for w in lines if w[:1] == ["format"]), "")
    if form == "ascii":
        return _from_text(b"\n".join(body.split(b"\n")[:count]), names, count)
    order = {"binary_little_endian": "<", "binary_big_endian": ">"}.get(form)
    if order is None:
        raise ValueError(Text("unknown format {form}", form=repr(form[:40])))
    record = np.dtype([(name, order + PLY[kind]) for kind, name in fields])
    if len(body) < count * record.itemsize:
        raise ValueError(
            Text(
                "truncated: {found} bytes, {points:point|points} need {needed}",
                found=len(body), points=count, needed=count * record.itemsize,
            )
        )  # fmt: skip
    table = np.frombuffer(body, record, count)
    return np.stack([table[axis].astype(np.float64) for axis in "xyz"], axis=-1)


def _of_pcd(header: Header) -> Array:
    import numpy as np

    names, count = header.fields, header.points
    if any(axis not in names for axis in "xyz") or set(header.words.get("COUNT", "1").split()) != {"1"}:
        raise ValueError(
            Text("its fields are {names}, not x y z with one number each", names=repr(" ".join(names)[:80]))
        )
    if header.form == "ascii":
        return _from_text(header.body, names, count)
    body = header.raw()
    pairs = list(zip(header.words["TYPE"].split(), header.sizes, strict=True))
    columns = {}
    if header.form == "binary":
        record = np.dtype([(name, KINDS[pair]) for name, pair in zip(names, pairs, strict=True)])
        table = np.frombuffer(body, record, count)
        columns = {axis: table[axis] for axis in "xyz"}
    else:
        place = 0
        for name, pair in zip(names, pairs, strict=True):
            columns[name] = np.frombuffer(body, KINDS[pair], count, place)
            place += count * pair[1]
    return np.stack([columns[axis].astype(np.float64) for axis in "xyz"], axis=-1)


def _from_text(body: bytes, names: list[str], count: int) -> Array:
    import numpy as np

    numbers = np.array(body.split(), dtype=np.float64)
    if numbers.size != count * len(names):
        raise ValueError(
            Text(
                "{found} numbers, expected {points:point|points} of {each} numbers",
                found=numbers.size,
                points=count,
                each=len(names),
            )
        )
    return np.asarray(numbers.reshape(count, len(names))[:, [names.index(axis) for axis in "xyz"]])


def _numbers(words: Mapping[str, str], key: str) -> list[int]:
    return [int(word) for word in words.get(key, "").split() if word.isdigit() and len(word) < 6]


def _verify_text(body: bytes, points: int, fields: int) -> None:
    """Every point is a line of as many numbers as it has fields."""
    import numpy as np

    strange = body.translate(None, NUMBERS)
    if strange:
        raise ValueError(f"damaged: {len(strange)} bytes that belong to no number")
    letters = np.frombuffer(b"\n" + body + b"\n", np.uint8)
    blank = letters <= ord(" ")
    words = np.flatnonzero(blank[:-1] & ~blank[1:])
    lengths = np.diff(np.searchsorted(words, np.flatnonzero(letters == ord("\n"))))
    lengths = lengths[lengths > 0][:points]
    if len(lengths) < points:
        raise ValueError(f"truncated: {len(lengths)} points, its header says {points}")
    if (wrong := np.flatnonzero(lengths != fields)).size:
        place = int(wrong[0])
        raise ValueError(f"damaged: point {place + 1} has {lengths[place]} numbers, its header says {fields}")


def _unpacked(body: bytes, verify_size: Callable[[int], None]) -> bytes:
    """What two lengths and bytes that LZF compressed unpack to. Raises ValueError where they do not."""
    if len(body) < 8:
        raise ValueError(Text("truncated: {found} bytes, the lengths alone are 8", found=len(body)))
    packed, unpacked = struct.unpack_from("<II", body)
    if unpacked > rasters.LARGEST:
        raise ValueError(Text("it claims {unpacked} bytes of points", unpacked=unpacked))
    if len(body) < 8 + packed:
        raise ValueError(
            Text("truncated: {found} bytes, its points are in {packed}", found=len(body) - 8, packed=packed)
        )
    verify_size(unpacked)
    found = _unpack(body[8 : 8 + packed], unpacked)
    if found is None or len(found) != unpacked:
        raise ValueError(
            Text("damaged: its {packed} bytes do not unpack to {unpacked}", packed=packed, unpacked=unpacked)
        )
    return found


def _unpack(packed: bytes, most: int) -> bytes | None:
    """What LZF made these of, not much more than the most; None for what it did not write."""
    made, place, end = bytearray(), 0, len(packed)
    while place < end and len(made) <= most:
        control = packed[place]
        if control < 32:  # the next bytes as they are
            made += packed[place + 1 : place + 2 + control]
            place += control + 2
            continue
        is_long = control >> 5 == 7
        place += 3 if is_long else 2
        if place > end:
            return None
        back = ((control & 31) << 8 | packed[place - 1]) + 1
        length = (control >> 5) + 2 + (packed[place - 2] if is_long else 0)
        if back > len(made):
            return None  # it refers to what was before the beginning
        piece = bytes(made[-back : len(made) - back + length])
        made += (piece * (length // back + 1))[:length] if back < length else piece
    return bytes(made) if place == end else None
