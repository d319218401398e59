"""Tests of colours: channels in the wrong order, and numbers that were made in another way."""

import numpy as np
import pytest
from numpy.typing import NDArray

from opv2v_doctor.geometry.colours import Normalisation, colours

NAMED = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
Array = NDArray[np.float64]


@pytest.fixture
def shown() -> Array:
    """Colours (N, 3) of a street: sky and leaves beside much grey."""
    random = np.random.default_rng(0)
    grey = random.uniform(0.1, 0.9, (4000, 1)) * [1.0, 0.97, 0.9]
    sky = random.uniform(0.6, 0.9, (1000, 1)) * [0.6, 0.8, 1.0]
    return np.concatenate([grey, sky])


def normalised(values: Array, rule: Normalisation = NAMED) -> Array:
    return (values - rule.mean) / rule.deviation


def test_what_was_done_to_the_colours_is_told(shown: Array) -> None:
    found = colours(normalised(shown), shown)
    assert found is not None
    assert found.straight.seen.misses(NAMED) == pytest.approx(0, abs=1e-9)
    assert found.straight.alike == pytest.approx(1)
    assert not found.is_exchanged(NAMED)
    assert not found.is_exchanged(None)


@pytest.mark.parametrize("expected", [NAMED, None])
def test_red_and_blue_that_are_exchanged_are_told(expected: Normalisation | None, shown: Array) -> None:
    found = colours(normalised(shown[:, ::-1]), shown)
    assert found is not None
    assert found.is_exchanged(expected)
    assert found.turned.seen.misses(NAMED) == pytest.approx(0, abs=1e-9)


def test_an_image_without_hues_is_told_by_its_numbers_alone(shown: Array) -> None:
    tinted = shown[:, :1] * [1.0, 0.8, 0.6]
    found = colours(normalised(tinted[:, ::-1]), tinted)
    assert found is not None
    assert found.is_exchanged(NAMED)
    assert not found.is_exchanged(None)


def test_pixels_that_lie_a_little_elsewhere_change_no_numbers(shown: Array) -> None:
    found = colours(normalised(np.roll(np.sort(shown, 0), 40, 0)), np.sort(shown, 0))
    assert found is not None
    assert found.straight.seen.misses(NAMED) < 0.02


@pytest.mark.parametrize("pixels", [10, 5000])
def test_too_few_pixels_and_flat_ones_tell_nothing(pixels: int, shown: Array) -> None:
    flat = np.full((pixels, 3), 0.5)
    assert colours(flat, shown[:pixels]) is None
