"""Origins: the lines of the repository that make what a sample holds, found in its syntax."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.launch.datasets import Part
from opv2v_doctor.facts.source.syntax import definition, modules, nodes, syntax
from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place


def class_place(target: Target, name: str) -> Place | None:
    """Where the repository defines a class, be it in a module that the launch does not import."""
    return definition(target, name) or _anywhere(target, name)


@fact
def _anywhere(target: Target, name: str) -> Place | None:
    """Where a file beside the modules of the launch defines the class."""
    for folder in dict.fromkeys(path.parent for path in modules(target) if path != target.script):
        for path in sorted(folder.glob("*.py")):
            for node in nodes(path):
                if isinstance(node, ast.ClassDef) and node.name == name:
                    return Place(path=path, line=node.lineno)
    return None


def given_place(target: Target, part: Part, key: str) -> Place | None:
    """Where the dataset gives a view this key: in a call's keyword, or a dictionary's; else its class."""
    found = first_place(target, part, lambda node: _gives(node, key), certain=True)
    return found or class_place(target, part.class_name)


def crop_place(target: Target, part: Part) -> Place | None:
    """Where the dataset crops the images that it has read."""
    return first_place(target, part, _crops)


def seed_place(target: Target, part: Part) -> Place | None:
    """Where the dataset makes its random state depend on its seed: the condition, if it is under one."""
    return first_place(target, part, _asks_for_seed) or first_place(target, part, _makes_generator)


def first_place(
    target: Target,
    part: Part,
    wanted: Callable[[ast.AST], bool],
    *,
    certain: bool = False,
    beyond: bool = False,
    words: tuple[str, ...] = (),
) -> Place | None:
    """The first such node in the dataset's class, its file, or what that imports, nearest first.

    What is imported counts as far as it lies in the file's own package or, `beyond` it, in the repository.
    Only files with one of the words are searched, where some are given. A place that was looked for by a
    rule that can be `certain` is so in the dataset's own class; all others are near.
    """
    for path, tree in _trees(target, part, beyond=beyond):
        if words and not any(word in text_of(path, "replace") for word in words):
            continue
        found = [node for node in ast.walk(tree) if wanted(node)]
        if found:
            node = min(found, key=_line)
            near = not (certain and isinstance(tree, ast.ClassDef))
            return Place(path=path, line=_line(node), text=ast.unparse(node), near=near)
    return None


def listing_place(target: Target, part: Part) -> Place | None:
    """Where the dataset lists its frame files: a call that is told `*.yaml`, or asks how a name ends."""
    return first_place(target, part, _lists, certain=True)


def _lists(node: ast.AST) -> bool:
    name = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
    said = node.args[:1] if isinstance(node, ast.Call) else []
    words = [str(each.value) for each in said if isinstance(each, ast.Constant)]
    return name in ("glob", "rglob", "iglob", "endswith", "fnmatch") and any("yaml" in word for word in words)


def words_of_files(target: Target, part: Part, suffixes: tuple[str, ...]) -> frozenset[str]:
    """What stands in the dataset's code and ends in one of these suffixes, as `_depth.npy` does.

    In its class where there is any; else in the nearest file that has some. None where the code is not found.
    """
    with contextlib.suppress(Blocked):
        for _, tree in _trees(target, part, beyond=False):
            said = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
            if found := frozenset(word for word in said if isinstance(word, str) and word.endswith(suffixes)):
                return found
    return frozenset()


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 1)


def _trees(target: Target, part: Part, *, beyond: bool) -> Iterator[tuple[Path, ast.AST]]:
    place = definition(target, part.class_name)
    if place is None:
        return
    for node in nodes(place.path):
        if isinstance(node, ast.ClassDef) and node.name == part.class_name:
            yield place.path, node
    for path in modules(target, place.path):
        if beyond or path.is_relative_to(place.path.parent):
            yield path, syntax(path)


def _gives(node: ast.AST, key: str) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg == key
    return isinstance(node, ast.Constant) and node.value == key


def _crops(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and "crop" in ast.unparse(node.func).rpartition(".")[2].lower()


def _asks_for_seed(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "self.seed" in ast.unparse(node.test)


def _makes_generator(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith("default_rng")
