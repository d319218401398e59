"""The dataset expressions of the config: what they ask for, and what the repository makes of them."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.launch.config import config, place
from opv2v_doctor.facts.launch.leaves import leaves
from opv2v_doctor.facts.source.syntax import parsed_expression
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target

LEAST_VIEWS = 2  # the base dataset's lower bound where the expression gives none
SHOWN = 80  # characters of an expression that a reason quotes


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
    def says_views(self) -> bool:
        """Whether the expression gives the numbers of views; else they are the class's default."""
        return "num_views" in self.keywords

    @property
    def views(self) -> tuple[int, ...]:
        """The numbers of views that the sampler may draw, as far as the expression tells."""
        most = int(self.keywords.get("num_views") or 1)
        if not self.keywords.get("variable_num_views"):
            return (most,)
        most = min(most, int(self.keywords.get("max_num_views") or most))
        return tuple(range(int(self.keywords.get("min_num_views") or LEAST_VIEWS), most + 1))


def data_roots(target: Target) -> tuple[Path, ...]:
    """Where the training's data lies: images, then depth if it is told; none where the config does not say.

    Raises Blocked where the train set is no dataset expression.
    """
    words = train_parts(target)[0].keywords
    if not words.get("ROOT"):
        return ()
    return tuple(target.cwd / words[name] for name in ("ROOT", "depth_root") if words.get(name))


def parts_of(expression: str) -> tuple[Part, ...]:
    """The datasets that an expression adds up. Raises Blocked where it is not such an expression."""
    return tuple(_part(node) for node in _terms(_tree(expression)))


def _tree(expression: str) -> ast.expr:
    """The syntax of a dataset expression. Raises Blocked where it is none."""
    try:
        return parsed_expression(expression)
    except SyntaxError as problem:
        raise Blocked(
            "not a dataset expression: {problem} in {expression!r}",
            problem=problem.msg,
            expression=expression[:SHOWN],
        ) from None


def _terms(node: ast.expr) -> list[ast.expr]:
    """The terms of a sum; a leading plus belongs to its first term."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_terms(node.left), *_terms(node.right)]
    return [node]


def _part(node: ast.expr) -> Part:
    """One term; of a resized sum such as `N @ (A + B)`, its first dataset stands for all."""
    expression, size, repeat = ast.unparse(node), None, 1
    while isinstance(node, ast.BinOp | ast.UnaryOp):
        if isinstance(node, ast.UnaryOp):
            node = node.operand
            continue
        if isinstance(node.op, ast.Add):
            node = node.left
            continue
        number = number_of(node.left)
        size, repeat = (number, repeat) if isinstance(node.op, ast.MatMult) else (size, repeat * number)
        node = node.right
    if not isinstance(node, ast.Call):
        raise Blocked("not a dataset expression: {expression!r}", expression=expression[:SHOWN])
    keywords = {word.arg: _literal(word.value) for word in node.keywords if word.arg}
    return Part(
        expression=expression, class_name=ast.unparse(node.func), size=size, repeat=repeat, keywords=keywords
    )


ROOT = re.compile(r"(images?_|data_?|dataset_?)?(root|dir)(_dir)?", re.IGNORECASE)  # but not of metadata
SCENARIOS = re.compile(r"(include_)?scen(e|ario)s?(_(id|name)s?)?", re.IGNORECASE)


def read_the_same(one: Part, other: Part) -> bool:
    """Whether two datasets read something in common, as far as their expressions tell.

    It is so in the same split below one root (of one class, where no root is given), unless each is told its
    scenarios and none is in both. Where neither says a split, they are the same if all that they say is.
    """
    first, second = one.keywords, other.keywords
    if one.split is None and other.split is None:
        calls = [part.class_name + part.expression.partition(part.class_name)[2] for part in (one, other)]
        return mean_the_same(*calls)
    roots = [
        {os.path.normpath(str(value)) for name, value in given.items() if ROOT.fullmatch(name)}
        for given in (first, second)
    ]
    shared = roots[0] & roots[1] if all(roots) else one.class_name == other.class_name
    told = [
        set(value)
        for given in (first, second)
        for name, value in given.items()
        if SCENARIOS.fullmatch(name) and isinstance(value, list | tuple)
    ]
    return bool(shared) and one.split == other.split and not (len(told) == 2 and told[0].isdisjoint(told[1]))


def mean_the_same(one: str, other: str) -> bool:
    """Whether two dataset expressions say the same in other words: white space, order of keywords, 2 * 20."""
    try:
        first, second = (_Plain().visit(parsed_expression(" ".join(text.split()))) for text in (one, other))
        return ast.dump(first) == ast.dump(second)
    except (SyntaxError, RecursionError):  # a checkpoint may hold any text
        return False


class _Plain(ast.NodeTransformer):
    """An expression in the plainest words."""

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return node.operand if isinstance(node.op, ast.UAdd) else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.BinOp(ast.Constant(int(one)), ast.Mult(), ast.Constant(int(other))):
                return ast.Constant(one * other)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        node.keywords.sort(key=lambda word: word.arg or "")
        return node


def number_of(node: ast.expr) -> int:
    """A whole number, or a product of some as in `+ 2 * 40_000 @ D`. Raises Blocked for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd):
        return number_of(node.operand)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return number_of(node.left) * number_of(node.right)
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    raise Blocked(
        "the length of a dataset is not a number: {expression!r}", expression=ast.unparse(node)[:SHOWN]
    )


def _literal(node: ast.expr) -> Any:
    """A keyword's value; names and calls stay source text."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


@fact
def train_parts(target: Target) -> tuple[Part, ...]:
    """The datasets that the training draws from."""
    return parts_of(_expression(target, "dataset.train_dataset"))


@fact
def asked_eval_parts(target: Target) -> tuple[Part, ...]:
    """The evaluation sets that the config asks for; none where it asks for none, as `[null]` does."""
    expression = str(config(target).get("dataset.test_dataset", ""))
    return parts_of(expression) if "(" in expression else ()


@fact
def dataset_classes(target: Target) -> Mapping[str, str]:
    """The class of each dataset that the training or its evaluation builds -> the key that names it."""
    keys = ("dataset.test_dataset", "dataset.train_dataset")
    expressions = [(key, str(config(target).get(key, ""))) for key in keys]
    return {
        name: key
        for key, expression in expressions
        if "(" in expression
        for name in _classes(_tree(expression))
    }


def _classes(node: ast.expr) -> list[str]:
    """The classes of all terms, also of those that are resized together."""
    if isinstance(node, ast.UnaryOp):
        return _classes(node.operand)
    if isinstance(node, ast.BinOp):
        return [*_classes(node.left), *_classes(node.right)]
    return [ast.unparse(node.func)] if isinstance(node, ast.Call) else []


def keyword_key(target: Target, split: str, keyword: str) -> str | None:
    """The config's key behind a keyword of a split's dataset; None where the config has no such key."""
    key = f"dataset.opv2v.{split}.{keyword}"
    return key if config(target).has(key) else None


def root_key(target: Target, folder: object) -> str | None:
    """The config's key that holds a data root: that of the machine, if it is one of several."""
    found = [key for key, value in leaves(config(target).values) if value == folder]
    return min(found, key=lambda key: (not key.startswith("machine."), key), default=None)


def _expression(target: Target, key: str) -> str:
    expression = config(target).get(key)
    if not expression:
        why = config(target).unresolved.get(key)
        raise Blocked(
            "{key} cannot be read: {why}" if why else "{key} is empty",
            at=place(target, key),
            hint="choose a dataset config that sets {key}",
            key=key,
            why=why,
        )
    return str(expression)
