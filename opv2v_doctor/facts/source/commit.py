"""Git: which state of the repository a launch would train. Reads only: not even the index is refreshed."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from opv2v_doctor import git
from opv2v_doctor.facts.source.work_tree import changes
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text, sentence

FIRST_FEW = 5
NOTHING = Text("")


@dataclass(frozen=True, kw_only=True)
class GitState:
    """The state of the repository's files; the reason where git cannot tell it."""

    commit: str | None = None
    branch: str | None = None  # None on a detached head
    dirty: tuple[str, ...] = ()  # tracked files that differ from the commit
    untracked: tuple[str, ...] = ()  # files that git neither tracks nor ignores
    untold: tuple[str, ...] = ()  # whether they changed, only a program that the repository names could tell
    unpatched: tuple[str, ...] = ()  # changed or untold files that no patch can hold
    submodules: tuple[tuple[str, str], ...] = ()  # path and commit
    remote: str | None = None  # where it was cloned from
    prefix: str = ""  # of the repository's files in the work tree: "" or "sub/folder/"
    reason: Text = NOTHING
    remedy: str = ""  # the command that makes git answer, where it names one

    @property
    def untracked_code(self) -> tuple[str, ...]:
        """The Python files that no commit would bring back."""
        return tuple(name for name in self.untracked if name.endswith(".py"))

    @property
    def is_dirty(self) -> bool | None:
        """Whether the files are not as committed; None where that cannot be told."""
        if self.commit is None or (self.untold and not self.dirty and not self.untracked):
            return None
        return bool(self.dirty or self.untracked)

    @property
    def evidence(self) -> dict[str, Any]:
        """What a report says of it for programs."""
        names = ("commit", "dirty", "untold", "untracked_code")
        return {name: getattr(self, name) for name in names}

    @property
    def text(self) -> Text:
        """The commit, and what differs from it."""
        branch = self.branch or Text("a detached head")
        untold = _count_and_names(Text("{n} that may have changed", n=len(self.untold)), self.untold)
        parts = [
            Text("commit {commit} on {branch}", commit=str(self.commit)[:12], branch=branch),
            _count_and_names(Text("{n:changed file|changed files}", n=len(self.dirty)), self.dirty),
            *([untold] if self.untold else []),
            _count_and_names(
                Text("{n:untracked file|untracked files}", n=len(self.untracked)), self.untracked_code
            ),
        ]
        return sentence(parts, ", ")


def _count_and_names(counted: Text, names: tuple[str, ...]) -> Text:
    """A number of files with the first names, in brackets."""
    if not names:
        return counted
    few = [*names[:FIRST_FEW], *(["..."] if len(names) > FIRST_FEW else [])]
    return Text("{files} ({names})", files=counted, names=few)


@fact
def git_state(target: Target) -> GitState:
    """Commit, branch and changed files of the repository. Never raises for want of git or of a repository."""
    if git.executable() is None:
        return GitState(reason=Text("there is no git executable"))
    try:
        with open_view(target) as seen:
            return _state(seen, target)
    except git.GitRefused as problem:
        return _refusal(target, str(problem))
    except OSError as problem:
        return GitState(reason=Text("what git would compare cannot be read: {problem}", problem=str(problem)))


@fact
def tracked(target: Target) -> tuple[str, ...]:
    """The repository's files that git tracks; none where it does not answer."""
    try:
        with open_view(target) as seen:
            prefix = seen.repository.prefix
            names = os.fsdecode(seen.git("ls-files", "-z", "--", prefix or ".")).split("\0")[:-1]
            return tuple(_text(name.removeprefix(prefix)) for name in names)
    except (git.GitRefused, OSError):
        return ()


@contextlib.contextmanager
def open_view(target: Target) -> Iterator[git.GitView]:
    """The view of the target's repository. Raises GitRefused, OSError."""
    found = git.locate(target.repo, seconds=target.timeout)
    with git.view(found, seconds=target.timeout) as seen:
        yield seen


def _state(seen: git.GitView, target: Target) -> GitState:
    found, repository = changes(seen), seen.repository
    born = repository.commit is not None
    if born and not seen.git("ls-files", "--", os.path.realpath(target.script)):
        return GitState(
            reason=Text("the git repository does not track {script}", script=target.settings.launch.script),
            remedy="git init && git add . && git commit -m 'the state that is trained'",
        )

    def named(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(_text(name.removeprefix(repository.prefix)) for name in names)

    return GitState(
        commit=repository.commit,
        branch=repository.branch,
        dirty=named(found.dirty),
        untracked=named(found.untracked),
        untold=named(found.untold),
        unpatched=named(found.unpatched),
        submodules=tuple(zip(named(found.submodules), found.submodules.values(), strict=True)),
        remote=repository.config.get("remote.origin.url"),
        prefix=repository.prefix,
        reason=NOTHING if born else Text("the git repository has no commit"),
        remedy="" if born else "git add . && git commit -m 'the state that is trained'",
    )


def _text(name: str) -> str:
    """A file's name as text, whatever bytes it has."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _refusal(target: Target, words: str) -> GitState:
    """What git says when it refuses."""
    if "dubious ownership" in words or "unsafe repository" in words:
        named = re.search(r"--add safe\.directory (.+)$", words, re.MULTILINE)
        folder = named[1] if named else str(target.repo)
        folder = folder if folder.startswith("'") else shlex.quote(folder)  # git may have quoted it
        return GitState(
            reason=Text("git refuses a repository that belongs to another user (dubious ownership)"),
            remedy=f"git config --global --add safe.directory {folder}",
        )
    if "not a git repository" in words.lower():
        return GitState(
            reason=Text("not a git repository"),
            remedy="git init && git add . && git commit -m 'the state that is trained'",
        )
    said = " ".join(re.findall(r"(?:fatal|error): (.*)", words)) or " ".join(words.split())
    return GitState(reason=Text("git: {said}{too_old}", said=said, too_old=git.too_old()))
