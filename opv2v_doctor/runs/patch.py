"""What a commit does not say about the code that runs: changes, untracked files, submodules, the remote."""

from __future__ import annotations

import os
from collections.abc import Iterator

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.source.commit import git_state, open_view
from opv2v_doctor.facts.source.work_tree import inner_repositories, own_changes
from opv2v_doctor.foreign_files import bytes_of
from opv2v_doctor.git import GitRefused, GitView, view
from opv2v_doctor.runs.digests import of_file
from opv2v_doctor.runs.secrets import without_credentials
from opv2v_doctor.target import Target

CODE = (".py", ".yaml", ".yml", ".toml", ".json", ".cfg", ".ini", ".sh", ".txt", ".cu", ".cpp", ".h")
LARGEST = 1 << 20  # bytes of an untracked file that goes into the patch
MOST_HASHED = 1 << 28  # bytes of one that is hashed


def diff_patch(target: Target) -> bytes:
    """What `git apply` needs to bring the commit to what ran: changes, then untracked code as new files.

    Raises Blocked where git cannot tell the changes.
    """
    if git_state(target).commit is None:
        return b""
    try:
        with open_view(target) as seen:
            return b"".join([*_changes(seen, ""), *_new_files(target, seen.repository.prefix)])
    except (GitRefused, OSError) as problem:
        raise Blocked(
            "git diff: {problem}",
            hint="fetch what a partial clone lacks: `git diff HEAD` in {repo}",
            problem=" ".join(str(problem).split()),
            repo=target.repo,
        ) from None


# no program that the repository's own settings name is run
_DIFF = ("diff", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=dirty")


def _changes(seen: GitView, at: str) -> Iterator[bytes]:
    """The changes below the view's folder, then those inside its submodules."""
    found = own_changes(seen)
    prefixes = (f"--src-prefix=a/{at}", f"--dst-prefix=b/{at}")
    yield seen.git(*_DIFF, *prefixes, "HEAD", "--", seen.repository.prefix or ".")
    for path, repository in inner_repositories(seen, found):
        if repository is not None and repository.commit:
            with view(repository, seconds=seen.seconds) as inner:
                yield from _changes(inner, f"{at}{path}/")


def _new_files(target: Target, prefix: str) -> Iterator[bytes]:
    """Untracked code, each file as a patch that makes it."""
    for name in git_state(target).untracked:
        path = target.repo / name
        if (
            path.suffix in CODE
            and path.is_file()
            and not path.is_symlink()
            and path.stat().st_size <= LARGEST
        ):
            content = bytes_of(path)
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
    """Every file that is neither in the commit nor in the patch, or may not be: hash, size, name."""
    return "".join(f"{line}\n" for line in _list(target))


def _list(target: Target) -> Iterator[str]:
    state = git_state(target)
    for name in (*state.untracked, *state.unpatched):
        path = target.repo / name
        try:
            size = path.lstat().st_size
            known = path.is_file() and not path.is_symlink() and size <= MOST_HASHED
            yield f"{of_file(path) if known else '-' * 64}  {size:>12}  {name}"
        except OSError:
            yield f"{'-' * 64}  {'gone':>12}  {name}"


def submodules(target: Target) -> dict[str, str]:
    """The commit that each submodule is at: path -> commit."""
    return dict(git_state(target).submodules)


def remote(target: Target) -> str | None:
    """Where the repository was cloned from, without credentials."""
    state = git_state(target)
    return without_credentials(state.remote) or None if state.commit and state.remote else None
