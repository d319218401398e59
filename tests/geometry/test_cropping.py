"""Tests of crops: intrinsics that follow what was done to an image, and such that do not."""

import cv2
import numpy as np
import pytest

from opv2v_doctor.geometry.cameras import Array, Pinhole
from opv2v_doctor.geometry.cropping import Shot, crop_landing

FOCAL = 120.0


def texture() -> Array:
    """A picture (150, 200) of blots of many sizes."""
    random = np.random.default_rng(4)
    coarse = cv2.resize(random.uniform(0, 200, (15, 20)), (200, 150), interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(random.uniform(0, 80, (50, 66)), (200, 150), interpolation=cv2.INTER_LINEAR)
    return np.asarray(coarse + fine, np.float64)


def taken(grey: Array, scale: float = 1.0, corner: tuple[float, float] = (0, 0)) -> Shot:
    """An image that was scaled, then cut at a corner (column, row), with the intrinsics that follow that."""
    matrix = np.array(
        [[FOCAL * scale, 0, 100 * scale - corner[0]], [0, FOCAL * scale, 75 * scale - corner[1]], [0, 0, 1]]
    )
    return Shot(grey, Pinhole(matrix, grey.shape[1], grey.shape[0]))


def resized(grey: Array, scale: float) -> Array:
    size = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))


def test_intrinsics_that_follow_a_resize_and_a_crop_land_on_their_content() -> None:
    cut = resized(texture(), 0.8)[30:90, 20:150]
    found, pixels = crop_landing(taken(texture()), taken(cut, 0.8, (20, 30)), np.random.default_rng(0))
    assert found.points > 30
    assert found.here > 0.95
    assert found.best == found.here
    assert pixels == 0


@pytest.mark.parametrize("corner", [(20, 24), (26, 30)])
def test_a_corner_that_is_not_subtracted_is_measured(corner: tuple[float, float]) -> None:
    cut = texture()[30:120, 20:180]
    found, pixels = crop_landing(taken(texture()), taken(cut, 1.0, corner), np.random.default_rng(0))
    assert found.best > found.here + 0.1
    assert pixels == pytest.approx(np.hypot(corner[0] - 20, corner[1] - 30), abs=1.2)


def test_a_scale_that_is_not_multiplied_is_measured() -> None:
    found, _ = crop_landing(
        taken(texture()), taken(resized(texture(), 1.1), 1.0, (-10, -7.5)), np.random.default_rng(0)
    )
    assert found.placing.zoom == pytest.approx(1.1, abs=0.02)
