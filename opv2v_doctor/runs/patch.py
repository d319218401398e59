"""What a commit does not say about the code that runs: changes, untracked files, submodules, the remote."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from opv2v_doctor.facts.git import git_state
from opv2v_doctor.runs.digests import of_file
from opv2v_doctor.runs.secrets import without_credentials
from opv2v_doctor.target import Target

CODE = (".py", ".yaml", ".yml", ".toml", ".json", ".cfg", ".ini", ".sh", ".txt", ".cu", ".cpp", ".h")
LARGEST = 1 << 20  # bytes of an untracked file that goes into the patch
MOST_HASHED = 1 << 28  # bytes of one that is hashed
SECONDS = 120
_submodule = re.compile(r"^.([0-9a-f]{40,}) (.+?)(?: \([^()\n]*\))?$", re.MULTILINE)


def diff_patch(target: Target) -> bytes:
    """What `git apply` needs to bring the commit to what ran: changes, then untracked code as new files."""
    if git_state(target).commit is None:
        return b""
    changes = _git(target.repo, *_DIFF, "HEAD", "--", ".")
    inner = b"".join(
        _git(target.repo / name, *_DIFF, f"--src-prefix=a/{name}/", f"--dst-prefix=b/{name}/", "HEAD")
        for name in submodules(target)
        if (target.repo / name / ".git").exists()
    )
    return changes + inner + b"".join(_new_files(target))


# no program that the repository's own settings name is run
_DIFF = ("diff", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=dirty")


def _new_files(target: Target) -> Iterator[bytes]:
    """Untracked code, each file as a patch that makes it."""
    prefix = _git(target.repo, "rev-parse", "--show-prefix").decode(errors="surrogateescape").rstrip("\n")
    for name in git_state(target).untracked:
        path = target.repo / name
        if (
            path.suffix in CODE
            and path.is_file()
            and not path.is_symlink()
            and path.stat().st_size <= LARGEST
        ):
            content = path.read_bytes()
            if b"\0" not in content and content and not set(name) & set('\n\t"\\'):
                yield _new_file(prefix + name, content, executable=os.access(path, os.X_OK))


def _new_file(name: str, content: bytes, *, executable: bool) -> bytes:
    lines = content.split(b"\n")
    whole = lines[-1] == b""
    lines = lines[:-1] if whole else lines
    mode = "100755" if executable else "100644"
    head = f"diff --git a/{name} b/{name}\nnew file mode {mode}\n--- /dev/null\n+++ b/{name}"
    tab = "\t" if " " in name else ""  # git's mark for the end of a name with spaces
    body = b"".join(b"+" + line + b"\n" for line in lines)
    end = b"" if whole else b"\\ No newline at end of file\n"
    return f"{head}{tab}\n@@ -0,0 +1,{len(lines)} @@\n".encode() + body + end


def untracked_text(target: Target) -> str:
    """Every untracked file: hash, size, name."""
    return "".join(f"{line}\n" for line in _listed(target))


def _listed(target: Target) -> Iterator[str]:
    for name in git_state(target).untracked:
        path = target.repo / name
        try:
            size = path.lstat().st_size
            known = path.is_file() and not path.is_symlink() and size <= MOST_HASHED
            yield f"{of_file(path) if known else '-' * 64}  {size:>12}  {name}"
        except OSError:
            yield f"{'-' * 64}  {'gone':>12}  {name}"


def submodules(target: Target) -> dict[str, str]:
    """The commit that each submodule is at: path -> commit."""
    if git_state(target).commit is None or not any(_up(target.repo, ".gitmodules")):
        return {}
    text = _git(target.repo, "submodule", "status", "--", ".").decode(errors="replace")
    return {name: commit for commit, name in _submodule.findall(text)}


def _up(folder: Path, name: str) -> Iterator[Path]:
    return (place / name for place in (folder, *folder.parents) if (place / name).is_file())


def remote(target: Target) -> str | None:
    """Where the repository was cloned from, without credentials."""
    if git_state(target).commit is None:
        return None
    address = _git(target.repo, "config", "--get", "remote.origin.url").decode(errors="replace").strip()
    return without_credentials(address) or None


def _git(folder: Path, *words: str) -> bytes:
    """What git says; nothing where it refuses."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    options = ["-c", "core.fsmonitor=false", "-c", "core.quotePath=false"]
    done = subprocess.run(
        ["git", *options, *words],
        cwd=folder,
        env={**kept, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return done.stdout
