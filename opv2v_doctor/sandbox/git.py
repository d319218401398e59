"""The git of a training repository: commits whose author and date never change."""

import os
import shutil
import subprocess
from pathlib import Path

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
    """Run git on this directory only, whatever the user's settings and surroundings are."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        own |= {f"GIT_{role}_NAME": AUTHOR, f"GIT_{role}_EMAIL": MAIL, f"GIT_{role}_DATE": DATE}
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, env=own, check=True, capture_output=True, text=True, timeout=60).stdout
