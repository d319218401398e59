"""Explanations: which reading, differing from the right one in one or two ways, a panorama was made by."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from opv2v_doctor.geometry.readings import Reading

CLEARLY = 0.5  # an explanation leaves at most this part of the error
ENOUGH = 0.15  # where no more is left of the error, nothing else is tried
SIMPLER = 0.7  # a second step must leave at most this part of what the first one left
SMALLEST = 0.004  # an error that falls by less is not worth an explanation
KEPT = 4  # pairs that a rough look finds best are looked at closely

Judge = Callable[[Reading], float]


@dataclass(frozen=True)
class Explanation:
    """The reading that explains panoramas best, and the errors of the right reading and of this one."""

    reading: Reading
    right: Reading
    before: float
    after: float

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done wrong: the fields of the reading that differ; none where nothing is claimed."""
        return self.reading.changes(self.right)


def explanation(
    right: Reading,
    single: Callable[[], Sequence[Reading]],
    close: Judge,
    rough: Judge,
    turned: Callable[[], Sequence[Reading]],
    seen: Sequence[Reading] = (),
) -> Explanation:
    """Try what was seen elsewhere, then single changes of the right reading, turned panoramas, and pairs.

    ``close`` and ``rough`` judge a reading by many and by few pixels. Nothing is claimed where no reading
    explains clearly: the reading is the right one then.
    """
    before = close(right)
    nothing = Explanation(right, right, before, before)
    if before < SMALLEST:
        return nothing
    after, reading = _best(right, single, close, rough, turned, seen, before)
    if after > CLEARLY * before or before - after < SMALLEST:
        return nothing
    return _with_a_third(Explanation(reading, right, before, after), single(), close)


def _best(
    right: Reading,
    single: Callable[[], Sequence[Reading]],
    close: Judge,
    rough: Judge,
    turned: Callable[[], Sequence[Reading]],
    seen: Sequence[Reading],
    before: float,
) -> tuple[float, Reading]:
    """The best reading and its error; the search ends where almost nothing of the error is left."""
    best = (before, right)
    tried: list[Reading] = []
    steps: tuple[Callable[[], Iterable[Reading]], ...] = (lambda: seen, single, turned)
    for more in steps:
        candidates = list(more())
        tried += candidates
        best = min([best, *((close(reading), reading) for reading in candidates)], key=_error)
        if best[0] < ENOUGH * before:
            return best
    return _best_pair(best, right, tried, close, rough)


def _error(found: tuple[float, Reading]) -> float:
    return found[0]


def _best_pair(
    alone: tuple[float, Reading], right: Reading, single: Sequence[Reading], close: Judge, rough: Judge
) -> tuple[float, Reading]:
    """The best pair of changes where that is clearly better than the best one alone."""
    pairs = sorted(((rough(pair), pair) for pair in dict.fromkeys(_pairs(right, single))), key=_error)
    together = min(((close(pair), pair) for _, pair in pairs[:KEPT]), key=_error, default=alone)
    better = together[0] < SIMPLER * alone[0] and alone[0] - together[0] > SMALLEST
    return together if better else alone


def _pairs(right: Reading, single: Sequence[Reading]) -> Iterator[Reading]:
    """Two changes of different fields at once."""
    for one, two in combinations(single, 2):
        names = two.changes(right)
        if not set(names) & set(one.changes(right)):
            yield replace(one, **{name: getattr(two, name) for name in names})


def _with_a_third(found: Explanation, single: Sequence[Reading], close: Judge) -> Explanation:
    """One more change, where it helps as clearly."""
    if found.after < SMALLEST:
        return found
    for one in single:
        names = one.changes(found.right)
        if not set(names) & set(found.steps):
            more = replace(found.reading, **{name: getattr(one, name) for name in names})
            error = close(more)
            if error < CLEARLY * found.after and found.after - error > SMALLEST:
                return Explanation(more, found.right, found.before, error)
    return found
