"""The draft of `opv2v-doctor.toml` that `init` writes: what a repository's layout tells, commented."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from opv2v_doctor.facts.launch.documented_commands import DocumentedCommand, commands, documents
from opv2v_doctor.facts.source.names import otherwise_named
from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.recognition import refusal
from opv2v_doctor.settings import LaunchSettings, Settings
from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError

HEAD = """\
# Settings of opv2v-doctor for this training repository. `opv2v-doctor run-all` reads them.
# A line with `#` in front shows a default or an example.

{gpus}
# splits = ["train", "val", "test"]
# steps_per_epoch = 5000        # what every launch shall have, whatever the number of GPUs
# dataset_class = "OPV2VCoopCylindricalDataset"
# fine_tuning = true            # default: whether a chosen config is named for it
# num_samples = 4               # samples to draw of each split
# timeout = 300                 # seconds that one question to the training interpreter may take
# memory = 48                   # GiB that each process of it may take; default: 3/4 of the machine
{python}
# run = "experiments/RUN"       # the run to examine; default: the last one
# plugins = ["tools/my_checks.py"]  # they run where you said so: opv2v-doctor trust

[launch]
script = "{script}"
env = {{ PYTHONPATH = "." }}      # relative to this repository; it makes this checkout win the import
overrides = [{overrides}]
"""
TORCH = "lib/python*/site-packages/torch"  # in an environment
VARIANT = """
[launch.{gpus}]                 # with {gpus} GPUs
overrides = ["dataset={dataset}"]
"""
NAMES = """
[names]                         # what this repository calls otherwise than others: found by its shape
{names}
"""
TAIL = """
# [masks]
# floor = 0.05                  # least mean of a mask
# tolerance = 0.05              # measured against predicted coverage

# [[ignore]]                    # a check that shall not run
# code = "ENV005"
# reason = "the GPUs are shared on purpose"
# until = 2030-01-31
"""


def draft(repo: Path) -> str:
    """The settings for a repository, as far as its files tell. Raises UsageError without a Hydra script."""
    script = _script(repo)
    documented = _documented_launches(repo, script)
    variants = {**_dataset_configs(documented), **dict(_variants(repo, script))}
    machine = _machine(repo, script)
    words = [
        *([f"machine={machine}"] if machine else []),
        *_common_overrides(documented, variants, bool(machine)),
    ]
    text = HEAD.format(
        python=_python(repo, script),
        script=script.relative_to(repo),
        overrides=", ".join(f'"{word}"' for word in words),
        gpus=f"gpus = {min(variants)}" if variants else "# gpus = 4",
    )
    chosen = (VARIANT.format(gpus=gpus, dataset=variants[gpus]) for gpus in sorted(variants))
    return text + "".join(chosen) + _names(repo, script) + TAIL


def _names(repo: Path, script: Path) -> str:
    """The table of names, as far as they are not the usual ones."""
    found = otherwise_named(_target(repo, script))
    lines = "\n".join(f'{part} = "{name}"' for part, name in found.items())
    return NAMES.format(names=lines) if found else ""


def _python(repo: Path, script: Path) -> str:
    """The line that names the training interpreter: the first found that has torch, else the first found."""
    found = [
        (path, source)
        for path, source in (*_active(), *_inner(repo), *_named_interpreters(repo, script))
        if shutil.which(path) and path.parents[1].resolve() != Path(sys.prefix).resolve()
        if str(path).isprintable()
    ]
    if not found:
        return '# python = "/path/to/env/bin/python"  # default: the interpreter that the doctor runs on'
    path, source = min(found, key=lambda one: not any(one[0].parents[1].glob(TORCH)))
    origin = "".join(filter(str.isprintable, source))
    return f"python = {json.dumps(str(path), ensure_ascii=False)}  # from {origin}"


def _active() -> Iterator[tuple[Path, str]]:
    """The interpreter of the environment that is active in the user's shell."""
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if folder := os.environ.get(variable):
            yield Path(folder).absolute() / "bin/python", f"{variable}, the active environment"


def _inner(repo: Path) -> Iterator[tuple[Path, str]]:
    """The interpreters of environments that lie in the repository."""
    for name in (".venv", "venv", "env"):
        if (repo / name / "pyvenv.cfg").is_file():
            yield repo / name / "bin/python", f"the folder {name} of this repository"


def _named_interpreters(repo: Path, script: Path) -> Iterator[tuple[Path, str]]:
    """The interpreters that the training script, launch scripts and documents name, in this order."""
    for path in [script, *sorted(documents(repo), key=lambda one: one.suffix != ".sh")]:
        for number, line in enumerate(text_of(path, "replace").splitlines(), 1):
            if line.startswith("#!") if path == script else not re.match(r"\s*#(?!!)", line):
                for found in _named_in(repo, line):
                    yield found, f"{path.relative_to(repo)}:{number}: {line.strip()}"


def _named_in(repo: Path, line: str) -> Iterator[Path]:
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


def _documented_launches(repo: Path, script: Path) -> Sequence[DocumentedCommand]:
    """The launches of the script that the repository's documents show."""
    return commands(_target(repo, script))


def _target(repo: Path, script: Path) -> Target:
    launch = LaunchSettings(script=str(script.relative_to(repo)))
    return Target(repo=repo, python=Path(sys.executable), settings=Settings(launch=launch))


def _dataset_configs(documented: Sequence[DocumentedCommand]) -> dict[int, str]:
    """World size -> dataset config of documented launches, but for configs named for another world size."""
    return {
        command.gpus: command.dataset
        for command in documented
        if command.gpus and command.dataset and command.named_for in (None, command.gpus)
    }


def _common_overrides(
    documented: Sequence[DocumentedCommand], variants: Mapping[int, str], has_machine: bool
) -> list[str]:
    """What all documented launches with these datasets choose alike: model, loss, train_params."""
    launches = [
        {word for word in command.overrides if re.fullmatch(r"[a-z_]+=[\w-]+", word)}
        for command in documented
        if command.dataset in variants.values()
    ]
    alike = set.intersection(*launches) if launches else set()
    left_out = ("dataset=", "machine=") if has_machine else ("dataset=",)
    return sorted(word for word in alike if not word.startswith(left_out))


def _script(repo: Path) -> Path:
    """The training script: the Hydra entry point whose name speaks of training."""
    found = [
        path
        for pattern in ("scripts/train*.py", "train*.py", "tools/train*.py", "*/train*.py")
        for path in sorted(repo.glob(pattern))
        if "hydra.main" in text_of(path, "replace")
    ]
    if not found:
        raise UsageError(refusal(repo, "no train*.py with @hydra.main found", "give --repo"))
    return found[0]


def _configs(repo: Path, script: Path, group: str) -> list[Path]:
    """The options of a config group."""
    text = text_of(script, "replace")
    named = re.search(r"config_path\s*=\s*[\"']([^\"']+)", text)
    folder = (script.parent / (named[1] if named else "../configs")).resolve()
    return sorted((folder / group).glob("*.yaml")) if folder.is_relative_to(repo) else []


def _variants(repo: Path, script: Path) -> Iterator[tuple[int, str]]:
    """Dataset configs that are named for a number of GPUs."""
    for path in _configs(repo, script, "dataset"):
        named = re.fullmatch(r".+_(\d+)gpus?", path.stem)
        if named:
            yield int(named[1]), path.stem


def _machine(repo: Path, script: Path) -> str | None:
    """The machine config most of whose paths exist here."""
    best = (0, "")
    for path in _configs(repo, script, "machine"):
        paths = re.findall(r":\s*[\"']?(/[^\s\"']+)", text_of(path, "replace"))
        best = max(best, (sum(Path(p).exists() for p in paths), path.stem))
    return best[1] if best[0] else None
