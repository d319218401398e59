"""The loaders that the training has made, with the steps that each of them has."""

from __future__ import annotations

from typing import Any, Callable, TypedDict

from .calls import Call
from .lines import Lines


class Known(TypedDict):
    """A loader."""

    kind: str
    name: str
    loader: Any
    length: int


class KnownLoaders:
    """Remembers each loader once, whichever function it came through."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.known: list[Known] = []

    def made(self, kind: str) -> Callable[[Call, Any], None]:
        """A hook for the function that makes loaders of this kind, or of both, as its `test` says."""
        return lambda call, loader: self.remember(
            "test" if call.get("test") else kind, loader, call.get("dataset")
        )

    def remember(self, kind: str, loader: Any, dataset: Any) -> None:
        if any(entry["loader"] is loader for entry in self.known):
            return
        number = sum(entry["kind"] == kind for entry in self.known)
        name = "{} {}".format(kind, number)
        self.known.append({"kind": kind, "name": name, "loader": loader, "length": len(loader)})
        expression = dataset if isinstance(dataset, str) else repr(dataset)
        self.lines.event("loader", name=name, length=len(loader), dataset=expression)

    def lengths(self) -> dict[str, int]:
        """Steps by name of the loader."""
        return {entry["name"]: entry["length"] for entry in self.known}
