"""The dataset expressions of the config: what they ask for, and what the repository makes of them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.config import config, evaluated
from opv2v_doctor.facts.source import Place, find
from opv2v_doctor.target import Target

LEAST_VIEWS = 2  # the base dataset's lower bound where the expression gives none


@dataclass(frozen=True, kw_only=True)
class Part:
    """One dataset of an expression such as `+ 40_000 @ OPV2VCoopCylindricalDataset(split='train', ...)`."""

    expression: str  # the whole part, as the training would evaluate it
    class_name: str
    size: int | None  # N of `N @ D`; None where the length is that of the data
    repeat: int = 1  # N of `N * D`
    keywords: Mapping[str, Any] = field(default_factory=dict)

    @property
    def split(self) -> str | None:
        """The folder that it reads, None where the expression does not say."""
        split = self.keywords.get("split")
        return None if split is None else str(split)

    @property
    def views(self) -> tuple[int, ...]:
        """The numbers of views that the sampler may draw, as far as the expression tells."""
        most = int(self.keywords.get("num_views") or 1)
        if not self.keywords.get("variable_num_views"):
            return (most,)
        most = min(most, int(self.keywords.get("max_num_views") or most))
        return tuple(range(int(self.keywords.get("min_num_views") or LEAST_VIEWS), most + 1))


def parts_of(expression: str) -> tuple[Part, ...]:
    """The datasets that an expression adds up. Raises Blocked where it is not such an expression."""
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except SyntaxError as problem:
        raise Blocked(f"not a dataset expression: {problem.msg} in {expression[:80]!r}") from None
    return tuple(_part(node) for node in _terms(tree))


def _terms(node: ast.expr) -> list[ast.expr]:
    """The terms of a sum; a leading plus belongs to its first term."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_terms(node.left), *_terms(node.right)]
    return [node]


def _part(node: ast.expr) -> Part:
    expression, size, repeat = ast.unparse(node), None, 1
    while isinstance(node, ast.BinOp | ast.UnaryOp):
        if isinstance(node, ast.UnaryOp):
            node = node.operand
            continue
        number = number_of(node.left)
        size, repeat = (number, repeat) if isinstance(node.op, ast.MatMult) else (size, repeat * number)
        node = node.right
    if not isinstance(node, ast.Call):
        raise Blocked(f"not a dataset expression: {expression[:80]!r}")
    keywords = {word.arg: _literal(word.value) for word in node.keywords if word.arg}
    return Part(
        expression=expression, class_name=ast.unparse(node.func), size=size, repeat=repeat, keywords=keywords
    )


def number_of(node: ast.expr) -> int:
    """A whole number, or a product of some as in `+ 2 * 40_000 @ D`. Raises Blocked for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd):
        return number_of(node.operand)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return number_of(node.left) * number_of(node.right)
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    raise Blocked(f"the length of a dataset is not a number: {ast.unparse(node)[:80]!r}")


def _literal(node: ast.expr) -> Any:
    """A keyword's value; names and calls stay source text."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


@cache
def train_parts(target: Target) -> tuple[Part, ...]:
    """The datasets that the training draws from."""
    return parts_of(_expression(target, "dataset.train_dataset"))


@cache
def asked_eval_parts(target: Target) -> tuple[Part, ...]:
    """The evaluation sets that the config asks for; none where it asks for none, as `[null]` does."""
    expression = str(config(target).get("dataset.test_dataset", ""))
    return parts_of(expression) if "(" in expression else ()


def _expression(target: Target, key: str) -> str:
    expression = config(target).get(key)
    if not expression:
        reason = config(target).unresolved.get(key, "it is empty")
        raise Blocked(f"{key} cannot be read: {reason}")
    return str(expression)


@dataclass(frozen=True, kw_only=True)
class EvalLoaders:
    """The loaders that the repository builds of the test set: key -> expression, by its own parsing."""

    kept: Mapping[str, str]
    place: Place  # the line that parses


@cache
def eval_loaders(target: Target) -> EvalLoaders:
    """Replay the repository's own parsing of the test set, without building anything.

    Raises Blocked where its training code does not build the loaders by a dictionary comprehension over the
    test set, which is what all examined repositories do.
    """
    found = find(target, _is_loader_comprehension, "test_dataset")
    if not found:
        raise Blocked("no dictionary comprehension over test_dataset found: cannot replay its parsing")
    comprehension = ast.parse(found[0].text, mode="eval").body
    assert isinstance(comprehension, ast.DictComp)
    comprehension.value = ast.parse(ast.unparse(comprehension.generators[0].target), mode="eval").body
    kept = evaluated(target, ast.unparse(comprehension), found[0].path)
    return EvalLoaders(kept=kept, place=found[0])


def _is_loader_comprehension(node: ast.AST) -> bool:
    return isinstance(node, ast.DictComp) and "test_dataset" in ast.unparse(node.generators[0].iter)


@dataclass(frozen=True, kw_only=True)
class EvalBatch:
    """The evaluation batch size as the repository computes it, and the line that does."""

    size: int
    place: Place


@cache
def eval_batch(target: Target) -> EvalBatch:
    """The repository's own formula, evaluated on the config. Raises Blocked where it has none."""
    found = find(target, _is_batch_formula, "max_num_of_imgs_per_gpu")
    if not found:
        raise Blocked("no formula of max_num_of_imgs_per_gpu and num_views found for the eval batch size")
    formula = found[0].text.partition("=")[2].strip()
    return EvalBatch(size=int(evaluated(target, formula, found[0].path)), place=found[0])


def _is_batch_formula(node: ast.AST) -> bool:
    text = ast.unparse(node) if isinstance(node, ast.Assign) else ""
    return ".max_num_of_imgs_per_gpu" in text and ".num_views" in text
