"""Wrapping: where a line of a report is broken: at words, and in a script without spaces at characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len

_ideograph = "\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_opening, _closing = "（「『《〈【“‘", "，。；：！？、）」』》〉】”’"
# what stays together: a word or an ideograph, with the blanks and brackets before it, and what closes it
_unit = re.compile(
    rf"\s*[{_opening}]*(?:[{_ideograph}]|[^\s{_ideograph}{_opening}{_closing}]+)?[{_closing}]*", re.DOTALL
)


def breaks(text: str, width: int, hanging: int) -> Iterator[int]:
    """Where the lines behind the first begin, `hanging` columns of them being blank.

    A word that is longer than a line stays whole: it may be a path, a command or a link.
    """
    taken, first = 0, True
    for unit in _unit.finditer(text):
        columns = cell_len(unit[0])
        if not first and unit[0] and taken + columns > width:
            start = unit.start() + len(unit[0]) - len(unit[0].lstrip())
            yield start
            taken = hanging + cell_len(unit[0].lstrip())
        else:
            taken += columns
        first = False
