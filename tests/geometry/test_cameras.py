"""Tests of the two cameras: every pixel to a point and back, and where the corners look."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from opv2v_doctor.geometry.cameras import Array, Cylinder, Pinhole

INTRINSICS = np.array([[335.639852470912, 0.0, 400.0], [0.0, 335.639852470912, 300.0], [0.0, 0.0, 1.0]])
OPV2V = Pinhole(INTRINSICS, 800, 600)
PANORAMA = Cylinder(1008, 252)
PLACES = arrays(np.float64, (3, 4, 2), elements=st.floats(0, 1, exclude_max=True))  # in units of the image
DISTANCES = arrays(np.float64, (3, 4), elements=st.floats(0.1, 100))
POINTS = arrays(np.float64, (20, 3), elements=st.floats(-60, 60))
PINHOLES = st.builds(
    lambda fx, fy, cx, cy, skew: Pinhole(np.array([[fx, skew, cx], [0, fy, cy], [0, 0, 1]]), 320, 240),
    *[st.floats(20, 2000)] * 2,
    *[st.floats(-100, 400)] * 2,
    st.floats(-5, 5),
)
CYLINDERS = st.builds(
    Cylinder,
    st.integers(1, 2000),
    st.integers(1, 500),
    st.floats(0.1, 2 * math.pi),
    st.floats(0.1, math.pi / 2),
    st.floats(-math.pi / 4, math.pi / 4),
)


@given(PINHOLES, PLACES, DISTANCES)
def test_a_pinhole_finds_the_pixel_of_what_it_saw(camera: Pinhole, places: Array, depth: Array) -> None:
    pixels = places * [camera.width, camera.height]
    found, found_depth = camera.project(camera.back_project(pixels, depth))
    np.testing.assert_allclose(found, pixels, atol=1e-8)
    np.testing.assert_allclose(found_depth, depth, rtol=1e-12)


@given(PINHOLES)
def test_intrinsics_may_count_from_the_first_pixels_centre(camera: Pinhole) -> None:
    whole = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), -1)
    for rays, pixels in ((camera.rays(), whole + 0.5), (camera.from_corner().rays(), whole)):
        np.testing.assert_allclose(camera.project(rays)[0], pixels, atol=1e-6)


@given(PINHOLES, POINTS)
def test_a_pinhole_finds_the_point_that_it_saw(camera: Pinhole, points: Array) -> None:
    points[:, 2] = np.abs(points[:, 2]) + 0.1
    np.testing.assert_allclose(camera.back_project(*camera.project(points)), points, atol=1e-8)


@given(POINTS)
def test_what_is_not_in_front_has_no_pixel(points: Array) -> None:
    points[:, 2] = -np.abs(points[:, 2])
    pixels, _ = OPV2V.project(points)
    assert np.isnan(pixels).all()
    assert not OPV2V.inside(pixels).any()


@given(CYLINDERS, PLACES, DISTANCES)
def test_a_cylinder_finds_the_pixel_of_what_it_saw(camera: Cylinder, places: Array, ranges: Array) -> None:
    places = np.clip(places, 0.001, 0.999)
    pixels = places * [camera.width, camera.height]
    found, found_ranges = camera.project(camera.back_project(pixels, ranges))
    np.testing.assert_allclose(found, pixels, atol=1e-6 * camera.width)
    np.testing.assert_allclose(found_ranges, ranges, rtol=1e-12)


@given(POINTS)
def test_a_full_circle_finds_the_point_that_it_saw(points: Array) -> None:
    points[:, 1] += 0.5 * (np.abs(points).max(-1) < 0.1)  # away from the camera's own centre
    pixels, ranges = PANORAMA.project(points)
    np.testing.assert_allclose(PANORAMA.back_project(pixels, ranges), points, atol=1e-9)
    assert ((pixels[:, 0] >= 0) & (pixels[:, 0] < PANORAMA.width)).all()


@pytest.mark.parametrize("camera", [OPV2V, PANORAMA, Cylinder(17, 5, 1.0, 0.5, 0.2)])
def test_the_ray_of_each_pixel_projects_to_its_centre(camera: Pinhole | Cylinder) -> None:
    rays = camera.rays()
    assert rays.shape == (camera.height, camera.width, 3)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1, atol=1e-12)
    pixels, _ = camera.project(rays)
    assert (np.floor(pixels) == np.moveaxis(np.indices(rays.shape[:2])[::-1], 0, -1)).all()
    np.testing.assert_allclose(pixels % 1, 0.5, atol=1e-6)


@pytest.mark.parametrize(
    ("point", "pixel"),
    [
        ([0, 0, 2], (504, 126)),  # ahead: the middle
        ([2, 0, 0], (756, 126)),  # to the right: three quarters
        ([-2, 0, 0], (252, 126)),
        ([0, 0, -2], (0, 126)),  # behind: the seam
        ([0, -2, 2], (504, 0)),  # y is down, so this is 45 degrees up: the upper edge
        ([0, 2, 2], (504, 252)),
    ],
)
def test_the_panorama_looks_where_the_convention_says(point: list[float], pixel: tuple[float, float]) -> None:
    found, _ = PANORAMA.project(point)
    assert found == pytest.approx(pixel, abs=1e-9)


def test_the_panoramas_rows_run_from_above_to_below() -> None:
    elevation = -np.degrees(np.arcsin(PANORAMA.rays()[:, 0, 1]))
    step = 90 / 252
    np.testing.assert_allclose(elevation, np.arange(45 - step / 2, -45, -step), atol=1e-9)


def test_an_elevated_centre_moves_the_horizon_down() -> None:
    raised = Cylinder(100, 50, vertical_fov=1.0, elevation_center=0.1)
    assert raised.project([0, 0, 1])[0][1] == pytest.approx(30)


def test_opv2vs_principal_point_is_the_middle_of_the_image() -> None:
    np.testing.assert_allclose(OPV2V.pixels().mean((0, 1)), [400, 300])
    np.testing.assert_allclose(OPV2V.project([0, 0, 5])[0], [400, 300])


def test_an_opv2v_camera_sees_100_by_84_degrees() -> None:
    edges = OPV2V.back_project([[0, 300], [800, 300], [400, 0], [400, 600]], [1, 1, 1, 1])
    angles = np.degrees(np.arctan(edges))
    assert angles[1, 0] - angles[0, 0] == pytest.approx(100, abs=0.01)
    assert angles[3, 1] - angles[2, 1] == pytest.approx(83.6, abs=0.1)


def test_z_depth_falls_short_of_range_as_the_field_notes_say() -> None:
    factor = OPV2V.range_per_depth()
    assert factor[300, 0] == pytest.approx(1.56, abs=0.01)
    assert factor[0, 0] == pytest.approx(1.79, abs=0.01)
    assert factor[300, 400] == pytest.approx(1, abs=1e-5)
    points = OPV2V.back_project(OPV2V.pixels(), np.full((600, 800), 7.0))
    np.testing.assert_allclose(np.linalg.norm(points, axis=-1), 7 * factor)


def test_the_edges_of_an_image_belong_to_it_on_one_side() -> None:
    corners = [[0.0, 0.0], [799.9, 599.9], [800.0, 300.0], [400.0, 600.0], [-0.1, 300.0], [math.nan, 1.0]]
    assert OPV2V.inside(corners).tolist() == [True, True, False, False, False, False]
    assert not OPV2V.inside([[0.4, 300], [799.6, 300]], border=0.5).any()
    assert PANORAMA.inside([[0, 0], [1008, 0]]).tolist() == [True, False]


def test_the_camera_itself_has_no_pixel() -> None:
    pixels, ranges = PANORAMA.project([0, 0, 0])
    assert np.isnan(pixels).all()
    assert ranges == 0


@pytest.mark.parametrize(
    "intrinsics",
    [
        np.eye(4),
        np.diag([0.0, 1.0, 1.0]),
        np.diag([1.0, -1.0, 1.0]),
        np.diag([1.0, 1.0, 2.0]),
        np.diag([math.nan, 1.0, 1.0]),
        [[1, 0, 0], [1, 1, 0], [0, 0, 1]],
    ],
)
def test_intrinsics_that_no_camera_has_are_refused(intrinsics: Array) -> None:
    with pytest.raises(ValueError, match="intrinsics"):
        Pinhole(intrinsics, 800, 600)


@pytest.mark.parametrize(
    "arguments", [(0, 1), (1, 0), (8, 2, 7.0), (8, 2, 0.0), (8, 2, 1.0, -0.5), (8, 2, 1.0, 1.6, 0.8)]
)
def test_a_cylinder_that_no_sphere_has_is_refused(arguments: tuple[int, int]) -> None:
    with pytest.raises(ValueError):
        Cylinder(*arguments)


def test_a_camera_keeps_intrinsics_of_its_own() -> None:
    theirs = INTRINSICS.copy()
    camera = Pinhole(theirs, 800, 600)
    theirs[0, 0] = 1
    assert camera.intrinsics[0, 0] == INTRINSICS[0, 0]
    with pytest.raises(ValueError, match="read-only"):
        camera.intrinsics[0, 0] = 1


def test_a_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"\(2, 4\)"):
        OPV2V.project(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"\(3,\)"):
        PANORAMA.back_project([1, 2, 3], 1)
