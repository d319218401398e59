"""Tensors of a checkpoint, as its pickle describes them; of their storage only single numbers are read."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import Any

from opv2v_doctor.facts.past.checkpoints.archives import Archive
from opv2v_doctor.facts.past.checkpoints.weights import TORCH
from opv2v_doctor.facts.past.pickles.machine import Name, RecordedCall, Stored

MOST_DIMENSIONS = 64
LARGEST = 1 << 48  # elements
_names = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1")
_unread = re.compile(
    r"torch\._tensor\._rebuild_from_type(_v2)?"
    r"|torch\._utils\._rebuild_(?P<kind>meta|nested|qtensor|sparse(_cs[rc]|_bs[rc])?|wrapper_subclass)\w*"
)
SCALARS = dict(zip(_names, "dfeqihbB", strict=True))  # what struct calls each of NumPy's names


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies, and its shape."""

    key: str
    kind: str  # torch.FloatStorage
    offset: int  # elements
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # elements


def tensor(value: Any) -> Tensor | None:
    """The tensor that the call would rebuild; None for anything else."""
    arguments = value.arguments if isinstance(value, RecordedCall) else ()
    if not isinstance(arguments, tuple) or not arguments:
        return None
    if value.name.startswith("torch._utils._rebuild_parameter"):
        return tensor(arguments[0])
    if not value.name.startswith("torch._utils._rebuild_tensor") or len(arguments) < 3:
        return None
    storage, offset, shape = arguments[:3]
    strides = arguments[3] if len(arguments) > 3 else None
    where = storage.where if isinstance(storage, Stored) else None
    if not isinstance(where, tuple) or len(where) < 3 or not isinstance(where[1], Name):
        return None
    key = where[2] if isinstance(where[2], str) else ""
    dtype = arguments[6] if value.name.endswith("_v3") and len(arguments) > 6 else where[1]
    return _tensor(key, dtype.dotted if isinstance(dtype, Name) else "", offset, shape, strides)


def kind_unread(value: Any) -> str:
    """What kind of tensor the call would rebuild of which no value is read here: "sparse", "meta"."""
    name = value.name if isinstance(value, RecordedCall) and tensor(value) is None else ""
    if name.startswith("torch._utils._rebuild_parameter") and isinstance(value.arguments, tuple):
        return kind_unread(next(iter(value.arguments), None))
    found = _unread.fullmatch(name)
    kind = (found["kind"] or "tensor subclass") if found else ""
    return {"qtensor": "quantised"}.get(kind, kind).replace("_", " ")


def is_tensor(value: Any) -> bool:
    """Whether the call would rebuild a tensor of any kind."""
    return tensor(value) is not None or bool(kind_unread(value))


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of a tensor; None for anything else."""
    found = tensor(value)
    return found.shape if found else None


def _tensor(key: str, kind: str, offset: Any, shape: Any, strides: Any) -> Tensor | None:
    """The tensor, where its numbers are such."""
    if not isinstance(shape, tuple) or len(shape) > MOST_DIMENSIONS:
        return None
    if not isinstance(strides, tuple) or len(strides) != len(shape):
        return None
    numbers = (offset, *shape, *strides)
    if not all(isinstance(number, int) and 0 <= number < LARGEST for number in numbers):
        return None
    return Tensor(key, kind, offset, shape, strides)


def number(value: Any, archive: Archive) -> float | None:
    """A number, be it plain, numpy's or a tensor of one element; None for anything else."""
    if isinstance(value, int | float):
        return value
    found = tensor(value)
    if found is not None:
        return _element(found, archive)
    return _numpy(value) if isinstance(value, RecordedCall) else None


def _element(found: Tensor, archive: Archive) -> float | None:
    kind = TORCH.get(found.kind)
    layout = SCALARS.get(kind.numpy) if kind else None
    if layout is None or math.prod(found.shape) != 1:
        return None
    length = struct.calcsize(layout)
    content = archive.slice(f"data/{found.key}", found.offset * length, length)
    return _number_in((">" if archive.big_endian else "<") + layout, content)


def _numpy(call: RecordedCall) -> float | None:
    """`numpy.core.multiarray.scalar(dtype, bytes)`; in protocol 2, the bytes are an encoded text."""
    if not call.name.endswith("multiarray.scalar") or not isinstance(call.arguments, tuple):
        return None
    kind, content = call.arguments if len(call.arguments) == 2 else (None, None)
    if isinstance(content, RecordedCall) and content.name == "_codecs.encode":
        first = content.arguments[0] if isinstance(content.arguments, tuple) and content.arguments else None
        content = first.encode("latin-1", "replace") if isinstance(first, str) else None
    if not isinstance(kind, RecordedCall) or not isinstance(kind.arguments, tuple) or not kind.arguments:
        return None
    name = kind.arguments[0]
    layout = SCALARS.get(name) if isinstance(name, str) else None
    order = kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else "<"
    if layout is None or not isinstance(content, bytes):
        return None
    return _number_in((">" if order == ">" else "<") + layout, content)


def _number_in(layout: str, content: bytes) -> float | None:
    return float(struct.unpack(layout, content)[0]) if len(content) == struct.calcsize(layout) else None
