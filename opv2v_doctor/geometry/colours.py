"""Colours: which channel of a picture is which, and how its numbers were made of those of the files.

What was done to the colours is taken from means and deviations, not from a regression: pixels that lie a
little elsewhere, as cameras' offsets leave them, would flatten its slope.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Array

LEAST_PIXELS, MOST_PIXELS = 500, 10_000  # more say nothing new
TWICE = 2.0  # the wrong order leaves so many times more unexplained
CLEARLY = 0.01  # of the variance, and so much more
OFF, NEARER = 0.1, 3.0  # numbers that miss what they should be by so much, and less so in the other order


class Normalisation(NamedTuple):
    """value = (colour - mean) / deviation, for red, green and blue from 0 to 1."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def misses(self, other: "Normalisation") -> float:
        """How far apart two are, on average over the channels: means, and logarithms of deviations."""
        apart = [abs(one - two) for one, two in zip(self.mean, other.mean, strict=True)]
        times = [abs(math.log(one / two)) for one, two in zip(self.deviation, other.deviation, strict=True)]
        return sum([*apart, *times]) / len(apart)


class ChannelOrder(NamedTuple):
    """A picture against the colours that it should show, in one order of the channels."""

    alike: float  # the share of the variance that they explain
    seen: Normalisation  # that would make these colours the picture's numbers


class Colours(NamedTuple):
    """The same in both orders: as they should be, and with red and blue exchanged."""

    straight: ChannelOrder
    turned: ChannelOrder

    def is_exchanged(self, expected: Normalisation | None) -> bool:
        """Whether red and blue are: by what the picture shows, else by what its numbers should be."""
        right, wrong = 1 - self.straight.alike, 1 - self.turned.alike
        if abs(right - wrong) > CLEARLY and max(right, wrong) > TWICE * min(right, wrong):
            return right > wrong
        if expected is None:
            return False
        miss, other = (order.seen.misses(expected) for order in self)
        return miss > OFF and miss > NEARER * other


def colours(picture: NDArray[Any], expected: NDArray[Any]) -> Colours | None:
    """Compare pixels (N, 3) with the colours (N, 3), 0 to 1, that they should show.

    None where there are too few, or all are of one colour.
    """
    one, two = np.asarray(picture, np.float64), np.asarray(expected, np.float64)
    known = np.isfinite(one).all(-1)
    step = max(1, int(known.sum()) // MOST_PIXELS)
    one, two = one[known][::step], two[known][::step]
    if len(one) < LEAST_PIXELS or not (one.std(0) > 0).all() or not (two.std(0) > 0).all():
        return None
    return Colours(_order(one, two), _order(one, two[:, ::-1]))


def _order(one: Array, two: Array) -> ChannelOrder:
    deviation = two.std(0) / one.std(0)
    mean = two.mean(0) - one.mean(0) * deviation
    correlations = ((one - one.mean(0)) * (two - two.mean(0))).mean(0) / (one.std(0) * two.std(0))
    explained = float((correlations * np.abs(correlations)).mean())
    return ChannelOrder(explained, Normalisation(_three(mean), _three(deviation)))


def typical(found: Sequence[Normalisation]) -> Normalisation:
    """The medians over some views."""
    mean, deviation = (np.median([each[part] for each in found], axis=0) for part in range(2))
    return Normalisation(_three(mean), _three(deviation))


def _three(values: Array) -> tuple[float, ...]:
    return tuple(map(float, values))
