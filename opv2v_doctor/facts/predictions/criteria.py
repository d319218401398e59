"""Criteria on the truth: the launch's own criteria, given ground truth, and worse, as predictions."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter.probe import has_second
from opv2v_doctor.facts.launch.config import config, entry_point
from opv2v_doctor.facts.launch.criteria import criterion_lines
from opv2v_doctor.facts.launch.evaluation import TRAIN, building
from opv2v_doctor.facts.launch.loaders import loader_module
from opv2v_doctor.facts.launch.splits import expression_of
from opv2v_doctor.facts.predictions import questions
from opv2v_doctor.facts.predictions.judgements import Judged, Option, Term, kind_of
from opv2v_doctor.facts.source.names import the
from opv2v_doctor.facts.source.syntax import nodes, parsed_expression
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

KINDS = ("train", "test")


def begin(target: Target) -> None:
    """Let both criteria judge while we look elsewhere, in the second interpreter if there is one."""
    for kind in KINDS:
        with contextlib.suppress(Blocked):  # whoever needs it will be told
            _judging(target, kind)


@fact
def _second(target: Target) -> bool:
    """Whether the second interpreter is asked; it stays so, since it remembers what it was asked."""
    return has_second(target)


@fact
def _judging(target: Target, kind: str) -> Callable[[], Judged]:
    return questions.judged.ahead_in(target, _second(target), case=_case(target, kind))


@fact
def judgement(target: Target, kind: str) -> Judged | Blocked:
    """What a criterion says. A failure is cached too: what hangs shall hang once."""
    try:
        return _judging(target, kind)()
    except Blocked as blocked:
        return blocked


def judged(target: Target, kind: str) -> Judged:
    """What the criterion of the training, or of its evaluation, says. Raises Blocked where nothing tells."""
    outcome = judgement(target, kind)
    if isinstance(outcome, Blocked):
        raise outcome
    return outcome


@fact
def parting(
    target: Target, kind: str, term: Term | None, how: str, view: int | None = None, value: float = 0.0
) -> Place | None:
    """The line where a term, or the loss itself, goes wrong: `how` is what it does.

    As `inside/criterion.py` names it. Where nothing tells, it is the criterion's line that gives the loss.
    """
    found = judged(target, kind)
    alike = [one.name for one in found.terms if term is None or one.kind in (term.kind, None)]
    try:
        place = questions.parted.ahead_in(
            target,
            _second(target),
            case=_case(target, kind),
            term=term.name if term else "",
            alike=alike,
            entry=term.entry if term else "",
            how=how,
            view=view,
            value=value,
        )()
    except Blocked:  # the finding stands without it
        place = None
    return place or found.place or criterion_lines(target, kind).place


def misplaced(option: Option) -> Place | None:
    """The line of its class that keeps an option under the name of another kind of term, None without one."""
    if option.place is None:
        return None
    own = kind_of(option.name)
    for node in nodes(option.place.path):
        if isinstance(node, ast.Dict):
            pairs = [
                (key.value, value)
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant)
            ]
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            pairs = [(node.targets[0].attr, node.value)]
        else:
            continue
        for name, value in pairs:
            if (
                isinstance(value, ast.Name)
                and value.id == option.name
                and kind_of(str(name)) not in (None, own)
            ):
                return Place(path=option.place.path, line=value.lineno)
    return None


@fact
def _case(target: Target, kind: str) -> questions.CriterionCase:
    main, found = entry_point(target), criterion_lines(target, kind)
    others = _options(str(config(target).get(criterion_lines(target, "train").key))) if kind == "test" else ()
    return {
        "config_dir": str(main.config_dir),
        "config_name": main.config_name,
        "overrides": list(target.launch_overrides),
        "loader": building(target, TRAIN).lines,
        "expression": expression_of(target, "train"),
        "datasets": loader_module(target),
        "losses": the(target, "loss").reference,
        "criterion": found.lines,
        "variable": found.variable,
        "key": found.key,
        "tried": sorted(others),
        "repo": str(target.repo),
    }


def _options(expression: str) -> set[str]:
    """The options that an expression gives to its calls, as CLASS.NAME; a factor is `*`."""
    try:
        calls = [node for node in ast.walk(parsed_expression(expression)) if isinstance(node, ast.Call)]
    except SyntaxError:
        return set()
    names = [(ast.unparse(call.func).rpartition(".")[2], call) for call in calls]
    return {f"{name}.{word.arg}" for name, call in names for word in call.keywords} | {
        f"{name}.*" for name, _ in names
    }
