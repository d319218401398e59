"""The source texts: every template that the program can say, found in the syntax of its modules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from opv2v_doctor.check import Severity
from opv2v_doctor.languages import blocks
from opv2v_doctor.result import Status
from opv2v_doctor.text import counting

TELLING = {  # the first argument is a template
    *("Text", "note", "warning", "error", "Skip", "Blocked", "Unanswered", "say"),
    *("ArchiveDamaged", "NotExaminable", "TorchScript", "NoTable", "KindNotRead"),
    *("PickleRefused", "CheckpointUnreadable"),
}
WORDS: dict[tuple[str, ...], list[str]] = {  # the members of enumerations, which are said as they are
    ("opv2v_doctor", "result.py"): [*Status, *(word.name.lower() for word in Severity)],
}
COUNTING = {"counted", "examined"}  # the second argument is a noun
_in_page = re.compile(r"""say\((?:"([^"]+)"|'([^']+)')\)""")


class SourceText(NamedTuple):
    """One template, and where it is written."""

    template: str
    path: Path
    line: int


def every_source(root: Path) -> list[Path]:
    """The files of a checkout that say anything to people: not what runs in the training interpreter."""
    engine = root / "opv2v_doctor"
    apart = (engine / "sandbox", engine / "inside")
    modules = [
        *engine.rglob("*.py"),
        *(root / "checks").glob("*.py"),
        *engine.rglob("*.html"),
        *engine.rglob("*.js"),
    ]
    return sorted(path for path in modules if not any(map(path.is_relative_to, apart)))


def source_texts(paths: Iterable[Path]) -> Iterator[SourceText]:
    """What the modules and page templates can say."""
    for path in paths:
        text = path.read_text(encoding="utf-8")
        yield from (SourceText(word, path, 1) for word in WORDS.get(path.parts[-2:], ()))
        if path.suffix in (".html", ".js"):
            for double, single in _in_page.findall(text):
                yield SourceText(double or single, path, 1)
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call):
                for template, line in _templates(node):
                    yield SourceText(template, path, line)
            elif isinstance(node, ast.FunctionDef) and any(map(_makes_a_check, node.decorator_list)):
                for block in blocks(ast.get_docstring(node) or ""):
                    yield SourceText(block, path, node.lineno)


def _makes_a_check(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and _name(decorator) in {"check", "verdict"}


def _templates(call: ast.Call) -> Iterator[tuple[str, int]]:
    """The templates that one call is written with: what it says, its hint, and the nouns that it counts."""
    name = _name(call)
    if name in TELLING:
        hints = [keyword.value for keyword in call.keywords if keyword.arg == "hint"]
        for argument in (*call.args[:1], *hints):
            yield from _literals(argument)
    elif name in COUNTING:
        for argument in call.args[1:2]:
            for noun, line in _literals(argument):
                yield counting(noun), line
        if name == "examined":
            for keyword in call.keywords:
                yield counting(keyword.arg or ""), call.lineno


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _literals(node: ast.expr) -> Iterator[tuple[str, int]]:
    """The string that an argument is, or those that it chooses from."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value, node.lineno
    elif isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)
