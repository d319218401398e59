"""What is remembered is of one state, and what a file says lasts until the file changes."""

import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.source.commit import GitState, git_state
from opv2v_doctor.facts.source.syntax import modules, nodes
from opv2v_doctor.state import State, fact, of_file
from opv2v_doctor.target import Target
from opv2v_doctor.testing import run_check


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/train.py").write_text("import one\n")
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").touch()
    return Target(repo=tmp_path, python=Path(sys.executable), state=State())


def test_a_fact_is_measured_once_in_a_state_for_each_target(target: Target) -> None:
    measured = []

    @fact
    def measure(target: Target, number: int = 0) -> int:
        measured.append((target.gpus, number))
        return number

    for _ in range(2):
        assert [measure(target), measure(target, 1), measure(replace(target, gpus=2), number=1)] == [0, 1, 1]
    assert measured == [(1, 0), (1, 1), (2, 1)]
    measure(replace(target, state=State()))
    target.state.forget()
    measure(target)
    assert measured[3:] == [(1, 0), (1, 0)]


def test_an_exception_is_not_remembered(target: Target) -> None:
    @fact
    def measure(target: Target) -> int:
        return 1 // len(list((target.repo / "new").iterdir()))

    with pytest.raises(FileNotFoundError):
        measure(target)
    (target.repo / "new").mkdir()
    (target.repo / "new/file").touch()
    assert measure(target) == 1


def test_a_change_is_seen_by_the_next_state_only(target: Target) -> None:
    script, one, two = target.script, target.repo / "one.py", target.repo / "two.py"
    assert modules(target) == (script, one)
    one.write_text("import two\n")
    assert modules(target) == (script, one)
    assert modules(replace(target, state=State())) == (script, one, two)
    target.state.forget()
    assert modules(target) == (script, one, two)


def test_an_interpreter_ends_with_what_was_asked_of_it(target: Target) -> None:
    python, starts = target.repo / "python", target.repo / "starts"
    python.write_text(f'#!/bin/sh\necho $$ >> {starts}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    target = replace(target, python=python)
    questions.interpreter(target)
    questions.interpreter(target)
    (first,) = starts.read_text().split()
    target.state.forget()
    assert not Path(f"/proc/{first}").exists()
    questions.interpreter(target)
    assert len(starts.read_text().split()) == 2


def test_a_state_does_not_travel(target: Target) -> None:
    assert pickle.loads(pickle.dumps(target)) == target
    assert pickle.loads(pickle.dumps(target)).state is State.found()


def test_what_a_file_says_lasts_until_it_changes(tmp_path: Path) -> None:
    file, read = tmp_path / "a.py", []

    @of_file()
    def first_line(path: Path) -> str:
        read.append(path)
        return path.read_text().partition("\n")[0]

    file.write_text("one\n")
    assert [first_line(file), first_line(file)] == ["one", "one"]
    time = file.stat()
    file.write_text("two\n")
    os.utime(file, ns=(time.st_atime_ns, time.st_mtime_ns))  # its old size and time
    assert first_line(file) == "two"
    assert len(read) == 2
    assert nodes(tmp_path / "absent.py")[1:] == ()
    (tmp_path / "absent.py").write_text("a = 1\n")
    assert nodes(tmp_path / "absent.py")[1:]


def test_what_is_given_is_not_measured(tmp_path: Path) -> None:
    nowhere = Target(repo=tmp_path / "absent", python=Path("/absent/python"))
    result = run_check("ENV004", nowhere, given={git_state: GitState(commit="a" * 40, branch="main")})
    assert "commit aaaaaaaaaaaa on main" in result.findings[0].message
    with pytest.raises(TypeError, match="is no fact"):
        run_check("ENV004", nowhere, given={len: 1})
