"""Interpreters: those that lines of a shell activate, or call by their paths. None of them is started."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from opv2v_doctor.foreign_files import text_of


def named_in(repo: Path, line: str) -> Iterator[Path]:
    """The interpreters that a line of a shell activates or calls by its path."""
    for program in re.finditer(r"(?<![\w/.~}-])([\w/.~${}-]*/bin)/(python[\d.]*|torchrun)(?![\w/])", line):
        folder = repo / _expand(program[1])
        yield folder / (program[2] if program[2] != "torchrun" else "python")
    for folder, name in re.findall(
        r"(?:\bsource|(?:^|[;&])\s*\.)\s+[\"']?([^\s\"'`]+)/bin/activate\b[\"']?(?: +([\w.-]+))?", line
    ):
        home = repo / _expand(folder)
        yield (home / "envs" / name if name else home) / "bin/python"  # a name is for conda's root
    for name in re.findall(
        r"\b(?:conda|mamba|micromamba) (?:activate|run (?:-n|--name|-p|--prefix)) [\"']?([^\s\"'`;&]+)", line
    ):
        places = [repo / _expand(name)] if "/" in name else _conda_environments(name)
        yield from (place / "bin/python" for place in places)


def _expand(path: str) -> Path:
    """A path of a shell, with its home and variables as they are in ours."""
    return Path(os.path.expandvars(os.path.expanduser(path)))  # noqa: PTH111 (which raises for `~nobody`)


def _conda_environments(name: str) -> Iterator[Path]:
    """Where an environment of conda of this name may lie: conda lists those that it made."""
    listed = _expand("~/.conda/environments.txt")
    if listed.is_file():
        yield from (Path(line) for line in text_of(listed, "replace").splitlines() if Path(line).name == name)
    if program := os.environ.get("CONDA_EXE"):
        yield Path(program).parents[1] / "envs" / name
