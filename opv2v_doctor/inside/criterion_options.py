"""The options of a criterion's expression: each tried at other values, and the weights that it may take."""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
import sys
from typing import Any, Iterator, TypedDict

from .bench import Bench
from .frames import CodePlace

BUILTIN = (int, float)


class Option(TypedDict):
    """A number of the expression: terms and losses with it, and with one and two units more."""

    name: str
    owner: str
    value: float
    values: list[list[float | None]]  # of the terms
    losses: list[float]
    place: CodePlace | None


class Weight(TypedDict):
    """An option of a class of the expression that the expression leaves as it is by default."""

    name: str
    owner: str
    value: float
    given: bool
    place: CodePlace | None


class Number(TypedDict):
    """A number in an expression: of which option of which class, and where it stands."""

    name: str
    owner: str
    value: float
    start: int
    end: int


def numbers_in(expression: str) -> list[Number]:
    """The numbers that an expression gives to options of its calls, or multiplies calls with."""
    found: list[Number] = []
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError:
        return found
    starts = [0]
    for line in expression.strip().split("\n"):
        starts.append(starts[-1] + len(line.encode()) + 1)
    for name, owner, node in _given(tree):
        inner = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
        if isinstance(inner, ast.Constant) and type(inner.value) in BUILTIN:
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
            value = float(str(inner.value)) * (1 if inner is node else -1)
            found.append({"name": name, "owner": owner, "value": value, "start": start, "end": end})
    return found


def _given(tree: ast.AST) -> Iterator[tuple[str, str, ast.expr]]:
    """What calls of an expression are given: the option's name, the class, the value; a factor is `*`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for word in node.keywords:
                yield word.arg or "", _name(node.func), word.value
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if isinstance(other, ast.Call):
                    yield "*", _name(other.func), one


def _name(node: Any) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def with_value(expression: str, number: Number, value: float) -> str:
    text = expression.strip().encode()
    whole = repr(int(value)) if value == int(value) and abs(value) < 1e9 else repr(value)
    return (text[: number["start"]] + whole.encode() + text[number["end"] :]).decode()


def options(bench: Bench, names: list[str], tried: list[str]) -> Iterator[Option]:
    """Each number of the expression, made one and two units larger: what is said of the same wrong."""
    real = [
        {k: (v & False if k == "is_synthetic" and hasattr(v, "dtype") else v) for k, v in view.items()}
        for view in bench.views
    ]
    for number in numbers_in(bench.expression):
        if "%s.%s" % (number["owner"], number["name"]) in tried:
            continue
        unit = number["value"] or 1.0
        for views in (bench.views, real):
            rows: list[list[float | None]] = []
            losses: list[float] = []
            try:
                for times in range(3):
                    criterion = bench.build(
                        with_value(bench.expression, number, number["value"] + times * unit)
                    )
                    loss, details = bench.judge(bench.wrong, views, criterion)
                    rows.append([details.get(name) for name in names])
                    losses.append(float(loss))
            except Exception:  # it takes no such value
                rows, losses = [], []
                break
            if losses[1] != losses[0]:
                break
        yield {
            "name": number["name"],
            "owner": number["owner"],
            "value": number["value"],
            "values": rows,
            "losses": losses,
            "place": _option_place(bench, number["owner"], number["name"], names),
        }


def _class(bench: Bench, name: str) -> Any:
    """A class that the expression names, from where the criterion is defined."""
    return vars(sys.modules[type(bench.criterion).__module__]).get(name)


def _option_place(bench: Bench, owner: str, option: str, names: list[str]) -> CodePlace | None:
    """The last line of a class's constructor that reads an option.

    Of a factor, that of the multiplication which takes it; of the sum, where its class says nothing at all.
    """
    if option != "*":
        return _line_of(_class(bench, owner), "__init__", r"\b%s\b" % re.escape(option), -1)
    said = any(name.startswith(owner) for name in names)
    return _line_of(
        _class(bench, owner), "__mul__" if said else "__add__", r"_?(alpha|weight|next|loss2)\b.*=", 0
    )


def _line_of(made: Any, method: str, pattern: str, which: int) -> CodePlace | None:
    """A line of a class's method in which a pattern is found, None without one."""
    home = next((c for c in getattr(made, "__mro__", ()) if method in vars(c)), None)
    try:
        function = vars(home)[method]
        lines, first = inspect.getsourcelines(function)
        path = inspect.getsourcefile(function)
    except (OSError, TypeError):
        return None
    numbers = [first + n for n, line in enumerate(lines) if re.search(pattern, line)]
    return {"path": path, "line": numbers[which]} if path and numbers else None


def weights(bench: Bench) -> list[Weight]:
    """The weights that the classes of the expression take, given or left at their default."""
    found: list[Weight] = []
    try:
        tree = ast.parse(bench.expression.strip(), mode="eval")
    except SyntaxError:
        return found
    for node in ast.walk(tree):
        made = _class(bench, _name(node.func)) if isinstance(node, ast.Call) else None
        if made is None or not isinstance(node, ast.Call):
            continue
        given = {word.arg: word.value for word in node.keywords}
        with contextlib.suppress(ValueError, TypeError):
            for name, option in inspect.signature(made).parameters.items():
                value = option.default
                if name in given:
                    with contextlib.suppress(ValueError):
                        value = ast.literal_eval(given[name])
                if "weight" in name and type(value) in BUILTIN:
                    found.append(
                        {
                            "name": name,
                            "owner": made.__name__,
                            "value": float(value),
                            "given": name in given,
                            "place": _line_of(made, "__init__", r"\b%s\b" % re.escape(name), 0),
                        }
                    )
    return found
