"""Progress: where a long fact says how far it is, and a terminal may listen."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

Listener = Callable[[str, int, int], None]

_listener: ContextVar[Listener | None] = ContextVar("progress_listener", default=None)


def listen(listener: Listener | None) -> None:
    """Send what follows to this listener: (what, done, total)."""
    _listener.set(listener)


def advance(what: str, done: int, total: int) -> None:
    """Say how far a long piece of work is."""
    listener = _listener.get()
    if listener is not None:
        listener(what, done, total)
