"""Neutral: text of others as neither a terminal nor a spreadsheet obeys it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, TextIO, cast

# what moves a cursor, repaints, or turns the direction of the text around it; a line's end and tabs stay
_COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\N{ARABIC LETTER MARK}\N{LEFT-TO-RIGHT MARK}\N{RIGHT-TO-LEFT MARK}"
    "\N{LINE SEPARATOR}-\N{RIGHT-TO-LEFT OVERRIDE}\N{LEFT-TO-RIGHT ISOLATE}-\N{POP DIRECTIONAL ISOLATE}]"
)
_DRAWN = re.compile(
    r"(\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\x07\x1b]*\x1b\\|\r)"
)  # as rich draws: colours, cursor, links
_FORMULA = tuple("=+-@\t\r")


def neutral(text: str) -> str:
    r"""The text, every command to a terminal spelled out as `\u001b`, which in JSON means the same."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def printable(text: str) -> str:
    r"""The text in one line, with every control, line-breaking or invisible character spelled out, as `\x1b`.

    Messages quote logs and files: raw, they could repaint a terminal or forge a line of the report.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def cell(value: Any) -> Any:
    """What stands in a cell of a CSV table: text that a spreadsheet would compute gets a `'` before it.

    Numbers stay numbers, also where they are written as text, as `-1`.
    """
    if not isinstance(value, str):
        return value
    text = neutral(value)
    if text.startswith(_FORMULA) or value.startswith(_FORMULA):
        try:
            float(text)
        except ValueError:
            return f"'{text}"
    return text


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows under one another, columns as wide as their widest entry on a terminal."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (word + " " * (width - cell_len(word)) for word, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


class Plain(io.TextIOWrapper):
    """A standard stream that passes on text, and no command to a terminal but what is drawn on its canvas."""

    buffer = None  # type: ignore[assignment]  # typer would write past us, where the encoding is ASCII

    def write(self, text: str) -> int:
        super().write(neutral(text))
        return len(text)

    def draw(self, text: str) -> int:
        """Write what we drew ourselves: colours, a live line."""
        parts = _DRAWN.split(text)
        parts[::2] = map(neutral, parts[::2])
        super().write("".join(parts))
        return len(text)


def canvas(stream: TextIO) -> TextIO:
    """The stream to draw on: what is written there is drawn."""
    return cast("TextIO", _Canvas(stream)) if isinstance(stream, Plain) else stream


class _Canvas:
    def __init__(self, stream: Plain) -> None:
        self._stream, self.write = stream, stream.draw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
