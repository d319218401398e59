"""The source texts: every English template that the checks and the facts can say, found in their syntax."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from opv2v_doctor.languages.catalogue import blocks

_words = re.compile(r"[A-Za-z]{2}")
_query = re.compile(r"\s*(SELECT|WITH \w+ AS) ")  # SQL, which is said to a database


class SourceText(NamedTuple):
    """One text, and where it is written."""

    text: str
    path: Path
    line: int


def source_texts(paths: Iterable[Path]) -> Iterator[SourceText]:
    """What the modules can say: texts of several words; names, keys and patterns are none."""
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        silent = _silent(tree)
        for node in ast.walk(tree):
            text = template_of(node) if id(node) not in silent else None
            if text is not None and is_prose(text):
                yield SourceText(text, path, getattr(node, "lineno", 1))


def page_texts(page: str) -> list[str]:
    """What a check's page says, block by block."""
    return list(blocks(page))


def constants(paths: Iterable[Path]) -> set[str]:
    """Every string of the modules, single words included: what a translation may be of."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    found = {template_of(node) for tree in trees for node in ast.walk(tree)}
    return {text for text in found if text is not None}


def template_of(node: ast.AST) -> str | None:
    """The template of a string or an f-string: numbered gaps for its values, one for neighbours."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if not isinstance(node, ast.JoinedStr):
        return None
    parts, gaps, in_gap = [], 0, False
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts.append(str(value.value))
        elif not in_gap:
            parts.append(f"{{{gaps}}}")
            gaps += 1
        in_gap = not isinstance(value, ast.Constant)
    return "".join(parts)


def is_prose(text: str) -> bool:
    """Whether it is said to people: words with a space between."""
    bare = re.sub(r"\{\d+\}", "", text)
    return " " in text.strip() and bool(_words.search(bare)) and "\\" not in text and not _query.match(text)


def _silent(tree: ast.AST) -> set[int]:
    """The strings that are no texts of their own: docstrings, parts and formats of f-strings."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            found.add(id(_first_value(node)))
        elif isinstance(node, ast.JoinedStr):
            found |= {id(value) for value in node.values if isinstance(value, ast.Constant)}
            specs = [
                v.format_spec for v in node.values if isinstance(v, ast.FormattedValue) and v.format_spec
            ]
            found |= {id(inner) for spec in specs for inner in ast.walk(spec)}
    return found


def _first_value(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> ast.expr:
    first = node.body[0]
    assert isinstance(first, ast.Expr)
    return first.value
