"""Git under fuzz: whatever lies in .git, nothing of it runs, nothing is written, and there is an answer."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from fuzz import Subject, corpus
from fuzz.bundles import bundle, put, unbundle
from fuzz.mutations import mutated
from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.source.commit import git_state
from opv2v_doctor.runs.patch import diff_patch, untracked_text
from opv2v_doctor.target import Target

SECONDS = 30.0  # for an answer about a repository of three files, on a busy machine
PATIENCE = 5.0  # seconds that git may take for one question
CANARY = b"CANARY"  # in an input: the program that must not run
WORDS = (
    b"\n[include]\n\tpath = config\n",
    b"\n[core]\n\tworktree = /\n",
    b"\tbare = true\n",
    b"\0",
    b"\xff",
    b"\n",
    b"\n[core]\n\tfsmonitor = CANARY\n\thooksPath = hooks\n\tsshCommand = CANARY\n\tpager = CANARY\n",
    b'\n[filter "x"]\n\tclean = CANARY\n\tprocess = CANARY\n\trequired = true\n',
    b"* filter=x diff=x\n",
    b'\n[diff "x"]\n\ttextconv = CANARY\n\tcommand = CANARY\n',
    b"\n[diff]\n\texternal = CANARY\n",
    b'\n[remote "origin"]\n\turl = ext::CANARY\n\tpromisor = true\n',
    b"\n[alias]\n\tstatus = !CANARY\n",
    b"\n[extensions]\n\tworktreeConfig = true\n\tpartialClone = origin\n\tobjectFormat = sha256\n",
    b"TREE",
    b"ref: refs/heads/../../../x\n",
    b"ref: HEAD\n",
    b"0" * 40,
    b"DIRC\0\0\0\2",
    b"link",
    b"FSMN",
    b"sdir",
    b"\n=== .git/config.worktree\n",
    b"\n=== .git/info/attributes\n",
    b"\n=== .gitattributes\n",
    b"\n=== .git/objects/info/alternates\n/\n",
    b"\n=== .git/commondir\n",
    b"\n=== .git/hooks/post-index-change\n",
    b"\n=== .git/shallow\n",
    b"\n=== .git/refs/heads/main\n",
    b"\n=== .gitmodules\n",
    b"\n=== .git/packed-refs\n",
)


def seeds() -> Sequence[bytes]:
    """The corpus: small repositories as bundles of files, and what was found."""
    return corpus("git")


def mutation(seeds: Sequence[bytes], random: Random) -> bytes:
    """One repository, some of its files changed."""
    files = unbundle(random.choice(seeds))
    for name in random.sample(sorted(files), min(len(files), random.choice((1, 1, 2, 4)))):
        files[name] = mutated(files[name], [*files.values()], WORDS, random)
    return bundle(files)


def examine(content: bytes, folder: Path) -> None:
    """Its state and its patch; afterwards all files are as they were, and no canary has sung."""
    repo, song = folder / "repo", folder / "song"
    canary = folder / "canary"
    canary.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{song}'\n")
    canary.chmod(0o755)
    for needed in ("refs", "objects"):  # without these folders git takes it for no repository
        (repo / ".git" / needed).mkdir(parents=True)
    for name, body in unbundle(content).items():
        put(name, body.replace(CANARY, os.fsencode(canary)), repo)
        if name.startswith(".git/hooks/"):
            with contextlib.suppress(OSError, ValueError):
                (repo / name).chmod(0o755)
    before, begun = _digest(repo), time.monotonic()
    target = Target(repo=repo, python=Path(sys.executable), timeout=PATIENCE)
    state = git_state(target)
    str(state.text)
    with contextlib.suppress(Blocked):
        diff_patch(target)
    untracked_text(target)
    target.state.forget()
    assert not song.exists(), f"it ran: {song.read_text()}"
    assert _digest(repo) == before, "the repository was changed"
    assert time.monotonic() - begun < SECONDS, "it took too long"


def _digest(folder: Path) -> str:
    """Of all names, kinds and contents below a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = os.fsencode(path.readlink()) if path.is_symlink() else b""
        found.update(os.fsencode(path) + b"\0" + (path.read_bytes() if path.is_file() else content) + b"\0")
    return found.hexdigest()


SUBJECT = Subject(name="git", suffix=".git", seeds=seeds, mutated=mutation, examine=examine)
