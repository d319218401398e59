"""Origins: the lines of the repository that make what a sample holds, found in its syntax."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.launch.config import place
from opv2v_doctor.facts.launch.datasets import Part, keyword_key
from opv2v_doctor.facts.source.syntax import definition, modules, nodes, syntax
from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.state import fact, of_file
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

INTRINSICS = re.compile(r"intrinsic|^k$|camera_matrix", re.IGNORECASE)
COUNTS = re.compile("view|count|num", re.IGNORECASE)
AUGMENTS = re.compile("jitter|augment", re.IGNORECASE)


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
    name = dict(target.settings.names.views).get(key, key)
    found = first_place(target, part, lambda node: _gives(node, name), certain=True)
    return found or class_place(target, part.class_name)


def image_place(target: Target, part: Part) -> Place | None:
    """Where the dataset reads an image file, near what turns its channels; else where it gives the image."""
    return first_place(target, part, _reads_image, beyond=True) or given_place(target, part, "img")


def crop_place(target: Target, part: Part) -> Place | None:
    """Where the dataset crops the images that it has read."""
    return first_place(target, part, _crops)


def intrinsics_place(target: Target, part: Part, words: str) -> Place | None:
    """The innermost function with such a word in its name that is given intrinsics: it should change them."""
    found: dict[str, tuple[Path, ast.FunctionDef]] = {
        node.name: (path, node)
        for path, node in called_code(target, part.class_name)
        if isinstance(node, ast.FunctionDef)
        and re.search(words, node.name, re.IGNORECASE)
        and any(INTRINSICS.search(argument.arg) for argument in node.args.args)
    }
    inner = [
        (path, node)
        for path, node in found.values()
        if not any(isinstance(each, ast.Name) and each.id in found for each in ast.walk(node))
    ]
    if len(inner) != 1 or first_place(target, part, _drops_intrinsics):
        return None
    return Place(path=inner[0][0], line=inner[0][1].lineno, near=True)


def augmentation_place(target: Target, split: str, part: Part) -> Place | None:
    """What has a dataset change its images' colours: a value of the config, else a condition of its code."""
    for name, value in part.keywords.items():
        if isinstance(value, str) and AUGMENTS.search(value):
            key = keyword_key(target, split, name)
            return place(target, key) if key else None
    return first_place(target, part, _augments, beyond=True)


def choice_place(target: Target, part: Part) -> Place | None:
    """Where the dataset takes so many of its views: as far as a count goes, or by a draw of one."""
    return first_place(target, part, _takes_a_count, certain=True)


def counts_place(target: Target, part: Part) -> Place | None:
    """Where the dataset sets the numbers of views that it draws, to a list if it can be one."""
    lists = first_place(target, part, lambda node: _sets_counts(node) and "range" in ast.unparse(node))
    return lists or first_place(target, part, _sets_counts) or class_place(target, part.class_name)


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
    """The first such node in the dataset's class, and in what that calls in the end, nearest first.

    What it calls counts as far as it lies in the folder of its file or, `beyond` it, in the repository.
    Only files with one of the words are searched, where some are given. A place that was looked for by a
    rule that can be `certain` is so in the dataset's own class; all others are near.
    """
    code = called_code(target, part.class_name)
    for path, tree in code:
        if not beyond and not path.is_relative_to(code[0][0].parent):
            continue
        if words and not any(word in text_of(path, "replace") for word in words):
            continue
        found = [node for node in ast.walk(tree) if wanted(node)]
        if found:
            node = min(found, key=_line)
            near = not (certain and tree is code[0][1])
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
        for _, tree in called_code(target, part.class_name):
            said = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
            if found := frozenset(word for word in said if isinstance(word, str) and word.endswith(suffixes)):
                return found
    return frozenset()


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 1)


@fact
def called_code(target: Target, class_name: str) -> tuple[tuple[Path, ast.AST], ...]:
    """The class of a dataset, and what its code names in the end, nearest first; nothing where it has none.

    A class, and what it calls, is nearer than the one that it inherits from.

    A function of a module, a constant, a method of a class: what shares a file with them, or is only
    imported beside them, is none of the dataset's.
    """
    place = definition(target, class_name)
    if place is None:
        return ()
    homes = modules(target, place.path)
    of_name: dict[str, list[tuple[Path, ast.AST]]] = {}
    for path in homes:
        for name, node in _defined(syntax(path)):
            of_name.setdefault(name, []).append((path, node))
    own = [(path, node) for path, node in of_name.get(class_name, []) if path == place.path]
    depths = _bases(class_name, of_name)
    found, named = [(*one, 0) for one in own[:1]], {class_name}
    methods: dict[str, list[tuple[Path, ast.AST, int]]] = {}  # of classes that were reached
    for path, node, near in found:  # grows while it is read: breadth first
        for name in _names(path, node) - named:
            named.add(name)
            depth = depths.get(name, near)
            for home, code in of_name.get(name, []):
                found += [(home, code, depth)] if not isinstance(code, ast.ClassDef) else []
                for method, inner in _defined(code) if isinstance(code, ast.ClassDef) else ():
                    always = method in named or method.startswith("__")
                    (found if always else methods.setdefault(method, [])).append((home, inner, depth))
                for base in getattr(code, "bases", ()):
                    found.append((home, base, depth))
            found += methods.pop(name, [])
    return tuple((path, node) for path, node, _ in sorted(found, key=lambda one: one[2]))


def _bases(class_name: str, of_name: Mapping[str, Sequence[tuple[Path, ast.AST]]]) -> dict[str, int]:
    """The classes that a class inherits from, by how far above it they are."""
    depths, above = {class_name: 0}, [class_name]
    for name in above:  # grows while it is read
        for path, node in of_name.get(name, []):
            for base in node.bases if isinstance(node, ast.ClassDef) else ():
                for inherited in _names(path, base) - depths.keys():
                    depths[inherited] = depths[name] + 1
                    above.append(inherited)
    return depths


def _defined(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The names that a module or a class gives to functions, classes and values, with what gives them."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.FunctionDef | ast.ClassDef):
            yield inner.name, inner
        elif isinstance(inner, ast.Assign | ast.AnnAssign):
            for target in inner.targets if isinstance(inner, ast.Assign) else [inner.target]:
                yield from ((part.id, inner) for part in ast.walk(target) if isinstance(part, ast.Name))
        elif isinstance(inner, ast.If | ast.Try | ast.With):
            yield from _defined(inner)


def _names(path: Path, node: ast.AST) -> set[str]:
    """The names and attributes that code speaks of, by the names that they have where they are defined."""
    said = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    said |= {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
    return {_aliases(path).get(name, name) for name in said}


@of_file()
def _aliases(path: Path) -> Mapping[str, str]:
    """The names under which a file imports something, where they are others."""
    return {
        alias.asname: alias.name.rpartition(".")[2]
        for node in nodes(path)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }


def _gives(node: ast.AST, key: str) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg == key
    return isinstance(node, ast.Constant) and node.value == key


def _reads_image(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func)
    return name.endswith("Image.open") or name.rpartition(".")[2] in ("imread", "imdecode", "read_image")


def _crops(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and "crop" in ast.unparse(node.func).rpartition(".")[2].lower()


def _sets_counts(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(name, ast.Attribute) and name.attr == "num_views" for name in node.targets
    )


def _asks_for_seed(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "self.seed" in ast.unparse(node.test)


def _drops_intrinsics(node: ast.AST) -> bool:
    """Several results of a crop are kept, and none of them is intrinsics."""
    if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and _crops(node.value)):
        return False
    return not any(INTRINSICS.search(ast.unparse(each)) for each in node.targets[0].elts)


def _takes_a_count(node: ast.AST) -> bool:
    upper = (
        node.slice.upper if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) else None
    )
    return upper is not None and bool(COUNTS.search(ast.unparse(upper)))


def _augments(node: ast.AST) -> bool:
    if isinstance(node, ast.IfExp):
        return bool(AUGMENTS.search(ast.unparse(node)))
    return isinstance(node, ast.If) and bool(AUGMENTS.search(ast.unparse(node.test)))


def _makes_generator(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith("default_rng")
