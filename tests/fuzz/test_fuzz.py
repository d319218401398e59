"""Fuzzing finds what it is for: crashes, hangs, deaths of the process, and anything that runs."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import ForwardRef

import pytest

from fuzz import ROOT, SUBJECTS, Subject, checkpoints, source, subject, trials
from fuzz.campaign import campaign
from fuzz.execution import Executed, nothing_runs
from fuzz.hostile import OPERATIONS, planted
from fuzz.trials import tried
from opv2v_doctor.facts.source.commit import git_state
from opv2v_doctor.target import Target


class Hostile:
    """What a hostile file does when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.system, ("echo planted > planted",)


def quietly(content: bytes, folder: Path) -> None:
    """A reader that has nothing to say."""


READER = Subject(
    name="logs", suffix=".log", seeds=lambda: [b""], mutated=lambda _, random: b"", examine=quietly
)


def test_annotations_in_quotes_are_no_code_of_a_file() -> None:
    with nothing_runs():
        assert ForwardRef("Path").__forward_arg__ == "Path"
    with pytest.raises(Executed, match="compile"), nothing_runs():
        compile("1 + 1", "<string>", "eval")


def test_an_exception_is_a_finding_with_its_place(tmp_path: Path) -> None:
    def examine(content: bytes, folder: Path) -> None:
        raise ValueError("no")

    trial = tried(replace(READER, examine=examine), b"x", tmp_path / "trial")
    assert trial.problem == "ValueError: no"
    assert Path(__file__).name in trial.place


def test_what_takes_too_long_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def examine(content: bytes, folder: Path) -> None:
        try:
            re.match(r"(a+)+$", "a" * 64 + "b")
        except Exception:
            return

    monkeypatch.setattr(trials, "LIMIT", 0.2)
    assert "TookTooLong" in tried(replace(READER, examine=examine), b"x", tmp_path / "trial").problem


@pytest.mark.parametrize("unpickled", [True, False])
def test_what_would_run_is_stopped_and_told(
    unpickled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def examine(content: bytes, folder: Path) -> None:
        with nothing_runs():
            try:
                pickle.loads(content) if unpickled else eval("__import__('os').system('echo > planted')")
            except Exception:
                return

    trial = tried(replace(READER, examine=examine), pickle.dumps(Hostile()), tmp_path / "trial")
    assert trial.problem.startswith(Executed.__name__)
    assert not (tmp_path / "planted").exists()


def test_reading_is_no_execution(tmp_path: Path) -> None:
    (tmp_path / "read").write_text("x")
    with nothing_runs():
        assert (tmp_path / "read").read_text() == "x"
    with pytest.raises(Executed), nothing_runs():
        (tmp_path / "written").write_text("x")


@pytest.mark.parametrize("make", OPERATIONS, ids=lambda make: make.__name__)
def test_each_hostile_pickle_ends_in_an_answer(make: Callable[[Random], bytes], tmp_path: Path) -> None:
    found = subject("checkpoints")
    content = next(seed for seed in found.seeds() if seed.startswith(b"PK"))
    random = source(0, 0)
    changed = checkpoints._rewritten(content, random, lambda each: planted(each, random, [make]))
    assert changed != content
    assert tried(found, changed, tmp_path / "trial").problem == ""


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_short_campaign_finds_nothing(name: str, tmp_path: Path) -> None:
    """A tiny one; `make fuzz` runs a long one."""
    found = subject(name)
    seeds = found.seeds()
    for number in range(15):
        trial = tried(found, found.mutated(seeds, source(7, number)), tmp_path / "trial", number)
        assert trial.problem == "", trial.details


BOOKS = sorted((ROOT / "tests" / "corpus" / "answers").iterdir())


def test_whatever_the_interpreter_does_there_is_an_end(tmp_path: Path) -> None:
    """The corpus of answers, in one repository."""
    found = subject("answers")
    for book in BOOKS:
        trial = tried(found, book.read_bytes(), tmp_path / "trial")
        assert trial.problem == "", f"{book.name}: {trial.details}"


@pytest.mark.parametrize(
    "path",
    sorted(set(ROOT.glob("tests/corpus/*/*")) - set(BOOKS)),
    ids=lambda path: f"{path.parent.name}-{path.name}",
)
def test_the_corpus_ends_in_answers(path: Path, tmp_path: Path) -> None:
    """What was found once, and what the mutations begin with."""
    trial = tried(subject(path.parent.name), path.read_bytes(), tmp_path / "trial")
    assert trial.problem == "", trial.details


@pytest.mark.parametrize("name", SUBJECTS)
def test_an_input_can_be_made_again(name: str) -> None:
    found = subject(name)
    seeds = found.seeds()
    assert [found.mutated(seeds, source(1, n)) for n in range(3)] == [
        found.mutated(seeds, source(1, n)) for n in range(3)
    ]


def test_a_process_that_dies_is_a_finding_and_the_campaign_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    ready = tmp_path / "python"  # dies of its second input, in each process
    line = json.dumps({"number": 0, "size": 1, "seconds": 0.1})
    ready.write_text(f"#!/bin/sh\necho '{line}'\nprintf bad > \"$6/input\"\nkill -SEGV $$\n")
    ready.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(ready))
    tally = campaign(READER, 1.0, 0, tmp_path / "findings", said.append)
    assert tally.inputs > 2
    assert list(tally.findings) == [f"the process died: {-signal.SIGSEGV}"]
    assert b"bad" in {path.read_bytes() for path in (tmp_path / "findings").iterdir()}


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fuzz", "checkpoints", "--seconds", "3", "--findings", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert re.search(r"checkpoints, seed 0: [1-9]\d* inputs, .*, 0 findings", done.stdout), done.stdout
    assert done.returncode == 0


def test_the_canaries_sing_for_git_as_a_user_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or their silence under fuzz would say nothing."""
    from fuzz import git

    def plainly(target: Target) -> object:
        assert git_state(target).commit, "the seed is a repository"
        subprocess.run(["git", "status"], cwd=target.repo, capture_output=True, timeout=60, check=False)
        return git_state(target)

    monkeypatch.setattr(git, "git_state", plainly)
    content = (ROOT / "tests" / "corpus" / "git" / "canaries.git").read_bytes()
    assert "it ran" in tried(subject("git"), content, tmp_path / "trial").problem
