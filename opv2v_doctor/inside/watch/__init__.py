"""The watch: lives in the training process, records what its log never says, and changes nothing.

It imports nothing of ours and nothing but the standard library until the training has imported torch itself.
"""

from __future__ import annotations

from typing import Any

from .import_hook import Finder
from .points import Points


def install(settings: dict[str, Any]) -> None:
    """Watch this process: functions are wrapped as soon as their modules have been imported."""
    points = Points(settings)
    points.guard(points.begin)
    Finder(points.by_module(), points.lacking).install()
