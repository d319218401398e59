"""Imports: the repository's own modules that a launch needs, read from its source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.facts.source.syntax import modules, nodes, syntax
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place


@dataclass(frozen=True, kw_only=True)
class FirstParty:
    """A top-level module or package of the repository that the launch imports."""

    name: str
    homes: tuple[
        Path, ...
    ]  # the repository's, then the script folder's: packages as folders, modules as files
    imported: Place  # the first line that imports it


@fact
def first_party_modules(target: Target) -> tuple[FirstParty, ...]:
    """The repository's own top-level modules that the script, or what it imports, imports."""
    reached = modules(target)
    found: dict[str, FirstParty] = {}
    for path in reached:
        for name, line in _imported_names(nodes(path)):
            homes = () if name in found or name in sys.stdlib_module_names else _homes(target, name, reached)
            if homes:
                found[name] = FirstParty(name=name, homes=homes, imported=Place(path=path, line=line))
    return tuple(found.values())


@fact
def first_party(target: Target) -> tuple[str, ...]:
    """The names of the repository's own top-level modules that the launch imports."""
    return tuple(module.name for module in first_party_modules(target))


def _imported_names(found: Iterable[ast.AST]) -> Iterator[tuple[str, int]]:
    """The top-level name and line of every absolute import among the nodes."""
    for node in found:
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node.lineno


def _homes(target: Target, name: str, reached: tuple[Path, ...]) -> tuple[Path, ...]:
    """Where the repository holds the module: where the launch reaches a file of it."""
    places = [root / word for root in (target.repo, target.import_folder) for word in (name, f"{name}.py")]
    return tuple(place for place in places if any(path.is_relative_to(place) for path in reached))


@fact
def path_edits(target: Target) -> str:
    """The script's own statements that change `sys.path` before it imports the repository's modules.

    Only those, and the imports and assignments that they need: the rest of the script is not run.
    """
    body = syntax(target.script).body
    names = set(first_party(target))
    first = next((i for i, node in enumerate(body) if names & _tops(node)), len(body))
    kept: list[ast.stmt] = []
    needed: set[str] = set()
    for node in reversed(body[:first]):
        if "sys.path" in ast.unparse(node) or needed & _bound(node):
            kept.insert(0, node)
            needed |= {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    return "\n".join(ast.unparse(node) for node in kept)


def _tops(node: ast.stmt) -> set[str]:
    return {name for name, _ in _imported_names(ast.walk(node))}


def _bound(node: ast.stmt) -> set[str]:
    """The names that an import or an assignment gives a value to."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return set()
