"""Tests of ranges: a panorama's against formulas that know no pixel, and a scene's against its LiDAR."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Cylinder
from opv2v_doctor.geometry.poses import UE_TO_OPENCV
from opv2v_doctor.geometry.ranges import known_depth, panorama_ranges
from opv2v_doctor.geometry.rigs import MountedCamera, rig_of
from opv2v_doctor.geometry.stitching import Stitcher
from opv2v_doctor.layout import CAMERAS
from opv2v_doctor.sandbox.scene import write_scene

from .rooms import ball, hall, pillar, rig, views

PANORAMA = Cylinder(1008, 252)
CENTRE = np.zeros(3)


def visible(cameras: dict[str, MountedCamera], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points (H, W, 3) lie in front of and inside some camera: in a hall nothing is hidden."""
    seen = np.zeros(points.shape[:2], np.bool_)
    for pinhole, pose in cameras.values():
        pixels, depth = pinhole.project((points - pose[:3, 3]) @ pose[:3, :3])
        seen |= (depth > 0) & pinhole.inside(pixels, border=0.5)
    return seen


def grown(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The area and the pixels next to it."""
    return np.asarray(cv2.dilate(area.astype(np.uint8), np.ones((3, 3)))) > 0


@pytest.mark.parametrize(("width", "panorama"), [(800, PANORAMA), (200, PANORAMA), (200, Cylinder(252, 63))])
def test_a_halls_ranges_are_exact_but_for_its_corners(width: int, panorama: Cylinder) -> None:
    cameras = rig(width, width * 3 // 4)
    found = Stitcher(cameras, panorama).ranges({n: hall(*views(c)) for n, c in cameras.items()})
    expected = hall(CENTRE, panorama.rays())
    known = found > 0
    wrong = np.abs(found[known] / expected[known] - 1)
    assert np.quantile(wrong, 0.95) < 1e-4
    assert wrong.max() < 0.1


def test_what_no_camera_sees_is_not_known_and_all_else_is() -> None:
    cameras = rig()
    known = Stitcher(cameras, PANORAMA).ranges({n: hall(*views(c)) for n, c in cameras.items()}) > 0
    seen = visible(cameras, PANORAMA.rays() * hall(CENTRE, PANORAMA.rays())[..., None])
    border = grown(seen) & grown(~seen)
    assert (known == seen)[~border].mean() > 0.9999
    assert 0.6 < known.mean() < 0.8


@settings(max_examples=15)
@given(st.floats(6, 200))
def test_a_balls_ranges_are_its_radius(radius: float) -> None:
    cameras, panorama = rig(400, 300), Cylinder(504, 126)
    found = Stitcher(cameras, panorama).ranges({n: ball(*views(c), radius) for n, c in cameras.items()})
    assert np.abs(found[found > 0] / radius - 1).max() < 2 * (2 * math.pi / 504) ** 2


def test_the_ranges_of_two_surfaces_never_mix() -> None:
    cameras = rig()
    depths = {n: np.minimum(hall(*views(c)), pillar(*views(c))) for n, c in cameras.items()}
    found = Stitcher(cameras, PANORAMA).ranges(depths)
    near, far = pillar(CENTRE, PANORAMA.rays()), hall(CENTRE, PANORAMA.rays())
    known = found > 0
    assert (known & (np.abs(found / near - 1) < 0.01)).sum() > 2500  # the pillar is there
    between = (
        known & (np.abs(found / far - 1) > 0.03) & ~(np.abs(found - near) < 0.35)
    )  # but for its bent rim
    rim = grown(np.isfinite(near))
    assert not (between & ~rim).any()
    assert not (between & ((found > 9.5) & (found < 12))).any()


def test_a_camera_without_depth_adds_none() -> None:
    cameras = rig(200, 150)
    depth = ball(*views(cameras["camera0"]))
    found = panorama_ranges(list(cameras.values()), PANORAMA, [depth, None, None, None])
    assert set(np.unique(found.camera)) == {-1, 0}
    assert (found.ranges > 0).sum() == (found.camera == 0).sum()


@pytest.mark.parametrize("unknown", [0.0, -3.0, math.nan, math.inf, -math.inf, 1e30])
def test_unknown_depth_stays_unknown(unknown: float) -> None:
    cameras = rig(200, 150)
    depths = {n: np.full((150, 200), unknown, np.float32) for n in cameras}
    assert not Stitcher(cameras, PANORAMA).ranges(depths).any()
    assert not known_depth(depths["camera0"]).any()


def test_holes_in_depth_do_not_spoil_what_is_around() -> None:
    cameras, random = rig(400, 300), np.random.default_rng(1)
    depths = {}
    for name, camera in cameras.items():
        depth = hall(*views(camera))
        depth[random.random(depth.shape) < 0.5] = random.choice([0.0, math.nan])
        depths[name] = depth
    found = Stitcher(cameras, PANORAMA).ranges(depths)
    known = found > 0
    wrong = np.abs(found[known] / hall(CENTRE, PANORAMA.rays())[known] - 1)
    assert known.mean() > 0.5
    assert np.median(wrong) < 1e-4
    assert np.quantile(wrong, 0.9) < 0.02


def test_a_corners_range_is_79_percent_more_than_its_depth() -> None:
    there = rig()["camera0"].pinhole.range_per_depth()
    assert there[0, 0] == pytest.approx(1.79, abs=0.01)
    assert there[300, 0] == pytest.approx(1.56, abs=0.01)


def test_more_cameras_than_the_buffer_counts_are_refused() -> None:
    camera = rig(8, 6)["camera0"]
    with pytest.raises(ValueError, match="16"):
        panorama_ranges([camera] * 17, PANORAMA, [None] * 17)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_scenes_stitched_ranges_are_those_of_its_lidar(tmp_path: Path, seed: int) -> None:
    write_scene(tmp_path, tmp_path, seed=seed, image_size=(400, 300), scenarios={"train": (2,)}, frames=1)
    for place in sorted(tmp_path.glob("train/*/*/*.yaml")):
        cameras = rig_of(yaml.load(place.read_bytes(), yaml.CSafeLoader), dict.fromkeys(CAMERAS, (400, 300)))
        depths = {name: np.load(place.with_name(f"{place.stem}_{name}_depth.npy")) for name in cameras}
        found = Stitcher(cameras, PANORAMA).ranges(depths)
        points = np.loadtxt(place.with_suffix(".pcd"), skiprows=11, usecols=(0, 1, 2)) @ UE_TO_OPENCV.T
        pixels, ranges = PANORAMA.project(points)
        columns, rows = pixels[PANORAMA.inside(pixels)].astype(int).T
        stitched, measured = found[rows, columns], ranges[PANORAMA.inside(pixels)]
        wrong = np.abs(stitched / measured - 1)[stitched > 0]
        assert wrong.size > 1000
        assert np.median(wrong) < 0.01
        assert np.quantile(wrong, 0.75) < 0.05
