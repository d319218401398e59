"""The git of a training repository: commits whose author and date never change."""

import shutil
from pathlib import Path

from opv2v_doctor.git import write

AUTHOR, MAIL, DATE = "Ada Example", "ada@example.org", "2025-12-01T12:00:00+0000"


def create(directory: Path) -> None:
    """A new git repository with one commit of everything in the directory that is not ignored."""
    _git(directory, "init", "--quiet", "--initial-branch=main")
    commit(directory, "A healthy training repository")


def commit(directory: Path, message: str) -> None:
    """Commit all changes; nothing happens where there are none."""
    _git(directory, "add", "--all")
    if _git(directory, "status", "--porcelain"):
        _git(directory, "commit", "--quiet", "--no-verify", "--message", message)


def has_history(directory: Path) -> bool:
    """Whether there is any commit."""
    return bool(_git(directory, "rev-list", "--all", "--max-count=1"))


def forget(directory: Path) -> None:
    """Start over with a git repository that has no commit; the files stay."""
    shutil.rmtree(directory / ".git")
    _git(directory, "init", "--quiet", "--initial-branch=main")


def _git(directory: Path, *arguments: str) -> str:
    own = {"GIT_AUTHOR_NAME": AUTHOR, "GIT_AUTHOR_EMAIL": MAIL, "GIT_AUTHOR_DATE": DATE}
    own |= {"GIT_COMMITTER_NAME": AUTHOR, "GIT_COMMITTER_EMAIL": MAIL, "GIT_COMMITTER_DATE": DATE}
    return write(directory, *arguments, environment=own)
