"""Functions that are replaced by those that tell of their calls, wherever they were taken to."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Callable

Make = Callable[[Callable[..., Any]], Callable[..., Any]]  # a watched function of the original


def replaced(owner: Any, name: str, make: Make) -> None:
    """Put a watched function in the place of one that a module, a class or an object has, if it has it."""
    original = getattr(owner, name, None)
    if callable(original):
        watched = make(original)
        setattr(owner, name, watched)
        if isinstance(owner, ModuleType):
            replace_aliases(original, watched)


def replace_aliases(original: Callable[..., Any], watched: Callable[..., Any]) -> None:
    """Modules that took the name from its own module."""
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        if names.get("__file__") is None and names.get("__name__") != "__main__":
            continue
        for name in [name for name, value in list(names.items()) if value is original]:
            setattr(module, name, watched)
