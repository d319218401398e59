"""The criteria: the training's own statements that make them of the config's expressions."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.launch.config import config
from opv2v_doctor.facts.launch.evaluation import functions_of, replayable
from opv2v_doctor.facts.source.names import mentions
from opv2v_doctor.facts.source.syntax import module_name, modules
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

KEYS = {"train": "train_criterion", "test": "test_criterion"}


@dataclass(frozen=True, kw_only=True)
class CriterionLines:
    """The statement that makes a criterion, with all that it needs."""

    lines: questions.Lines
    variable: str
    key: str  # of the config, that holds the expression
    place: Place


@fact
def criterion_lines(target: Target, kind: str) -> CriterionLines:
    """The statement of the launch that makes the criterion of the training, or of its evaluation ("test").

    Raises Blocked where no module of the launch assigns what it makes of the config's expression.
    """
    own, other = KEYS[kind], KEYS["test" if kind == "train" else "train"]
    found: list[CriterionLines] = []
    for path in modules(target):
        for function in functions_of(path):
            for statement in ast.walk(function):
                if not isinstance(statement, ast.Assign) or not mentions(statement.value, own):
                    continue
                if not isinstance(statement.targets[0], ast.Name) or not _calls(statement.value):
                    continue
                needed, parameter = replayable(path, function, statement)
                made = CriterionLines(
                    lines={
                        "source": "\n".join(map(ast.unparse, needed)),
                        "module": module_name(target, path),
                        "parameter": parameter,
                        "builders": {},
                    },
                    variable=statement.targets[0].id,
                    key=_key(target, own, other),
                    place=Place(path=path, line=statement.lineno),
                )
                if kind == "test" or not mentions(statement.value, other):
                    return made
                found.append(made)
    if found:
        return found[0]
    raise Blocked("no module of this launch assigns a criterion that it makes of loss.{key}", key=own)


def _calls(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Call) for part in ast.walk(node))


def _key(target: Target, own: str, other: str) -> str:
    """The key of the expression that is taken: an empty one of the evaluation means the training's."""
    return f"loss.{own}" if str(config(target).get(f"loss.{own}") or "").strip() else f"loss.{other}"
