"""Tests of the probe: content that lies elsewhere is found there, and none that lies where it belongs."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Cylinder
from opv2v_doctor.geometry.placings import CameraImage, Placing
from opv2v_doctor.geometry.poses import pose_matrix, to_opencv
from opv2v_doctor.geometry.probing import (
    GreyPanorama,
    Landing,
    landing,
    small_camera,
    small_cylinder,
    windows,
)
from opv2v_doctor.geometry.rigs import MountedCamera, coverage

from .rooms import hall, rig, views

PANORAMA = Cylinder(256, 64)
Array = NDArray[np.float64]


def tiles(points: Array) -> Array:
    """Brightness of points of the hall: tiles of a metre and a half in shades that do not repeat soon."""
    cells = np.floor(points / 1.5).astype(np.int64)
    return np.asarray(np.mod(np.sin(cells @ [12.9898, 78.233, 37.719]) * 43758.5453, 1.0) * 200)


def shown(rotation: Array, zoom: float = 1.0) -> Array:
    """The panorama (H, W) of the hall, with all that it shows turned and enlarged around straight ahead."""
    rays = PANORAMA.rays() @ rotation
    rays = np.stack([rays[..., 0] / zoom, rays[..., 1] / zoom, rays[..., 2]], -1)
    return tiles(rays * hall(np.zeros(3), rays)[..., None])


def seen(camera: MountedCamera) -> CameraImage:
    place, directions = views(camera)
    depth = hall(place, directions)
    grey = tiles(place + directions * depth[..., None])
    return CameraImage(camera, grey, depth, coverage(PANORAMA, [camera]))


def probed(grey: Array, camera: MountedCamera, *, near: bool = True) -> Landing:
    ranges = hall(np.zeros(3), PANORAMA.rays()) if near else np.zeros(grey.shape)
    picture = GreyPanorama(grey, PANORAMA, ranges.astype(np.float32))
    each = seen(camera)
    return landing(windows(picture, each, np.random.default_rng(0)), each)


def centred(name: str = "camera0") -> MountedCamera:
    """A camera of the rig where the LiDAR is: turning it moves nothing else."""
    camera = rig(200, 150)[name]
    return camera._replace(
        camera_to_lidar=np.block([[camera.camera_to_lidar[:3, :3], np.zeros((3, 1))], [0, 0, 0, 1]])
    )


@pytest.mark.parametrize("name", ["camera0", "camera2", "camera3"])
@pytest.mark.parametrize("noise", [0.0, 12.0])
def test_content_that_lies_where_it_belongs_is_found_there(name: str, noise: float) -> None:
    grained = shown(np.eye(3)) + np.random.default_rng(1).normal(0, noise, (64, 256))
    found = probed(grained, rig(200, 150)[name])
    assert found.points > 30
    assert found.best < found.here + 0.02
    assert abs(found.placing.yaw) < 0.3 and abs(found.placing.zoom - 1) < 0.02


@pytest.mark.parametrize(("yaw", "pitch"), [(2.0, 0.0), (-1.2, 0.0), (0.0, 1.5), (4.0, -2.0)])
def test_a_turned_camera_is_found_to_a_quarter_of_a_degree(yaw: float, pitch: float) -> None:
    turned = to_opencv(pose_matrix([0, 0, 0, 0, yaw, pitch]))[:3, :3]
    found = probed(shown(turned), centred())
    assert found.best > found.here + 0.1
    assert found.placing.yaw == pytest.approx(yaw, abs=0.25)
    assert found.placing.pitch == pytest.approx(pitch, abs=0.25)


@pytest.mark.parametrize("zoom", [0.9, 1.08, 1.15])
def test_content_that_is_too_large_is_measured(zoom: float) -> None:
    found = probed(shown(np.eye(3), zoom), centred())
    assert found.placing.zoom == pytest.approx(zoom, abs=0.015)


def test_near_content_seems_elsewhere_where_no_range_is_known() -> None:
    camera = rig(200, 150)["camera1"]
    assert probed(shown(np.eye(3)), camera, near=False).here < probed(shown(np.eye(3)), camera).here - 0.2


def test_an_image_without_texture_has_no_points_to_tell_by() -> None:
    each = seen(rig(200, 150)["camera0"])
    empty = replace(each, grey=np.full(each.grey.shape, 90.0))
    picture = GreyPanorama(np.full((64, 256), 90.0), PANORAMA, np.zeros((64, 256), np.float32))
    found = landing(windows(picture, empty, np.random.default_rng(0)), empty)
    assert found == Landing(0, 0.0, 0.0, Placing())


def test_large_pictures_are_probed_at_a_whole_part_of_their_size() -> None:
    assert small_cylinder(Cylinder(2016, 504)) == Cylinder(504, 126)
    assert small_cylinder(PANORAMA) == PANORAMA
    camera = small_camera(rig(800, 600)["camera0"])
    assert (camera.pinhole.width, camera.pinhole.height) == (400, 300)
    np.testing.assert_allclose(camera.pinhole.intrinsics, rig(400, 300)["camera0"].pinhole.intrinsics)
