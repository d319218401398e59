"""Tests of what is told of files under a filter, and under every setting that decides how files compare."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from opv2v_doctor import Target
from opv2v_doctor.facts.source.commit import GitState, git_state
from opv2v_doctor.runs import patch
from opv2v_doctor.state import State

from .test_commit import git

CONTENT = b"weights" * 1000
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{0}\nsize {1}\n"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = tmp_path / "repo"
    (repo / "scripts").mkdir(parents=True)
    (repo / "scripts/train.py").write_text("pass\n")
    git(repo, "init")
    commit(repo)
    return repo


def commit(repo: Path) -> None:
    git(repo, "add", "--all")
    git(repo, "commit", "--allow-empty", "-m", "more")


def target_of(repo: Path, timeout: float = 300) -> Target:
    return Target(repo=repo, python=Path(sys.executable), timeout=timeout, state=State())


def state_of(repo: Path) -> GitState:
    return git_state(target_of(repo))


@pytest.fixture
def large(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of git-lfs as a checkout leaves it: a pointer in the index, the content in the work tree.

    git-lfs is the user's own, and this one says when it is run.
    """
    (repo / ".gitattributes").write_text("*.pth filter=lfs diff=lfs merge=lfs -text\n")
    large = repo / "model.pth"
    large.write_text(POINTER.format(hashlib.sha256(CONTENT).hexdigest(), len(CONTENT)))
    commit(repo)
    program = tmp_path / "bin" / "git-lfs"
    program.parent.mkdir()
    program.write_text(f"""#!/bin/sh
: > '{tmp_path}/ran'
printf '{POINTER.replace("{0}", "%s").replace("{1}", "%s")}' $(sha256sum | cut -c-64) {len(CONTENT)}
""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    git(repo, "config", "--file", str(tmp_path / ".gitconfig"), "filter.lfs.clean", "git-lfs clean -- %f")
    git(repo, "config", "--file", str(tmp_path / ".gitconfig"), "filter.lfs.required", "true")
    large.write_bytes(CONTENT)
    git(repo, "add", "model.pth")  # which runs it, and notes what it saw
    assert git(repo, "status", "--porcelain") == ""
    (tmp_path / "ran").unlink()
    return large


def test_a_large_file_that_nobody_touched_is_unchanged(repo: Path, large: Path, tmp_path: Path) -> None:
    assert state_of(repo) == GitState(commit=git(repo, "rev-parse", "HEAD"), branch="main")
    assert patch.diff_patch(target_of(repo)) == b""
    assert not (tmp_path / "ran").exists()


def test_so_are_those_of_a_copied_repository(repo: Path, large: Path, tmp_path: Path) -> None:
    shutil.copytree(repo, tmp_path / "copy")
    os.utime(tmp_path / "copy/model.pth", (1, 1))
    state = state_of(tmp_path / "copy")
    assert (state.dirty, state.untold, state.is_dirty) == ((), (), False)
    assert not (tmp_path / "ran").exists()


def test_one_that_was_never_downloaded_is_unchanged(repo: Path, large: Path) -> None:
    large.write_text(git(repo, "show", "HEAD:model.pth") + "\n")
    assert state_of(repo).dirty == ()


@pytest.mark.parametrize("content", [CONTENT[::-1], CONTENT + b"!"])
def test_one_that_changed_is_said_to_have(repo: Path, large: Path, content: bytes, tmp_path: Path) -> None:
    large.write_bytes(content)
    state = state_of(repo)
    assert (state.dirty, state.untold) == (("model.pth",), ())
    assert patch.diff_patch(target_of(repo)) == b""  # no patch holds it
    assert patch.untracked_text(target_of(repo)).split()[0] == hashlib.sha256(content).hexdigest()
    assert not (tmp_path / "ran").exists()


def test_a_new_version_that_is_staged_is_in_the_patch(repo: Path, large: Path) -> None:
    large.write_bytes(CONTENT[::-1])
    git(repo, "add", "model.pth")
    assert state_of(repo).dirty == ("model.pth",)
    assert hashlib.sha256(CONTENT[::-1]).hexdigest().encode() in patch.diff_patch(target_of(repo))


def test_a_mode_that_changed_needs_no_filter(repo: Path, large: Path) -> None:
    large.chmod(0o755)
    assert state_of(repo).dirty == ("model.pth",)


def test_one_that_is_gone_is_a_change(repo: Path, large: Path) -> None:
    large.unlink()
    assert state_of(repo).dirty == ("model.pth",)


@pytest.fixture
def notebook(repo: Path, tmp_path: Path) -> Path:
    """A file whose filter drops some lines, as those do that strip the output of notebooks."""
    (repo / ".gitattributes").write_text("*.ipynb filter=strip\n")
    git(repo, "config", "filter.strip.clean", f": > '{tmp_path}/ran'; grep -v output")
    notebook = repo / "look.ipynb"
    notebook.write_text("input\noutput\n")
    commit(repo)
    assert git(repo, "status", "--porcelain") == ""
    (tmp_path / "ran").unlink()
    return notebook


def test_a_filtered_file_that_nobody_touched_is_unchanged(repo: Path, notebook: Path, tmp_path: Path) -> None:
    state = state_of(repo)
    assert (state.dirty, state.untold, state.is_dirty) == ((), (), False)
    assert not (tmp_path / "ran").exists()


def test_a_filtered_file_that_was_written_is_neither_changed_nor_unchanged(
    repo: Path, notebook: Path, tmp_path: Path
) -> None:
    notebook.write_text("input\nanother output\n")
    (repo / "scripts/train.py").write_text("changed\n")
    target = target_of(repo)
    state = git_state(target)
    assert (state.dirty, state.untold) == (("scripts/train.py",), ("look.ipynb",))
    assert "1 that may have changed (look.ipynb)" in str(state.text)
    assert b"ipynb" not in patch.diff_patch(target)
    assert "look.ipynb" in patch.untracked_text(target)
    git(repo, "checkout", "scripts/train.py")
    assert state_of(repo).is_dirty is None
    assert not (tmp_path / "ran").exists()
    git(repo, "add", "look.ipynb")  # which runs the filter, and notes that nothing changed
    assert state_of(repo).is_dirty is False


def test_a_filter_that_has_no_program_changes_nothing(repo: Path, notebook: Path) -> None:
    git(repo, "config", "--unset", "filter.strip.clean")
    notebook.write_text("changed\n")
    assert state_of(repo).dirty == ("look.ipynb",)


@pytest.mark.parametrize("setting", [("core.autocrlf", "true"), ("core.eol", "crlf")])
def test_line_ends_that_git_converts_are_no_change(repo: Path, setting: tuple[str, str]) -> None:
    (repo / ".gitattributes").write_text("*.py text\n" if setting[0] == "core.eol" else "")
    commit(repo)
    git(repo, "config", *setting)
    (repo / "scripts/train.py").write_bytes(b"pass\r\n")
    git(repo, "add", "scripts")
    os.utime(repo / "scripts/train.py", (1, 1))
    assert state_of(repo).dirty == ()
    (repo / "scripts/train.py").write_bytes(b"fail\r\n")
    assert state_of(repo).dirty == ("scripts/train.py",)


def test_a_mode_that_git_was_told_to_ignore_is_no_change(repo: Path) -> None:
    (repo / "scripts/train.py").chmod(0o755)
    assert state_of(repo).dirty == ("scripts/train.py",)
    git(repo, "config", "core.fileMode", "false")
    assert state_of(repo).dirty == ()


def test_what_the_user_ignores_everywhere_is_ignored(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name in ("one.swp", "two.swo", "three.swn"):
        (repo / name).touch()
    (repo / ".git/info/exclude").write_text("*.swn\n")
    (tmp_path / ".config/git").mkdir(parents=True)
    (tmp_path / ".config/git/ignore").write_text("*.swp\n")
    assert state_of(repo).untracked == ("two.swo",)
    (tmp_path / 'my "ignored"').write_text("*.swo\n")
    git(repo, "config", "--file", str(tmp_path / ".gitconfig"), "core.excludesFile", '~/my "ignored"')
    assert state_of(repo).untracked == ("one.swp",)


def test_a_value_cannot_bring_others_with_it(repo: Path, tmp_path: Path) -> None:
    evil = f'/x"\n[core]\n\tfsmonitor = ": > {tmp_path}/ran"\n\tquoted = "'
    git(repo, "config", "core.excludesFile", evil)
    assert state_of(repo).commit
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("setting", ["index.version=4", "core.splitIndex=true", "core.untrackedCache=true"])
def test_every_kind_of_index_is_read(repo: Path, setting: str) -> None:
    git(repo, "config", *setting.split("="))
    (repo / "a.py").touch()
    git(repo, "add", "a.py")
    git(repo, "status")
    (repo / "scripts/train.py").write_text("changed\n")
    assert set(state_of(repo).dirty) == {"a.py", "scripts/train.py"}


@pytest.mark.parametrize("options", [["--cone"], ["--cone", "--sparse-index"], ["--no-cone"]])
def test_what_a_sparse_checkout_leaves_out_is_no_change(repo: Path, options: list[str]) -> None:
    for folder in ("in", "out"):
        (repo / folder).mkdir()
        (repo / folder / "a.py").touch()
    commit(repo)
    git(repo, "sparse-checkout", "set", *options, "in", "scripts")
    assert not (repo / "out").exists()
    assert state_of(repo).dirty == ()
    (repo / "in/a.py").write_text("changed\n")
    assert state_of(repo).dirty == ("in/a.py",)


def test_a_repository_of_another_hash(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    (repo / "scripts").mkdir(parents=True)
    (repo / "scripts/train.py").touch()
    git(repo, "init", "--object-format=sha256")
    commit(repo)
    (repo / "scripts/train.py").write_text("changed\n")
    state = state_of(repo)
    assert (len(state.commit or ""), state.dirty) == (64, ("scripts/train.py",))
    assert b"+changed" in patch.diff_patch(target_of(repo))


def test_a_changed_file_of_the_same_size_and_second_is_seen(repo: Path) -> None:
    for number in range(10):
        (repo / "scripts/train.py").write_text(f"{number}\n")
        commit(repo)
        (repo / "scripts/train.py").write_text("x\n")
        assert state_of(repo).dirty == ("scripts/train.py",)


def test_submodules_are_looked_into(repo: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    shutil.copytree(repo, inner)
    git(repo, "submodule", "add", str(inner), "deep/one")
    git(repo / "deep/one", "submodule", "add", str(inner), "two")
    git(repo / "deep/one", "commit", "-am", "two in one")
    commit(repo)
    assert state_of(repo).dirty == ()
    (repo / "deep/one/two/new.py").touch()
    assert state_of(repo).dirty == ("deep/one",)
    (repo / "deep/one/two/scripts/train.py").write_text("changed\n")
    target = target_of(repo)
    assert b"b/deep/one/two/scripts/train.py" in patch.diff_patch(target)
    assert patch.submodules(target) == {"deep/one": git(repo / "deep/one", "rev-parse", "HEAD")}


def test_a_submodule_that_is_not_checked_out_is_at_the_commit_of_the_index(
    repo: Path, tmp_path: Path
) -> None:
    shutil.copytree(repo, tmp_path / "inner")
    git(repo, "submodule", "add", str(tmp_path / "inner"), "one")
    commit(repo)
    git(repo, "submodule", "deinit", "--force", "one")
    target = target_of(repo)
    assert git_state(target).dirty == ()
    assert patch.submodules(target) == {"one": git(tmp_path / "inner", "rev-parse", "HEAD")}


def test_a_submodule_that_git_refuses_is_not_told(repo: Path, tmp_path: Path) -> None:
    shutil.copytree(repo, tmp_path / "inner")
    git(repo, "submodule", "add", str(tmp_path / "inner"), "one")
    commit(repo)
    git(repo / "one", "config", "core.worktree", str(tmp_path))
    state = state_of(repo)
    assert (str(state.reason), state.dirty, state.untold) == ("", (), ("one",))


def test_a_git_directory_that_belongs_to_other_files_is_refused(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    git(repo, "config", "core.worktree", str(tmp_path / "other"))
    state = state_of(repo)
    assert state.commit is None
    assert str(tmp_path / "other") in str(state.reason)


def test_a_git_file_that_points_elsewhere_is_followed(repo: Path, tmp_path: Path) -> None:
    (repo / ".git").rename(tmp_path / "elsewhere")
    (repo / ".git").write_text(f"gitdir: {tmp_path}/elsewhere\n")
    assert state_of(repo).commit == git(repo, "rev-parse", "HEAD")


def test_what_is_never_answered_has_an_end(repo: Path) -> None:
    os.mkfifo(repo / ".git/info/excluded")
    git(repo, "config", "core.excludesFile", str(repo / ".git/info/excluded"))
    reason = git_state(target_of(repo, timeout=0.5)).reason
    assert str(reason) == "git: git status did not answer within 0.5 seconds"


def test_a_git_in_the_repository_is_not_the_users(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo / "git").write_text(f"#!/bin/sh\n: > '{tmp_path}/ran'\n")
    (repo / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f".::{os.environ['PATH']}")
    monkeypatch.chdir(repo)
    assert state_of(repo).untracked == ("git",)
    assert not (tmp_path / "ran").exists()


def test_in_the_repository_itself_git_is_asked_for_places_and_settings_only(
    repo: Path, notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(repo, tmp_path / "inner")
    git(repo, "submodule", "add", str(tmp_path / "inner"), "one")
    notebook.write_text("changed\n")
    (repo / "one/new.py").touch()
    asked = tmp_path / "asked"
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"""#!/bin/sh
echo "$GIT_DIR|$6" >> '{asked}'
exec '{shutil.which("git")}' "$@"
""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    target = target_of(repo)
    assert (git_state(target).dirty, git_state(target).untold) == (
        (".gitmodules", "one"),
        ("look.ipynb",),
    )
    patch.diff_patch(target)
    calls = [line.split("|") for line in asked.read_text().splitlines()]
    assert {command for place, command in calls if not place} == {"rev-parse", "config"}
    assert {"status", "diff"} < {command for place, command in calls if place}
    assert not any(place.startswith(str(repo)) for place, _ in calls)


def test_an_old_git_is_named(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    old.write_text(
        '#!/bin/sh\ncase "$*" in *version*) echo git version 1.8.3.1;; *) echo usage >&2; exit 129;; esac\n'
    )
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")
    assert "git version 1.8.3.1 is older than 2.13" in str(state_of(repo).reason)
