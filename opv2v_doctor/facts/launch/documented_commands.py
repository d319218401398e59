"""The launch commands that the repository documents: the GPUs of each, and the lengths of their epochs."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePath

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.interpreter.questions import TrainSet
from opv2v_doctor.facts.launch.config import config, entry_point
from opv2v_doctor.facts.launch.evaluation import TRAIN, building, images_of
from opv2v_doctor.facts.launch.loaders import Length, length_of
from opv2v_doctor.facts.source.syntax import hydra_main
from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place, Text

_gpus_named = re.compile(r"_(\d+)g(pus?)?$")


def gpus_in(name: str) -> int | None:
    """The number of GPUs that a config is named for."""
    found = _gpus_named.search(name)
    return int(found[1]) if found else None


def family(name: str) -> str:
    """The name of a config without its number of GPUs: what configs for one training share."""
    return _gpus_named.sub("", name)


@fact
def chosen_dataset(target: Target) -> str:
    """The name of the dataset config: the last composed one of that group, since it may extend others."""
    folder = entry_point(target).config_dir / "dataset"
    return ([path.stem for path, _ in config(target).files if path.parent == folder] or [""])[-1]


@fact
def variants(target: Target) -> Mapping[str, Length | None]:
    """The length that each config of the chosen one's family would give this launch."""
    chosen, folder = chosen_dataset(target), entry_point(target).config_dir / "dataset"
    names = [path.stem for path in sorted(folder.glob("*.yaml")) if family(path.stem) == family(chosen)]
    others = [word for word in target.launch_overrides if not word.lstrip("+").startswith("dataset=")]
    found = train_sets(target, tuple((*others, f"dataset={name}") for name in names))
    return {name: length_in(entry, target.gpus) for name, entry in zip(names, found, strict=True)}


def length_in(found: TrainSet | None, gpus: int) -> Length | None:
    """The length of a train set's epoch; None where it did not compose or only the data can tell."""
    try:
        images = images_of(found.words) if found else None
        return length_of(found.expression, images[1], gpus) if found and images else None
    except Blocked:
        return None


@fact
def train_sets(target: Target, launches: tuple[tuple[str, ...], ...]) -> tuple[TrainSet | None, ...]:
    """The train set of each list of overrides, None where it does not compose."""
    if not launches:
        return ()
    found = dict(zip(dict.fromkeys(launches), composing_sets(target, launches)(), strict=True))
    return tuple(found[overrides] for overrides in launches)


@fact
def composing_sets(
    target: Target, launches: tuple[tuple[str, ...], ...]
) -> Callable[[], tuple[TrainSet | None, ...]]:
    """The question of `train_sets`, under way."""
    main = entry_point(target)
    return questions.train_sets.ahead(
        target,
        config_dir=str(main.config_dir),
        config_name=main.config_name,
        launches=[list(overrides) for overrides in dict.fromkeys(launches)],
        lines=building(target, TRAIN).lines,
    )


DOCUMENTS = (".md", ".sh")
BIGGEST = 1 << 20  # bytes
OVERRIDE = re.compile(r"(\+{0,2}|~)[A-Za-z_][\w./@-]*=|~[A-Za-z_]")
OTHER_CONFIG = re.compile(r"--config-(name|path|dir)\b|-c[nd]\b|-cp\b|--multirun\b|-m\b")
# what cannot change how many samples there are, or how many views they have
NEUTRAL = re.compile(
    r"[+~]*(hydra\.|loss\b|model\.|distributed\b|dataset\.(num_workers|principal_point_centered)=)"
)
HYDRAS = re.compile(  # the options that Hydra takes, with their values
    r"--(help|hydra-help|version|cfg|resolve|package|run|shell-completion|info|experimental-rerun)(=.*)?"
    r"|-(h|c|p|r|sc|i)"
)
_launcher = re.compile(r"(?<![\w/.-])(torchrun|torch\.distributed\.(run|launch))(?=\s)")


@dataclass(frozen=True, kw_only=True)
class DocumentedCommand:
    """One documented launch of the training script; `place` is where it says how many GPUs."""

    gpus: int | None  # None where only the shell that runs it knows
    overrides: tuple[str, ...]
    place: Place
    refused: Text | None = None  # why it cannot start, as far as its words show that

    @property
    def dataset(self) -> str:
        """The dataset config that it chooses, empty where it takes the default."""
        chosen = [text.partition("=")[2] for text in self.overrides if re.match(r"\+?dataset=", text)]
        return chosen[-1] if chosen else ""

    @property
    def named_for(self) -> int | None:
        """The number of GPUs in the name of its dataset config (`..._5gpu`)."""
        return gpus_in(self.dataset)

    @property
    def training(self) -> tuple[str, ...]:
        """What commands for one training share: the dataset config but for its number of GPUs."""
        own = [text for text in self.overrides if text.lstrip("+").startswith("dataset.train_dataset=")]
        return (family(self.dataset), *own)


@fact
def commands(target: Target) -> tuple[DocumentedCommand, ...]:
    """Every documented launch of the training script, in the order of the files."""
    return tuple(command for path in documents(target.repo) for command in _commands_in(target, path))


def documents(repo: Path) -> Iterator[Path]:
    """The files of the repository that may show a launch, in the order of their folders."""
    for folder, inner, files in os.walk(repo):
        foreign = "pyvenv.cfg" in files  # an interpreter's folder; hidden ones are tools'
        inner[:] = [] if foreign else sorted(name for name in inner if not name.startswith("."))
        for name in [] if foreign else sorted(files):
            path = Path(folder, name)
            if name.endswith(DOCUMENTS) and path.is_file() and path.stat().st_size <= BIGGEST:
                yield path


def _commands_in(target: Target, path: Path) -> Iterator[DocumentedCommand]:
    lines = text_of(path, "replace").splitlines()
    for start, line in enumerate(lines):
        for found in [] if line.lstrip().startswith("#") else _launcher.finditer(line):
            block = _lines_of_command(
                [line[found.start() :], *lines[start + 1 :]], "`" in line[: found.start()]
            )
            number = next((n for n, text in enumerate(block) if "nproc" in text), 0)
            place = Place(path=path, line=start + number + 1, text=block[number].strip())
            if command := _command(target, block, _variables(lines[:start]), place):
                yield command


def _lines_of_command(lines: Sequence[str], in_prose: bool) -> list[str]:
    """The lines of one command; code between backticks ends with them."""
    if in_prose:
        return [lines[0].partition("`")[0]]
    more = list(takewhile(lambda line: line.rstrip().endswith("\\"), lines))
    return [line.rstrip().removesuffix("\\") for line in [*more, *lines[len(more) : len(more) + 1]]]


def _command(
    target: Target, block: Sequence[str], known: Mapping[str, str], place: Place
) -> DocumentedCommand | None:
    """The command of a block; None where it is no launch of the training script with its own config."""
    words = _words(" ".join(block))
    script = PurePath(target.settings.launch.script).parts
    at = next((n for n, word in enumerate(words) if PurePath(word).parts[-len(script) :] == script), None)
    if at is None or any(OTHER_CONFIG.match(word) for word in words[at:]):
        return None
    given = [word for word in words[at + 1 :] if OVERRIDE.match(word) and not re.search(r"[$`]", word)]
    return DocumentedCommand(
        gpus=_world_size(words[:at], known),
        overrides=tuple(word.replace("\0", "$") for word in given),
        place=place,
        refused=_refusal(target, words[:at], words[at + 1 :]),
    )


def _refusal(target: Target, launcher: Sequence[str], arguments: Sequence[str]) -> Text | None:
    """Why Hydra would refuse the script's arguments, None where nothing is known against them."""
    own = hydra_main(target) is not None and not _reads_arguments(target)
    option = next((word for word in arguments if word.startswith("-") and not HYDRAS.fullmatch(word)), None)
    adds_rank = launcher[:1] == ["torch.distributed.launch"]
    if own and adds_rank and not any(re.match(r"--use[-_]env\b", word) for word in launcher):
        return Text(
            "torch.distributed.launch without --use-env gives the script --local-rank, which Hydra refuses"
        )
    return Text("Hydra refuses {option}", option=option) if own and option else None


@fact
def _reads_arguments(target: Target) -> bool:
    """Whether the script reads its arguments itself before Hydra does, and may take options of its own."""
    return bool(re.search(r"\bsys\.argv\b|\bargparse\b", text_of(target.script, "replace")))


def _words(text: str) -> list[str]:
    """The words of a shell command up to a pipe or the like; none where its quotes do not match.

    A dollar that the shell leaves alone, being quoted or escaped, comes back as a NUL.
    """
    marked = re.sub(r"'[^']*'|\\\$", lambda m: "\0" if m[0] == r"\$" else m[0].replace("$", "\0"), text)
    lexer = shlex.shlex(marked, posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split = True
    try:
        return list(takewhile(lambda word: not set(word) <= set(";&|<>"), lexer))
    except ValueError:
        return []


def _world_size(words: Sequence[str], known: Mapping[str, str]) -> int | None:
    """GPUs of all nodes; None where one of the numbers is not written down."""
    joined = " ".join(words).replace("=", " ")
    processes = re.search(r"--nproc[_-]per[_-]node\s+(\S+)", joined)
    nodes = re.search(r"--nnodes\s+(\S+)", joined)
    counts = [_number(found[1], known) for found in (processes, nodes) if found]
    return None if None in counts or not processes else int(counts[0] or 0) * int((counts[1:] or [1])[0] or 0)


def _number(word: str, known: Mapping[str, str], depth: int = 4) -> int | None:
    """A word as a number: written out, a variable that the file sets once, or the default of a parameter."""
    found = re.fullmatch(r"\$\{?(\w+)\}?|\$\{(\w+):[-=](.+)\}", word)
    if found is None or not depth:
        return int(word) if word.isdecimal() else None
    name, default = found[1] or found[2], found[3]
    value = known.get(name, default)
    return None if value is None else _number(value, known, depth - 1)


def _variables(lines: Sequence[str]) -> dict[str, str]:
    """The variables that a script sets to one value only, with their unquoted text."""
    found = [re.match(r"""\s*(?:export\s+)?(\w+)=(["']?)([^\s"']*)\2\s*(?:#.*)?$""", line) for line in lines]
    texts: dict[str, set[str]] = {}
    for match in filter(None, found):
        texts.setdefault(match[1], set()).add(match[3])
    return {name: values.copy().pop() for name, values in texts.items() if len(values) == 1}


@fact
def commands_without_length(target: Target) -> tuple[tuple[DocumentedCommand, Text], ...]:
    """The other commands, with the reason why the length of their epochs is not known."""
    known = {command.place for command, _ in documented_lengths(target)}
    others = [command for command in commands(target) if command.place not in known]
    composed = dict(zip(_launchable(target), train_sets(target, _launches(target)), strict=True))
    return tuple((command, _unknown(command, composed.get(command))) for command in others)


def _unknown(command: DocumentedCommand, found: TrainSet | None) -> Text:
    """Why the length of a command's epoch is not known."""
    if command.refused:
        return command.refused
    if not command.gpus:
        return Text("the number of GPUs is not written down")
    if found is None:
        return Text("the config does not compose, or lacks a value")
    return Text("only the data gives the length of the epoch")


@fact
def documented_lengths(target: Target) -> tuple[tuple[DocumentedCommand, Length], ...]:
    """The commands whose world size is known and whose config composes, with the length of their epochs."""
    composed = train_sets(target, _launches(target))
    pairs = [
        (command, length_in(found, command.gpus or 1))
        for command, found in zip(_launchable(target), composed, strict=True)
    ]
    return tuple((command, length) for command, length in pairs if length)


def begin(target: Target) -> None:
    """Let the documented commands' configs be composed while others are judged."""
    with contextlib.suppress(Blocked):  # whoever needs it will be told
        if launches := _launches(target):
            composing_sets(target, launches)


def _launchable(target: Target) -> tuple[DocumentedCommand, ...]:
    """The commands that can be launched as they stand."""
    return tuple(command for command in commands(target) if command.gpus and not command.refused)


def _launches(target: Target) -> tuple[tuple[str, ...], ...]:
    return tuple(_relevant(command.overrides) for command in _launchable(target))


def _relevant(overrides: Sequence[str]) -> tuple[str, ...]:
    return tuple(override for override in overrides if not NEUTRAL.match(override))
