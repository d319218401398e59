"""Tests of what a repository declares, and of what the training interpreter says about itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from opv2v_doctor import Target
from opv2v_doctor.facts.machine.environment import declarations, interpreter


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/train.py").touch()
    return tmp_path


def names_and_lines(repo: Path) -> list[tuple[str, int]]:
    target = Target(repo=repo, python=Path(sys.executable), timeout=60)
    return [(one.name, one.line) for one in declarations(target)]


def test_nothing_is_declared(repo: Path) -> None:
    assert names_and_lines(repo) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numpy>=1 # why\n\ntorch\n", [("numpy", 1), ("torch", 3)]),
        ("\ufeffnumpy\r\n", [("numpy", 1)]),
        ("a>=1 \\\n --hash=sha256:00 \\\n --hash=sha256:11\nb\n", [("a", 1), ("b", 4)]),
        ("-r other.txt\n--index-url x\n-e git+ssh://x#egg=y\ngit+https://x\n./here\nx @ https://y\n", []),
        ("a[b]==1; python_version < '3'\nc[d]; python_version >= '3'\n", [("c", 2)]),
        ("a #egg\n# b\nnot a requirement\n", [("a", 1)]),
        ("gradio\nb\ngradio\nb>=1\n", [("gradio", 1), ("b", 2), ("b", 4)]),
    ],
)
def test_requirements_are_read_as_pip_reads_them(
    repo: Path, text: str, expected: list[tuple[str, int]]
) -> None:
    (repo / "requirements.txt").write_text(text, encoding="utf-8")
    assert names_and_lines(repo) == expected


@pytest.mark.parametrize("text", ["[project", "[tool.x]\na = 1\n", "[project]\nname = 'numpy'\n"])
def test_a_project_that_declares_nothing_or_does_not_parse(repo: Path, text: str) -> None:
    (repo / "pyproject.toml").write_text(text)
    assert names_and_lines(repo) == []


def test_the_interpreter_says_what_it_is(repo: Path) -> None:
    found = interpreter(Target(repo=repo, python=Path(sys.executable), timeout=60))
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert found.absent == ()
    assert found.markers["sys_platform"] == sys.platform
