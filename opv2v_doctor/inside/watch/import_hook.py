"""The import hook: calls us when a module that we wait for has been imported, before its importer sees it."""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any, Callable, Iterator, Mapping


class Finder:
    """Finds nothing itself; asks the other finders, and adds our call to the loader that they found."""

    def __init__(
        self, wanted: Mapping[str, Callable[[ModuleType], None]], lacking: Callable[[str, str], None]
    ) -> None:
        self.wanted = dict(wanted)
        self.lacking = lacking

    def install(self) -> None:
        """Go first, and take what has been imported already."""
        sys.meta_path.insert(0, self)
        for name in [name for name in self.wanted if name in sys.modules]:
            self.wanted.pop(name)(sys.modules[name])

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec of a module that we wait for; None, which passes it on, for all others."""
        if name not in self.wanted:
            return None
        spec = next(filter(None, self.found(name, path, target)), None)
        if spec is not None and spec.loader is not None:
            self.extend(spec.loader, name)
        return spec

    def found(self, name: str, path: Any, target: Any) -> Iterator[Any]:
        for finder in [finder for finder in sys.meta_path if finder is not self]:
            if hasattr(finder, "find_spec"):
                yield finder.find_spec(name, path, target)

    def extend(self, loader: Any, name: str) -> None:
        """The loader of this one module stays what it is, and does one thing more."""
        execute = loader.exec_module

        @functools.wraps(execute)
        def exec_module(module: ModuleType) -> None:
            execute(module)
            arrived = self.wanted.pop(name, None)
            if arrived is not None:
                arrived(module)

        try:
            loader.exec_module = exec_module
        except AttributeError:
            self.lacking(name, "its loader cannot be extended")
