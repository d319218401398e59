"""The loaders: their length as the config implies it, and what every rank would really be given."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.interpreter.probe import innermost
from opv2v_doctor.facts.interpreter.questions import Rank
from opv2v_doctor.facts.launch.config import config, entry_point, place
from opv2v_doctor.facts.launch.datasets import (
    LEAST_VIEWS,
    asked_eval_parts,
    dataset_classes,
    number_of,
    parts_of,
)
from opv2v_doctor.facts.launch.evaluation import TEST, TRAIN, building, images_of, seeding, train_call
from opv2v_doctor.facts.source.names import expression_module, the, unparsed
from opv2v_doctor.facts.source.syntax import (
    bound_names,
    definition,
    module_name,
    modules,
    nodes,
    parsed_expression,
)
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

ARITHMETIC: Mapping[type, Callable[..., int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}
MOST_RANKS = 16  # that are measured: the first and the last of a bigger world tell as much
TABLE = range(1, 17)
_size = re.compile(r"\b\d[\d_]{0,17}(?=\s*@)")


@dataclass(frozen=True, kw_only=True)
class Length:
    """The length of an epoch: samples of the expression, the largest batch of a rank, and the ranks."""

    samples: int
    batch: int
    gpus: int

    @property
    def steps(self) -> int:
        """What `len(loader)` will be."""
        return self.samples // self.batch // self.gpus


def length_of(expression: str, images: int, gpus: int, batch: int | None = None) -> Length | None:
    """The length that a dataset expression implies, in batches of so many samples, or as views allow.

    None where only the data can tell. Raises Blocked where it is not such an expression.
    """
    batch = batch or largest_batch(expression, images)
    samples = _samples(parsed_expression(expression))
    return samples and Length(samples=samples, batch=batch, gpus=gpus)


def own_batch(target: Target, words: Mapping[str, Any]) -> int | None:
    """The samples in a batch of a loader that is given its own `batch_size`; None where a sampler deals."""
    built = the(target, "train_loader")
    if not built.place.path.is_file():
        return None
    for function in (node for node in nodes(built.place.path) if isinstance(node, ast.FunctionDef)):
        if function.name == built.name:
            arguments = function.args.args
            defaults = zip(reversed(arguments), reversed(function.args.defaults), strict=False)
            known = {each.arg: _number(value, {}) for each, value in defaults} | dict(words)
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                sizes = [word.value for word in call.keywords if word.arg == "batch_size"]
                if sizes and ast.unparse(call.func).endswith("DataLoader"):
                    return _number(sizes[0], known)
    return None


def _number(node: ast.expr, known: Mapping[str, Any]) -> int | None:
    """A whole number that is written with names of known value; None for anything else."""
    if isinstance(node, ast.Constant | ast.Name):
        value = node.value if isinstance(node, ast.Constant) else known.get(node.id)
        return value if type(value) is int else None
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        sides = [_number(side, known) for side in (node.left, node.right)]
        usable = None not in sides and (sides[1] or not isinstance(node.op, ast.FloorDiv))
        return ARITHMETIC[type(node.op)](*sides) if usable else None
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("max", "min", "int"):
        values = [_number(each, known) for each in node.args]
        plain = [each for each in values if each is not None]
        return (min if ast.unparse(node.func) == "min" else max)(plain) if plain == values and plain else None
    return None


def largest_batch(expression: str, images: int) -> int:
    """The samples in a batch of the fewest views that the expression lets the sampler draw."""
    views = [part.views for part in parts_of(expression)]
    return max(1, images // min((min(some, default=1) for some in views), default=1))


@fact
def counts_views_so(target: Target, class_name: str) -> bool:
    """Whether the repository's own rule for the least number of views is the one that we count by.

    It is the base dataset's `num_views_min`, unless the class has a `min_num_views` of its own.
    """
    said = {
        ast.unparse(node.value)
        for path in modules(target)
        for node in nodes(path)
        if isinstance(node, ast.Assign)
        if any(ast.unparse(name).removeprefix("self.") == "num_views_min" for name in node.targets)
    }
    home = definition(target, class_name)
    own = home is not None and any(
        isinstance(node, ast.arg) and node.arg == "min_num_views" for node in nodes(home.path)
    )
    return said == {str(LEAST_VIEWS)} and not own


def differ_in_length_only(then: str, now: str) -> bool:
    """Whether two dataset expressions differ in nothing but their lengths N, all by the same factor."""
    old, new = ([int(size) for size in _size.findall(text)] for text in (then, now))
    alike = len(old) == len(new) and _size.sub("N", then) == _size.sub("N", now)
    return alike and all(one * new[0] == other * old[0] for one, other in zip(old, new, strict=True))


def _samples(node: ast.expr) -> Any:
    """The length of `A + B`, `N @ D` and `N * D`, None where a term has the length of its data."""
    if isinstance(node, ast.UnaryOp):
        return _samples(node.operand)
    if not isinstance(node, ast.BinOp):
        return None
    if isinstance(node.op, ast.MatMult):
        return number_of(node.left)
    if isinstance(node.op, ast.Mult):
        inner = _samples(node.right)
        return inner and number_of(node.left) * inner
    left, right = _samples(node.left), _samples(node.right)
    return left and right and left + right


@fact
def computed_length(target: Target, gpus: int) -> Length | None:
    """The length of this launch's epoch on so many GPUs, as the config implies it."""
    expression, images = _train_set(target)
    return length_of(expression, images, gpus, own_batch(target, train_call(target).words))


def _train_set(target: Target) -> tuple[str, int]:
    """The dataset expression of the training, and the images that a GPU takes, by the call of its loader."""
    expression, call = config(target).get("dataset.train_dataset"), train_call(target)
    if not expression:
        key = "dataset.train_dataset"
        raise Blocked("{key} is not set", at=place(target, key), hint="set {key} in the config", key=key)
    if (images := images_of(call.words)) is None:
        raise Blocked(
            "the call that builds the training loader gives it no number of images: {given}",
            at=call.place,
            hint="the data tier measures its length",
            given=[f"{name}={value}" for name, value in call.words.items()],
        )
    return str(expression), images[1]


def real_length(target: Target) -> Length:
    """The length of this launch's epoch: as the config implies it, else as it is measured."""
    implied = computed_length(target, target.gpus)
    if implied is not None:
        return implied
    steps, batch = loaders(target).ranks[0].length, largest_batch(*_train_set(target))
    return Length(samples=steps * batch * target.gpus, batch=batch, gpus=target.gpus)


def lengths(target: Target) -> Mapping[int, int]:
    """Steps per epoch for 1 to 16 GPUs; empty where only the data can tell."""
    found = {gpus: computed_length(target, gpus) for gpus in TABLE}
    return {gpus: length.steps for gpus, length in found.items() if length}


def wanted_size(steps: int, gpus: int, batch: int) -> int:
    """The dataset length N of `N @ D` that gives so many steps per epoch."""
    return steps * gpus * batch


@dataclass(frozen=True, kw_only=True)
class EvalLength:
    """One evaluation loader, or why it cannot be built."""

    key: str
    length: int | None
    problem: str = ""
    place: Place | None = None


@dataclass(frozen=True, kw_only=True)
class LoadersBuilt:
    """The loaders as the repository's own functions build them, for every rank of the launch."""

    ranks: tuple[Rank, ...]
    mixed: float  # share of the steps in which ranks hold different numbers of views
    distinct: int  # samples that are drawn by at least one rank
    sampler: Place  # what deals out the batches, else the function that builds the loader
    counted: Place  # what says how many they are, else that
    evals: tuple[EvalLength, ...]
    untold: Blocked | None  # why the evaluation loaders are not known, None where they are

    @property
    def drawn(self) -> int:
        """Samples that the measured ranks draw, together."""
        return sum(rank.samples for rank in self.ranks)


@fact
def loader_module(target: Target) -> str:
    """The module among whose names the dataset expressions are evaluated.

    Raises Blocked where nothing tells: no function of the launch builds a loader, no module has the classes.
    """
    if module := expression_module(target) or unparsed(target):
        return module
    classes = set(dataset_classes(target))
    for path in modules(target) if classes else ():
        if classes <= bound_names(path):
            return module_name(target, path)
    raise Blocked(
        "no module that {script} imports builds a loader, or has {classes}",
        at=target.script,
        hint='name the module that evaluates dataset.train_dataset in {toml}: [names] datasets = "MODULE"',
        script=target.settings.launch.script,
        classes=sorted(classes),
        toml="opv2v-doctor.toml",
    )


@fact
def loaders(target: Target) -> LoadersBuilt:
    """Build the loaders in the training interpreter and go through their indices: no sample is read.

    Raises Blocked where the launch does not build its training loader by a function that is known.
    """
    built, main = building(target, TRAIN), entry_point(target)
    every = range(target.gpus)
    measured = [*every[: MOST_RANKS // 2], *every[MOST_RANKS // 2 :][-MOST_RANKS // 2 :]]
    evals, untold = _eval_lines(target)
    answer = questions.loaders(
        target,
        config_dir=str(main.config_dir),
        config_name=main.config_name,
        overrides=list(target.launch_overrides),
        module_name=loader_module(target),
        train=built.lines,
        expression=str(config(target).get("dataset.train_dataset")).strip(),
        evals=evals,
        seeding=seeding(target),
        world_size=target.gpus,
        measured=measured,
    )
    return LoadersBuilt(
        ranks=answer.ranks,
        mixed=answer.mixed,
        distinct=answer.distinct,
        sampler=answer.sampler or built.call,
        counted=answer.counted or built.call,
        evals=tuple(
            EvalLength(
                key=loader.key,
                length=loader.length,
                problem=loader.problem,
                place=innermost(loader.frames, target.repo),
            )
            for loader in answer.evals
        ),
        untold=untold,
    )


def _eval_lines(target: Target) -> tuple[questions.Lines | None, Blocked | None]:
    """The lines that build the evaluation loaders, else why they are not known: the ranks are, without."""
    try:
        return building(target, TEST).lines if asked_eval_parts(target) else None, None
    except Blocked as problem:
        return None, problem


@dataclass(frozen=True, kw_only=True)
class Exports:
    """The module in whose namespace datasets are evaluated, and the files of the names that it has."""

    module: str
    home: Path  # the repository's own file of it
    file: Path  # the one that was imported
    names: Mapping[str, Path]

    @property
    def is_ours(self) -> bool:
        """Whether no other copy of it wins the import."""
        return self.file.resolve() == self.home.resolve()


@fact
def exports(target: Target, names: tuple[str, ...]) -> Exports:
    """Which of the names the datasets module has, in the training interpreter."""
    module = loader_module(target)
    home = next((path for path in modules(target) if module_name(target, path) == module), None)
    answer = questions.exported(target, module_name=module, names=list(names))
    file = answer.file or Path(module)
    return Exports(module=module, home=home or file, file=file, names=answer.names)
