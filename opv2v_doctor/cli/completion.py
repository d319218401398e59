"""Completion: the words that a shell offers for an argument, read from file names and sources in a moment.

Nothing is imported for it but what the command line needs, and nothing of the repository is run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

SPLITS = ("train", "val", "test")
DEEPEST = 4  # folders below the working directory that may hold runs
MOST = 3000  # folders that are looked into: a dataset has more, and no run
SKIPPED = {"data", "datasets", "node_modules", "site-packages", "wandb", "output", "outputs_cache"}
_code = re.compile(r'^@\w+\(\s*"([A-Z]{3}\d{3})"', re.MULTILINE)
_name = re.compile(r"^def ([a-z]\w+)", re.MULTILINE)
_config_path = re.compile(r'config_path\s*=\s*["\']([^"\']+)["\']')


def mend_zsh() -> None:
    """Have zsh complete at the first TAB of a session, too.

    It loads typer's script as the body of a function at that TAB, and the script defines what completes and
    runs nothing.
    """
    with suppress(ImportError, KeyError):  # another typer than this was written for
        from typer._completion_shared import _completion_scripts as scripts

        scripts["zsh"] += '[[ "${funcstack[1]}" == _%(prog_name)s ]] && %(complete_func)s "$@"\n'


def splits(incomplete: str) -> list[str]:
    """The names of splits."""
    return _beginning(SPLITS, incomplete)


def codes(incomplete: str) -> list[str]:
    """The codes of all checks, those of `smoke`, `diagnose` and `audit` included."""
    ours = Path(__file__).parents[1]
    folders = [*_checks(), ours / "smoke", ours / "diagnosis", ours / "audit" / "verdicts"]
    found = {code for folder in folders for text in _sources(folder) for code in _code.findall(text)}
    return _beginning(sorted(found), incomplete.upper())


def families(incomplete: str) -> list[str]:
    """The families of the checklist: the modules of its checks, up to their first underscore."""
    names = {path.stem.partition("_")[0] for place in _checks() for path in place.glob("[a-z]*.py")}
    return _beginning(sorted(names), incomplete)


def checks(incomplete: str) -> list[str]:
    """What `check` takes, but for overrides: families and codes."""
    return [*families(incomplete), *(codes(incomplete) if incomplete else ())]


def ignores(incomplete: str) -> list[str]:
    """An exception as far as it can be guessed: the code, and the colon before the reason."""
    return [f"{code}: " for code in codes(incomplete)]


def faults(incomplete: str) -> list[str]:
    """The faults that `demo` can put in."""
    texts = _sources(Path(__file__).parents[1] / "sandbox" / "faults")
    found = {
        name
        for text in texts
        for part in re.split(r"^@fault\(", text, flags=re.MULTILINE)[1:]
        if (match := _name.search(part)) and (name := match[1])
    }
    return _beginning(sorted(found), incomplete)


def runs(incomplete: str) -> list[str]:
    """Run directories below the working directory, the newest first."""
    found: list[tuple[float, str]] = []
    looked, waiting = 0, [(".", 0)]
    while waiting and looked < MOST:
        folder, depth = waiting.pop(0)
        looked += 1
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        if any(entry.name in ("run.json", "train.log") for entry in entries):
            found.append((-os.stat(folder).st_mtime, os.path.relpath(folder)))  # noqa: PTH116
        waiting += [
            (entry.path, depth + 1)
            for entry in entries
            if depth < DEEPEST
            and entry.name not in SKIPPED
            and not entry.name.startswith(".")
            and entry.is_dir(follow_symlinks=False)
        ]
    return _beginning([name for _, name in sorted(found)], incomplete)


def overrides(ctx: Any, incomplete: str) -> list[str]:
    """Hydra's groups and their options: `dataset=` and `dataset=opv2v_coop_ft`."""
    folder = _configs(Path(ctx.params.get("repo") or "."))
    group, split, begun = _parted(incomplete)
    if group:
        values = _beginning(_options(folder / group), begun)
        return values if split else [f"{group}={value}" for value in values]
    try:
        groups = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and _options(path)]
    except OSError:
        return []
    matching = _beginning(groups, begun)
    if len(matching) == 1:  # no blank may come behind `dataset=`
        return [f"{matching[0]}={value}" for value in _options(folder / matching[0])]
    return [f"{name}=" for name in matching]


def checks_and_overrides(ctx: Any, incomplete: str) -> list[str]:
    """What `check` takes."""
    begun = _parted(incomplete)[0]
    return overrides(ctx, incomplete) if begun else [*checks(incomplete), *overrides(ctx, incomplete)]


def _parted(incomplete: str) -> tuple[str, bool, str]:
    """The group of an override, whether the shell has split the word at `=`, as bash does, and its value."""
    group, equals, value = incomplete.rpartition("=")
    if equals and group:
        return group, False, value
    words, number = os.environ.get("COMP_WORDS", "").split(), int(os.environ.get("COMP_CWORD") or 0)
    before = words[:number]
    if before and words[number : number + 1] == ["="]:
        return before[-1], True, ""
    if len(before) > 1 and before[-1] == "=":
        return before[-2], True, incomplete
    return "", False, incomplete


def _configs(repo: Path) -> Path:
    """The folder of the configs: the one that the training script names, else the usual one."""
    script = repo / "scripts" / "train.py"
    for text in _texts([script]):
        if found := _config_path.search(text):
            return script.parent / found[1]
    return next((repo / name for name in ("configs", "conf", "config") if (repo / name).is_dir()), repo)


def _options(group: Path) -> list[str]:
    try:
        return sorted(path.stem for path in group.glob("*.yaml"))
    except OSError:
        return []


def _checks() -> list[Path]:
    """The folders of the checklist's modules."""
    from importlib.util import find_spec

    found = find_spec("opv2v_doctor.checks")
    return [Path(place) for place in (found and found.submodule_search_locations) or ()]


def _sources(folder: Path) -> Iterator[str]:
    yield from _texts(sorted(folder.glob("*.py")))


def _texts(paths: Iterable[Path]) -> Iterator[str]:
    from opv2v_doctor.foreign_files import text_of

    for path in paths:
        try:
            yield text_of(path, "replace", 1 << 20)
        except OSError:
            continue


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
