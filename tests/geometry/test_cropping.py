"""Tests of crops: intrinsics that follow what was done to an image, and such that do not."""

import cv2
import numpy as np
import pytest

from opv2v_doctor.geometry.cameras import Array, Pinhole
from opv2v_doctor.geometry.cropping import CROPS, Shot, crop_camera, crop_landing, cropped

FOCAL = 120.0
OPV2V = Pinhole(np.array([[335.64, 0, 400], [0, 335.64, 300], [0, 0, 1]]), 800, 600)


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


@pytest.mark.parametrize("how", CROPS)
def test_the_camera_of_a_crop_sees_what_it_shows(how: str) -> None:
    width, height = 120, 60
    after = cropped(OPV2V, how, width, height)
    pixels = after.project(OPV2V.back_project(np.array([[400.0, 300.0]]), np.ones(1)))[0]
    assert np.allclose(pixels, [[width / 2, height / 2]])  # the middle stays the middle
    scales = {"covered": (0.15, 0.15), "stretched": (0.15, 0.1), "cut": (1.0, 1.0)}[how]
    assert np.allclose(np.diag(after.intrinsics)[:2] / np.diag(OPV2V.intrinsics)[:2], scales, rtol=1e-6)


@pytest.mark.parametrize(("zoom", "corner"), [(1.0, (0, 20)), (1.06, (3, 7)), (1.3, (20, 5))])
def test_a_crop_is_found_where_its_content_lies(zoom: float, corner: tuple[int, int]) -> None:
    scale, (column, row), whole = 0.8 * zoom, corner, texture()
    part = resized(whole, scale)[row : row + 80, column : column + 160]
    claimed, expected = taken(part), taken(part, scale, corner).pinhole
    found = crop_camera(taken(whole), claimed)
    assert found is not None
    assert np.abs(found.intrinsics - expected.intrinsics).max() < 1.0
    assert crop_camera(taken(whole), claimed._replace(grey=part[::-1, ::-1].copy())) is None
