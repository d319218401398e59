"""safetensors: a header in JSON, then the bytes of the tensors, one behind the other."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

from opv2v_doctor.facts.past.checkpoints.archives import ArchiveDamaged, read_exactly
from opv2v_doctor.facts.past.checkpoints.tensors import LARGEST, MOST_DIMENSIONS
from opv2v_doctor.facts.past.checkpoints.weights import SAFETENSORS, Weight, Weights
from opv2v_doctor.foreign_files import open_file

LARGEST_HEADER = 16 << 20  # bytes; a hundred a tensor
PREFIX = 8  # bytes that say how long the header is
METADATA = "__metadata__"


def looks_like_safetensors(head: bytes) -> bool:
    """Whether these first bytes of a file are a length and the beginning of JSON."""
    return len(head) > PREFIX and head[PREFIX : PREFIX + 1] == b"{" and not any(head[5:PREFIX])


@contextmanager
def open_safetensors(path: Path) -> Iterator[Weights]:
    """The tensors of a file. Raises ArchiveDamaged, also when they are read."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        start, header = _header(file, size)
        yield Weights(size=size, tensors=dict(_weights(file, header, start, size)))


def _header(file: BinaryIO, size: int) -> tuple[int, dict[str, Any]]:
    """Where the tensors begin, and what the header says of them."""
    length = int.from_bytes(read_exactly(file, 0, min(PREFIX, size)), "little")
    if length > min(LARGEST_HEADER, size - PREFIX):
        raise ArchiveDamaged(
            "its header would take {wanted} bytes, the file has {size}", wanted=length, size=size
        )
    try:
        header = json.loads(read_exactly(file, PREFIX, length), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as problem:
        raise ArchiveDamaged("its header is no JSON: {problem}", problem=str(problem)) from None
    if not isinstance(header, dict):
        raise ArchiveDamaged("its header is no table")
    return PREFIX + length, header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name is there twice")
    return table


def _weights(
    file: BinaryIO, header: Mapping[str, Any], start: int, size: int
) -> Iterator[tuple[str, Weight]]:
    """Every tensor, none overlapping another and no byte without one, as the format demands."""
    spans: list[tuple[int, int]] = []
    for name, entry in header.items():
        if name == METADATA:
            continue
        weight, end = _weight(file, name, entry, start)
        spans.append((weight.start, end))
        yield name, weight
    spans.sort()
    ends = [start, *(end for _, end in spans)]
    if [first for first, _ in spans] != ends[:-1] or ends[-1] != size:
        raise ArchiveDamaged("its tensors overlap, or do not fill the file: truncated or damaged")


def _weight(file: BinaryIO, name: str, entry: Any, start: int) -> tuple[Weight, int]:
    entry = entry if isinstance(entry, dict) else {}
    code, shape, span = (entry.get(word) for word in ("dtype", "shape", "data_offsets"))
    kind = SAFETENSORS.get(code) if isinstance(code, str) else None
    if kind is None or not _are_sizes(shape, MOST_DIMENSIONS) or not _are_sizes(span, 2) or len(span) != 2:
        raise ArchiveDamaged(
            "its header says nothing of use about {name}: {entry}", name=name, entry=str(entry)[:80]
        )
    if math.prod(shape) * kind.width != span[1] - span[0]:
        raise ArchiveDamaged(
            "{name} of {kind} {shape} cannot take {n} bytes",
            name=name,
            kind=kind.name,
            shape=str(shape),
            n=span[1] - span[0],
        )
    strides = tuple(accumulate(reversed(shape[1:]), lambda a, b: a * b, initial=1))[::-1]

    def chunks(first: int, length: int, most: int) -> Iterator[bytes]:
        for at in range(first, first + length, most):
            yield read_exactly(file, at, min(most, first + length - at))

    return Weight(name, kind, tuple(shape), strides[: len(shape)], start + span[0], chunks), start + span[1]


def _are_sizes(value: Any, most: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= most
        and all(type(number) is int and 0 <= number < LARGEST for number in value)
    )
