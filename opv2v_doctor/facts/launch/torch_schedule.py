"""A scheduler of torch in the place of a schedule function: what makes it, and where it is stepped."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.launch.evaluation import assignments, functions_of
from opv2v_doctor.facts.source.names import names_read
from opv2v_doctor.facts.source.syntax import module_name, modules
from opv2v_doctor.facts.source.training_loop import epoch_progress
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

MAKES = re.compile(
    r"(^|\.)(lr_scheduler\.\w+|\w+LR|ReduceLROnPlateau|CosineAnnealingWarmRestarts|get_\w*schedule\w*)$"
)


@dataclass(frozen=True, kw_only=True)
class TorchScheduler:
    """The statement that makes a scheduler, and every call that steps it."""

    lines: questions.Lines
    variable: str
    optimizer: str  # the variable that it is made with
    sized: tuple[str, ...]  # variables of which the length is taken: loaders
    calls: tuple[questions.SchedulerStep, ...]
    place: Place


@fact
def torch_scheduler(target: Target) -> TorchScheduler | None:
    """The first scheduler of torch that the launch makes, None where it calls a schedule function."""
    if epoch_progress(target) is not None:
        return None
    for path in modules(target):
        for function in functions_of(path):
            for statement in function.body:
                made = next(filter(None, map(_made, ast.walk(statement))), None)
                if made is not None:
                    return _scheduler(target, path, function, statement, *made)
    return None


def _made(node: ast.AST) -> tuple[ast.Assign, str] | None:
    """An assignment that makes a scheduler, and the optimizer that it is for."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
        return None
    given = [*node.value.args, *(word.value for word in node.value.keywords if word.arg == "optimizer")]
    return (node, ast.unparse(given[0])) if given and MAKES.search(ast.unparse(node.value.func)) else None


def _scheduler(
    target: Target,
    path: Path,
    function: ast.FunctionDef,
    statement: ast.stmt,
    made: ast.Assign,
    optimizer: str,
) -> TorchScheduler:
    variable = ast.unparse(made.targets[0])
    sized = {
        name
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "len"
        for name in names_read(node) - {"len"}
    }
    known = {optimizer, *sized}
    needed = assignments(function, statement.lineno, {variable, *names_read(statement)}, known)
    return TorchScheduler(
        lines={
            "source": "\n".join(map(ast.unparse, [*needed, statement])),
            "module": module_name(target, path),
            "parameter": function.args.args[0].arg,
            "builders": {},
        },
        variable=variable,
        optimizer=optimizer,
        sized=tuple(sorted(sized)),
        calls=tuple(
            call
            for home in modules(target)
            for caller in functions_of(home)
            for call in _steps(caller, variable)
        ),
        place=Place(path=path, line=made.lineno),
    )


def _steps(function: ast.FunctionDef, variable: str) -> Iterator[questions.SchedulerStep]:
    """The calls in a function that step the scheduler: how often, and under which conditions."""
    for node, above in _with_parents(function, ()):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        name, _, method = called.rpartition(".")
        if method != "step" or (name != variable and "sched" not in name.lower()):
            continue
        loops = [part for part in above if isinstance(part, ast.For)]
        each = "step" if loops and "range(" not in ast.unparse(loops[-1].iter) else "epoch"
        tests = [_condition(part, below) for part, below in zip(above, [*above[1:], node], strict=True)]
        yield {"name": name, "each": each, "conditions": list(filter(None, tests))}


def _with_parents(node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...]]]:
    for inner in ast.iter_child_nodes(node):
        yield inner, (*above, node)
        yield from _with_parents(inner, (*above, node))


def _condition(node: ast.AST, below: ast.AST) -> str:
    """What has to hold for a branch of an `if` to be taken, empty for any other node."""
    if not isinstance(node, ast.If) or below is node.test:
        return ""
    test = ast.unparse(node.test)
    return f"not ({test})" if below in node.orelse else test
