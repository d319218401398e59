"""Event files of TensorBoard: their scalars, read from the framing and the messages themselves, as runs.

A file is a sequence of records: length, its checksum, a protobuf message, its checksum. What does not follow
that ends the reading; nothing is executed, and no more is read into memory than one record.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from opv2v_doctor.facts.past.logs.blocks import PAD, Block
from opv2v_doctor.facts.past.logs.metric_rows import NO_EPOCH, MetricRows
from opv2v_doctor.facts.past.logs.records import Records
from opv2v_doctor.foreign_files import open_file

TOGETHER = 20_000  # scalars
LONGEST = 1 << 24  # bytes of a record: images and histograms are skipped beyond


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """One value of one tag; `record` counts the records of the file from 1."""

    record: int
    step: int
    tag: str
    value: float


def is_event_file(path: Path) -> bool:
    return path.name.startswith("events.out.tfevents.")


def scalars(path: Path) -> Iterator[Scalar]:
    """The scalars of an event file, up to the first record that is not whole."""
    with open_file(path) as file:
        for number, message in enumerate(_messages(file), 1):
            yield from _scalars(number, message)


def _messages(file: IO[bytes]) -> Iterator[bytes]:
    while len(header := file.read(12)) == 12:
        length = struct.unpack("<Q", header[:8])[0]
        if length > LONGEST:
            return
        message = file.read(length)
        if len(message) < length or len(file.read(4)) < 4:
            return
        yield message


def _scalars(number: int, message: bytes) -> Iterator[Scalar]:
    """Event { step = 2; summary = 5 { value = 1 { tag = 1; simple_value = 2; tensor = 8 } } }"""
    event = list(_fields(message))
    step = next((value for field, value in event if field == 2 and isinstance(value, int)), 0)
    step = step - (1 << 64) if step >= 1 << 63 else step
    for field, summary in event:
        if field != 5 or not isinstance(summary, bytes):
            continue
        for inner, value in _fields(summary):
            if inner == 1 and isinstance(value, bytes) and (found := _value(value)) is not None:
                yield Scalar(record=number, step=step, tag=found[0], value=found[1])


def _value(message: bytes) -> tuple[str, float] | None:
    fields = dict(_fields(message))
    tag, simple, tensor = fields.get(1), fields.get(2), fields.get(8)
    number = (
        simple if isinstance(simple, float) else _of_tensor(tensor) if isinstance(tensor, bytes) else None
    )
    if not isinstance(tag, bytes) or number is None:
        return None
    return tag.decode("utf-8", "replace"), number


def _of_tensor(message: bytes) -> float | None:
    """A tensor of one float: its content, or its list of floats."""
    fields = dict(_fields(message))
    content, floats = fields.get(4), fields.get(5)
    if fields.get(1) != 1:
        return None
    for raw in (content, floats):
        if isinstance(raw, bytes) and len(raw) == 4:
            return float(struct.unpack("<f", raw)[0])
    return floats if isinstance(floats, float) else None


def _fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """The fields of a protobuf message, up to the first that is not whole."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
        elif kind == 2:
            length, at = _varint(message, at)
            if at + length > len(message):
                return
            yield key >> 3, message[at : at + length]
            at += length
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            if at + size > len(message):
                return
            yield key >> 3, float(struct.unpack_from("<d" if kind == 1 else "<f", message, at)[0])
            at += size
        else:
            return


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            return 0, len(message) + 1
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
    return value & (1 << 64) - 1, at


def scalar_records(path: Path) -> Iterator[Records]:
    """An event file as records, some thousand scalars each; a line is a record of the file."""
    gathered: list[Scalar] = []
    thousandths = False
    for scalar in scalars(path):
        gathered.append(scalar)
        thousandths |= scalar.tag == "train_iter" and abs(scalar.value - scalar.step) <= 1 and scalar.step > 0
        if len(gathered) >= TOGETHER:
            yield _records(gathered, thousandths)
            gathered = []
    if gathered:
        yield _records(gathered, thousandths)


def _records(found: list[Scalar], thousandths: bool) -> Records:
    """`thousandths`: the training writes at 1000 times the epoch, and says so in `train_iter`."""
    by_tag: dict[str, list[Scalar]] = {}
    for scalar in found:
        by_tag.setdefault(scalar.tag, []).append(scalar)
    runs = [_run(tag, ours, thousandths) for tag, ours in by_tag.items()]
    block = Block(data=PAD, line=found[0].record)
    return Records(block=block, runs=runs, source="events")


def _run(tag: str, found: list[Scalar], thousandths: bool) -> MetricRows:
    steps = np.array([scalar.step for scalar in found], np.int64).clip(-1, 2**31 - 1)
    values = np.array([[scalar.value] for scalar in found], np.float64)
    return MetricRows(
        phase="train" if tag.startswith("train_") else "test",
        steps=0,
        names=(tag.removeprefix("train_"),),
        averaged=np.zeros(1, np.bool_),
        epoch=steps // 1000 if thousandths else np.full(len(found), NO_EPOCH, np.int64),
        step=np.full(len(found), -1, np.int64) if thousandths else steps,
        line=np.array([scalar.record for scalar in found], np.int64),
        medians=values,
        averages=np.full_like(values, np.nan),
    )
