"""Launch commands: what torchrun, accelerate, deepspeed, srun and python start, and on how many GPUs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.facts.launch.shell import UNKNOWN, Started
from opv2v_doctor.foreign_files import from_yaml, text_of

PYTHON = re.compile(r"python[\d.]*")
OVERRIDE = re.compile(r"(\+{0,2}|~)[A-Za-z_][\w./@-]*=|~[A-Za-z_]")
# the options of each launcher that take no word of their own
_TORCHRUN = re.compile(
    r"--(standalone|module|no[-_]python|run[-_]path|use[-_]env|virtual[-_]local[-_]rank)|-m|-h|--help"
)
_ACCELERATE = re.compile(
    r"--(multi[-_]gpu|cpu|mps|tpu|use[-_]\w+|module|no[-_]python|quiet|debug|same[-_]network|main_training_function"
    r"|enable[-_]cpu[-_]affinity)|-m|-q|-h|--help"
)
_DEEPSPEED = re.compile(r"--(module|no[-_]python|no[-_]local[-_]rank|no[-_]ssh|force[-_]multi)|-h|--help")
_PLAIN = re.compile(r"-[bBdEhiIOPqsSuvVx?]+")  # python's own
FLAGS = {"torchrun": _TORCHRUN, "accelerate": _ACCELERATE, "deepspeed": _DEEPSPEED}
# a module that `python -m` starts -> the launcher that it is
MODULES = {
    "torch.distributed.run": "torchrun",
    "torch.distributed.launch": "torch.distributed.launch",
    "accelerate.commands.launch": "accelerate",
    "deepspeed.launcher.runner": "deepspeed",
}
# Hydra's options that choose a config: (the option as it is written out, its short form)
CONFIG_OPTIONS = {"-cn": "--config-name", "-cp": "--config-path", "-cd": "--config-dir"}


@dataclass(frozen=True, kw_only=True)
class LaunchCommand:
    """One command that starts a Python program, perhaps as several ranks."""

    launcher: str  # torchrun, torch.distributed.launch, accelerate, deepspeed, srun, python
    options: tuple[str, ...]  # the launcher's own
    interpreter: str  # the program that is started first: python, torchrun, a path
    gpus: int | None  # of all nodes; None where it is not written down
    script: Path  # absolute; that of a module lies below the folder
    module: str | None  # of `python -m`
    arguments: tuple[str, ...]  # the script's, without those that choose a config
    config: Mapping[str, str]  # config-name, config-path, config-dir
    env: Mapping[str, str]
    folder: Path
    started: Started

    @property
    def overrides(self) -> tuple[str, ...]:
        """The Hydra overrides whose values are known."""
        return tuple(word for word in self.arguments if OVERRIDE.match(word) and UNKNOWN not in word)

    @property
    def untold(self) -> tuple[str, ...]:
        """The keys of the others, and whole arguments that only a run could tell."""
        return tuple(
            word.partition("=")[0].replace(UNKNOWN, "?") for word in self.arguments if UNKNOWN in word
        )

    @property
    def mask(self) -> tuple[str, ...] | None:
        """The GPUs of CUDA_VISIBLE_DEVICES, None where it is not set or not known."""
        said = self.env.get("CUDA_VISIBLE_DEVICES")
        if said is None or UNKNOWN in said:
            return None
        return tuple(part.strip() for part in said.split(",") if part.strip())


def launch_command(started: Started) -> LaunchCommand | None:
    """What a started program launches; None where it is no Python program."""
    launcher, module, words = _launcher(list(started.words))
    options: list[str] = []
    if launcher not in ("", "python"):
        options, words = _split(words, FLAGS.get(launcher, _TORCHRUN))
        if any(word in ("-m", "--module") for word in options):
            module, words = (words[0] if words else None), words[1:]
    script = None
    if module is None and words:
        script, words = words[0], words[1:]
    file = f"{module.replace('.', '/')}.py" if module else script
    if not launcher or file is None or not file.endswith(".py"):
        return None
    arguments, config = _config_options(words)
    gpus = _gpus(launcher, options, started)
    if launcher == "python" and (count := _of_srun(started)) is not None:
        launcher, gpus = "srun", count
    return LaunchCommand(
        launcher=launcher, options=tuple(options), interpreter=started.words[0], gpus=gpus or None,
        script=Path(os.path.normpath(started.folder / file)), module=module, arguments=tuple(arguments),
        config=config, env=started.env, folder=started.folder, started=started,
    )  # fmt: skip


def _launcher(words: list[str]) -> tuple[str, str | None, list[str]]:
    """The launcher (empty: none), the module of `python -m`, and the words that follow."""
    name, rest = Path(words[0]).name if words else "", words[1:]
    if name == "accelerate":
        return (name, None, rest[1:]) if rest[:1] == ["launch"] else ("", None, [])
    if PYTHON.fullmatch(name):
        return _of_python(rest)
    if name in FLAGS:
        return name, None, rest
    if name.endswith(".py") and "/" in words[0]:  # a script that names its interpreter itself
        return "python", None, words
    return "", None, []


def _of_python(words: list[str]) -> tuple[str, str | None, list[str]]:
    """The launcher, the module, and the words that follow, of the words after `python`."""
    while words and words[0].startswith("-"):
        if words[0] == "-m" and len(words) > 1:
            launcher = MODULES.get(words[1])
            return launcher or "python", None if launcher else words[1], words[2:]
        if words[0] == "-c":
            return "python", None, []
        words = words[1 if _PLAIN.fullmatch(words[0]) or len(words[0]) > 2 else 2 :]
    return "python", None, words


def _split(words: list[str], flags: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """The launcher's options, and what follows them."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 1 if "=" in words[at] or flags.fullmatch(words[at]) else 2
    return words[:at], words[at:]


def _config_options(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments without the options that choose a config, and what these choose."""
    left, config, rest = list[str](), dict[str, str](), list(words)
    while rest:
        word = rest.pop(0)
        name, _, value = word.partition("=")
        option = CONFIG_OPTIONS.get(name, name).removeprefix("--")
        if option not in ("config-name", "config-path", "config-dir"):
            left.append(word)
        elif value or rest:
            config[option] = value or rest.pop(0)
    return left, config


def option_of(options: Sequence[str], *names: str) -> str | None:
    """The value of the last option of one of these names, dashes and underscores alike."""
    found = None
    for at, word in enumerate(options):
        name, equals, value = word.partition("=")
        if name.replace("_", "-").lstrip("-") in names:
            found = value if equals else next(iter(options[at + 1 : at + 2]), "")
    return found


def _gpus(launcher: str, options: Sequence[str], started: Started) -> int | None:
    """How many processes a launcher starts on all nodes; None where that is not written down."""
    if launcher == "python":
        return 1
    if launcher == "accelerate":
        count = option_of(options, "num-processes") or _in_file(option_of(options, "config-file"), started)
        return _number(count, started) if count else None
    if launcher == "deepspeed":
        each = option_of(options, "num-gpus")
        include = option_of(options, "include", "i")
        if each is None and include and UNKNOWN not in include:
            return sum(len(part.rpartition(":")[2].split(",")) for part in include.split("@"))
        nodes = option_of(options, "num-nodes") or "1"
    else:
        each = option_of(options, "nproc-per-node")
        nodes = option_of(options, "nnodes") or "1"
        each = "1" if each is None else each
    counts = [_number(word, started) if word else None for word in (each, nodes)]
    return None if None in counts else (counts[0] or 0) * (counts[1] or 0)


def _number(word: str, started: Started) -> int | None:
    """A number that is written out, or `gpu` where the mask says how many there are."""
    if word in ("gpu", "auto"):
        mask = started.env.get("CUDA_VISIBLE_DEVICES", "")
        return len(mask.split(",")) if mask and UNKNOWN not in mask else None
    return int(word) if word.isdecimal() and len(word) < 7 else None


def _in_file(name: str | None, started: Started) -> str | None:
    """`num_processes` of accelerate's config file."""
    if name is None or UNKNOWN in name:
        return None
    try:
        found = from_yaml(text_of(started.folder / name, "replace"))
    except (OSError, ValueError):
        return None
    count = found.get("num_processes") if isinstance(found, dict) else None
    return str(count) if count is not None else None


def _of_srun(started: Started) -> int | None:
    """The tasks of the `srun` around a command; None where there is none, or one task."""
    if "srun" not in started.wrappers:
        return None
    words = started.wrappers
    total = option_of(words, "ntasks", "n") or started.env.get("SLURM_NTASKS")
    each = option_of(words, "ntasks-per-node")
    nodes = option_of(words, "nodes", "N") or started.env.get("SLURM_NNODES") or "1"
    if total is None and each is not None and each.isdecimal() and nodes.isdecimal():
        total = str(int(each) * int(nodes))
    return int(total) if total and total.isdecimal() and int(total) > 1 else None
