"""Tests that commit and patch bring back what ran."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from opv2v_doctor import Target
from opv2v_doctor.facts.source.commit import git_state
from opv2v_doctor.runs import patch
from opv2v_doctor.state import State


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"]
    command = ["git", *identity, "-c", "init.defaultBranch=main", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = tmp_path / "map anything 训练"
    (repo / "scripts").mkdir(parents=True)
    (repo / "scripts/train.py").write_text("one\ntwo\n")
    (repo / "模型 a.py").write_text("pass\n")
    (repo / "weights.bin").write_bytes(bytes(range(256)))
    git(repo, "init")
    git(repo, "add", ".")
    git(repo, "commit", "-m", "one")
    return repo


def target_of(repo: Path) -> Target:
    return Target(repo=repo, python=Path(sys.executable), state=State())


def change(repo: Path) -> None:
    """Every kind of change: of text, of bytes, of a name, and files that git does not know."""
    (repo / "scripts/train.py").write_text("one\nthree")
    (repo / "weights.bin").write_bytes(bytes(reversed(range(256))))
    git(repo, "mv", "模型 a.py", "新.py")
    (repo / "new 文件.py").write_text("a = 1\nb = 2")
    (repo / "run.sh").write_text("echo\n")
    (repo / "run.sh").chmod(0o755)
    (repo / "large.npy").write_bytes(b"\0" * 100)


def contents(repo: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(repo)): p.read_bytes()
        for p in repo.rglob("*")
        if p.is_file() and ".git" not in p.parts
    }


def test_commit_and_patch_bring_back_what_ran(repo: Path, tmp_path: Path) -> None:
    change(repo)
    found = patch.diff_patch(target_of(repo))
    git(tmp_path, "clone", str(repo), "again")
    subprocess.run(["git", "apply"], cwd=tmp_path / "again", input=found, check=True)
    expected = contents(repo)
    del expected["large.npy"]  # no code: named in untracked.txt, not copied
    assert contents(tmp_path / "again") == expected
    assert (tmp_path / "again/run.sh").stat().st_mode & 0o100


def test_every_untracked_file_is_listed_with_its_hash(repo: Path) -> None:
    change(repo)
    (repo / "link").symlink_to("/nowhere")
    lines = {line.split()[-1]: line.split()[0] for line in patch.untracked_text(target_of(repo)).splitlines()}
    assert set(lines) == {"文件.py", "run.sh", "large.npy", "link"}
    assert len(lines["run.sh"]) == 64
    assert set(lines["link"]) == {"-"}


def test_a_clean_tree_gives_an_empty_patch(repo: Path) -> None:
    assert patch.diff_patch(target_of(repo)) == b""
    assert patch.untracked_text(target_of(repo)) == ""


def test_programs_that_the_repository_names_are_not_run(repo: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{ran}'\ncat \"$1\"\n")
    program.chmod(0o755)
    git(repo, "config", "diff.external", str(program))
    git(repo, "config", "diff.own.textconv", str(program))
    (repo / ".gitattributes").write_text("*.py diff=own\n")
    (repo / "scripts/train.py").write_text("changed\n")
    assert b"+changed" in patch.diff_patch(target_of(repo))
    assert not ran.exists()


def test_a_remote_is_stamped_without_credentials(repo: Path) -> None:
    assert patch.remote(target_of(repo)) is None
    git(repo, "remote", "add", "origin", "https://me:secret@example.org/a.git")
    assert patch.remote(target_of(repo)) == "https://example.org/a.git"


def test_a_submodule_and_its_changes(repo: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    shutil.copytree(repo, inner)
    git(repo, "submodule", "add", str(inner), "third party")
    git(repo, "commit", "-m", "two")
    (repo / "third party/scripts/train.py").write_text("changed inside\n")
    target = target_of(repo)
    assert patch.submodules(target) == {"third party": git(inner, "rev-parse", "HEAD")}
    assert b"b/third party/scripts/train.py" in patch.diff_patch(target)


def test_a_worktree_and_a_shallow_clone(repo: Path, tmp_path: Path) -> None:
    git(repo, "commit", "--allow-empty", "-m", "two")
    git(repo, "worktree", "add", "-b", "side", str(tmp_path / "side"))
    git(tmp_path, "clone", "--depth=1", repo.as_uri(), "shallow")
    for place in (tmp_path / "side", tmp_path / "shallow"):
        (place / "scripts/train.py").write_text("here\n")
        assert b"+here" in patch.diff_patch(target_of(place))


def test_without_a_commit_nothing_is_made_up(tmp_path: Path) -> None:
    target = target_of(tmp_path)
    assert (patch.diff_patch(target), patch.submodules(target), patch.remote(target)) == (b"", {}, None)
    assert git_state(target).reason
