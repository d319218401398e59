"""Tests of the stitcher: colours land where their directions are, blend, and respect the cameras' offsets."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Cylinder
from opv2v_doctor.geometry.lookup_tables import numbers_of, tables
from opv2v_doctor.geometry.poses import pose_matrix, to_opencv
from opv2v_doctor.geometry.rigs import MountedCamera, coverage
from opv2v_doctor.geometry.stitching import Stitcher

from .rooms import hall, rig, views

PANORAMA = Cylinder(1008, 252)
Array = NDArray[np.float64]
Image = NDArray[np.uint8]


def sky(directions: Array) -> Array:
    """A colour for each direction, smooth everywhere: what lies far away."""
    unit = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    return np.asarray(127.5 + 120 * unit)


def paint(points: Array) -> Array:
    """A colour for each point of the hall, smooth along its walls."""
    return np.asarray(127.5 + 100 * np.sin(points / [4.0, 3.0, 5.0]))


def pictures(cameras: dict[str, MountedCamera], colour: Callable[[MountedCamera], Array]) -> dict[str, Image]:
    return {name: np.rint(colour(camera)).astype(np.uint8) for name, camera in cameras.items()}


def far_away(camera: MountedCamera) -> Array:
    return sky(views(camera)[1])


def painted(camera: MountedCamera) -> Array:
    place, directions = views(camera)
    return paint(place + directions * hall(place, directions)[..., None])


def test_colours_of_the_sky_are_those_of_their_directions() -> None:
    cameras = rig()
    panorama = Stitcher(cameras, PANORAMA).panorama(pictures(cameras, far_away))
    wrong = np.abs(panorama.rgb - sky(PANORAMA.rays()))[panorama.mask]
    assert wrong.max() < 2.5
    assert wrong.mean() < 0.5
    assert not panorama.rgb[~panorama.mask].any()


@settings(max_examples=20)
@given(st.integers(-180, 179), st.integers(-35, 35))
def test_a_marker_lands_at_its_azimuth_and_elevation(azimuth: int, elevation: int) -> None:
    cameras = rig(400, 300)
    a, e = np.radians([azimuth, elevation])
    marker = np.array([np.cos(e) * np.sin(a), -np.sin(e), np.cos(e) * np.cos(a)])

    def dot(camera: MountedCamera) -> Array:
        directions = views(camera)[1]
        near = directions @ marker > np.cos(0.02) * np.linalg.norm(directions, axis=-1)
        return np.asarray(near[..., None] * [255.0, 0, 0])

    panorama = Stitcher(cameras, PANORAMA).panorama(pictures(cameras, dot))
    column = int(((azimuth / 360) + 0.5) * 1008) % 1008
    row = int((0.5 - elevation / 90) * 252)
    if panorama.mask[max(0, row - 8) : row + 8, column].all():  # else the rig does not see it whole
        assert panorama.rgb[row, column].tolist() == [255, 0, 0]
        assert panorama.rgb[..., 0].astype(bool).sum() < 400
        assert not panorama.rgb[..., 1:].any()


@given(st.lists(st.floats(-180, 180), min_size=1, max_size=5), st.floats(-10, 10), st.floats(-10, 10))
@settings(max_examples=25)
def test_the_mask_is_what_the_rig_covers(yaws: list[float], roll: float, pitch: float) -> None:
    pinhole = rig(80, 60)["camera0"].pinhole
    cameras = {
        f"camera{i}": MountedCamera(pinhole, to_opencv(pose_matrix([1, 2, 3, roll, yaw, pitch])))
        for i, yaw in enumerate(yaws)
    }
    small = Cylinder(144, 36)
    stitcher = Stitcher(cameras, small)
    assert (stitcher.mask == coverage(small, stitcher.rig.values())).all()
    assert (stitcher.mask != coverage(small, cameras.values())).mean() < 2e-3  # numbers are rounded
    panorama = stitcher.panorama({name: np.full((60, 80, 3), 200, np.uint8) for name in cameras})
    assert ((panorama.source >= 0) == stitcher.mask).all()
    assert (np.abs(panorama.rgb[stitcher.mask].astype(int) - 200) <= 1).all()


def test_overlapping_cameras_blend_without_a_step() -> None:
    cameras = rig()
    greys = {"camera0": 200, "camera1": 40, "camera2": 40, "camera3": 240}
    panorama = Stitcher(cameras, PANORAMA).panorama(
        {name: np.full((600, 800, 3), grey, np.uint8) for name, grey in greys.items()}
    )
    row = panorama.rgb[126, :, 0].astype(int)
    behind = row[int((130 / 360 + 0.5) * 1008) + 2 : int((150 / 360 + 0.5) * 1008) - 2]  # seen by 1 and by 3
    assert (np.diff(behind) >= 0).all()
    assert np.diff(behind).max() < 12
    assert behind[0] < 60
    assert behind[-1] > 220


def test_the_source_is_the_camera_that_looks_there() -> None:
    panorama = Stitcher(rig(), PANORAMA).panorama({n: np.zeros((600, 800, 3), np.uint8) for n in rig()})
    assert panorama.source[126, [504, 784, 224, 0, 1007]].tolist() == [0, 1, 2, 3, 3]
    assert panorama.source[0, 504] == -1
    assert not panorama.known.any()


def test_with_depth_a_point_shows_its_own_colour() -> None:
    cameras = rig()
    images = pictures(cameras, painted)
    depths = {name: hall(*views(camera)).astype(np.float32) for name, camera in cameras.items()}
    truth = paint(PANORAMA.rays() * hall(np.zeros(3), PANORAMA.rays())[..., None])
    stitcher = Stitcher(cameras, PANORAMA)
    near, far = stitcher.panorama(images, depths), stitcher.panorama(images)
    assert np.quantile(np.abs(near.rgb - truth)[near.known], 0.99) < 2
    assert np.quantile(np.abs(far.rgb - truth)[near.known], 0.9) > 8  # which ignores the cameras' offsets
    assert (near.source[near.known] >= 0).all()
    assert (near.measured >= 0).sum() == near.known.sum()
    np.testing.assert_array_equal(near.ranges, stitcher.ranges(depths))


def test_depth_that_is_known_nowhere_changes_no_colour() -> None:
    cameras = rig(200, 150)
    images, stitcher = pictures(cameras, far_away), Stitcher(cameras, PANORAMA)
    nothing = {name: np.zeros((150, 200), np.float32) for name in cameras}
    difference = stitcher.panorama(images, nothing).rgb.astype(int) - stitcher.panorama(images).rgb
    assert np.abs(difference).max() <= 2


def test_rigs_that_differ_by_rounding_share_their_tables() -> None:
    one = rig(200, 150)
    other = {name: MountedCamera(pinhole, pose + 1e-7) for name, (pinhole, pose) in one.items()}
    assert numbers_of(one) == numbers_of(other)
    assert tables(numbers_of(one), PANORAMA) is tables(numbers_of(other), PANORAMA)


def test_a_rig_without_cameras_stitches_nothing() -> None:
    panorama = Stitcher({}, PANORAMA).panorama({})
    assert not panorama.mask.any()
    assert not panorama.rgb.any()
    assert (panorama.source == -1).all()


def test_a_missing_image_is_named() -> None:
    with pytest.raises(ValueError, match="camera0 has no image"):
        Stitcher(rig(), PANORAMA).panorama({})


def test_an_image_or_depth_of_another_size_is_named() -> None:
    stitcher, black = Stitcher(rig(80, 60), PANORAMA), np.zeros((60, 80, 3), np.uint8)
    images = dict.fromkeys(rig(), black)
    with pytest.raises(ValueError, match="camera2: expected shape"):
        stitcher.panorama({**images, "camera2": black[1:]})
    with pytest.raises(ValueError, match="camera3: expected shape"):
        stitcher.panorama(images, {"camera3": np.ones((30, 40))})


@pytest.mark.parametrize("count", [2, 3])
def test_cameras_that_see_the_same_blend_evenly_however_many_pixels_they_share(count: int) -> None:
    front = rig()["camera0"]
    cameras = {f"camera{index}": front for index in range(count)}
    images = {name: np.full((600, 800, 3), 40 + 60 * index, np.uint8) for index, name in enumerate(cameras)}
    panorama = Stitcher(cameras, Cylinder(2016, 504)).panorama(images)
    assert panorama.mask.sum() > 2**15  # more rows than OpenCV takes in one list
    shown = panorama.rgb[panorama.mask].astype(int)
    assert np.abs(shown - (40 + 30 * (count - 1))).max() <= 1
    assert not panorama.rgb[~panorama.mask].any()
