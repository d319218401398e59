"""A threshold is a number that decides a verdict, with its unit and where it comes from."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterator
from importlib import import_module


class Threshold(float):
    """A number that a check compares with: it calculates as a float, and can account for itself.

    `healthy` is the value measured on what is fine that comes nearest to it, `faulty` the nearest one
    measured on what is not; None where nobody has measured it. docs/thresholds.md lists them all.
    """

    unit: str
    source: str
    healthy: float | None
    faulty: float | None

    def __new__(
        cls,
        value: float,
        unit: str,
        source: str,
        *,
        healthy: float | None = None,
        faulty: float | None = None,
    ) -> Threshold:
        self = super().__new__(cls, value)
        self.unit, self.source, self.healthy, self.faulty = unit, source, healthy, faulty
        return self


def every_threshold() -> Iterator[tuple[str, Threshold]]:
    """(where it is defined, threshold) of all that the installed checks and their facts compare with."""
    import opv2v_doctor
    from opv2v_doctor.registry import installed_checks

    installed_checks()
    for package in ("audit", "facts", "geometry", "smoke"):
        folder = f"opv2v_doctor.{package}"
        for module in pkgutil.walk_packages(import_module(folder).__path__, f"{folder}."):
            import_module(module.name)
    root = f"{opv2v_doctor.__name__}."
    for name, module in sorted(sys.modules.items()):
        for word, value in list(vars(module).items()) if name.startswith(root) else ():
            if isinstance(value, Threshold) and word.isupper():
                yield f"{name.removeprefix(root)}.{word}", value


def table() -> Iterator[str]:
    """All thresholds as a table in Markdown; one that several modules import stands where it is defined."""
    seen: set[int] = set()
    yield "| threshold | value | unit | where it comes from | nearest healthy | nearest faulty |"
    yield "|---|---|---|---|---|---|"
    for place, threshold in every_threshold():
        if id(threshold) not in seen:
            seen.add(id(threshold))
            measured = ["" if one is None else f"{one:g}" for one in (threshold.healthy, threshold.faulty)]
            cells = (f"`{place}`", f"{float(threshold):g}", threshold.unit, threshold.source, *measured)
            yield f"| {' | '.join(cells)} |"
