"""Whatever a dataset does wrong with depth maps is named, alone and in pairs, and nothing else is."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Cylinder
from opv2v_doctor.geometry.explanations import Explanation, explanation
from opv2v_doctor.geometry.poses import invert
from opv2v_doctor.geometry.readings import DepthMaps, Reading, error_of, real_rays, residuals, some_pixels
from opv2v_doctor.geometry.restitching import ranges_by
from opv2v_doctor.geometry.rigs import MountedCamera

from .rooms import hall, rig, views

PANORAMA = Cylinder(252, 63)
CAMERAS = list(rig(400, 300).values())
RIGHT = Reading()
SINGLE = [
    Reading(depth="range"),
    Reading(offsets="ignored"),
    Reading(offsets="added"),
    Reading(scale=1000.0),
    Reading(mirrored=True),
    Reading(flipped=True),
    Reading(turn=30.0),
    Reading(crop="252x63 cut"),
    Reading(source="another frame"),
]
PAIRS = [
    Reading(depth="range", offsets="added"),
    Reading(depth="range", mirrored=True),
    Reading(offsets="ignored", turn=30.0),
    Reading(scale=1000.0, flipped=True),
    Reading(depth="range", crop="252x63 cut"),
]


@cache
def source(moved: float = 0.0) -> DepthMaps:
    """z-depth of the hall as the rig's cameras see it; another frame is that of a rig that has moved on."""
    depths = []
    for camera in CAMERAS:
        place, directions = views(camera)
        depths.append(hall(place + np.array([0, 0, moved]), directions).astype(np.float32))
    return depths


def spoilt(values: NDArray[Any], noise: float, dropped: float) -> NDArray[Any]:
    """With noise, and with a share of the pixels unknown."""
    random = np.random.default_rng(1)
    changed = values * (1 + noise * random.standard_normal(values.shape))
    return np.where(random.random(values.shape) < dropped, 0, changed)


def noisy(noise: float, dropped: float) -> DepthMaps:
    return [spoilt(depth, noise, dropped) for depth in source() if depth is not None]


def diagnosed(ranges: NDArray[Any], own: DepthMaps) -> Explanation:
    sources = {"own": own, "another frame": source(1.5)}

    def judge(count: int) -> Callable[[Reading], float]:
        pixels = some_pixels(PANORAMA, ranges, count)
        return lambda reading: error_of(residuals(reading, pixels, CAMERAS, sources[reading.source]))

    return explanation(RIGHT, lambda: SINGLE, judge(1500), judge(300), list)


def made(reading: Reading, own: DepthMaps) -> NDArray[np.float32]:
    """The panorama that a dataset of this reading makes."""
    taken = source(1.5) if reading.source == "another frame" else own
    ranges, cylinder = ranges_by(reading, CAMERAS, taken, PANORAMA)
    assert cylinder == PANORAMA
    return ranges


@pytest.mark.parametrize("wrong", [*SINGLE, *PAIRS], ids=lambda reading: "-".join(reading.changes(RIGHT)))
def test_a_wrong_reading_is_named(wrong: Reading) -> None:
    found = diagnosed(made(wrong, source()), source())
    assert found.steps == wrong.changes(RIGHT)
    assert found.reading == wrong
    assert found.after < 0.3 * found.before


@pytest.mark.parametrize(
    ("noise", "dropped"), [(0.0, 0.0), (0.02, 0.0), (0.05, 0.0), (0.0, 0.9), (0.02, 0.9)]
)
def test_nothing_is_claimed_of_sound_panoramas(noise: float, dropped: float) -> None:
    ranges = spoilt(made(RIGHT, source()), noise, dropped)
    assert diagnosed(ranges, noisy(noise, dropped)).steps == ()


@pytest.mark.parametrize("wrong", [SINGLE[0], SINGLE[1], PAIRS[1]], ids=str)
def test_noise_hides_no_wrong_reading(wrong: Reading) -> None:
    found = diagnosed(spoilt(made(wrong, source()), 0.02, 0.9), noisy(0.01, 0.5))
    assert found.steps == wrong.changes(RIGHT)


def test_what_no_reading_explains_is_not_explained() -> None:
    found = diagnosed(np.sqrt(made(RIGHT, source())), source())
    assert found.steps == ()
    assert found.after == found.before > 0.05


def test_what_was_seen_elsewhere_is_tried_first() -> None:
    ranges, wrong = made(PAIRS[0], source()), PAIRS[0]
    pixels, tried = some_pixels(PANORAMA, ranges, 500), []

    def judge(reading: Reading) -> float:
        tried.append(reading)
        return error_of(residuals(reading, pixels, CAMERAS, source()))

    assert explanation(RIGHT, lambda: SINGLE[:4], judge, judge, list, [wrong]).reading == wrong
    assert tried[:2] == [RIGHT, wrong]


def test_repairs_are_readings_with_some_steps_put_right() -> None:
    wrong = Reading(depth="range", offsets="ignored")
    assert wrong.without(["depth"], RIGHT) == replace(RIGHT, offsets="ignored")
    assert wrong.without(["depth", "offsets"], RIGHT) == RIGHT


def test_turning_and_mirroring_keep_rays_of_length_one() -> None:
    rays = PANORAMA.rays()
    for reading in (Reading(turn=77.0), Reading(mirrored=True, flipped=True, turn=-20.0)):
        assert np.allclose(np.linalg.norm(real_rays(reading, rays), axis=-1), 1)


def test_a_camera_without_a_file_says_nothing() -> None:
    pixels = some_pixels(PANORAMA, made(RIGHT, source()), 100)
    assert not np.isfinite(residuals(RIGHT, pixels, CAMERAS, [None] * len(CAMERAS))).any()
    assert error_of(np.full(3, np.nan)) > 0


def test_large_panoramas_are_restitched_smaller() -> None:
    large = Cylinder(1008, 252)
    ranges, cylinder = ranges_by(RIGHT, CAMERAS, source(), large)
    assert (cylinder.width, cylinder.height) == ranges.shape[::-1] == (504, 126)
    expected = hall(np.zeros(3), cylinder.rays())
    known = ranges > 0
    assert known.mean() > 0.6
    assert np.median(np.abs(ranges[known] / expected[known] - 1)) < 0.01


def test_a_rig_elsewhere_is_compared_like_any_other() -> None:
    turned = [MountedCamera(c.pinhole, invert(c.camera_to_lidar)) for c in CAMERAS]
    pixels = some_pixels(PANORAMA, made(RIGHT, source()), 500)
    right, wrong = (error_of(residuals(RIGHT, pixels, cameras, source())) for cameras in (CAMERAS, turned))
    assert right < 0.01 < wrong
