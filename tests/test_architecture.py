"""The architecture holds: who may import whom, how large files are, and what the wheel contains."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGINE, CHECKS = ROOT / "opv2v_doctor", ROOT / "checks"
TEMPLATE = ENGINE / "sandbox" / "repository"
SOURCES = [p for p in [*ENGINE.rglob("*.py"), *CHECKS.rglob("*.py")] if not p.is_relative_to(TEMPLATE)]
SAYS_SO = re.compile(r"Contracts: (\d+) kept, (\d+) broken")


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


def linted(config: Path) -> tuple[int, int]:
    """How many contracts of import-linter are kept and broken."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", str(config), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    said = SAYS_SO.search(done.stdout)
    assert said, done.stdout + done.stderr
    return int(said[1]), int(said[2])


def test_layers_know_only_what_lies_below() -> None:
    kept, broken = linted(ROOT / "pyproject.toml")
    assert kept > 0 and broken == 0


def test_an_import_that_runs_upwards_would_be_told(tmp_path: Path) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (facts,) = (each for each in settings["contracts"] if each["name"] == "Facts")
    layers = ["interpreter", *(name for name in facts["layers"] if name != "interpreter")]
    (tmp_path / "upside_down.toml").write_text(
        "[tool.importlinter]\nroot_packages = ['opv2v_doctor']\n"
        "[[tool.importlinter.contracts]]\nname = 'Facts'\ntype = 'layers'\n"
        f"containers = ['opv2v_doctor.facts']\nlayers = {layers}\n"
    )
    assert linted(tmp_path / "upside_down.toml") == (0, 1)


def test_facts_are_described_in_the_order_of_their_layers() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (facts,) = (each for each in settings["contracts"] if each["name"] == "Facts")
    listed = [name.strip() for layer in reversed(facts["layers"]) for name in layer.split("|")]
    page = ast.get_docstring(ast.parse((ENGINE / "facts" / "__init__.py").read_text()))
    assert re.findall(r"`(\w+)`", str(page)) == listed


def test_checks_know_public_names_facts_and_geometry_only() -> None:
    for path in CHECKS.glob("*.py"):
        if path.name == "__init__.py":
            continue
        for name in imports(path):
            assert not name.startswith("."), f"{path.name} imports a sibling"
            if name.startswith("opv2v_doctor"):
                part = [*name.split("."), ""][1]
                assert part in {"", "facts", "foreign_files", "geometry"}, f"{path.name} imports {name}"


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
        ENGINE / "facts" / "source" / "syntax.py",
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
        "foreign_files.py", "atomic.py", "pages/__init__.py", "cli/catalogue.py", "cli/commands.py",
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
