"""What the repository makes of the test set: its own lines, replayed without building anything."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.launch.config import replay
from opv2v_doctor.facts.source.syntax import modules, nodes, parsed_module
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

BUILDERS = ("build_dataset", "get_test_data_loader")


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
    for path in modules(target):
        for function in _functions(path):
            for statement in _statements(function.body):
                if function.name in BUILDERS or not any(map(_builder, ast.walk(statement))):
                    continue
                told = _told_by_name(target, statement)
                if call := next(filter(_builds, ast.walk(told)), None):
                    assert isinstance(call, ast.Call)
                    return _replay(target, path, function, told, call)
    raise Blocked(
        "no module that {script} imports calls one of {builders} for the test set: the repository builds its "
        "evaluation loaders in a way that is not known here",
        at=target.script,
        script=target.settings.launch.script,
        builders=list(BUILDERS),
    )


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that can be replayed one by one: those of blocks that only group, and loops as a whole."""
    for statement in body:
        if isinstance(statement, ast.If | ast.With | ast.Try):
            yield from _statements(statement.body)
        elif not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement


def _functions(path: Path) -> Iterator[ast.FunctionDef]:
    """The functions of a file that are given something."""
    return (node for node in nodes(path) if isinstance(node, ast.FunctionDef) and node.args.args)


def _builder(node: ast.AST) -> str:
    """The builder that a node calls, empty for anything else."""
    name = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
    return name if name in BUILDERS else ""


def _told_by_name(target: Target, statement: ast.stmt) -> ast.stmt:
    """The statement with all but the first argument of its builders given by name."""
    told = copy.deepcopy(statement)
    for call in ast.walk(told):
        if isinstance(call, ast.Call) and (name := _builder(call)):
            known = next((f for path in modules(target) for f in _functions(path) if f.name == name), None)
            names = [argument.arg for argument in known.args.args] if known else []
            rest = zip(names[1:], call.args[1:], strict=False)
            call.keywords = [*(ast.keyword(arg=arg, value=value) for arg, value in rest), *call.keywords]
            call.args = [*call.args[:1], *call.args[len(names) or 1 :]]
    return told


def _builds(node: ast.AST) -> bool:
    """Whether a node is the call that builds a loader for evaluation."""
    name = _builder(node)
    words = {word.arg: word.value for word in node.keywords} if isinstance(node, ast.Call) else {}
    return name == BUILDERS[1] or (
        bool(name) and ast.unparse(words.get("test", ast.Constant(False))) == "True"
    )


def _replay(
    target: Target, path: Path, function: ast.FunctionDef, statement: ast.stmt, call: ast.Call
) -> EvaluationSet:
    own = [*_assignments(function, statement.lineno, _reads(statement)), _outside(statement)]
    parameter, given = _call_site(path, function, set().union(*map(_reads, own)))
    needed = [*given, *own]
    answer = replay(
        target,
        "\n".join(ast.unparse(part) for part in needed),
        path,
        parameter=parameter,
        builders=list(BUILDERS),
    )
    size = next((word.value for word in call.keywords if word.arg == "batch_size"), call)
    formula = next((part for part in needed if _assigns(part, {ast.unparse(size)})), size)
    return EvaluationSet(
        kept=answer.kept,
        batch=answer.batch,
        place=Place(path=path, line=statement.lineno),
        formula=Place(path=path, line=formula.lineno),
    )


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
    for caller in _functions(path):
        for statement in _statements(caller.body) if caller is not function else ():
            for call in ast.walk(statement):
                if not isinstance(call, ast.Call) or ast.unparse(call.func) != function.name:
                    continue
                words = {word.arg: word.value for word in call.keywords if word.arg}
                bound = {**dict(zip(parameters, call.args, strict=False)), **words}
                left, right = ", ".join(bound), ", ".join(map(ast.unparse, bound.values()))
                together = ast.copy_location(parsed_module(f"({left},) = ({right},)").body[0], statement)
                before = _assignments(caller, statement.lineno, _reads(together))
                read = set().union(*map(_reads, [*before, together]))
                config, outer = _call_site(path, caller, read, depth - 1)
                return config, [*outer, *before, together]
    return parameters[0], []


def _assignments(function: ast.FunctionDef, line: int, names: set[str]) -> list[ast.stmt]:
    """The assignments before a line that names depend on, in their order."""
    names, needed = set(names), []
    before = [part for part in _statements(function.body) if part.lineno < line]
    for part in reversed(before):
        if _assigns(part, names):
            needed.append(part)
            names |= _reads(part)
    return needed[::-1]


def _reads(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


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
