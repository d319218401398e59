"""What the repository builds its loaders with: its own lines, replayed without building anything."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.launch.config import config, replay
from opv2v_doctor.facts.source.names import builders, calls_in, mentions, names_read, parameters_of, the
from opv2v_doctor.facts.source.syntax import module_name, modules, nodes, parsed_module
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

TRAIN, TEST = "train_dataset", "test_dataset"  # keys of the config
DEEPEST = 3  # calls from where the training is seeded to where it builds its loader


@dataclass(frozen=True, kw_only=True)
class BuildingLines:
    """Lines of the training that build loaders, as they can be run outside of it."""

    lines: questions.Lines
    place: Place  # the statement that builds them
    call: Place  # its first call of a builder
    formula: Place  # the line that computes the batch size, else that of the call
    function: str  # that the statement is in


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """The loaders that the repository builds of the test set, key -> expression, and their batch size."""

    kept: Mapping[str, str]
    batch: int | None  # None where the config asks for no set, or the builder is not told
    place: Place  # the line that builds them
    formula: Place  # the line that computes the batch size


@fact
def evaluation(target: Target) -> EvaluationSet:
    """Replay the lines of the training that build its evaluation loaders: a comprehension, a loop, any.

    Raises Blocked where no module of the launch builds them.
    """
    found = building(target, TEST)
    answer = replay(target, found.lines)
    told = [call for call in answer.calls if call.dataset in answer.kept.values()] or answer.calls
    return EvaluationSet(
        kept=answer.kept,
        batch=next((call.words.get("batch_size") for call in told), None),
        place=found.place,
        formula=found.formula,
    )


@dataclass(frozen=True, kw_only=True)
class TrainCall:
    """The call that builds the training loader, and what it is given besides the dataset."""

    words: Mapping[str, Any]
    place: Place


def images_of(words: Mapping[str, Any]) -> tuple[str, int] | None:
    """The argument of a call that bounds the images of a batch, and its value; None where it has none."""
    named = (
        name for name, value in words.items() if re.search("ima?ge?s?", name) and type(value) in (int, float)
    )
    return next(((name, int(words[name])) for name in named), None)


@fact
def train_call(target: Target) -> TrainCall:
    """Replay the lines of the training that build its training loader.

    Raises Blocked where no module of the launch builds it.
    """
    found = building(target, TRAIN)
    calls = replay(target, found.lines).calls
    expression = str(config(target).get(f"dataset.{TRAIN}")).strip()
    own = next((call for call in calls if call.dataset.strip() == expression), next(iter(calls), None))
    if own is None:
        raise Blocked("the lines that build the training loader call no builder", at=found.place)
    return TrainCall(words=own.words, place=found.call)


@fact
def building(target: Target, key: str) -> BuildingLines:
    """The first statement of the launch that has loaders built of what a key of the config asks for.

    Raises Blocked where there is none.
    """
    known = builders(target)
    for path in modules(target):
        for function in functions_of(path):
            for statement in _statements(function.body) if function.name not in known else ():
                if not any(_builder(node, known) for node in ast.walk(statement)):
                    continue
                told, call = _told_by_name(statement, known)
                found = replayable(path, function, told)
                if any(mentions(part, key) for part in found[0]):
                    return _building(target, path, known, function, statement, call, *found)
    loader = the(target, "train_loader" if key == TRAIN else "test_loader")
    raise Blocked(
        "no module of this launch calls {name} for dataset.{key}: what it is given is not known",
        at=loader.place,
        hint='build the loader by {name}, or name what builds it in {toml}: [names] {part} = "NAME"',
        name=loader.name,
        key=key,
        toml="opv2v-doctor.toml",
        part="train_loader" if key == TRAIN else "test_loader",
    )


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that can be replayed one by one: those of blocks that only group, and loops as a whole."""
    for statement in body:
        if isinstance(statement, ast.If | ast.With | ast.Try):
            yield from _statements(statement.body)
        elif not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement


def functions_of(path: Path) -> Iterator[ast.FunctionDef]:
    """The functions of a file that are given something."""
    return (node for node in nodes(path) if isinstance(node, ast.FunctionDef) and node.args.args)


def _builder(node: ast.AST, known: Collection[str]) -> str:
    """The builder that a node calls, empty for anything else."""
    name = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
    return name if name in known else ""


def _told_by_name(statement: ast.stmt, known: Mapping[str, Path]) -> tuple[ast.stmt, ast.Call]:
    """The statement with its builders called by their plain names, and with all their arguments named.

    And its first call of one.
    """
    told, calls = copy.deepcopy(statement), []
    for call in ast.walk(told):
        if isinstance(call, ast.Call) and (name := _builder(call, known)):
            names = next(parameters_of(f) for f in functions_of(known[name]) if f.name == name)
            given = zip(names, call.args, strict=False)
            call.keywords = [*(ast.keyword(arg=arg, value=value) for arg, value in given), *call.keywords]
            call.func, call.args = ast.Name(name, ast.Load()), call.args[len(names) :]
            calls.append(call)
    return ast.fix_missing_locations(told), calls[0]


def replayable(path: Path, function: ast.FunctionDef, statement: ast.stmt) -> tuple[list[ast.stmt], str]:
    """The statement with all that it depends on, and the name of the config in them."""
    own = [*assignments(function, statement.lineno, names_read(statement)), _outside(statement)]
    parameter, given = _call_site(path, function, set().union(*map(names_read, own)))
    return [*given, *own], parameter


def _building(
    target: Target,
    path: Path,
    known: Mapping[str, Path],
    function: ast.FunctionDef,
    statement: ast.stmt,
    call: ast.Call,
    needed: list[ast.stmt],
    parameter: str,
) -> BuildingLines:
    size = next((word.value for word in call.keywords if word.arg == "batch_size"), call)
    formula = next((part for part in needed if _assigns(part, {ast.unparse(size)})), size)
    return BuildingLines(
        lines={
            "source": "\n".join(ast.unparse(part) for part in needed),
            "module": module_name(target, path),
            "parameter": parameter,
            "builders": {name: module_name(target, home) for name, home in known.items()},
        },
        place=Place(path=path, line=statement.lineno),
        call=Place(path=path, line=call.lineno),
        formula=Place(path=path, line=formula.lineno),
        function=function.name,
    )


@fact
def seeding(target: Target) -> questions.Lines | None:
    """The lines that seed the training before it builds its loader, None where none are found.

    They are in the function that builds it, or in one that calls that.
    """
    callers = {building(target, TRAIN).function}
    for _ in range(DEEPEST):
        for path in modules(target):
            for function in functions_of(path):
                seeds = [part for part in _statements(function.body) if _seeds(part)]
                if function.name in callers and seeds:
                    return _seeding(target, path, function, seeds)
                if callers & {*calls_in(function)}:
                    callers.add(function.name)
    return None


def _seeds(statement: ast.stmt) -> bool:
    called = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    return called and any("seed" in name for name in calls_in(statement))


def _seeding(target: Target, path: Path, function: ast.FunctionDef, seeds: list[ast.stmt]) -> questions.Lines:
    read = set().union(*map(names_read, seeds))
    own = [*assignments(function, seeds[-1].lineno, read), *seeds]
    parameter, given = _call_site(path, function, set().union(*map(names_read, own)))
    lines = [*given, *sorted(own, key=lambda part: part.lineno)]
    return {
        "source": "\n".join(map(ast.unparse, lines)),
        "module": module_name(target, path),
        "parameter": parameter,
        "builders": {},
    }


def _outside(statement: ast.stmt) -> ast.stmt:
    """The statement as it can stand outside of a function."""
    if not isinstance(statement, ast.Return) or statement.value is None:
        return statement
    kept = ast.Assign(targets=[ast.Name("returned", ast.Store())], value=statement.value)
    return ast.fix_missing_locations(ast.copy_location(kept, statement))


def _call_site(
    path: Path, function: ast.FunctionDef, names: set[str], depth: int = 3
) -> tuple[str, list[ast.stmt]]:
    """What gives a function its parameters where it is called, and the name of the config there.

    Nothing, where it reads the config alone.
    """
    parameters = [argument.arg for argument in function.args.args]
    if depth == 0 or not names & set(parameters[1:]):
        return parameters[0], []
    for caller in functions_of(path):
        for statement in _statements(caller.body) if caller is not function else ():
            for call in ast.walk(statement):
                if not isinstance(call, ast.Call) or ast.unparse(call.func) != function.name:
                    continue
                words = {word.arg: word.value for word in call.keywords if word.arg}
                bound = {**dict(zip(parameters, call.args, strict=False)), **words}
                left, right = ", ".join(bound), ", ".join(map(ast.unparse, bound.values()))
                together = ast.copy_location(parsed_module(f"({left},) = ({right},)").body[0], statement)
                before = assignments(caller, statement.lineno, names_read(together))
                read = set().union(*map(names_read, [*before, together]))
                config, outer = _call_site(path, caller, read, depth - 1)
                return config, [*outer, *before, together]
    return parameters[0], []


def assignments(
    function: ast.FunctionDef, line: int, names: set[str], known: Collection[str] = ()
) -> list[ast.stmt]:
    """The assignments before a line that names depend on, in their order; none of names that are known."""
    names, needed = set(names) - {*known}, []
    before = [part for part in _statements(function.body) if part.lineno < line]
    for part in reversed(before):
        if _assigns(part, names):
            needed.append(part)
            names |= names_read(part) - {*known}
    return needed[::-1]


def _assigns(statement: ast.AST, names: set[str]) -> bool:
    """Whether it is an assignment to one of the names."""
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    else:
        return False
    parts = (part for target in targets for part in getattr(target, "elts", [target]))
    return any(ast.unparse(part) in names for part in parts)
