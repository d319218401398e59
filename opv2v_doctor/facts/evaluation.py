"""What the repository makes of the test set: its own lines, replayed without building anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.config import replayed
from opv2v_doctor.facts.source import Place, modules, nodes
from opv2v_doctor.target import Target

BUILDERS = ("build_dataset", "get_test_data_loader")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The loaders that the repository builds of the test set, key -> expression, and their batch size."""

    kept: Mapping[str, str]
    batch: int | None  # None where the config asks for no set, or the builder is not told
    place: Place  # the line that builds them
    formula: Place  # the line that computes the batch size


@cache
def evaluation(target: Target) -> Evaluation:
    """Replay the lines of the training that build its evaluation loaders: a comprehension, a loop, any.

    Raises Blocked where no module of the launch builds them.
    """
    for path in modules(target):
        for function in (node for node in nodes(path) if isinstance(node, ast.FunctionDef)):
            for statement in _statements(function.body):
                if function.args.args and (call := _builds(statement)):
                    return _replay(target, path, function, statement, call)
    raise Blocked(
        f"no call of {' or '.join(BUILDERS)} for the test set found: cannot replay how it is parsed"
    )


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that can be replayed one by one: those of blocks that only group, and loops as a whole."""
    for statement in body:
        if isinstance(statement, ast.If | ast.With | ast.Try):
            yield from _statements(statement.body)
        elif not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement


def _builds(statement: ast.stmt) -> ast.Call | None:
    """The call in it that builds a loader for evaluation."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and (name := ast.unparse(node.func).rpartition(".")[2]) in BUILDERS:
            words = {word.arg: word.value for word in node.keywords}
            if name == BUILDERS[1] or ast.unparse(words.get("test", ast.Constant(False))) == "True":
                return node
    return None


def _replay(
    target: Target, path: Path, function: ast.FunctionDef, statement: ast.stmt, call: ast.Call
) -> Evaluation:
    needed = [*_assignments(function, statement), statement]
    answer = replayed(
        target,
        "\n".join(ast.unparse(part) for part in needed),
        path,
        parameter=function.args.args[0].arg,
        builders=list(BUILDERS),
    )
    size = next((word.value for word in call.keywords if word.arg == "batch_size"), call)
    formula = next((part for part in needed if _assigns(part, {ast.unparse(size)})), size)
    return Evaluation(
        kept=answer["kept"],
        batch=answer["batch"],
        place=Place(path=path, line=statement.lineno),
        formula=Place(path=path, line=formula.lineno),
    )


def _assignments(function: ast.FunctionDef, statement: ast.stmt) -> list[ast.stmt]:
    """The assignments before a statement that it depends on, in their order."""
    names, needed = _reads(statement), []
    before = [part for part in _statements(function.body) if part.lineno < statement.lineno]
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
    return any(ast.unparse(target) in names for target in targets)
