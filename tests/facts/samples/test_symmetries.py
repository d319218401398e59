"""A sample that was mirrored or turned as a whole is told as its files have it, and nothing else is."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from opv2v_doctor.facts.disk.frames import Disk
from opv2v_doctor.facts.disk.lidar_files import cloud
from opv2v_doctor.facts.disk.scenarios import Frame, scenarios
from opv2v_doctor.facts.interpreter.views import Identity, View
from opv2v_doctor.facts.launch.datasets import parts_of
from opv2v_doctor.facts.samples.moments import Mount, PanoramaView, PinholeView
from opv2v_doctor.facts.samples.symmetries import (
    ALONE,
    BETTER,
    EXACT,
    FLIP,
    WHOLE,
    Symmetry,
    as_filed,
    spread,
)
from opv2v_doctor.geometry.agreement import seen_points
from opv2v_doctor.geometry.cameras import Array, Camera, Cylinder, Pinhole
from opv2v_doctor.geometry.conventions import RIGHT
from opv2v_doctor.result import Status
from opv2v_doctor.sandbox import write_scene
from opv2v_doctor.target import Target

from ...edges import assert_edge

CYLINDER = Cylinder(width=128, height=32)
Views = tuple[PanoramaView, ...]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    root = tmp_path_factory.mktemp("scene")
    write_scene(root, root, image_size=(40, 30), scenarios={"train": (3,)}, frames=1)
    folder = root / "train"
    found = scenarios(Target(repo=root, python=root), folder, folder)
    (part,) = parts_of("OPV2VCoopCylindricalDataset(split='train', min_agents=1)")
    return Disk(part=part, folder=folder, depth_folder=folder, scenarios=found)


def depth_of(camera: Camera, frame: Frame, mount: Array | None = None) -> Array:
    """The depth of the LiDAR's points (H, W), 0 where there is none."""
    points = cloud(frame)
    assert points is not None
    pixels, depth, seen = seen_points(camera, points, mount)
    found = np.zeros((camera.height, camera.width))
    columns, rows = pixels[seen].astype(int).T
    found[rows, columns] = depth[seen]
    return found


def about_y(columns: float, cylinder: Cylinder = CYLINDER) -> Array:
    """The pose that a panorama turned by columns to the right has in its right one's place."""
    angle, turn = -2 * math.pi * columns / cylinder.width, np.eye(4)
    turn[0, 0] = turn[2, 2] = math.cos(angle)
    turn[0, 2], turn[2, 0] = math.sin(angle), -math.sin(angle)
    return turn


def panoramas(
    where: Disk,
    folder: Path,
    *,
    arrays: Callable[[Array], Array] = lambda array: array,
    rays: Callable[[Array], Array] = lambda array: array,
    poses: Callable[[Array], Array] = lambda pose: pose,
    cylinder: Cylinder = CYLINDER,
    alone: bool = False,
) -> Views:
    """The right views of all agents of a moment, with this done to them."""
    frames, views = where.scenes[0], []
    for number, frame in enumerate(frames):
        prefix = folder / f"0_{number}"
        np.save(
            f"{folder}/{ALONE if alone else ''}0_{number}_depthmap.npy", arrays(depth_of(cylinder, frame))
        )
        if not alone:
            np.save(f"{prefix}_ray_directions_cam.npy", rays(cylinder.rays()))
        view = View(
            identity=Identity(label=None, instance=None, agent_id=None),
            shape=(3, cylinder.height, cylinder.width),
            digest="",
            pose=tuple(map(tuple, poses(right_pose(frame, frames[0])).tolist())),
        )
        views.append(PanoramaView(view=view, frame=frame, origin=frames[0], cylinder=cylinder, prefix=prefix))
    return tuple(views)


def status_of(where: Disk, views: Views) -> Status:
    """Passed where the views are undone: what is given would fail."""
    return Status.FAILED if as_filed(where, views) is views else Status.PASSED


def right_pose(frame: Frame, first: Frame) -> Array:
    return RIGHT.relative_pose(np.array(Mount(frame).numbers), np.array(Mount(first).numbers))


def assert_right(where: Disk, found: Views, given: Views) -> None:
    """They are as the files have them; what was given is still at hand."""
    for view, before in zip(found, given, strict=True):
        np.testing.assert_allclose(view.pose, right_pose(view.frame, found[0].frame), atol=1e-9)
        np.testing.assert_array_equal(view.depth, depth_of(CYLINDER, view.frame).astype(np.float32))
        if (rays := view.array("ray_directions_cam")) is not None:
            np.testing.assert_allclose(rays, CYLINDER.rays(), atol=1e-6)
        np.testing.assert_array_equal(view.given().depth, before.depth)
        np.testing.assert_array_equal(view.given().pose, before.pose)


def flip(array: Array) -> Array:
    return array[:, ::-1]


def flip_rays(rays: Array) -> Array:
    return rays[:, ::-1] * [-1.0, 1.0, 1.0]


def flip_pose(pose: Array) -> Array:
    return FLIP @ pose @ FLIP


def test_right_views_stay_as_they_are(where: Disk, tmp_path: Path) -> None:
    views = panoramas(where, tmp_path)
    assert as_filed(where, views) is views


def test_mirrored_panoramas_are_mirrored_back(where: Disk, tmp_path: Path) -> None:
    views = panoramas(where, tmp_path, arrays=flip, rays=flip_rays, poses=flip_pose)
    assert_right(where, as_filed(where, views), views)


def test_depth_alone_tells_of_a_sample_of_which_nothing_else_was_handed_over(
    where: Disk, tmp_path: Path
) -> None:
    views = panoramas(where, tmp_path, arrays=flip, poses=flip_pose, alone=True)
    found = as_filed(where, views)
    assert all(view.symmetry.mirrored for view in found)
    np.testing.assert_allclose(found[1].pose, right_pose(found[1].frame, found[0].frame), atol=1e-9)


def test_panoramas_whose_rays_begin_elsewhere_are_turned_back(where: Disk, tmp_path: Path) -> None:
    def roll(array: Array) -> Array:
        return np.roll(array, 32, 1)

    views = panoramas(where, tmp_path, arrays=roll, rays=roll)
    assert_right(where, as_filed(where, views), views)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("reference", [False, True])
def test_panoramas_that_are_turned_with_their_poses_are_turned_back(
    where: Disk, tmp_path: Path, *, mirrored: bool, reference: bool
) -> None:
    def roll(array: Array) -> Array:
        return np.roll(flip(array) if mirrored else array, 21, 1)

    def turn(pose: Array) -> Array:
        own = (flip_pose(pose) if mirrored else pose) @ about_y(21)
        return about_y(-21) @ own if reference else own  # what poses lead to was turned as well

    rays = flip_rays if mirrored else (lambda given: given)
    views = panoramas(where, tmp_path, arrays=roll, rays=rays, poses=turn)
    assert_right(where, as_filed(where, views), views)


@pytest.mark.parametrize(
    "done",
    [
        {"poses": flip_pose},
        {"arrays": flip},
        {"rays": flip_rays, "poses": flip_pose},
        {"poses": lambda pose: pose @ about_y(21)},
        {"rays": lambda rays: np.roll(rays, 32, 1)},
        {"arrays": lambda array: np.roll(array, 32, 1)},
    ],
)
def test_what_was_not_done_to_all_of_a_sample_is_left_to_be_found(
    where: Disk, tmp_path: Path, done: dict[str, Callable[[Array], Array]]
) -> None:
    views = panoramas(where, tmp_path, **done)  # type: ignore[arg-type]
    assert as_filed(where, views) is views


def test_a_pose_that_is_not_exactly_mirrored_is_a_fault(where: Disk, tmp_path: Path) -> None:
    def status(metres: float) -> Status:
        moved = np.eye(4)
        moved[0, 3] = metres
        views = panoramas(
            where, tmp_path, arrays=flip, rays=flip_rays, poses=lambda pose: flip_pose(pose) @ moved
        )
        return status_of(where, views)

    assert_edge(EXACT, status)


def test_a_turn_of_broken_columns_is_a_fault(where: Disk, tmp_path: Path) -> None:
    def status(columns: float) -> Status:
        near = Cylinder(width=512, height=32)  # whose columns are narrower than what EXACT allows
        views = panoramas(
            where,
            tmp_path,
            cylinder=near,
            arrays=lambda array: np.roll(array, 100, 1),
            poses=lambda pose: pose @ about_y(100 + columns, near),
        )
        return status_of(where, views)

    assert_edge(WHOLE, status)


def test_depth_has_to_fit_its_lidar_better_once_undone(where: Disk, tmp_path: Path) -> None:
    def noisy(noise: float) -> Views:
        random = np.random.default_rng(0)

        def disturb(array: Array) -> Array:
            return flip(array) * np.exp(random.uniform(-noise, noise, array.shape))

        return panoramas(where, tmp_path, arrays=disturb, rays=flip_rays, poses=flip_pose)

    def ratio(views: Views) -> float:
        undone, given = ([Symmetry(mirrored=each)] * len(views) for each in (True, False))
        return spread(where, views, undone) / spread(where, views, given)

    def status(wanted: float) -> Status:
        low, high = 0.0, 4.0
        for _ in range(16):
            middle = (low + high) / 2
            low, high = (middle, high) if ratio(noisy(middle)) < wanted else (low, middle)
        return status_of(where, noisy(low))

    assert_edge(BETTER, status)


def test_mirrored_images_of_cameras_are_mirrored_back(where: Disk, tmp_path: Path) -> None:
    frame, views = where.scenes[0][0], []
    for number, name in enumerate(("camera0", "camera1", "camera2")):
        right = Pinhole(np.array([[20.0, 0, 17.0], [0, 20.0, 15.0], [0, 0, 1]]), 40, 30)
        given = right.intrinsics.copy()
        given[0, 2] = 40 - 17.0
        identity = Identity(label=None, instance=None, agent_id=None)
        cords = np.array(Mount(frame, name).numbers)
        view = View(
            identity=identity,
            shape=(3, 30, 40),
            digest="",
            camera_model="pinhole",
            intrinsics=tuple(map(tuple, given.tolist())),
            pose=tuple(map(tuple, flip_pose(RIGHT.in_axes(RIGHT.pose(cords))).tolist())),
        )
        prefix = tmp_path / f"0_{number}"
        found = PinholeView(view=view, frame=frame, origin=frame, name=name, prefix=prefix)
        mount = found.rig(where)[name].camera_to_lidar
        np.save(f"{prefix}_depthmap.npy", flip(depth_of(right, frame, mount)))
        views.append(found)
    undone = as_filed(where, tuple(views))
    assert all(view.symmetry.mirrored for view in undone)
    np.testing.assert_allclose(undone[0].camera.intrinsics[0], [20.0, 0.0, 17.0])
