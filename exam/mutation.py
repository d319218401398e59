"""A mutation: one change of a repository's code, config or data, made at random within a kind."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """What is changed where; `line` is that of the changed file, 0 in one without lines."""

    kind: str
    path: str  # in the repository
    line: int = 0
    function: str = ""
    about: str  # the line as it was, or what is done to a data file
    apply: Callable[[Path], None] = field(repr=False, compare=False)
    files: tuple[str, ...] = ()  # of data: all that are changed

    @property
    def group(self) -> str:
        """code, config or data."""
        suffix = Path(self.path).suffix
        return "code" if suffix == ".py" else "config" if self.path.startswith("configs/") else "data"


def rewritten(kind: str, path: str, line: int, function: str, old: str, new: str) -> Mutation:
    """A mutation of a text file as a whole: its old and its new content."""

    def apply(repo: Path) -> None:
        if (repo / path).read_text(encoding="utf-8") != old:
            raise ValueError(f"{path} is not what the mutation was made of")
        (repo / path).write_text(new, encoding="utf-8")

    return Mutation(kind=kind, path=path, line=line, function=function, about=_diff(old, new), apply=apply)


def _diff(old: str, new: str) -> str:
    """The lines that go and come."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    return "\n".join(line for line in list(lines)[2:] if not line.startswith("@@"))
