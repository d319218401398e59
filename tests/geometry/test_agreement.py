"""Depth between pixels, panoramas against LiDAR and against each other, and pictures that are moved."""

import numpy as np
import pytest

from opv2v_doctor.geometry.agreement import Tally, against_agent, against_lidar
from opv2v_doctor.geometry.cameras import Cylinder, Pinhole
from opv2v_doctor.geometry.likeness import best_match, grey, seam
from opv2v_doctor.geometry.lookups import depth_at

from .rooms import hall

PANORAMA = Cylinder(252, 63)


def shifted(metres: float) -> np.ndarray:
    """The pose of an agent that stands further ahead in the hall."""
    pose = np.eye(4)
    pose[2, 3] = metres
    return pose


def test_depth_between_the_pixels_of_a_plane_is_exact() -> None:
    columns = np.arange(20) + 0.5
    depth = np.repeat(1 / (0.1 + 0.001 * columns)[None], 10, axis=0)
    found = depth_at(depth, [[5.25, 4.0], [10.5, 3.5]])
    assert found == pytest.approx(1 / (0.1 + 0.001 * np.array([5.25, 10.5])))


def test_surfaces_are_never_mixed_and_gaps_stay_gaps() -> None:
    depth = np.full((4, 6), 10.0)
    depth[:, 3:] = 40.0
    depth[0, 0] = 0.0
    assert set(depth_at(depth, [[2.9, 2.0], [3.1, 2.0]])) == {10.0, 40.0}
    assert np.isnan(depth_at(depth, [[0.5, 0.5], [-1.0, 2.0], [np.nan, 2.0], [7.0, 2.0]])).all()


def test_a_panorama_has_no_side_edges() -> None:
    depth = np.repeat(np.array([[12.0, 10, 10, 10, 10, 10]]), 3, axis=0)
    assert depth_at(depth, [[0.0, 1.5]], around=True)[0] == pytest.approx(2 / (1 / 12 + 1 / 10))


def test_lidar_points_lie_on_a_sound_panorama() -> None:
    directions = PANORAMA.directions(np.random.default_rng(0).uniform([0, 0], [252, 63], (2000, 2)))
    points = directions * hall(np.zeros(3), directions)[:, None]
    scan = against_lidar(hall(np.zeros(3), PANORAMA.rays()), PANORAMA, points)
    assert np.median(np.abs(scan.errors)) < 0.002
    scan = against_lidar(hall(np.zeros(3), PANORAMA.rays()) * 1.1, PANORAMA, points)
    assert np.median(scan.errors) == pytest.approx(np.log(1.1), abs=0.002)
    assert scan.azimuths.min() < -170 < 170 < scan.azimuths.max()


def test_a_camera_sees_the_lidar_points_that_no_nearer_one_hides() -> None:
    camera = Pinhole(np.array([[60.0, 0, 40], [0, 60, 30], [0, 0, 1]]), 80, 60)
    mount = np.eye(4)
    mount[:3, 3] = [2.0, 0, 0]  # to the right of the LiDAR
    wall = np.stack(np.meshgrid(np.arange(-8, 8, 0.25), np.arange(-4, 4, 0.25)), -1).reshape(-1, 2)
    far = np.column_stack([wall, np.full(len(wall), 20.0)])
    near = np.column_stack([wall / 8, np.full(len(wall), 5.0)])  # a board, two metres wide
    columns = camera.pixels()[..., 0]
    board = (columns > 40 + 60 * -3 / 5) & (columns < 40 + 60 * -1 / 5)
    depth = np.where(board, 5.0, 20.0)
    depth[:, columns[0] < 40 + 60 * -3 / 5] = 20.0
    depth[(np.abs(camera.pixels()[..., 1] - 30) > 60 * 0.5 / 5) & board] = 20.0
    seen = against_lidar(depth, camera, np.concatenate([far, near]), mount)
    assert np.quantile(np.abs(seen.errors), 0.98) < 1e-6
    unhidden = [against_lidar(depth, camera, part, mount) for part in (far, near)]
    assert len(seen.errors) < sum(len(each.errors) for each in unhidden)  # the board hides a part of the wall
    assert (unhidden[0].errors < -1).sum() > 20
    assert np.median(against_lidar(depth * 1.1, camera, near, mount).errors) == pytest.approx(np.log(1.1))


def test_views_of_single_cameras_confirm_each_other() -> None:
    camera = Pinhole(np.array([[60.0, 0, 40], [0, 60, 30], [0, 0, 1]]), 80, 60)
    rays = camera.rays()
    ranges = hall(np.zeros(3), rays), hall(np.array([0, 0, 3.0]), rays)
    one, other = (each * rays[..., 2] for each in ranges)
    points = camera.back_project(camera.pixels(), one).reshape(-1, 3)
    assert against_agent(points, np.eye(4), other, shifted(3.0), camera).agreement > 0.99
    assert against_agent(points, np.eye(4), ranges[1], shifted(3.0), camera).agreement < 0.5


def test_agents_in_one_hall_confirm_each_other() -> None:
    rays = PANORAMA.rays()
    one, other = hall(np.zeros(3), rays), hall(np.array([0, 0, 6.0]), rays)
    points = (rays * one[..., None]).reshape(-1, 3)
    sound = against_agent(points, np.eye(4), other, shifted(6.0), PANORAMA)
    assert sound.agreement > 0.99
    wrong = against_agent(points, np.eye(4), other, shifted(-6.0), PANORAMA)
    assert wrong.contradicting > 20 * sound.contradicting


def test_what_is_hidden_is_not_judged() -> None:
    rays = PANORAMA.rays()
    points = (rays * hall(np.zeros(3), rays)[..., None]).reshape(-1, 3)
    wall = np.full((63, 252), 3.5)
    hidden = against_agent(points, np.eye(4), wall, np.eye(4), PANORAMA)
    assert hidden.occluded > 0.5 * len(points)
    assert hidden.comparable < 0.1 * len(points)
    assert Tally(0, 5, 0).agreement == 0
    assert Tally(1, 2, 3).plus(Tally(1, 1, 1)) == Tally(2, 3, 4)


@pytest.fixture
def picture() -> np.ndarray:
    import cv2

    noise = np.random.default_rng(5).uniform(0, 255, (64, 256))
    around = cv2.GaussianBlur(np.concatenate([noise] * 3, 1), (0, 0), 2)
    return np.asarray(around[:, 256:512])


def test_a_picture_is_found_where_it_lies(picture: np.ndarray) -> None:
    mask = np.ones(picture.shape, bool)
    assert best_match(picture * 3 + 7, picture, mask).here == pytest.approx(1)
    moved = best_match(np.roll(picture, (2, 20), (0, 1)), picture, mask)
    assert (moved.columns, moved.rows, moved.mirrored, moved.flipped) == (20, 2, False, False)
    assert moved.best > 0.9 > 0.5 > moved.here
    mirrored = best_match(picture[:, ::-1], picture, mask)
    assert (mirrored.columns, mirrored.mirrored, mirrored.flipped) == (0, True, False)
    flipped = best_match(picture[::-1], picture, mask)
    assert (flipped.rows, flipped.mirrored, flipped.flipped) == (0, False, True)


def test_a_seam_is_a_step_between_the_ends(picture: np.ndarray) -> None:
    mask = np.ones(picture.shape, bool)
    closed, open_ = seam(picture, mask), seam(picture + np.linspace(0, 300, 256), mask)
    assert closed is not None and open_ is not None
    assert closed < 3 < 6 < open_
    assert seam(picture, np.zeros_like(mask)) is None


def test_brightness_is_that_of_any_layout() -> None:
    colours = np.random.default_rng(0).uniform(0, 1, (4, 6, 3))
    assert np.allclose(grey(colours), grey(colours.transpose(2, 0, 1)))
