"""Weights: a model's tensors by name, whatever file they are in, and their kinds of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opv2v_doctor.facts.past.checkpoints.archives import LEAST_BUDGET, TIMES_PACKED, ArchiveDamaged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.generic]


class KindNotRead(ArchiveDamaged):
    """Nothing is known to be wrong with the tensor, but its kind of values is not read here."""


@dataclass(frozen=True)
class NumberKind:
    """A kind of numbers: its name, bytes an element, and what NumPy reads it as (nothing: it cannot)."""

    name: str
    width: int
    numpy: str = ""

    @property
    def is_floating(self) -> bool:
        return self.name.startswith(("float", "bfloat", "complex"))


_KINDS = (
    ("Float", "F32", NumberKind("float32", 4, "f4")),
    ("Double", "F64", NumberKind("float64", 8, "f8")),
    ("Half", "F16", NumberKind("float16", 2, "f2")),
    ("BFloat16", "BF16", NumberKind("bfloat16", 2, "u2")),  # the upper half of a float32
    ("Long", "I64", NumberKind("int64", 8, "i8")),
    ("Int", "I32", NumberKind("int32", 4, "i4")),
    ("Short", "I16", NumberKind("int16", 2, "i2")),
    ("Char", "I8", NumberKind("int8", 1, "i1")),
    ("Byte", "U8", NumberKind("uint8", 1, "u1")),
    ("Bool", "BOOL", NumberKind("bool", 1, "u1")),
    ("ComplexFloat", "C64", NumberKind("complex64", 8, "c8")),
    ("ComplexDouble", "C128", NumberKind("complex128", 16, "c16")),
    ("", "U16", NumberKind("uint16", 2, "u2")),
    ("", "U32", NumberKind("uint32", 4, "u4")),
    ("", "U64", NumberKind("uint64", 8, "u8")),
    ("", "F8_E4M3", NumberKind("float8_e4m3fn", 1)),
    ("", "F8_E5M2", NumberKind("float8_e5m2", 1)),
    ("", "F8_E4M3FNUZ", NumberKind("float8_e4m3fnuz", 1)),
    ("", "F8_E5M2FNUZ", NumberKind("float8_e5m2fnuz", 1)),
    ("", "F8_E8M0", NumberKind("float8_e8m0fnu", 1)),
)
SAFETENSORS = {code: kind for _, code, kind in _KINDS}
TORCH = {f"torch.{kind.name}": kind for _, _, kind in _KINDS} | {
    f"torch.{name}Storage": kind for name, _, kind in _KINDS if name
}


BLOCK = 1 << 20  # elements
LARGEST_SPAN = 256 << 20  # bytes of a tensor that must be in memory as a whole, since it has gaps

Chunks = Callable[[int, int, int], Iterator[bytes]]  # first byte, bytes, bytes a chunk


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor: its name, kind and shape, and where its bytes are."""

    name: str
    kind: NumberKind
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # elements
    start: int  # byte in its place
    chunks: Chunks
    big_endian: bool = False
    before: int = 0  # bytes that must be unpacked first

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def span(self) -> int:
        """Elements from its first to its last one, in the file."""
        if not self.elements:
            return 0
        return 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))

    @property
    def is_dense(self) -> bool:
        """Whether its elements are all there and nothing else is between them, in whatever order."""
        expected = 1
        for stride, size in sorted(zip(self.strides, self.shape, strict=True)):
            if size != 1 and stride != expected:
                return False
            expected *= size
        return True

    @property
    def bytes(self) -> int:
        return self.span * self.kind.width


@dataclass(frozen=True)
class Weights:
    """The tensors of one file, or of the shards of one model."""

    size: int  # bytes in the file
    tensors: Mapping[str, Weight]

    def verify(self) -> None:
        """Raise ArchiveDamaged where reading all tensors would take far more bytes than the file has."""
        wanted = sum(weight.bytes + weight.before for weight in self.tensors.values())
        if wanted > max(LEAST_BUDGET, TIMES_PACKED * self.size):
            raise ArchiveDamaged(
                "its tensors would take {wanted} bytes, the file has {size}", wanted=wanted, size=self.size
            )


def blocks(weight: Weight, most: int | None = None) -> Iterator[Values]:
    """The values of a tensor, BLOCK elements at a time and at most so many; in the file's order if dense.

    Raises ArchiveDamaged where they are not there, or of a kind that is not read.
    """
    _verify_kind(weight)
    if not weight.elements:
        return
    if weight.is_dense:
        yield from _stretch(weight, weight.span if most is None else min(most, weight.span))
    else:
        whole = array(weight).reshape(-1)
        for at in range(0, len(whole) if most is None else min(most, len(whole)), BLOCK):
            yield whole[at : at + BLOCK]


def array(weight: Weight) -> Values:
    """The whole tensor in its shape. Raises ArchiveDamaged: too large, of no kind that is read."""
    import numpy as np

    _verify_kind(weight)
    if max(weight.bytes, weight.elements * weight.kind.width) > LARGEST_SPAN:
        raise ArchiveDamaged("{name} lies in {n} bytes with gaps", name=weight.name, n=weight.bytes)
    pieces = list(_stretch(weight, weight.span))
    flat = np.concatenate(pieces)
    strides = [stride * flat.itemsize for stride in weight.strides]
    return np.lib.stride_tricks.as_strided(flat, weight.shape, strides, writeable=False)


def _verify_kind(weight: Weight) -> None:
    if not weight.kind.numpy:
        raise KindNotRead("values of kind {kind} are not read", kind=weight.kind.name)


def _stretch(weight: Weight, elements: int) -> Iterator[Values]:
    """The first elements as they lie in the file, in blocks of exactly BLOCK but for the last."""
    width, left = weight.kind.width, elements
    buffer = bytearray()
    for chunk in weight.chunks(weight.start, elements * width, BLOCK * width):
        if not buffer and len(chunk) == BLOCK * width:
            yield _values(chunk, weight)
            left -= BLOCK
            continue
        buffer += chunk
        while len(buffer) >= BLOCK * width:
            yield _values(bytes(buffer[: BLOCK * width]), weight)
            del buffer[: BLOCK * width]
            left -= BLOCK
    if buffer:
        yield _values(bytes(buffer), weight)
        left -= len(buffer) // width
    if left:
        raise ArchiveDamaged("{name} is {n:value|values} short", name=weight.name, n=left)


def _values(content: bytes, weight: Weight) -> Values:
    import numpy as np

    values: Values = np.frombuffer(content, (">" if weight.big_endian else "<") + weight.kind.numpy)
    if weight.big_endian:
        values = values.astype(values.dtype.newbyteorder("="))
    if weight.kind.name == "bfloat16":
        values = np.left_shift(values.astype(np.uint32), 16, dtype=np.uint32).view(np.float32)
    return values
