"""The training loop: the expression with which it tells the schedule how far the training is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.facts.source.names import name_of
from opv2v_doctor.facts.source.syntax import module_name, modules, nodes, parsed_expression
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place


@dataclass(frozen=True, kw_only=True)
class EpochExpression:
    """How the training computes the epoch that it asks a learning rate for."""

    expression: str
    counter: str  # the loop's own: `step` in `for step, batch in enumerate(...)`
    sized: tuple[str, ...]  # the name in what the expression takes the length of: the loader
    module: str
    place: Place
    decided: Place  # the line of the expression that says it, be it assigned before the call


@fact
def epoch_progress(target: Target) -> EpochExpression | None:
    """The expression that the schedule is called with, None where it is not a plain one in a counted loop."""
    schedule = name_of(target, "schedule")
    for path in modules(target):
        functions = [node for node in nodes(path) if isinstance(node, ast.FunctionDef)]
        for function in functions:
            for call in _calls(function, schedule):
                asked, counter = _second_argument(call), _counter(function, call)
                if asked is not None and counter:
                    return _progress(target, path, call, function, asked, counter)
    return None


def _progress(
    target: Target, path: Path, call: ast.Call, function: ast.FunctionDef, asked: ast.expr, counter: str
) -> EpochExpression:
    line, asked = _deciding(function, asked, counter).lineno, _inline(function, asked)
    place = Place(path=path, line=call.lineno)
    sized = [
        ast.unparse(node.args[0]).partition(".")[0]
        for node in ast.walk(asked)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "len"
    ]
    return EpochExpression(
        expression=ast.unparse(asked),
        counter=counter,
        sized=tuple(sized),
        module=module_name(target, place.path),
        place=place,
        decided=Place(path=path, line=line),
    )


def _deciding(function: ast.FunctionDef, asked: ast.expr, counter: str) -> ast.expr:
    """Of an expression and those of its variables, the one that reads something else than epoch and step.

    Where none does, the one that the variable is given.
    """
    assigned = _assigned(function)
    chain: list[ast.expr] = [asked]
    for expression in chain:  # it grows: each names those that it is made of
        if _names_in(expression) - _progress_in(expression, assigned, counter):
            return expression
        values = (assigned.get(name, []) for name in sorted(_names_in(expression)))
        chain += [found[0] for found in values if len(found) == 1 and found[0] not in chain]
    return chain[1] if isinstance(asked, ast.Name) and len(chain) > 1 else asked


def _progress_in(expression: ast.expr, assigned: dict[str, list[ast.expr]], counter: str) -> set[str]:
    """Names of an expression that tell how far the training is: epoch, step, lengths, and their like."""
    sized = {
        name
        for call in ast.walk(expression)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "len"
        for name in _names_in(call)
    }
    plain = {"epoch", counter, *sized}
    made = {
        name
        for name in _names_in(expression) - plain
        if any({"epoch", counter} & _names_in(_inlined(value, assigned)) for value in assigned.get(name, []))
    }
    return plain | made


def _names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _calls(function: ast.FunctionDef, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name:
            yield node


def _second_argument(call: ast.Call) -> ast.expr | None:
    return next(iter([word.value for word in call.keywords if word.arg == "epoch"] + call.args[1:2]), None)


def _counter(function: ast.FunctionDef, call: ast.Call) -> str:
    """The counter of the innermost loop around the call."""
    loops = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.For) and call in ast.walk(node) and "enumerate" in ast.unparse(node.iter)
    ]
    target = loops[-1].target if loops else None
    return ast.unparse(target.elts[0]) if isinstance(target, ast.Tuple) else ""


def _inline(function: ast.FunctionDef, asked: ast.expr, depth: int = 4) -> ast.expr:
    """The expression with the function's own variables replaced by what is assigned to them, once each."""
    return _inlined(asked, _assigned(function), depth)


def _inlined(asked: ast.expr, assigned: dict[str, list[ast.expr]], depth: int = 4) -> ast.expr:
    class Inline(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            values = assigned.get(node.id, [])
            return values[0] if len(values) == 1 else node

    for _ in range(depth):
        asked = Inline().visit(parsed_expression(ast.unparse(asked)))
    return asked


def _assigned(function: ast.FunctionDef) -> dict[str, list[ast.expr]]:
    """What is assigned to each variable of a function; twice, where it is changed."""
    assigned: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assigned.setdefault(node.targets[0].id, []).append(node.value)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            assigned.setdefault(node.target.id, []).extend([node.value, node.value])  # more than once
    return assigned
