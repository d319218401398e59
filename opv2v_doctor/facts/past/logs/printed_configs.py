"""The config that a training prints when it starts, put together again from its lines."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from opv2v_doctor.facts.source.parsing import parsed_expression

LONGEST = 1 << 20  # characters


class PrintedConfig:
    """Told every line that is not a line of metrics, it finds the config that was printed last.

    The training prints `str(config).replace(", ", ",\\n")`: joining the lines with a space undoes it.
    """

    def __init__(self) -> None:
        self.values: Mapping[str, Any] = {}
        self._lines: list[str] = []
        self._depth = self._length = 0

    def read(self, text: str) -> None:
        """Take in a line."""
        if not self._lines and not text.startswith("{'"):
            return
        self._lines.append(text)
        self._length += len(text)
        self._depth += text.count("{") - text.count("}")
        if self._depth <= 0:
            self._finish()
        elif self._length > LONGEST:
            self._forget()

    def _finish(self) -> None:
        try:
            found = ast.literal_eval(parsed_expression(" ".join(self._lines)))
        except (ValueError, SyntaxError, RecursionError, TypeError):
            found = None
        if isinstance(found, dict) and "train_params" in found:
            self.values = found
        self._forget()

    def _forget(self) -> None:
        self._lines, self._depth, self._length = [], 0, 0
