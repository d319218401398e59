"""What crosses from a plugin's process to ours: JSON, and our own nouns rebuilt from it; never a pickle."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

NOUNS = ("opv2v_doctor.check", "opv2v_doctor.text")  # the modules whose classes may cross
Encoded = Any  # what json.dumps takes


def encode(value: object) -> Encoded:
    """A value as JSON: lists and mappings tagged, our nouns by name and fields, all else as text."""
    if isinstance(value, Enum):
        return ["enum", _name(value), value.value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value).__module__ in NOUNS and not isinstance(value, Exception):
        return _noun(value)
    if isinstance(value, PurePath):
        return ["path", str(value)]
    if isinstance(value, Mapping):
        return ["map", [[encode(key), encode(entry)] for key, entry in value.items()]]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ["list" if isinstance(value, list) else "tuple", [encode(entry) for entry in value]]
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return encode(value.tolist())
    return str(value)


def _noun(value: Any) -> Encoded:
    if isinstance(value, str):
        return ["word", _name(value), str(value)]
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value)]
    else:
        fields = list(type(value).__slots__)
    return ["noun", _name(value), {field: encode(getattr(value, field)) for field in fields}]


def _name(value: object) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def decode(value: Encoded) -> Any:
    """The value of what `encoded` made. Raises ValueError for anything else."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    try:
        return _decode(*value)
    except (TypeError, KeyError, AttributeError) as problem:
        raise ValueError(f"no value of ours: {value!r:.80}") from problem


def _decode(kind: str, what: Any, content: Any = None) -> Any:
    match kind:
        case "path":
            return Path(what)
        case "map":
            return {decode(key): decode(entry) for key, entry in what}
        case "list" | "tuple":
            return (list if kind == "list" else tuple)(map(decode, what))
        case "enum" | "word":
            return _class(what, Enum if kind == "enum" else str)(content)
        case "noun":
            made = object.__new__(_class(what, object))
            for field, entry in content.items():
                object.__setattr__(made, field, decode(entry))
            return made
    raise ValueError(f"no value of ours: {kind!r:.80}")


def _class(name: str, of: type) -> type[Any]:
    """A class of our nouns, and no other."""
    module, _, word = name.partition(":")
    found = getattr(importlib.import_module(module), word) if module in NOUNS else None
    if not isinstance(found, type) or found.__module__ != module or not issubclass(found, of):
        raise ValueError(f"no noun of ours: {name!r:.80}")
    return found
