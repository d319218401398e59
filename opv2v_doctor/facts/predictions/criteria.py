"""Criteria on the truth: the launch's own criteria, given ground truth, and worse, as predictions."""

from __future__ import annotations

import ast
from collections.abc import Callable

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.launch.config import config, entry_point
from opv2v_doctor.facts.launch.criteria import criterion_lines
from opv2v_doctor.facts.launch.evaluation import TRAIN, building
from opv2v_doctor.facts.launch.loaders import loader_module
from opv2v_doctor.facts.launch.splits import expression_of
from opv2v_doctor.facts.predictions import questions
from opv2v_doctor.facts.predictions.judgements import Judged, Term
from opv2v_doctor.facts.source.names import the
from opv2v_doctor.facts.source.syntax import parsed_expression
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

KINDS = ("train", "test")


@fact
def _judging(target: Target, kind: str) -> Callable[[], Judged]:
    return questions.judged.ahead(target, case=_case(target, kind))


@fact
def _judged(target: Target, kind: str) -> Judged | Blocked:
    """A failure is cached too: what hangs shall hang once."""
    try:
        return _judging(target, kind)()
    except Blocked as blocked:
        return blocked


def judged(target: Target, kind: str) -> Judged:
    """What the criterion of the training, or of its evaluation, says. Raises Blocked where nothing tells."""
    outcome = _judged(target, kind)
    if isinstance(outcome, Blocked):
        raise outcome
    return outcome


@fact
def parting(
    target: Target, kind: str, term: Term | None, how: str, view: int | None = None, value: float = 0.0
) -> Place | None:
    """The line where a term, or the loss itself, goes wrong: `how` is what it does.

    "truth", "blind", "detached", "counted", or the name of an option. Where nothing tells, it is the line of
    the criterion that gives the loss.
    """
    found = judged(target, kind)
    alike = [one.name for one in found.terms if term is not None and one.kind == term.kind]
    try:
        place = questions.parted(
            target,
            case=_case(target, kind),
            term=term.name if term else "",
            alike=alike,
            entry=term.entry if term else "",
            how=how,
            view=view,
            value=value,
        )
    except Blocked:  # the finding stands without it
        place = None
    return place or found.place or criterion_lines(target, kind).place


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
