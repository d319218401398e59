"""Tests of what git tells about a repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from opv2v_doctor import Target
from opv2v_doctor.facts.source.commit import GitState, git_state
from opv2v_doctor.state import State

NO_GIT = """
import sys
from pathlib import Path
from opv2v_doctor import Target
from opv2v_doctor.facts.source.commit import git_state
print(git_state(Target(repo=Path(sys.argv[1]), python=Path(sys.executable))).reason)
"""


def git(repo: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"]
    done = subprocess.run(
        ["git", *identity, "-c", "init.defaultBranch=main", *words],
        cwd=repo,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = tmp_path / "map anything 训练"
    (repo / "scripts").mkdir(parents=True)
    (repo / "scripts/train.py").write_text("pass\n")
    (repo / "模型.py").write_text("pass\n")
    git(repo, "init")
    git(repo, "add", ".")
    git(repo, "commit", "-m", "one")
    return repo


def state_of(repo: Path) -> GitState:
    return git_state(Target(repo=repo, python=Path(sys.executable), state=State()))


def test_a_clean_repository(repo: Path) -> None:
    assert state_of(repo) == GitState(commit=git(repo, "rev-parse", "HEAD"), branch="main")


def test_changed_renamed_and_untracked_files_are_named(repo: Path) -> None:
    (repo / "scripts/train.py").write_text("print()\n")
    git(repo, "mv", "模型.py", "新 模型.py")
    (repo / "-n? 1.py").write_text("")
    state = state_of(repo)
    assert set(state.dirty) == {"scripts/train.py", "模型.py", "新 模型.py"}
    assert state.untracked == state.untracked_code == ("-n? 1.py",)


def test_a_conflict_is_a_change(repo: Path) -> None:
    git(repo, "checkout", "-b", "other")
    (repo / "scripts/train.py").write_text("other\n")
    git(repo, "commit", "-am", "other")
    git(repo, "checkout", "main")
    (repo / "scripts/train.py").write_text("ours\n")
    git(repo, "commit", "-am", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        git(repo, "merge", "other")
    assert state_of(repo).dirty == ("scripts/train.py",)


def test_the_index_is_not_refreshed(repo: Path) -> None:
    os.utime(repo / "scripts/train.py", (1, 1))  # git would like to note that only the time changed
    index = repo / ".git/index"
    before = index.read_bytes(), index.stat().st_mtime_ns, sorted((repo / ".git").iterdir())
    assert state_of(repo).dirty == ()
    assert (index.read_bytes(), index.stat().st_mtime_ns, sorted((repo / ".git").iterdir())) == before


def test_a_monitor_that_the_repository_names_is_not_run(repo: Path, tmp_path: Path) -> None:
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    monitor.chmod(0o755)
    git(repo, "config", "core.fsmonitor", str(monitor))
    assert state_of(repo).commit
    assert not (tmp_path / "ran").exists()


def test_a_detached_head_has_no_branch(repo: Path) -> None:
    git(repo, "checkout", "--detach")
    assert state_of(repo).branch is None
    assert state_of(repo).commit == git(repo, "rev-parse", "HEAD")


def test_a_worktree(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "-b", "side", str(tmp_path / "side"))
    assert state_of(tmp_path / "side").branch == "side"


def test_a_shallow_clone(repo: Path, tmp_path: Path) -> None:
    git(repo, "commit", "--allow-empty", "-m", "two")
    git(tmp_path, "clone", "--depth=1", repo.as_uri(), "shallow")
    assert state_of(tmp_path / "shallow").commit == git(repo, "rev-parse", "HEAD")


def test_a_submodule(repo: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init")
    git(outer, "submodule", "add", str(repo), "inner")
    assert state_of(outer / "inner").commit == git(repo, "rev-parse", "HEAD")


def test_a_folder_of_a_larger_repository_knows_its_own_files_only(repo: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    (outer / "part/scripts").mkdir(parents=True)
    (outer / "part/scripts/train.py").write_text("")
    git(outer, "init")
    git(outer, "add", ".")
    git(outer, "commit", "-m", "one")
    (outer / "part/new.py").write_text("")
    (outer / "beside.py").write_text("")
    assert state_of(outer / "part").untracked == ("new.py",)


def test_a_copy_that_a_repository_around_it_does_not_track_is_not_its_commit(repo: Path) -> None:
    (repo / "copy/scripts").mkdir(parents=True)
    (repo / "copy/scripts/train.py").write_text("")
    state = state_of(repo / "copy")
    assert state.commit is None
    assert "does not track" in str(state.reason)


def test_a_repository_without_a_commit(repo: Path) -> None:
    git(repo, "update-ref", "-d", "HEAD")
    state = state_of(repo)
    assert (state.commit, state.branch) == (None, "main")
    assert "git commit" in state.remedy


def test_no_repository(tmp_path: Path) -> None:
    assert str(state_of(tmp_path).reason) == "not a git repository"


def test_a_repository_that_git_refuses(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    state = state_of(repo)
    assert "dubious ownership" in str(state.reason)
    assert state.remedy == f"git config --global --add safe.directory '{repo}'"


def test_the_environment_of_a_hook_does_not_mislead(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index.none")
    state = state_of(repo)
    assert state.commit and not state.dirty
    assert os.environ["GIT_DIR"] == str(tmp_path / "elsewhere")


def test_a_machine_without_git(repo: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_GIT, repo], env={"PATH": ""}, capture_output=True, text=True
    )
    assert done.stdout == "there is no git executable\n", done.stderr
