"""Paths: the absolute paths of the resolved config, where each is written, and which the training reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.launch.config import config, place, run_directory
from opv2v_doctor.facts.launch.datasets import asked_eval_parts, train_parts
from opv2v_doctor.facts.source.first_party import first_party_modules
from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place, Text

ROOTS = ("root", "depth_root")  # keywords of a dataset that name the folders it reads
USED = ("model.", "train_params.", "loss.", "output_dir")


@dataclass(frozen=True, kw_only=True)
class ConfiguredPath:
    """One path of the resolved config."""

    path: Path
    keys: tuple[str, ...]  # the keys that lead there, the one that says it literally first
    at: Place | None  # where it is written
    read: bool  # a dataset expression reads it
    used: bool  # it is read, or belongs to the model, the run or the training
    checkout: Path | None  # another copy of the training repository that it lies in

    @property
    def key(self) -> str | Text:
        """The key to name it by."""
        return self.keys[0] if self.keys else Text("a dataset expression")

    @property
    def missing(self) -> bool:
        """Whether nothing is there that may be looked at."""
        return not _is_there(self.path)


def _is_there(path: Path) -> bool:
    """Whether something exists; nothing does in a folder that may not be entered."""
    try:
        return path.exists()
    except OSError:
        return False


def _real(path: Path) -> Path:
    """Where a path leads, all links followed."""
    return Path(os.path.realpath(path))


@fact
def configured_paths(target: Target) -> tuple[ConfiguredPath, ...]:
    """Every path of the resolved config, those that the datasets read first."""
    read = _read_paths(target)
    keys: dict[Path, list[str]] = {path: [] for path in read}
    for key, value in _absolute(config(target).values):
        keys.setdefault(Path(value), []).append(key)
    return tuple(_path_in_config(target, path, path in read, keys) for path in keys)


def _read_paths(target: Target) -> list[Path]:
    """The folders that the dataset expressions name."""
    found = [
        target.cwd / value
        for part in (*train_parts(target), *asked_eval_parts(target))
        for word, value in part.keywords.items()
        if word.lower() in ROOTS and isinstance(value, str)
    ]
    return list(dict.fromkeys(found))


def _absolute(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(key, path) of every absolute path, Hydra's own aside."""
    for name, value in node.items() if isinstance(node, Mapping) else ():
        key = f"{prefix}{name}"
        if isinstance(value, str) and value.startswith("/") and "\n" not in value:
            yield key, value
        elif key != "hydra":
            yield from _absolute(value, f"{key}.")


def _path_in_config(
    target: Target, path: Path, read: bool, all_keys: Mapping[Path, list[str]]
) -> ConfiguredPath:
    keys, checkout = all_keys[path], _other_checkout(target, path)
    above = [other for other in all_keys if checkout and path.is_relative_to(other)]
    beside = sorted(
        (other for other in above if _real(other).is_relative_to(checkout or other)),
        key=lambda other: -len(other.parts),  # the nearest first: to change it changes least else
    )
    values = {key: other for other in (*beside, path) for key in all_keys[other]}
    places = [(key, place(target, key)) for key in dict.fromkeys([*keys, *values])]
    places.sort(key=lambda found: not _says(found[1], checkout, values[found[0]]))  # stable
    return ConfiguredPath(
        path=path,
        keys=tuple(key for key, _ in places),
        at=places[0][1] if places else place(target, "dataset.train_dataset"),
        read=read,
        used=read or any(key.startswith(USED) for key in keys) or path == target.cwd / run_directory(target),
        checkout=checkout,
    )


def _says(at: Place | None, *paths: Path | None) -> bool:
    """Whether that line holds one of the paths itself, not an interpolation of it."""
    if at is None or at.line is None:
        return False
    text = text_of(at.path).splitlines()[at.line - 1]
    return any(str(path) in text for path in paths if path)


def _other_checkout(target: Target, path: Path) -> Path | None:
    """The folder above a path that is another copy of the training repository.

    A folder that also holds the target itself is none: a worktree shares what lies beside it. Nor does a link
    in the target lead to one: whoever made it knows where to.
    """
    repo = _real(target.repo)
    if any(_real(folder) == repo for folder in path.parents):
        return None
    names = [module.name for module in first_party_modules(target) if module.homes[0].is_dir()]
    script = target.settings.launch.script
    for folder in _real(path).parents:
        if repo.is_relative_to(folder) or folder.is_relative_to(repo):
            return None
        if any(_is_there(folder / name / "__init__.py") for name in names):
            return folder
        if _is_there(folder / ".git") and _is_there(folder / script):
            return folder
    return None
