"""Leaves: the values of nested configs by dotted key, and those that two configs give otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opv2v_doctor.text import Text

ABSENT = "(not set)"  # the value of a key that a config does not have
BEFORE, AFTER = 12, 45  # characters shown about the point where two values differ


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One key that two configs give different values."""

    key: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return str(self.told)

    @property
    def told(self) -> Text:
        """Both values, from shortly before the point where they differ: dataset strings are long."""
        old, new = _text(self.before), _text(self.after)
        same = next((n for n, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), 0)
        start = same - BEFORE if max(len(old), len(new)) > BEFORE + AFTER else 0
        before, after = (
            Text("(not set)") if value == ABSENT else _excerpt(text, start)
            for value, text in ((self.before, old), (self.after, new))
        )
        return Text("{key}: {before} -> {after}", key=self.key, before=before, after=after)


def _text(value: Any) -> str:
    return "null" if value is None else str(value)


def _excerpt(text: str, start: int) -> str:
    """A part of a text, on one line, with nothing in it that a terminal would obey."""
    start = max(0, start)
    part = text[start : start + BEFORE + AFTER]
    dots = "..." if start else "", "..." if start + len(part) < len(text) else ""
    words = "".join(" " if sign.isspace() else sign if sign.isprintable() else "?" for sign in part)
    return dots[0] + words + dots[1]


def leaves(node: Any, key: str = "", *, empty: bool = False) -> Iterator[tuple[str, Any]]:
    """Every value of nested dictionaries with its dotted key; a list is a value, an empty one if wanted."""
    if isinstance(node, Mapping) and (node or not empty):
        for name, entry in node.items():
            yield from leaves(entry, f"{key}.{name}" if key else str(name), empty=empty)
    elif key:
        yield key, node
