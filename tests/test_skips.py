"""A run of the tests ends with what was skipped, and the command that brings it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest

@pytest.mark.parametrize("n", range(3))
def test_compiled(n):
    pytest.skip("no gcc: apt-get install gcc")

def test_trained(healthy):
    raise AssertionError("it is trained")

@pytest.mark.nightly
def test_at_night():
    raise AssertionError("it is day")

def test_at_once():
    pass
"""


@pytest.mark.parametrize(
    "workers",
    [pytest.param([], marks=pytest.mark.nightly), ["-n", "1", "--dist", "loadfile"]],
    ids=["alone", "workers"],
)
def test_what_is_skipped_is_told_with_the_command_that_brings_it(workers: list[str], tmp_path: Path) -> None:
    (tmp_path / "conftest.py").symlink_to(ROOT / "tests/conftest.py")
    (tmp_path / "test_some.py").write_text(TESTS)
    words = ["-q", "-c", ROOT / "pyproject.toml", "-p", "no:cacheprovider", "--fast", *workers, tmp_path]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    table = ran.stdout.partition("= skipped =")[2].splitlines()
    assert [line.strip() for line in table if "->" in line] == [
        "3  no gcc  ->  apt-get install gcc",
        "1  needs a trained repository  ->  make test",
        "1  runs at night  ->  make nightly",
    ]
    assert "1 passed, 5 skipped" in ran.stdout


def test_every_skip_names_a_command() -> None:
    """Whose reason is written down where it is skipped: `what is missing: the command that brings it`."""
    wrong = []
    for path in [*(ROOT / "tests").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).startswith("pytest."):
                continue
            name = ast.unparse(node.func).removeprefix("pytest.")
            reasons = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
            if name == "skip" and ": " not in ast.unparse([*node.args, *reasons][0]):
                wrong.append(f"{path}:{node.lineno}")
            if name == "importorskip" and not (reasons and ": " in ast.unparse(reasons[0])):
                wrong.append(f"{path}:{node.lineno}")
    assert wrong == []
