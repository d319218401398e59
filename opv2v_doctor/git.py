"""The one door to git: every call goes through here, and none can start a program that the repository names.

Where a repository is and how it is configured is asked of git in place: reading a config starts nothing. What
looks at files is asked in a *view*: a git directory of our own, with a copy of the index, the repository's
objects and work tree, and of its config only the values below, none of which names a program. No filter,
hook, monitor, driver, alias or promisor remote is known there: nothing has to be switched off.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from opv2v_doctor.scratch import scratch_folder

OLDEST = (2, 13)
SECONDS = 120.0
# what decides how files compare with the index, and which are ignored
CARRIED = (
    *("core.filemode", "core.symlinks", "core.ignorecase", "core.trustctime", "core.checkstat"),
    *("core.autocrlf", "core.eol", "core.precomposeunicode", "core.protecthfs", "core.protectntfs"),
    *("core.sparsecheckout", "core.sparsecheckoutcone", "extensions.objectformat"),
)
FILES_CARRIED = {"core.excludesfile": "ignore", "core.attributesfile": "attributes"}  # and their usual names
# of the user's environment only what says where git, its own settings and the repository are
KEPT = (
    *("GIT_CONFIG_", "GIT_EXEC_PATH", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM"),
    "GIT_TEST_ASSUME_DIFFERENT_OWNER",  # git's own way to try that
)
NOTHING_STARTED = {
    "GIT_ALLOW_PROTOCOL": "",  # nothing is fetched, over no protocol; the next one is new in git 2.45
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",  # not even the index is refreshed
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
    "LANGUAGE": "C",
}
QUIET = ("--no-pager", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")


class GitRefused(Exception):
    """Git is not there, or said no; the words are its own."""


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository as git finds it from a folder."""

    prefix: str  # of the folder that was asked about, in the work tree: "" or "sub/folder/"
    git_directory: Path
    common_directory: Path  # of all work trees of the repository
    work_tree: Path
    commit: str | None  # None before the first one
    branch: str | None  # None on a detached head
    config: Mapping[str, str]  # every value that is in force, by its name in lower case

    @property
    def filters(self) -> frozenset[str]:
        """The filters that have a program for files on their way into the index."""
        keys = [key for key, program in self.config.items() if key.startswith("filter.") and program]
        return frozenset(key[7:].rpartition(".")[0] for key in keys if key.endswith((".clean", ".process")))


@dataclass(frozen=True, kw_only=True)
class GitView:
    """A repository seen through a git directory of our own."""

    repository: Repository
    directory: Path
    seconds: float

    def git(self, *words: str, given: bytes = b"") -> bytes:
        """What git says from the top of the work tree. Raises GitRefused."""
        places = {
            "GIT_DIR": str(self.directory),
            "GIT_WORK_TREE": str(self.repository.work_tree),
            "GIT_OBJECT_DIRECTORY": str(self.repository.common_directory / "objects"),
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "HOME": str(self.directory),  # before 2.32 git knew no GIT_CONFIG_GLOBAL
            "XDG_CONFIG_HOME": str(self.directory),
        }
        return _run(words, self.repository.work_tree, _environment(()) | places, given, self.seconds)


def locate(folder: Path, *, seconds: float = SECONDS) -> Repository:
    """The repository that a folder lies in, its head and config. Raises GitRefused."""
    environment = _environment(KEPT)

    def ask(*words: str) -> list[str]:
        said = os.fsdecode(_run(words, folder, environment, b"", seconds))
        return said.removesuffix("\n").split("\n")

    places = ("--show-prefix", "--absolute-git-dir", "--git-common-dir", "--show-toplevel")
    try:
        *found, commit, head = ask("rev-parse", *places, "HEAD", "--symbolic-full-name", "HEAD")
    except GitRefused:  # there is no commit yet; or no repository, and then the next one raises
        found, commit = ask("rev-parse", *places), ""
        head = ask("symbolic-ref", "HEAD")[0]
    if len(found) != len(places):
        raise GitRefused("fatal: a line break in the path of the repository")
    prefix, own, common, top = found
    if os.path.realpath(Path(top, prefix)) != os.path.realpath(folder):  # core.worktree says so
        raise GitRefused(f"fatal: the git directory {own} is of the files in {top}")
    said = os.fsdecode(_run(["config", "--list", "-z"], folder, environment, b"", seconds))
    entries = (entry.partition("\n") for entry in said.split("\0") if entry)
    return Repository(
        prefix=prefix,
        git_directory=Path(own),
        common_directory=folder / common,
        work_tree=Path(top),
        commit=commit or None,
        branch=head.removeprefix("refs/heads/") if head.startswith("refs/heads/") else None,
        config={key: value if equals else "true" for key, equals, value in entries},
    )


@contextlib.contextmanager
def view(repository: Repository, *, seconds: float = SECONDS) -> Iterator[GitView]:
    """A view of the repository, gone at the end. Raises OSError where it cannot be made."""
    with tempfile.TemporaryDirectory(dir=_place()) as name:
        directory = Path(name)
        for folder in ("refs", "info"):
            (directory / folder).mkdir()
        (directory / "HEAD").write_text(f"{repository.commit or 'ref: refs/heads/unborn'}\n")
        (directory / "config").write_text(_config(repository), "utf-8", "surrogateescape")
        for index in (repository.git_directory / "index", *repository.git_directory.glob("sharedindex.*")):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(index, directory / index.name)  # with its time, which tells what was seen when
        for home, file in (
            (repository.common_directory, "info/exclude"),
            (repository.common_directory, "info/attributes"),
            (repository.git_directory, "info/sparse-checkout"),
        ):
            (directory / file).symlink_to(home / file)
        yield GitView(repository=repository, directory=directory, seconds=seconds)


def _config(repository: Repository) -> str:
    values = {key: repository.config[key] for key in CARRIED if key in repository.config}
    settings = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    for key, name in FILES_CARRIED.items():
        chosen = repository.config.get(key, f"{settings}/git/{name}")
        values[key] = os.path.expanduser(chosen)  # noqa: PTH111 - as git does: "" is no file, not the folder
    values["core.repositoryformatversion"] = "1" if "extensions.objectformat" in values else "0"
    values |= {"core.bare": "false", "core.quotepath": "false"}
    values |= {"diff.renames": "false", "status.renames": "false"}  # or contents would have to be there
    entries = ((*key.split("."), _quote(value)) for key, value in values.items())
    return "".join(f"[{section}]\n{name} = {value}\n" for section, name, value in entries)


def _quote(value: str) -> str:
    for sign, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        value = value.replace(sign, written)
    return f'"{value}"'


def write(directory: Path, *words: str, environment: Mapping[str, str]) -> str:
    """Git on a repository that the doctor wrote, whatever the user's settings are. Raises GitRefused."""
    own = _environment(()) | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, **environment}
    return _run(words, directory, own, b"", SECONDS).decode()


def executable() -> str | None:
    """The git of the PATH. A relative entry of it would be looked up in the repository."""
    return shutil.which("git", path=_path())


def too_old() -> str:
    """That this git is older than any that is known to answer; empty where it is not."""
    with contextlib.suppress(GitRefused):
        version = _run(["version"], Path("/"), _environment(()), b"", SECONDS).decode()
        numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
        if numbers < OLDEST:
            return f" ({version.strip()} is older than {'.'.join(map(str, OLDEST))})"
    return ""


def _path() -> str:
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(entry for entry in entries if entry.startswith(os.sep))


@cache
def _place() -> Path:
    return scratch_folder("git")


def _environment(kept: tuple[str, ...]) -> dict[str, str]:
    """Ours, without what a git hook's environment says of the repository that it serves."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    own |= {name: text for name, text in os.environ.items() if kept and name.startswith(kept)}
    return own | NOTHING_STARTED | {"PATH": _path()}


def _run(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], given: bytes, seconds: float
) -> bytes:
    program = executable()
    if program is None:
        raise GitRefused("there is no git executable")
    try:
        done = subprocess.run(
            [program, *QUIET, *words],
            cwd=folder,
            env=environment,
            input=given,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except OSError as problem:
        raise GitRefused(f"fatal: {problem}") from None
    except subprocess.TimeoutExpired:
        raise GitRefused(f"fatal: git {words[0]} did not answer within {seconds:g} seconds") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace")
        raise GitRefused(said or f"fatal: git {words[0]} ended with {done.returncode} and no word")
    return done.stdout
