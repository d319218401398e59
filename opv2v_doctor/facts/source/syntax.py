"""Where the training repository's source says something: parsed here and nowhere else, never imported."""

from __future__ import annotations

import ast
import gc
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.check import Blocked
from opv2v_doctor.foreign_files import bytes_of, text_of
from opv2v_doctor.state import fact, of_file
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

# Python up to 3.11.7 counts the depth of all trees in one place (python/cpython#106905): where garbage is
# collected within `ast.parse` and another thread parses meanwhile, both end in a SystemError.
_ONE_AT_A_TIME = threading.Lock()


def parsed_module(text: str | bytes, filename: str = "<unknown>") -> ast.Module:
    """The tree of a file; bytes are decoded by Python's own rules. Raises SyntaxError for all it refuses."""
    tree = _tree(text, filename, "exec")
    assert isinstance(tree, ast.Module)
    return tree


def parsed_expression(text: str) -> ast.expr:
    """The tree of one expression. Raises SyntaxError for all that Python refuses."""
    tree = _tree(text.strip(), "<expression>", "eval")
    assert isinstance(tree, ast.Expression)
    return tree.body


def _tree(text: str | bytes, filename: str, mode: str) -> ast.AST:
    with _ONE_AT_A_TIME, warnings.catch_warnings(action="ignore"):  # such as "\d": not ours to warn of
        collects = gc.isenabled()
        gc.disable()
        try:
            return ast.parse(text, filename, mode)
        except (ValueError, RecursionError, MemoryError) as problem:  # a null byte, brackets without end
            raise SyntaxError(str(problem) or type(problem).__name__) from None
        finally:
            if collects:
                gc.enable()


@fact
def modules(target: Target, first: Path | None = None) -> tuple[Path, ...]:
    """The script or another file, and the repository's modules that it imports in the end, nearest first.

    Only those of the script take part in a launch: a copy of the same code elsewhere does not. Of another
    file only what it names counts, not the packages around that, which import all that lies beside it.
    """
    found = [first or target.script]
    for path in found:  # grows while it is read: breadth first
        files = (list(_files(target, parts)) for parts in _imports_of(target, path))
        named = [module for each in files for module in (each if first is None else each[-1:])]
        found += [module for module in dict.fromkeys(named) if module not in found]
    return tuple(found)


def _imports_of(target: Target, path: Path) -> Iterator[list[str]]:
    """The dotted names of a file's import statements, anywhere in it."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1].relative_to(target.repo).parts if node.level else ()
            inner = [*base, *(node.module.split(".") if node.module else [])]
            for name in node.names:
                yield [*inner, name.name]


def _files(target: Target, parts: list[str]) -> Iterator[Path]:
    """The module of a dotted name and the packages above it, as far as they are files of the repository."""
    for root in (target.repo, target.import_folder):
        for depth in range(1, len(parts) + 1):
            place = root.joinpath(*parts[:depth])
            for file in (place / "__init__.py", place.with_suffix(".py")):
                if file.is_file():
                    yield file


def module_name(target: Target, path: Path) -> str:
    """The dotted name under which the launch imports a file of the repository."""
    parts = path.relative_to(target.repo).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@of_file()
def syntax(path: Path) -> ast.Module:
    """The syntax tree of a file; an empty one where it cannot be read or parsed."""
    try:
        return parsed_module(bytes_of(path), str(path))
    except (OSError, SyntaxError):
        return ast.Module([], [])


@of_file()
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file's syntax tree, breadth first."""
    return tuple(ast.walk(syntax(path)))


def syntax_error(path: Path) -> SyntaxError | None:
    """Why Python would refuse the file, None where it would not."""
    try:
        parsed_module(bytes_of(path), str(path))
    except SyntaxError as problem:
        return problem
    return None


def find(target: Target, wanted: Callable[[ast.AST], bool], word: str) -> tuple[Place, ...]:
    """Every wanted node in the modules of the launch; those without the word are not searched."""
    return tuple(
        Place(path=path, line=getattr(node, "lineno", 1), text=ast.unparse(node))
        for path in modules(target)
        if word in text_of(path, "replace")
        for node in nodes(path)
        if wanted(node)
    )


@fact
def definition(target: Target, name: str) -> Place | None:
    """Where a module of the launch defines the class or function of this name."""
    for path in modules(target):
        for node in nodes(path):
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                return Place(path=path, line=node.lineno)
    return None


@fact
def binds(target: Target, name: str) -> bool:
    """Whether a module of the launch defines, imports or assigns the name."""
    return any(name in bound_names(path) for path in modules(target))


@of_file()
def bound_names(path: Path) -> frozenset[str]:
    """The names that a file defines, imports or assigns, anywhere in it."""
    names: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return frozenset(names)


@dataclass(frozen=True, kw_only=True)
class HydraMain:
    """What the launch or the script's `@hydra.main` says: where the configs are, which one is the primary."""

    config_dir: Path
    config_name: str
    line: int


@fact
def hydra_main(target: Target) -> HydraMain | None:
    """The script's Hydra entry point, None where it has none. Raises Blocked where it computes its folder."""
    for node in nodes(target.script):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("hydra.main"):
            words: dict[str | None, ast.expr] = {word.arg: word.value for word in node.keywords}
            words |= dict(zip(("config_path", "config_name"), node.args, strict=False))
            given = {name: value.value for name, value in words.items() if isinstance(value, ast.Constant)}
            launch, path = target.settings.launch, given.get("config_path", words.get("config_path"))
            said = launch.config_path or (_path(path, target.script) if isinstance(path, ast.expr) else path)
            name = str(launch.config_name or given.get("config_name")).removesuffix(".yaml")
            folder = target.script.parent / str(said or ".")
            return HydraMain(config_dir=folder.resolve(), config_name=name, line=node.lineno)
    return None


def _path(node: ast.expr, script: Path) -> str:
    """A path that a script makes of its own place and words, by `os.path` or pathlib. Else raises Blocked."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id="__file__"):
            return str(script)
        case ast.BinOp(left=left, op=ast.Add() | ast.Div() as joined, right=right):
            return _path(left, script) + "/" * isinstance(joined, ast.Div) + _path(right, script)
        case ast.Call(func=ast.Attribute(attr="join"), args=parts):
            return "/".join(_path(part, script) for part in parts)
        case (
            ast.Call(func=ast.Attribute(attr="dirname"), args=[inner])
            | ast.Attribute(value=inner, attr="parent")
        ):
            return str(Path(_path(inner, script)).parent)
        case (
            ast.Call(func=ast.Attribute(value=inner, attr="resolve" | "absolute"), args=[])
            | ast.Call(func=ast.Name(id="str" | "Path" | "abspath"), args=[inner])
            | ast.Call(func=ast.Attribute(attr="Path" | "abspath" | "realpath" | "normpath"), args=[inner])
        ):
            return _path(inner, script)
    raise Blocked(
        "the folder of the configs is computed: {source}",
        at=Place(script, node.lineno),
        hint='write it into opv2v-doctor.toml: [launch] config_path = "DIR"',
        source=ast.unparse(node),
    )
