"""The error for words of the user that cannot be followed: a wrong option, setting or path. Exit code 2."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

NEAREST = 3  # names that may have been meant
FEW = 25  # names that are listed


class UsageError(Exception):
    """What the user asked for cannot be done; the message names the word and what would be right."""


def unknown(kind: str, word: str, known: Iterable[str], where: str = "") -> UsageError:
    """Say which word is unknown, which ones are close to it, and which exist, or `where` many are listed."""
    names = sorted(known)
    near = get_close_matches(word, names, n=NEAREST) or [name for name in names if word and word in name]
    guess = f"; did you mean {' or '.join(map(repr, near[:NEAREST]))}?" if near else ""
    listed = len(names) <= FEW or not where
    told = f"known: {', '.join(names)}" if listed else f"`{where}` lists all"
    return UsageError(f"unknown {kind} {word!r}{guess} ({told})")
