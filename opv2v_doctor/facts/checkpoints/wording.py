"""Wording: many names in few words, and the commands that hints name."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from opv2v_doctor.text import Command, Value

SHOWN = 5


def few(names: Sequence[Value], most: int = SHOWN) -> list[Value]:
    """The first names, and how many follow; all of them belong into values that no template names."""
    return [*names[:most], *([f"… (+{len(names) - most})"] if len(names) > most else [])]


def copying(source: Path, to: Path) -> Command:
    """What puts one checkpoint in the place of another."""
    return Command(shlex.join(["cp", str(source), str(to)]))
