"""The snapshot: every file that decides what a launch runs, by its hash, so that a change is noticed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.source.commit import git_state, tracked
from opv2v_doctor.facts.source.copies import resolutions
from opv2v_doctor.facts.source.first_party import first_party_modules
from opv2v_doctor.facts.source.syntax import hydra_main, modules
from opv2v_doctor.foreign_files import bytes_of
from opv2v_doctor.runs import digests
from opv2v_doctor.runs.directory import LOCK, RECORD
from opv2v_doctor.runs.record import Launch, Run
from opv2v_doctor.state import State
from opv2v_doctor.target import Target

FILE = "sources.txt"
CODE = (".py", ".pyx", ".so", ".c", ".cpp", ".cu", ".h", ".yaml", ".yml", ".toml", ".cfg", ".ini")
ABSENT = "-" * 64
COMMIT = "the commit"
LARGEST = 1 << 26  # bytes of a file that is hashed


class Changed(Exception):
    """What a launch would run is not what was looked at; `names` are the files."""

    def __init__(self, names: Iterable[str], since: str) -> None:
        self.names = tuple(names)
        few = ", ".join(self.names[:5]) + ", ..." * (len(self.names) > 5)
        super().__init__(f"{few} changed {since}")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The files that decide what a launch runs: which these are, and what they held.

    What trainings write (logs, checkpoints, their directories) and bytecode is no part of it.
    """

    files: tuple[Path, ...]  # settings, scripts, a checkpoint
    trees: tuple[Path, ...]  # packages and configs: all code in them
    entries: tuple[Path, ...]  # folders that imports begin at: what stands there can hide a module
    commit: str | None
    dirty: Mapping[str, str]  # files that differ from the commit: name -> hash
    sources: Mapping[str, str]  # code, tracked or imported: name -> hash

    def changes(self, target: Target) -> tuple[str, ...]:
        """The names of what is not as it was."""
        now = _take(self, replace(target, state=State()))
        before = {**self.dirty, **self.sources, COMMIT: self.commit}
        after = {**now.dirty, **now.sources, COMMIT: now.commit}
        return tuple(name for name in sorted({*before, *after}) if before.get(name) != after.get(name))


def snapshot(target: Target, files: Iterable[Path] = ()) -> Snapshot:
    """What decides what a launch of the target runs, and these files, as it is now."""
    alone = replace(target, state=State())  # what it is told by shall not outlast it
    empty = Snapshot(
        files=tuple(dict.fromkeys([target.settings_path, *modules(alone), *files])),
        trees=tuple(dict.fromkeys(_trees(alone))),
        entries=tuple(dict.fromkeys(_entries(alone))),
        commit=None,
        dirty={},
        sources={},
    )
    alone.state.forget()
    return _take(empty, alone)


def _trees(target: Target) -> Iterator[Path]:
    """Where the repository's own modules come from in a launch, and its configs."""
    yield from (home for module in first_party_modules(target) for home in module.homes)
    try:
        if main := hydra_main(target):
            yield main.config_dir
        found = resolutions(target)
    except Blocked:  # the gate tells why
        return
    yield from (place for each in found if each.winner for place in each.winner.places)


def _entries(target: Target) -> Iterator[Path]:
    """The script's folder and those of PYTHONPATH."""
    yield target.import_folder
    path = target.launch_env.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    yield from (target.cwd / part for part in path.split(os.pathsep) if part)


def _take(scope: Snapshot, target: Target) -> Snapshot:
    found: dict[Path, None] = dict.fromkeys(scope.files)
    for tree in scope.trees:
        found |= dict.fromkeys(_code_in(tree))
    for entry in scope.entries:
        found |= dict.fromkeys(_importable(entry))
    state = git_state(target)
    found |= dict.fromkeys(target.repo / name for name in _listed_by_git(target, state.untracked))
    dirty = [name for name in state.dirty if not _is_of_a_run(name, target.repo)]
    return replace(
        scope,
        commit=state.commit,
        dirty={name: _hash(target.repo / name) for name in dirty},
        sources={name_of(path, target): _hash(path) for path in sorted(found)},
    )


def _listed_by_git(target: Target, untracked: Iterable[str]) -> Iterator[str]:
    """The code that git tracks, and what is new beside it."""
    names = [name for name in tracked(target) if name.endswith(CODE) and not _is_of_a_run(name, target.repo)]
    folders = {Path(name).parent for name in names}
    yield from names
    yield from (name for name in untracked if name.endswith(".py") and Path(name).parent in folders)


def _is_run(folder: Path) -> bool:
    """Whether a training writes there, or has."""
    return (folder / RECORD).is_file() or (folder / ".hydra").is_dir()


def _is_of_a_run(name: str, repo: Path) -> bool:
    """Whether a training writes the file, be it only the lock of a directory that is no run yet."""
    path = Path(name)
    return path.name == LOCK or any(_is_run(repo / folder) for folder in path.parents[:-1])


def _code_in(tree: Path) -> Iterator[Path]:
    """The code below a folder, links followed, each folder once."""
    if tree.is_file():
        yield tree
    seen: set[str] = set()
    for folder, inner, names in os.walk(tree, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or (Path(folder) != tree and _is_run(Path(folder))):
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(name for name in inner if name != "__pycache__" and not name.startswith("."))
        yield from (Path(folder, name) for name in names if name.endswith(CODE))


def _importable(entry: Path) -> Iterator[Path]:
    """The modules and packages right in a folder: a package by its first file."""
    try:
        with os.scandir(entry) as found:
            names = sorted((each.name, each.is_dir()) for each in found)
    except OSError:
        return
    for name, is_folder in names:
        if is_folder and os.path.lexists(entry / name / "__init__.py"):
            yield entry / name / "__init__.py"
        elif not is_folder and name.endswith((".py", ".so")):
            yield entry / name


def name_of(path: Path, target: Target) -> str:
    """How a file is named, in one line of text: from the repository's folder, if it lies below it."""
    name = str(path.relative_to(target.repo) if path.is_relative_to(target.repo) else path)
    return os.fsencode(name).decode("utf-8", "backslashreplace").replace("\n", "\\n")


def _hash(path: Path) -> str:
    """A file's hash; of a large one (a checkpoint) what changes with it."""
    try:
        found = path.stat()
        if found.st_size > LARGEST:
            return f"{found.st_size} bytes of {found.st_mtime_ns}, {found.st_ino}"
        return digests.of_file(path)
    except OSError:  # gone, or a submodule: a folder
        return ABSENT


def sources_text(found: Snapshot) -> bytes:
    """The hashes as `sha256sum` writes them, from the repository's folder."""
    both = {**found.dirty, **found.sources}
    lines = (f"{digest}  {name}\n" for name, digest in both.items() if len(digest) == len(ABSENT))
    return "".join(lines).encode()


def read_sources(content: bytes) -> dict[str, str]:
    """Name -> hash, as `sources_text` wrote them."""
    lines = content.decode("utf-8", "replace").split("\n")[:-1]
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def sources_of(run: Run, launch: Launch) -> dict[str, str]:
    """Name -> hash of what a launch was stamped with; none where they were not stamped."""
    try:
        return read_sources(bytes_of(run.path / launch.folder / FILE))
    except OSError:
        return {}
