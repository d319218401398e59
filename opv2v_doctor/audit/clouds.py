"""Clouds: point clouds in the PCD format, counted, not parsed number by number."""

from __future__ import annotations

from collections.abc import Mapping

from opv2v_doctor.audit.record import Reading

LONGEST_HEADER = 4096  # bytes
NUMBERS = b"0123456789.+-eEnaifNIF \t\r\n"


def read_cloud(content: bytes) -> Reading:
    """The number of points. Raises ValueError where the file holds fewer than its header promises."""
    header, body = _parted(content)
    points = _number(header, "POINTS")
    if header["DATA"] == "ascii":
        _verify_text(body, points)
    elif header["DATA"] == "binary":
        _verify_binary(body, points, header)
    elif header["DATA"] != "binary_compressed":
        raise ValueError(f"unknown DATA {header['DATA'][:40]!r}")
    return Reading(points=points)


def _parted(content: bytes) -> tuple[Mapping[str, str], bytes]:
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


def _verify_text(body: bytes, points: int) -> None:
    lines = body.count(b"\n") + (not body.endswith(b"\n") and bool(body))
    strange = body.translate(None, NUMBERS)
    if strange:
        raise ValueError(f"damaged: {len(strange)} bytes that belong to no number")
    if lines < points:
        raise ValueError(f"truncated: {lines} points, its header says {points}")


def _verify_binary(body: bytes, points: int, header: Mapping[str, str]) -> None:
    sizes = [int(word) for word in header.get("SIZE", "").split() if word.isdigit() and len(word) < 3]
    counts = [int(word) for word in header.get("COUNT", "").split() if word.isdigit() and len(word) < 6]
    each = sum(size * count for size, count in zip(sizes, counts or [1] * len(sizes), strict=False))
    if len(body) < points * each or not each:
        raise ValueError(f"truncated: {len(body)} bytes, {points} points need {points * each}")
