"""The architecture holds: who may import whom, how large files are, and what the wheel contains."""

import ast
import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGINE, CHECKS = ROOT / "opv2v_doctor", ROOT / "checks"
TEMPLATE = ENGINE / "sandbox" / "repository"
SOURCES = [p for p in [*ENGINE.rglob("*.py"), *CHECKS.rglob("*.py")] if not p.is_relative_to(TEMPLATE)]
NOUNS = {"files", "neutral", "rasters", "text", "threshold"}  # what any of them may import
LAYERS = {  # what else a module may import of ours; the first match of its path wins
    "usage": set(),
    "neutral": set(),
    "progress": set(),
    "files": set(),
    "rasters": set(),
    "supervisor": set(),
    "channel": {"supervisor"},
    "settings": {"usage"},
    "state": {"target"},
    "target": {"settings", "state", "usage"},
    "draft": {"facts", "settings", "target", "usage"},
    "geometry": {"geometry"},
    "sandbox": {"geometry", "git", "sandbox", "scratch"},
    "forensics": {"", "check", "facts", "forensics", "result", "target", "usage"},
    "smoke": {
        "",
        "check",
        "facts",
        "progress",
        "runs",
        "scratch",
        "settings",
        "smoke",
        "state",
        "target",
        "usage",
    },
    "figures": {"", "check", "facts", "figures", "geometry", "ours", "result", "target", "atomic"},
    "languages": {"", "check", "languages", "registry", "result"},
    "serving": {"", "runs", "serving", "usage"},
    "runs": {
        "",
        "atomic",
        "audit",
        "check",
        "facts",
        "git",
        "isolation",
        "runs",
        "scratch",
        "settings",
        "state",
        "supervisor",
        "target",
        "usage",
    },
    "audit": {"audit", "check", "geometry", "ours", "target", "usage"},
    "inside": set(),
    "text": set(),
    "threshold": set(),
    "check": {"target"},
    "merging": {"check"},
    "result": {"check"},
    "scratch": set(),
    "git": {"scratch"},
    "ours": {"usage"},
    "atomic": {"ours", "scratch", "usage"},
    "facts": {
        "",
        "channel",
        "check",
        "facts",
        "geometry",
        "git",
        "progress",
        "scratch",
        "state",
        "target",
        "atomic",
    },
    "isolation": set(),
    "plugins": {"channel", "check", "isolation", "plugins", "target", "usage", "atomic"},
    "registry": {"check", "plugins", "settings", "usage"},
    "runner": {"check", "merging", "result", "target"},
    "reporters": {"", "check", "reporters", "result"},
    "testing": {"registry", "result", "runner", "state", "target"},
}


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All of a file's syntax."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, as dotted names."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def part(name: str) -> str:
    """The part of the engine that a dotted name belongs to: `opv2v_doctor.facts.launch.config` -> facts."""
    return [*name.split("."), ""][1]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_lies_below(layer: str) -> None:
    files = [p for p in SOURCES if p.relative_to(ROOT).with_suffix("").parts[:2] == (ENGINE.name, layer)]
    assert files
    for path in files:
        ours = {part(name) for name in imports(path) if name.split(".")[0] == "opv2v_doctor"}
        assert ours <= LAYERS[layer] | NOUNS, path.name


def test_nothing_imports_the_checks_by_name() -> None:
    for path in SOURCES:
        assert not any(name.startswith(("opv2v_doctor.checks", "checks")) for name in imports(path)), path


def test_checks_know_public_names_facts_and_geometry_only() -> None:
    for path in CHECKS.glob("*.py"):
        if path.name == "__init__.py":
            continue
        for name in imports(path):
            assert not name.startswith("."), f"{path.name} imports a sibling"
            if name.startswith("opv2v_doctor"):
                assert part(name) in {"", "facts", "files", "geometry"}, f"{path.name} imports {name}"


def test_what_runs_inside_knows_nothing_of_us() -> None:
    for path in (ENGINE / "inside").rglob("*.py"):
        assert not any(name.startswith("opv2v_doctor") for name in imports(path)), path.name


def test_the_inside_parses_as_python_3_8() -> None:
    for path in (ENGINE / "inside").rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))


class _Evaluated(ast.NodeTransformer):
    """Takes away what Python 3.8 does not evaluate: annotations, where they are postponed."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(arg=node.arg)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return ast.Expr(value=node.value) if node.value else None

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)


def test_the_inside_evaluates_no_types_that_python_3_8_does_not_know() -> None:
    for path in (ENGINE / "inside").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "from __future__ import annotations" in text or "def " not in text, path.name
        evaluated = ast.unparse(_Evaluated().visit(ast.parse(text)))
        assert not re.search(r"\b(list|dict|tuple|set|type)\[", evaluated), path.name


def test_each_module_says_what_it_is_for() -> None:
    for path in SOURCES:
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} has no docstring"


def test_examined_text_is_parsed_in_one_place() -> None:
    apart = {
        ENGINE / "facts" / "parsing.py",
        *(ENGINE / "inside").rglob("*.py"),
        *ENGINE.glob("languages/*.py"),
    }
    for path in set(SOURCES) - apart:
        assert "ast.parse(" not in path.read_text(encoding="utf-8"), path


def test_there_is_one_door_to_git() -> None:
    for path in set(SOURCES) - {ENGINE / "git.py"}:
        words = [node.value for node in nodes(path) if isinstance(node, ast.Constant)]
        commands = [
            node.args[0]
            for node in nodes(path)
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("subprocess.", "os."))
            if node.args and isinstance(node.args[0], ast.Constant)
        ]
        assert "git" not in words, path
        assert not any(str(command.value).startswith("git ") for command in commands), path
        assert not {name.split(".")[0] for name in imports(path)} & {"git", "gitdb", "pygit2", "dulwich"}, (
            path
        )


def test_what_somebody_else_wrote_is_read_and_parsed_in_one_place() -> None:
    ways = re.compile(r"\.read_(text|bytes)\(|\.open\(\"rb|(json|tomllib)\.loads?\(|yaml\.load\(")
    ours = {  # text of the package, of the kernel, or of this process
        "foreign_files.py", "atomic.py", "reporters/html.py", "cli/catalogue.py", "cli/commands.py",
        "serving/application.py",
        "facts/machine/gpus.py", "runs/processes.py", "runs/pipeline.py",
        "facts/past/checkpoints/safetensors.py",
    }  # fmt: skip
    apart = [ENGINE / "inside", ENGINE / "sandbox", ENGINE / "languages", ENGINE / "figures"]
    for path in SOURCES:
        if any(map(path.is_relative_to, apart)) or path in {ENGINE / name for name in ours}:
            continue
        assert not ways.search(path.read_text(encoding="utf-8")), path


def test_names_say_what_a_module_is() -> None:
    vague = re.compile(
        r"(^|_)(manager|helpers?|utils?|common|base|core|handler|processor|context|info|data)$"
    )
    assert not [path for path in SOURCES if vague.search(path.stem)]


def test_the_wheel_lists_every_package() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {p.parent for p in SOURCES if p.name == "__init__.py"}
    found = {".".join(folder.relative_to(ROOT).parts) for folder in folders if folder != CHECKS}
    assert listed == found | {"opv2v_doctor.checks"}


@pytest.mark.parametrize("heavy", ["torch", "pandas", "plotly", "cv2", "tensorboard", "pynvml"])
def test_heavy_imports_are_lazy(heavy: str) -> None:
    for path in SOURCES:
        if path.is_relative_to(ENGINE / "sandbox"):
            continue
        top = ast.parse(path.read_text(encoding="utf-8")).body
        names = [
            name.name if isinstance(node, ast.Import) else str(node.module)
            for node in top
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in node.names
        ]
        assert heavy not in {name.split(".")[0] for name in names}, path
