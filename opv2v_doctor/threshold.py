"""A threshold is a number that decides a verdict, with its unit and where it comes from."""

from __future__ import annotations

import sys


class Threshold(float):
    """A number that a check compares with: it calculates as a float, and can account for itself.

    `healthy` is the value measured on what is fine that comes nearest to it, `faulty` the nearest one
    measured on what is not; None where nobody has measured it. docs/thresholds.md lists them all.
    """

    unit: str
    source: str
    healthy: float | None
    faulty: float | None
    module: str

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
        self.module = sys._getframe(1).f_globals["__name__"]  # others may import it
        return self
