"""Settings under fuzz: any opv2v-doctor.toml ends in a plan of checks, or in a line that says why not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy  # noqa: F401  (imported late, it would set variables of the environment)

from fuzz import Subject, corpus
from fuzz.execution import nothing_runs
from fuzz.mutations import LONGEST, mutated
from fuzz.trials import ended
from opv2v_doctor.cli.examination import selection
from opv2v_doctor.settings import FILE_NAME
from opv2v_doctor.target import make_target

WORDS = (
    b'"',
    b"'''",
    b"\n[",
    b"[[",
    b"]]",
    b"{",
    b"}",
    b" = ",
    b"\\u0000",
    b"\\U0010FFFF",
    b"\0",
    b"\xff",
    b"nan",
    b"-inf",
    b"1e400",
    b"9" * 4000,
    b"-0",
    b"0x",
    b"1979-05-27T07:32:00Z",
    b"24:00:00",
    b"true",
    b"[" * 3000,
    b"a." * 600,
    b"{a = " * 300,
    b"\n[launch.4]\n",
    b"\n[launch.04]\n",
    b"\n[launch.99999]\n",
    b"variants = 1\n",
    b"\n[[ignore]]\ncode = 'DAT001'\n",
    b"reason = 'x'\n",
    b"until = 2020-01-01\n",
    b"repo = '/'\n",
    b"python = ''\n",
    b"plugins = ['/dev/zero']\n",
    b"run = '.'\n",
    b"splits = []\n",
    b"select = ['all']\n",
    b"\n[infer]\narguments = ['{checkpoint}', '{0}', '{a.b}']\n",
    b"~",
    b"~nobody",
)


def seeds() -> Sequence[bytes]:
    """The corpus: every setting there is, and what was found."""
    return corpus("settings")


def mutation(seeds: Sequence[bytes], random: Random) -> bytes:
    """One file of settings, changed."""
    return mutated(random.choice(seeds), seeds, WORDS, random)


def examine(content: bytes, folder: Path) -> None:
    """Make a target of it, and plan what would run."""
    (folder / "scripts").mkdir()
    (folder / "scripts" / "train.py").touch()
    (folder / FILE_NAME).write_bytes(content)
    with nothing_runs():
        ended(lambda: _planned(folder))


def _planned(folder: Path) -> None:
    target = make_target(repo=folder)
    hash(target)
    words = (*target.launch_overrides, *target.launch_env, *target.launch_env.values(), str(target.script))
    assert not any("\0" in word for word in words), "a process cannot be started with these"
    places = dict.fromkeys(("checkpoint", "output", "run"), "x")
    with suppress(ValueError):
        assert len("".join(target.settings.infer.filled(places, ()))) < LONGEST, "an argument grows"
    selection(target, target.settings.select, ignores=(), tier="run")


SUBJECT = Subject(name="settings", suffix=".toml", seeds=seeds, mutated=mutation, examine=examine)
