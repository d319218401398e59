"""The error for words of the user that cannot be followed: a wrong option, setting or path. Exit code 2."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(Exception):
    """What the user asked for cannot be done; the message names the word and what would be right."""


def unknown(kind: str, word: str, known: Iterable[str]) -> UsageError:
    """Say which word is unknown, which one is close to it, and which exist."""
    names = sorted(known)
    near = get_close_matches(word, names, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    return UsageError(f"unknown {kind} {word!r}{guess} (known: {', '.join(names)})")
