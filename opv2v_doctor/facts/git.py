"""Git: which state of the repository a launch would train. Reads only: not even the index is refreshed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from opv2v_doctor.target import Target
from opv2v_doctor.text import Text, sentence

if TYPE_CHECKING:
    from git.cmd import Git


# how many fields stand before the path in a record of `git status --porcelain=v2`: changed, renamed, unmerged
FIELDS_BEFORE_PATH = {"1": 7, "2": 8, "u": 9}
FIRST_FEW = 5
NOTHING = Text("")


@dataclass(frozen=True, kw_only=True)
class GitState:
    """The state of the repository's files; the reason where git cannot tell it."""

    commit: str | None = None
    branch: str | None = None  # None on a detached head
    dirty: tuple[str, ...] = ()  # tracked files that differ from the commit
    untracked: tuple[str, ...] = ()  # files that git neither tracks nor ignores
    reason: Text = NOTHING
    remedy: str = ""  # the command that makes git answer, where it names one

    @property
    def untracked_code(self) -> tuple[str, ...]:
        """The Python files that no commit would bring back."""
        return tuple(name for name in self.untracked if name.endswith(".py"))

    @property
    def text(self) -> Text:
        """The commit, and what differs from it."""
        branch = self.branch or Text("a detached head")
        parts = [
            Text("commit {commit} on {branch}", commit=str(self.commit)[:12], branch=branch),
            _named(Text("{n:changed file|changed files}", n=len(self.dirty)), self.dirty),
            _named(Text("{n:untracked file|untracked files}", n=len(self.untracked)), self.untracked_code),
        ]
        return sentence(parts, ", ")


def _named(counted: Text, names: tuple[str, ...]) -> Text:
    """A number of files with the first names, in brackets."""
    if not names:
        return counted
    few = [*names[:FIRST_FEW], *(["..."] if len(names) > FIRST_FEW else [])]
    return Text("{files} ({names})", files=counted, names=few)


@cache
def git_state(target: Target) -> GitState:
    """Commit, branch and changed files of the repository. Never raises for want of git or of a repository."""
    if shutil.which("git") is None:
        return GitState(reason=Text("there is no git executable"))
    import git

    with _environment_of_a_hook_removed():
        command = git.Git(target.repo)
        command.update_environment(GIT_OPTIONAL_LOCKS="0", LC_ALL="C")
        # a monitor named in the repository's own config would be run
        command.set_persistent_git_options(c=["core.fsmonitor=false", "core.quotePath=false"])
        try:
            return _state(command, target)
        except git.GitCommandError as problem:
            return _refusal(target, str(problem.stderr))


@contextlib.contextmanager
def _environment_of_a_hook_removed() -> Iterator[None]:
    """A git hook's environment names the repository that it serves, which need not be the target."""
    names = [name for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE") if name in os.environ]
    kept = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(kept)


def _state(command: Git, target: Target) -> GitState:
    prefix = command.rev_parse("--show-prefix")
    words = command.status(
        "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--", ".",
        kill_after_timeout=target.timeout,
    )  # fmt: skip
    heads, dirty, untracked = _parsed(words, prefix)
    commit, branch = heads["branch.oid"], heads["branch.head"]
    born = commit != "(initial)"
    if born and not command.ls_files("--", str(target.script)):
        return GitState(
            reason=Text("the git repository does not track {script}", script=target.settings.launch.script),
            remedy="git init && git add . && git commit -m 'the state that is trained'",
        )
    return GitState(
        commit=commit if born else None,
        branch=None if branch == "(detached)" else branch,
        dirty=dirty,
        untracked=untracked,
        reason=NOTHING if born else Text("the git repository has no commit"),
        remedy="" if born else "git add . && git commit -m 'the state that is trained'",
    )


def _parsed(status: str, prefix: str) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]:
    """The heads, changed and untracked files of `git status --porcelain=v2 -z`, without the prefix."""
    heads: dict[str, str] = {}
    dirty: list[str] = []
    untracked: list[str] = []
    records = iter(status.split("\0"))
    for record in records:
        kind, _, rest = record.partition(" ")
        if kind == "#":
            name, _, heads[name] = rest.partition(" ")
        elif kind == "?":
            untracked.append(_path(rest, prefix))
        elif kind in FIELDS_BEFORE_PATH:
            dirty.append(_path(rest.split(" ", FIELDS_BEFORE_PATH[kind])[-1], prefix))
            if kind == "2":  # a rename: its old name follows
                next(records)
    return heads, tuple(dirty), tuple(untracked)


def _path(name: str, prefix: str) -> str:
    """A file's name as text, whatever bytes it has."""
    return name.removeprefix(prefix).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _refusal(target: Target, words: str) -> GitState:
    """What git says when it refuses."""
    if "dubious ownership" in words:
        folder = re.search(r"--add safe\.directory (\S.*?)'?$", words, re.MULTILINE)
        return GitState(
            reason=Text("git refuses a repository that belongs to another user (dubious ownership)"),
            remedy=f"git config --global --add safe.directory {folder[1] if folder else target.repo}",
        )
    if "not a git repository" in words:
        return GitState(
            reason=Text("not a git repository"),
            remedy="git init && git add . && git commit -m 'the state that is trained'",
        )
    said = " ".join(re.findall(r"(?:fatal|error): (.*)", words)) or " ".join(words.split())
    return GitState(reason=Text("git: {said}", said=said))
