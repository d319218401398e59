"""A work tree against its commit: what changed, what is new, and what only programs it names could tell.

A filter (git-lfs is one) is a program that makes of a file what the index holds. It is not run. A file under
one is unchanged where its times and size are those that git noted when it last looked, or where the index
holds the hash of its content, as git-lfs writes it. Whether another one changed is not told.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from opv2v_doctor.foreign_files import bytes_of, open_file
from opv2v_doctor.git import GitRefused, GitView, Repository, locate, view

# how many fields stand before the path in a record of `git status --porcelain=v2`: changed, renamed, unmerged
FIELDS_BEFORE_PATH = {"1": 7, "2": 8, "u": 9}
REGULAR, SUBMODULE = "100", "160000"  # modes
DEEPEST = 20  # submodules in submodules
MOST_HASHED = 1 << 30  # bytes of one file
LOW = 0xFFFFFFFF  # the index notes sizes and inodes in 32 bits
_noted = re.compile(
    r"([^\0]+)\0  ctime: (\d+):(\d+)\n  mtime: (\d+):(\d+)\n  dev: \d+\tino: (\d+)\n"
    r"  uid: \d+\tgid: \d+\n  size: (\d+)\tflags: [0-9a-f]+\n"
)
_pointer = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d+)\n"
)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What differs from the commit, by names from the top of the work tree, as `os.fsdecode` gives them."""

    dirty: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()  # they changed or did not
    unpatched: tuple[str, ...] = ()  # changed or untold, and a diff would hold what no commit does
    submodules: dict[str, str] = field(default_factory=dict)  # the commit that each is at: path -> commit


def changes(seen: GitView, *, depth: int = 0) -> Changes:
    """What changed below the view's folder, submodules with it. Raises GitRefused."""
    found = own_changes(seen)
    dirty, untold, unpatched = {*found.dirty}, [*found.untold], [*found.unpatched]
    submodules = dict(found.submodules)
    for path, repository in inner_repositories(seen, found):
        try:
            if repository is None or depth == DEEPEST:
                raise GitRefused
            submodules[path] = repository.commit or submodules[path]
            with view(repository, seconds=seen.seconds) as inner:
                within = changes(inner, depth=depth + 1)
        except GitRefused:
            untold.append(path)
            continue
        if within.dirty or within.untracked:
            dirty.add(path)
        untold += (f"{path}/{name}" for name in within.untold)
        unpatched += (f"{path}/{name}" for name in within.unpatched)
    return Changes(
        dirty=tuple(sorted(dirty)),
        untracked=found.untracked,
        untold=tuple(untold),
        unpatched=tuple(unpatched),
        submodules=submodules,
    )


def own_changes(seen: GitView) -> Changes:
    """What changed below the view's folder, but for the inside of submodules.

    Files under a filter count as unchanged in the view from then on: what it says of them would be wrong.
    """
    folder = seen.repository.prefix or "."
    options = ("--porcelain=v2", "-z", "--untracked-files=all", "--ignore-submodules=dirty")
    dirty: list[str] = []
    untracked: list[str] = []
    doubtful: dict[str, str] = {}  # changed in the work tree: name -> record
    records = iter(_words(seen, "status", *options, "--", folder))
    for record in records:
        kind, _, rest = record.partition(" ")
        if kind == "?":
            untracked.append(rest)
        elif kind in FIELDS_BEFORE_PATH:
            fields = rest.split(" ", FIELDS_BEFORE_PATH[kind])
            if kind == "1" and fields[0][1] == "M" and fields[4].startswith(REGULAR):
                doubtful[fields[-1]] = rest
            dirty.append(fields[-1])
            if kind == "2":  # its old name follows; git before 2.18 finds renames whatever the config says
                dirty.append(next(records))
    filtered = _under_a_filter(seen, doubtful)
    unchanged, untold = _unchanged_and_unsure(seen, {name: doubtful[name] for name in filtered})
    if filtered:
        names = b"".join(os.fsencode(name) + b"\0" for name in filtered)
        seen.git("update-index", "--assume-unchanged", "-z", "--stdin", given=names)
    staged = {name for name, record in doubtful.items() if not record.startswith(".")}
    return Changes(
        dirty=tuple(name for name in dirty if name in staged or name not in unchanged | untold),
        untracked=tuple(untracked),
        untold=tuple(name for name in dirty if name in untold),
        unpatched=tuple(name for name in filtered if name not in unchanged),
        submodules=_gitlinks(seen, folder),
    )


def _words(seen: GitView, *words: str, given: bytes = b"") -> list[str]:
    return os.fsdecode(seen.git(*words, given=given)).split("\0")[:-1]


def _gitlinks(seen: GitView, folder: str) -> dict[str, str]:
    records = (entry.partition("\t") for entry in _words(seen, "ls-files", "--stage", "-z", "--", folder))
    return {path: words.split(" ")[1] for words, _, path in records if words.startswith(SUBMODULE)}


def inner_repositories(seen: GitView, found: Changes) -> Iterator[tuple[str, Repository | None]]:
    """The submodules that are checked out; None for one that git refuses."""
    top = os.path.realpath(seen.repository.work_tree)
    for path in found.submodules:
        folder = Path(top, path)
        if not os.path.lexists(folder / ".git") or os.path.realpath(folder) != str(folder):
            continue
        try:
            inner = locate(folder, seconds=seen.seconds)
        except GitRefused:
            inner = None
        yield path, inner if inner is not None and not inner.prefix else None


def _under_a_filter(seen: GitView, names: Iterable[str]) -> list[str]:
    """Those that git would pass through a program."""
    filters = seen.repository.filters
    given = b"".join(os.fsencode(name) + b"\0" for name in names)
    if not given or not filters:
        return []
    words = _words(seen, "check-attr", "-z", "--stdin", "filter", given=given)
    return [name for name, value in zip(words[::3], words[2::3], strict=True) if value in filters]


def _unchanged_and_unsure(seen: GitView, records: dict[str, str]) -> tuple[set[str], set[str]]:
    """Which of these are unchanged, and which may be."""
    unchanged: set[str] = set()
    untold: set[str] = set()
    if not records:
        return unchanged, untold
    fields = {name: record.split(" ", FIELDS_BEFORE_PATH["1"]) for name, record in records.items()}
    moved = sorted({*records} - _as_git_noted(seen, records))
    contents = dict(zip(moved, _contents(seen, [fields[name][6] for name in moved]), strict=True))
    for name, (_, _, _, in_index, in_tree, *_) in fields.items():
        if in_index != in_tree:  # a file's mode, which no filter changes
            continue
        file = seen.repository.work_tree / name
        same = _is_held(contents[name], file) if name in contents else True
        if same is not False:
            (unchanged if same else untold).add(name)
    return unchanged, untold


def _contents(seen: GitView, objects: list[str]) -> Iterator[bytes]:
    """What the index holds; nothing where the repository lacks it."""
    said = seen.git("cat-file", "--batch", given="".join(f"{name}\n" for name in objects).encode())
    place = 0
    while place < len(said):
        end = said.index(b"\n", place)
        _, kind, *size = said[place:end].split(b" ")
        length = int(size[0]) + 1 if kind == b"blob" else 0
        yield said[end + 1 : end + length]
        place = end + 1 + length


def _as_git_noted(seen: GitView, names: dict[str, str]) -> set[str]:
    """Those whose times, inode and size are as git noted them."""
    listed = os.fsdecode(seen.git("ls-files", "--debug", "-z"))
    trusted = seen.repository.config.get("core.trustctime", "true").lower() not in {"false", "no", "off", "0"}
    found: set[str] = set()
    for match in _noted.finditer(listed):
        if match[1] not in names:
            continue
        state = (seen.repository.work_tree / match[1]).lstat()
        changed, modified = (int(match[2]), int(match[3])), (int(match[4]), int(match[5]))
        if (
            _is_time(modified, state.st_mtime_ns)
            and (not trusted or _is_time(changed, state.st_ctime_ns))
            and (int(match[6]), int(match[7])) == (state.st_ino & LOW, state.st_size & LOW)
        ):
            found.add(match[1])
    return found


def _is_time(noted: tuple[int, int], nanoseconds: int) -> bool:
    """Whether it is the noted one, which may lack the parts of a second."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return noted[0] == seconds & LOW and noted[1] in {0, rest}


def _is_held(content: bytes, file: Path) -> bool | None:
    """Whether the index holds this file or its hash; None where it holds neither, or hashing took long."""
    pointer = _pointer.fullmatch(content)
    size = file.stat().st_size
    if size == len(content) and bytes_of(file) == content:
        return True
    if pointer is None:
        return None
    if int(pointer[2]) != size:
        return False
    if size > MOST_HASHED:
        return None
    with open_file(file) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == pointer[1].decode()
