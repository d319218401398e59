"""Frames: the lines of the training that lead to something, and a dictionary that tells who sets an entry."""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any, Callable, Dict


def frames(most: int = 12) -> list[list[Any]]:
    """The lines that lead here, innermost first: [file, line, function]; none of what is installed."""
    found: list[list[Any]] = []
    frame: FrameType | None = sys._getframe(1)
    here = os.path.dirname(os.path.abspath(__file__))
    while frame is not None and len(found) < most:
        file = frame.f_code.co_filename
        if (
            not file.startswith((here, "<"))
            and "site-packages" not in file
            and not file.startswith((sys.prefix, sys.base_prefix))
        ):
            found.append([os.path.abspath(file), frame.f_lineno, frame.f_code.co_name])
        frame = frame.f_back
    return found


class Noting(Dict[str, Any]):
    """A dictionary that remembers the lines that set, or took, one of its entries last."""

    def __init__(
        self, entries: Dict[str, Any], key: str, noted: Callable[[list[list[Any]]], None], takes: bool = False
    ) -> None:
        super(Noting, self).__init__(entries)
        self.key, self.noted, self.takes = key, noted, takes

    def __setitem__(self, key: str, value: Any) -> None:
        if key == self.key:
            self.noted(frames())
        super(Noting, self).__setitem__(key, value)

    def __getitem__(self, key: str) -> Any:
        if key == self.key and self.takes:
            self.noted(frames())
        return super(Noting, self).__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        if key == self.key and self.takes:
            self.noted(frames())
        return super(Noting, self).get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        if key == self.key and self.takes:
            self.noted(frames())
        return super(Noting, self).pop(key, *default)

    def __reduce__(self) -> Any:
        return dict, (dict(self),)
