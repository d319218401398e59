"""The kinds of numbers that weights are made of: torch's names, those of safetensors, and NumPy's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of numbers: its name, bytes an element, and what NumPy reads it as (nothing: it cannot)."""

    name: str
    width: int
    numpy: str = ""

    @property
    def is_floating(self) -> bool:
        return self.name.startswith(("float", "bfloat", "complex"))


_KINDS = (
    ("Float", "F32", Kind("float32", 4, "f4")),
    ("Double", "F64", Kind("float64", 8, "f8")),
    ("Half", "F16", Kind("float16", 2, "f2")),
    ("BFloat16", "BF16", Kind("bfloat16", 2, "u2")),  # the upper half of a float32
    ("Long", "I64", Kind("int64", 8, "i8")),
    ("Int", "I32", Kind("int32", 4, "i4")),
    ("Short", "I16", Kind("int16", 2, "i2")),
    ("Char", "I8", Kind("int8", 1, "i1")),
    ("Byte", "U8", Kind("uint8", 1, "u1")),
    ("Bool", "BOOL", Kind("bool", 1, "u1")),
    ("ComplexFloat", "C64", Kind("complex64", 8, "c8")),
    ("ComplexDouble", "C128", Kind("complex128", 16, "c16")),
    ("", "U16", Kind("uint16", 2, "u2")),
    ("", "U32", Kind("uint32", 4, "u4")),
    ("", "U64", Kind("uint64", 8, "u8")),
    ("", "F8_E4M3", Kind("float8_e4m3fn", 1)),
    ("", "F8_E5M2", Kind("float8_e5m2", 1)),
)
SAFETENSORS = {code: kind for _, code, kind in _KINDS}
TORCH = {f"torch.{kind.name}": kind for _, _, kind in _KINDS} | {
    f"torch.{name}Storage": kind for name, _, kind in _KINDS if name
}
