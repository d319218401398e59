"""Clouds: point clouds in the PCD format, counted, not parsed number by number."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

from opv2v_doctor.audit.file_record import FileReading

LONGEST_HEADER = 4096  # bytes
NUMBERS = b"0123456789.+-eEnaifNIF \t\r\n"


def read_cloud(content: bytes) -> FileReading:
    """The number of points. Raises ValueError where not all of them are there that its header promises."""
    header, body = _header_and_points(content)
    points, form = _number(header, "POINTS"), header["DATA"]
    counts = _numbers(header, "COUNT") or [1] * len(header.get("FIELDS", "").split())
    each = sum(size * count for size, count in zip(_numbers(header, "SIZE"), counts, strict=False))
    if form == "ascii":
        _verify_text(body, points, sum(counts))
    elif form == "binary":
        _verify_size(len(body), points, each)
    elif form == "binary_compressed":
        _verify_packed(body, points, each)
    else:
        raise ValueError(f"unknown DATA {form[:40]!r}")
    return FileReading(points=points)


def _header_and_points(content: bytes) -> tuple[Mapping[str, str], bytes]:
    """The header's words by key, and what follows it."""
    header: dict[str, str] = {}
    place = 0
    while "DATA" not in header:
        end = content.find(b"\n", place, LONGEST_HEADER)
        if end < 0:
            raise ValueError(
                "not a PCD file: no DATA line" if b"DATA" in content else "truncated in its header"
            )
        key, _, value = content[place:end].decode("ascii", "replace").strip().partition(" ")
        header[key] = value.strip()
        place = end + 1
    return header, content[place:]


def _number(header: Mapping[str, str], key: str) -> int:
    word = header.get(key, "")
    if not word.isdigit() or len(word) > 12:
        raise ValueError(f"{key} is not a number: {word[:40]!r}")
    return int(word)


def _numbers(header: Mapping[str, str], key: str) -> list[int]:
    return [int(word) for word in header.get(key, "").split() if word.isdigit() and len(word) < 6]


def _verify_text(body: bytes, points: int, fields: int) -> None:
    """Every point is a line of as many numbers as it has fields."""
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


def _verify_size(size: int, points: int, each: int) -> None:
    if size < points * each or not each:
        raise ValueError(f"truncated: {size} bytes, {points} points need {points * each}")


def _verify_packed(body: bytes, points: int, each: int) -> None:
    """Two lengths, and all points compressed by LZF: it is walked to its end, and nothing is unpacked."""
    if len(body) < 8:
        raise ValueError(f"truncated: {len(body)} bytes, the lengths alone are 8")
    packed, unpacked = struct.unpack_from("<II", body)
    if len(body) < 8 + packed:
        raise ValueError(f"truncated: {len(body) - 8} bytes, its points are in {packed}")
    _verify_size(unpacked, points, each)
    if _unpacked_size(body[8 : 8 + packed], unpacked) != unpacked:
        raise ValueError(f"damaged: its {packed} bytes do not unpack to {unpacked}")


def _unpacked_size(packed: bytes, most: int) -> int:
    """How many bytes LZF makes of these, up to the most; -1 for what it did not write."""
    place = made = 0
    end = len(packed)
    while place < end and made <= most:
        control = packed[place]
        if control < 32:  # the next bytes as they are
            made += control + 1
            place += control + 2
            continue
        is_long = control >> 5 == 7
        place += 3 if is_long else 2
        if place > end or (control & 31) << 8 | packed[place - 1] >= made:
            return -1  # it refers to what was before the beginning
        made += (control >> 5) + 2 + (packed[place - 2] if is_long else 0)
    return made if place == end else -1
