"""The page of all thresholds: the numbers that decide verdicts, found in the modules that define them."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterator
from importlib import import_module

import opv2v_doctor
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.threshold import Threshold

HEAD = """# Thresholds

What decides a verdict, where it comes from, and the values that were measured next to it.
Bounds that a user may set (`masks.floor`, `poses.farthest`, ...) stand in `opv2v-doctor.toml`.
"""


def every_threshold() -> Iterator[tuple[str, Threshold]]:
    """(where it is defined, threshold) of all that the installed checks and their facts compare with."""
    installed_checks()
    for package in ("audit", "facts", "geometry", "smoke"):
        folder = f"opv2v_doctor.{package}"
        for found in pkgutil.walk_packages(import_module(folder).__path__, f"{folder}."):
            import_module(found.name)
    root = f"{opv2v_doctor.__name__}."
    for name, module in sorted(sys.modules.items()):
        for word, value in list(vars(module).items()) if name.startswith(root) else ():
            if isinstance(value, Threshold) and word.isupper():
                yield f"{name.removeprefix(root)}.{word}", value


def page() -> Iterator[str]:
    """All thresholds as a table in Markdown; one that several modules import stands where it is defined."""
    seen: set[int] = set()
    yield HEAD
    yield "| threshold | value | unit | where it comes from | nearest healthy | nearest faulty |"
    yield "|---|---|---|---|---|---|"
    for place, threshold in every_threshold():
        if id(threshold) not in seen:
            seen.add(id(threshold))
            measured = ["" if one is None else f"{one:g}" for one in (threshold.healthy, threshold.faulty)]
            cells = (f"`{place}`", f"{float(threshold):g}", threshold.unit, threshold.source, *measured)
            yield f"| {' | '.join(cells)} |"
