"""Whether two trainings differ by more than rounding, and in what first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

TOLERANCE = 1e-4  # of the value: other orders of float32 sums stay below, two steps of training included
SMALLEST = 1e-6  # below, a difference is rounding
SHOWN = 3


def difference(healthy: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What one phase has otherwise than the healthy one, in words; empty where that is nothing."""
    if other["hung"]:
        return "it hangs"
    if not other["ended"]:
        return "it fails"
    for rank, (wanted, got) in enumerate(zip(healthy["ranks"], other["ranks"], strict=True)):
        names = [*wanted["values"], *(name for name in got["values"] if name not in wanted["values"])]
        found = [name for name in names if not _alike(wanted["values"].get(name), got["values"].get(name))]
        if found:
            return f"{', '.join(found[:SHOWN])} ({len(found)} values of rank {rank})"
    return ""


def _alike(one: object, other: object) -> bool:
    if not (isinstance(one, list) and isinstance(other, list) and len(one) == len(other)):
        return one == other
    if one == other:  # infinities, too
        return True
    largest = max([abs(number) for number in (*one, *other)], default=0.0)
    return math.isfinite(largest) and all(
        abs(a - b) <= SMALLEST + TOLERANCE * largest for a, b in zip(one, other, strict=True)
    )
