"""One line for a threshold: what lies just inside of it passes, what lies just outside does not."""

from __future__ import annotations

from collections.abc import Callable, Collection

from opv2v_doctor.result import Status

BAD = (Status.FAILED, Status.WARNED)


def assert_edge(
    threshold: float,
    status_at: Callable[[float], Status],
    *,
    good: str = "below",
    step: float = 0.02,
    inside: Status = Status.PASSED,
    outside: Collection[Status] = BAD,
) -> None:
    """The status at a measured value flips at the threshold, looked at `step` (relative) on both sides.

    `good` says on which side the healthy values lie. `status_at` builds an input whose measured value is the
    one given, and runs the check on it. Where the threshold decides something else than between a pass and
    a fault, `inside` and `outside` say what.
    """
    sign = {"below": -1, "above": 1}[good]
    within, beyond = threshold * (1 + sign * step), threshold * (1 - sign * step)
    assert status_at(within) is inside, f"{within} is inside of {threshold}"
    assert status_at(beyond) in outside, f"{beyond} is outside of {threshold}"
