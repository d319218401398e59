"""Wording: many names in few words."""

from __future__ import annotations

from collections.abc import Sequence

from opv2v_doctor.text import Value

SHOWN = 5


def few(names: Sequence[Value], most: int = SHOWN) -> list[Value]:
    """The first names, and how many follow; all of them belong into values that no template names."""
    return [*names[:most], *([f"… (+{len(names) - most})"] if len(names) > most else [])]
