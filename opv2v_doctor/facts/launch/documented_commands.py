"""The launch commands that the repository documents: the GPUs of each, and the lengths of their epochs."""

from __future__ import annotations

import ast
import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePath

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.interpreter.questions import TrainSet
from opv2v_doctor.facts.launch.config import config, entry_point
from opv2v_doctor.facts.launch.evaluation import TRAIN, building, images_of
from opv2v_doctor.facts.launch.launch_commands import LaunchCommand, launch_command
from opv2v_doctor.facts.launch.loaders import Length, length_of, own_batch
from opv2v_doctor.facts.launch.shell import UNKNOWN, Shell, Started
from opv2v_doctor.facts.source.syntax import hydra_main, syntax
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
    name = entry_point(target).config_name
    found = train_sets(target, tuple((name, *others, f"dataset={chosen}") for chosen in names))
    return {name: length_in(target, entry, target.gpus) for name, entry in zip(names, found, strict=True)}


def length_in(target: Target, found: TrainSet, gpus: int) -> Length | None:
    """The length of a train set's epoch; None where it did not compose or only the data can tell."""
    try:
        if not found.expression or (images := images_of(found.words)) is None:
            return None
        return length_of(found.expression, images[1], gpus, own_batch(target, found.words))
    except Blocked:
        return None


@fact
def train_sets(target: Target, launches: tuple[tuple[str, ...], ...]) -> tuple[TrainSet, ...]:
    """The train set of each launch: the name of a config, then overrides."""
    if not launches:
        return ()
    found = dict(zip(dict.fromkeys(launches), composing_sets(target, launches)(), strict=True))
    return tuple(found[launch] for launch in launches)


@fact
def composing_sets(
    target: Target, launches: tuple[tuple[str, ...], ...]
) -> Callable[[], tuple[TrainSet, ...]]:
    """The question of `train_sets`, under way."""
    return questions.train_sets.ahead(
        target,
        config_dir=str(entry_point(target).config_dir),
        launches=[list(launch) for launch in dict.fromkeys(launches)],
        lines=building(target, TRAIN).lines,
    )


DOCUMENTS = (".md", ".sh", ".bash", ".slurm", ".sbatch", ".job", ".mk")
MAKEFILES = ("Makefile", "makefile", "GNUmakefile")
BIGGEST = 1 << 20  # bytes
# what cannot change how many samples there are, or how many views they have
NEUTRAL = re.compile(
    r"[+~]*(hydra\.|loss\b|model\.|distributed\b|dataset\.(num_workers|principal_point_centered)=)"
)
HYDRAS = re.compile(  # the options that Hydra takes, with their values
    r"--(help|hydra-help|version|cfg|resolve|package|run|multirun|shell-completion|info|experimental-rerun)(=.*)?"
    r"|-(h|c|p|r|m|sc|i)"
)
NO_TRAINING = re.compile(r"(--help|--hydra-help|--version|--cfg|--info|-h|-c|-i)(=.*)?")
_COMMAND_LINE = re.compile(
    r"\s*(\w+=\S+ +)*(torchrun|accelerate launch|deepspeed|srun|python[\d.]*) +[\w./-]*[./-]"
)
_MAY_LAUNCH = re.compile(r"torchrun|accelerate|deepspeed|python|\.py\b|\.sh\b|sbatch")


@dataclass(frozen=True, kw_only=True)
class DocumentedCommand:
    """One documented launch of the training script; `place` is where it says how many GPUs."""

    gpus: int | None  # None where only the shell that runs it knows
    overrides: tuple[str, ...]
    place: Place
    refused: Text | None = None  # why it cannot start, as far as its words show that
    launch: LaunchCommand | None = None  # all its words

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
        """What commands for one training share: the config, the dataset config but for its number of GPUs."""
        own = [text for text in self.overrides if text.lstrip("+").startswith("dataset.train_dataset=")]
        return (*filter(None, [self.config_name]), family(self.dataset), *own)

    @property
    def config_name(self) -> str:
        """The config that it chooses by `--config-name`, empty where it takes the script's."""
        return self.launch.config.get("config-name", "") if self.launch else ""

    @property
    def loss(self) -> str:
        """The loss config that it chooses, empty where it takes the default."""
        chosen = [text.partition("=")[2] for text in self.overrides if re.match(r"\+?loss=", text)]
        return chosen[-1] if chosen else ""

    @property
    def directory(self) -> str:
        """The run directory that it chooses, empty where it takes the config's, or only a run could tell."""
        chosen = [
            text.partition("=")[2] for text in self.overrides if text.lstrip("+").startswith("hydra.run.dir=")
        ]
        return chosen[-1].strip("'\"") if chosen else ""

    @property
    def setting(self) -> frozenset[str]:
        """What it sets, but for where it writes, on which machine and on how many GPUs."""
        words = (text for text in self.overrides if not re.match(r"[+~]*(hydra\.|machine=|dataset=)", text))
        return frozenset((*self.training, *words))

    @property
    def is_parallel(self) -> bool:
        """Whether a launcher starts it, and not one plain process: that is how a training is tried out."""
        return self.launch is None or self.launch.launcher != "python"


@fact
def commands(target: Target) -> tuple[DocumentedCommand, ...]:
    """Every documented launch of the training script, in the order of the files."""
    script = PurePath(os.path.normpath(target.settings.launch.script)).parts
    found = []
    for launch in launches(target.repo, target.script.stem):
        elsewhere = launch.config.get("config-dir") or launch.config.get("config-path")
        starts = launch.script.parts[-len(script) :] == script
        if starts and not elsewhere and not any(map(NO_TRAINING.fullmatch, launch.arguments)):
            found.append(_command(target, launch))
    return tuple(found)


@fact
def idle_modules(target: Target) -> tuple[LaunchCommand, ...]:
    """Documented `python -m` of a module of the repository, with overrides, that only defines things."""
    found = []
    for launch in launches(target.repo, "python"):
        path = target.repo / launch.script
        if launch.module and launch.overrides and path.is_file() and path.is_relative_to(target.repo):
            starts = any(map(_runs, syntax(path).body))
            found += [] if starts else [launch]
    return tuple(found)


def _runs(node: ast.AST) -> bool:
    """Whether a statement of a module may start something: it calls, or asks whether it is the program."""
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
        return True
    inner = (part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt | ast.excepthandler))
    is_block = not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    return isinstance(node, ast.For | ast.While | ast.Raise) or (is_block and any(map(_runs, inner)))


def launches(repo: Path, name: str = "") -> Iterator[LaunchCommand]:
    """Every Python program that the repository's documents start, in the order of the files.

    Documents that hold neither the name nor call a script are left out.
    """
    for path in documents(repo):
        text = text_of(path, "replace")
        if name in text or re.search(r"\.(sh|bash|slurm|sbatch)\b", text):
            for started in _started(repo, path, text):
                if launch := launch_command(started):
                    yield launch


def documents(repo: Path) -> Iterator[Path]:
    """The files of the repository that may show a launch, in the order of their folders."""
    for folder, inner, files in os.walk(repo):
        foreign = "pyvenv.cfg" in files  # an interpreter's folder; hidden ones are tools'
        inner[:] = [] if foreign else sorted(name for name in inner if not name.startswith("."))
        for name in [] if foreign else sorted(files):
            path = Path(folder, name)
            is_document = name.endswith(DOCUMENTS) or name in MAKEFILES
            if is_document and path.is_file() and path.stat().st_size <= BIGGEST:
                yield path


def _started(repo: Path, path: Path, text: str) -> Iterator[Started]:
    """The programs that a document starts, each of its pieces of code in a shell of its own."""
    if path.suffix == ".md":
        pieces = _code_in(text)
    elif path.suffix == ".mk" or path.name in MAKEFILES:
        pieces = _recipes(text)
    else:
        pieces = iter([(1, text)])
    for line, piece in pieces:
        if _MAY_LAUNCH.search(piece):
            shell = Shell(repo, root=repo, path=path)
            shell.run(piece, line)
            yield from shell.started


def _code_in(text: str) -> Iterator[tuple[int, str]]:
    """The code of a Markdown document, fenced or not, each piece with the number of its first line."""
    from markdown_it import MarkdownIt

    lines = text.splitlines()
    for token in MarkdownIt("commonmark").parse(text):
        first, end = token.map or (0, 0)
        if token.type in ("fence", "code_block"):
            yield first + 1 + (token.type == "fence"), re.sub(r"(?m)^[$] ", "", token.content)
        for at in range(first, end) if token.type == "inline" else ():
            if _COMMAND_LINE.match(lines[at]):
                following = takewhile(lambda line: line.endswith("\\"), lines[at:end])
                yield at + 1, "\n".join(lines[at : at + 1 + len(list(following))])
        for child in token.children or ():
            if child.type == "code_inline" and " " in child.content:  # one word is a name
                at = next((n for n in range(first, end) if child.content in lines[n]), first)
                yield at + 1, child.content


def _recipes(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a Makefile's recipes as a shell gets them; what only make could tell stays a command's."""
    values = dict(re.findall(r"(?m)^(?:export\s+)?(\w+)\s*[:?]?=[ \t]*([^\n#]*)", text))

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        return values[name].strip() if name in values else f"$(make {name})"

    lines, at = text.splitlines(), 0
    while at < len(lines):
        first = at
        while lines[at].endswith("\\") and at + 1 < len(lines):
            at += 1
        at += 1
        if lines[first].startswith("\t"):
            recipe = "\n".join(line.removeprefix("\t") for line in lines[first:at]).lstrip("@-+")
            for _ in range(4):  # a value may name others
                recipe = re.sub(r"(?<!\$)\$(?:\((\w+)\)|\{(\w+)\})", value, recipe)
            yield first + 1, recipe.replace("$$", "$")


def _command(target: Target, launch: LaunchCommand) -> DocumentedCommand:
    started = launch.started
    written = next((line for line in started.text.splitlines() if "nproc" in line), started.text)
    return DocumentedCommand(
        gpus=launch.gpus,
        overrides=launch.overrides,
        place=Place(path=started.path or target.repo, line=started.line, text=written.rstrip("\\").strip()),
        refused=_refusal(target, launch),
        launch=launch,
    )


def _refusal(target: Target, launch: LaunchCommand) -> Text | None:
    """Why Hydra would refuse the script's arguments, None where nothing is known against them."""
    own = hydra_main(target) is not None and not _reads_arguments(target)
    options = (word for word in launch.arguments if word.startswith("-") and UNKNOWN not in word)
    option = next((word for word in options if not HYDRAS.fullmatch(word)), None)
    adds_rank = launch.launcher == "torch.distributed.launch"
    if own and adds_rank and not any(re.match(r"--use[-_]env\b", word) for word in launch.options):
        return Text(
            "torch.distributed.launch without --use-env gives the script --local-rank, which Hydra refuses"
        )
    return Text("Hydra refuses {option}", option=option) if own and option else None


@fact
def _reads_arguments(target: Target) -> bool:
    """Whether the script reads its arguments itself before Hydra does, and may take options of its own."""
    return bool(re.search(r"\bsys\.argv\b|\bargparse\b", text_of(target.script, "replace")))


@fact
def commands_without_length(target: Target) -> tuple[tuple[DocumentedCommand, Text], ...]:
    """The other commands, with the reason why the length of their epochs is not known."""
    known = {command.place for command, _ in documented_lengths(target)}
    composed = {command.place: found for command, found in documented_sets(target)}
    others = [command for command in commands(target) if command.place not in known]
    return tuple((command, _unknown(command, composed.get(command.place))) for command in others)


def _unknown(command: DocumentedCommand, found: TrainSet | None) -> Text:
    """Why the length of a command's epoch is not known."""
    if command.refused:
        return command.refused
    if not command.is_parallel:
        return Text("it starts one process alone, as for a trial")
    if not command.gpus:
        return Text("the number of GPUs is not written down")
    if found is None or not found.expression:
        return Text("the config does not compose, or lacks a value")
    return Text("only the data gives the length of the epoch")


@fact
def documented_lengths(target: Target) -> tuple[tuple[DocumentedCommand, Length], ...]:
    """The commands whose world size is known and whose config composes, with the length of their epochs."""
    pairs = [
        (command, length_in(target, found, command.gpus or 1)) for command, found in documented_sets(target)
    ]
    return tuple((command, length) for command, length in pairs if length)


@fact
def documented_sets(target: Target) -> tuple[tuple[DocumentedCommand, TrainSet], ...]:
    """The commands that can be launched as they stand, with what their configs say of the training."""
    chosen = _launchable(target)
    composed = train_sets(target, tuple(_composed(target, command) for command in chosen))
    return tuple(zip(chosen, composed, strict=True))


def begin(target: Target) -> None:
    """Let the documented commands' configs be composed while others are judged."""
    with contextlib.suppress(Blocked):  # whoever needs it will be told
        if chosen := _launchable(target):
            composing_sets(target, tuple(_composed(target, command) for command in chosen))


def _launchable(target: Target) -> tuple[DocumentedCommand, ...]:
    """The commands that can be launched as they stand."""
    return tuple(
        command
        for command in commands(target)
        if command.gpus and command.is_parallel and not command.refused
    )


def _composed(target: Target, command: DocumentedCommand) -> tuple[str, ...]:
    """The config of a command and its overrides, but for those that cannot change what is asked."""
    name = command.config_name or entry_point(target).config_name
    return (name, *(override for override in command.overrides if not NEUTRAL.match(override)))
