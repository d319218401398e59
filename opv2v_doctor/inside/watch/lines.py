"""Lines of JSON, each appended with one write, so that ranks and readers never see half of one."""

from __future__ import annotations

import json
import math
import os
import time
from typing import Any, Mapping

from . import ranks


class Lines:
    """A file of JSON lines that all ranks append to."""

    def __init__(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        size = os.fstat(self.descriptor).st_size
        if (
            size and os.pread(self.descriptor, 1, size - 1) != b"\n"
        ):  # its writer was killed, or the disk was full
            os.write(self.descriptor, b"\n")

    def append(self, content: Mapping[str, Any]) -> None:
        """One object, one line, one write."""
        text = json.dumps(plain(content), ensure_ascii=False)
        os.write(self.descriptor, (text + "\n").encode("utf-8", "backslashreplace"))

    def event(self, event: str, /, **facts: Any) -> None:
        """Something that happened now, in this rank."""
        self.append(dict({"time": round(time.time(), 3), "rank": ranks.rank(), "event": event}, **facts))

    def earlier(self) -> list[dict[str, Any]]:
        """The lines that were there before; a broken one is left out."""
        found = []
        with open(self.path, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue
        return [line for line in found if isinstance(line, dict)]


def plain(value: Any) -> Any:
    """A value as JSON knows it; NaN and infinity, which it does not know, become words."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
