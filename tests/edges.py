"""One line for a threshold: what lies just inside of it passes, what lies just outside does not."""

from __future__ import annotations

from collections.abc import Callable

from opv2v_doctor.result import Status

BAD = (Status.FAILED, Status.WARNED)


def assert_edge(
    threshold: float, status_at: Callable[[float], Status], *, good: str = "below", step: float = 0.02
) -> None:
    """The status at a measured value flips at the threshold, looked at `step` (relative) on both sides.

    `good` says on which side the healthy values lie. `status_at` builds an input whose measured value is the
    one given, and runs the check on it.
    """
    sign = {"below": -1, "above": 1}[good]
    inside, outside = threshold * (1 + sign * step), threshold * (1 - sign * step)
    assert status_at(inside) is Status.PASSED, f"{inside} is inside of {threshold}"
    assert status_at(outside) in BAD, f"{outside} is outside of {threshold}"
