"""Fuzzing: mutated real files must end in an answer. No crash, no hang, and nothing in them runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"  # real files that may not be published; used where they are
SUBJECTS = ("logs", "checkpoints", "answers", "settings", "records", "git", "serve", "audit")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A reader under test: what it is given, and what is done with it. `examine` raises for a finding."""

    name: str
    suffix: str  # of the files it reads
    seeds: Callable[[], Sequence[bytes]]
    mutated: Callable[[Sequence[bytes], Random], bytes]
    examine: Callable[[bytes, Path], None]  # the input, and an empty folder to put it into


def subject(name: str) -> Subject:
    """The subject of this name."""
    found: Subject = importlib.import_module(f"fuzz.{name}").SUBJECT
    return found


def source(seed: int, number: int) -> Random:
    """The randomness of one input: each can be made again alone."""
    return Random(f"{seed}:{number}")


def corpus(name: str) -> list[bytes]:
    """The files that a subject begins with, and those that were found."""
    return [path.read_bytes() for path in sorted((ROOT / "tests" / "corpus" / name).iterdir())]
