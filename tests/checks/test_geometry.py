"""Geometry checks: silent on sound targets, noisy and sparse ones too; faults are named, in pairs too."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opv2v_doctor import Text
from opv2v_doctor.result import Result, Status
from opv2v_doctor.sandbox.faults.fault import replace_text
from opv2v_doctor.sandbox.scene import write_scene
from opv2v_doctor.target import Target, make_target
from opv2v_doctor.testing import run_check

Broken = Callable[..., Path]
CODES = tuple(f"GEO{number:03d}" for number in range(1, 15))
CONTENTS = ("GEO013", "GEO014")  # cannot be judged where near things lie elsewhere for another reason
DATASET, PANORAMA = "mapanything/datasets/opv2v_cyl.py", "mapanything/datasets/opv2v_panorama.py"
POSES = "data_processing/opv2v_poses.py"


def one_split(repo: Path) -> Target:
    return make_target(repo=repo, splits=("test",), num_samples=2)


def line_of(path: Path, words: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if words in line)


def spoil(repo: Path, noise: float, dropped: float) -> None:
    """Noise on all depth files of the test split, and pixels without depth."""
    random = np.random.default_rng(3)
    for path in sorted((repo / "data/opv2v_depth/test").rglob("*.npy")):
        depth = np.load(path)
        depth = depth * (1 + noise * random.standard_normal(depth.shape))
        np.save(path, np.where(random.random(depth.shape) < dropped, 0, depth).astype(np.float32))


def numbers(result: Result) -> dict[str, Any]:
    """The values of the first finding, those of the texts in it among them."""
    return values(result.findings[0].text)


def values(text: Text) -> dict[str, Any]:
    inner = [values(value) for value in text.values.values() if isinstance(value, Text)]
    return {name: value for each in (*inner, text.values) for name, value in each.items()}


def silent(target: Target) -> dict[str, Result]:
    """The checks that do not pass."""
    results = {code: run_check(code, target) for code in CODES}
    return {code: result for code, result in results.items() if result.status is not Status.PASSED}


def failing(target: Target, *blocked: str) -> dict[str, Result]:
    """The checks that fail or warn; all others pass, but for those that are blocked by it."""
    found = silent(target)
    assert {code for code, result in found.items() if result.status is Status.BLOCKED} == set(blocked)
    return {code: result for code, result in found.items() if code not in blocked}


def assert_told(result: Result, path: Path, words: str, **expected: object) -> None:
    """The first finding is an error at the line with these words, and has the values."""
    assert result.status is Status.FAILED
    assert result.findings[0].path == path
    assert result.findings[0].line == line_of(path, words)
    assert {key: numbers(result)[key] for key in expected} == expected


def test_nothing_is_claimed_of_the_healthy_repository(healthy: Path) -> None:
    target = make_target(repo=healthy)
    assert failing(target) == {}
    lidar = numbers(run_check("GEO007", target))
    assert max(median for _, median in lidar["median"].values) < 0.001
    for _, sectors in lidar["sectors"].values:
        assert set(sectors) == {
            *("ahead", "right ahead", "right", "right behind", "behind", "left behind", "left", "left ahead")
        }


def test_nothing_is_claimed_of_noisy_or_sparse_depth(broken: Broken) -> None:
    repo = broken()
    spoil(repo, 0.02, 0.0)
    assert failing(one_split(repo)) == {}
    spoil(repo, 0.02, 0.9)
    found = silent(make_target(repo=repo, splits=("test",), num_samples=1))
    assert {code: result.status for code, result in found.items()} == {"GEO008": Status.SKIPPED}
    assert "200 are needed" in str(found["GEO008"].reason)


def test_z_taken_for_range_is_named_with_what_its_repair_brings(broken: Broken) -> None:
    repo = broken("z_read_as_range")
    spoil(repo, 0.005, 0.0)
    found = failing(one_split(repo), *CONTENTS)
    assert set(found) == {"GEO001", "GEO007", "GEO008"}
    assert_told(found["GEO001"], repo / PANORAMA, "scaled = measured", steps=["depth"])
    lidar, agents = numbers(found["GEO007"]), numbers(found["GEO008"])
    assert lidar["after"] < 0.02 < 0.08 < lidar["median"]
    assert agents["agreement"] < 0.4 < 0.8 < agents["repairs"]["depth"]


def test_two_faults_are_told_apart_and_repaired_alone_and_together(broken: Broken) -> None:
    repo = broken("parallax_ignored", "azimuth_offset")
    found = failing(one_split(repo))
    assert set(found) == {"GEO002", "GEO006", "GEO007", "GEO008"}
    assert_told(found["GEO002"], repo / DATASET, "offset=np.zeros(3)", steps=["offsets", "turn"])
    assert_told(found["GEO006"], repo / DATASET, '"depthmap":', steps=["offsets", "turn"])
    assert "turned by 45.0 degrees to the right" in found["GEO006"].findings[0].message
    repairs = numbers(found["GEO008"])["repairs"]
    assert max(repairs["offsets"], repairs["turn"]) < repairs["offsets + turn"]
    expected = numbers(found["GEO008"])["expected"]  # of the right targets, which no repair has to the pixel
    assert repairs["offsets + turn"] == pytest.approx(expected, abs=0.002)


def test_a_wrong_rotation_is_named_in_the_poses_of_agents_and_cameras(broken: Broken) -> None:
    repo = broken("euler_order")
    found = failing(one_split(repo), *CONTENTS)
    assert set(found) == {"GEO003", "GEO007", "GEO008"}
    assert_told(found["GEO003"], repo / POSES, "return about_x.T")
    message = found["GEO003"].findings[0].message
    assert "Rx(roll) Ry(pitch) Rz(yaw)" in message and "cameras' poses are made in the same way" in message
    assert numbers(found["GEO003"])["degrees"] > 1
    assert numbers(found["GEO003"])["after"] < 1e-4
    assert numbers(found["GEO007"])["steps"] == ["rig"]
    assert numbers(found["GEO008"])["repairs"]["poses"] > 0.9


def test_exchanged_left_and_right_is_named_at_the_axes(broken: Broken) -> None:
    repo = broken("handedness")
    result = run_check("GEO003", one_split(repo))
    assert_told(result, repo / POSES, "CARLA_TO_OPENCV =")
    assert "left and right are exchanged" in result.findings[0].message


def test_inverse_poses_and_millimetres_are_named_together(broken: Broken) -> None:
    repo = broken("inverse_pose", "depth_in_millimetres")
    target = one_split(repo)
    assert_told(run_check("GEO004", target), repo / DATASET, "pose = pose_to_opencv(")
    assert "first to agent" in run_check("GEO004", target).findings[0].message
    assert run_check("GEO003", target).status is Status.PASSED
    result = run_check("GEO001", target)
    assert_told(result, repo / DATASET, '"depthmap":', steps=["scale"])
    assert "1000 times" in result.findings[0].message


def test_files_of_ranges_and_mirrored_panoramas_are_named_together(broken: Broken) -> None:
    repo = broken("range_read_as_z", "mirror")
    target = one_split(repo)
    result = run_check("GEO001", target)
    assert_told(result, repo / PANORAMA, "scaled = measured", steps=["depth", "mirrored"])
    assert values(result.findings[-1].text)["holds"] == "range"
    assert "mirrored" in run_check("GEO006", target).findings[0].message
    assert "mirrored" in run_check("GEO009", target).findings[0].message


def test_depth_of_another_frame_and_upside_down_is_named(broken: Broken) -> None:
    repo = broken("frames_mixed", "elevation_flipped")
    target = one_split(repo)
    assert_told(run_check("GEO012", target), repo / DATASET, "np.load", steps=["flipped", "source"])
    assert "another frame" in run_check("GEO012", target).findings[0].message
    assert "upside down" in run_check("GEO006", target).findings[0].message


def test_files_of_another_agent_and_mirrored_rays_are_named(broken: Broken) -> None:
    repo = broken("agents_swapped", "rays_mirrored")
    target = one_split(repo)
    assert "another agent" in run_check("GEO012", target).findings[0].message
    rays = run_check("GEO005", target)
    assert_told(rays, repo / DATASET, '"ray_directions_cam"')
    assert "azimuth is mirrored" in rays.findings[0].message


def test_intrinsics_that_stay_behind_a_crop_are_named(broken: Broken) -> None:
    repo = broken("intrinsics_not_followed")
    target = one_split(repo)
    assert numbers(run_check("GEO010", target))["steps"] == ["crop"]
    assert "intrinsics do not follow a crop" in run_check("GEO009", target).findings[0].message


def test_a_broken_cloud_is_no_fault_of_the_poses(broken: Broken) -> None:
    repo = broken()
    for path in (repo / "data/OPV2V/test").rglob("*.pcd"):
        path.write_bytes(b"\x00\x01broken")
    found = run_check("GEO007", target := one_split(repo))
    assert found.status is Status.BLOCKED
    assert ".pcd" in str(found.reason)
    assert run_check("GEO008", target).status is Status.PASSED  # agents agree by their depth alone


def test_a_shifted_image_and_what_has_no_known_cause_are_told(broken: Broken) -> None:
    repo = broken("image_shifted")
    replace_text(repo / DATASET, '"depthmap": panorama.depth,', '"depthmap": panorama.depth**0.7,')
    target = one_split(repo)
    shifted = run_check("GEO009", target)
    assert_told(shifted, repo / DATASET, '"img":', columns=16, rows=0)
    assert "22.5 degrees" in shifted.findings[0].message
    assert run_check("GEO001", target).status is Status.WARNED
    assert "unexplained" in run_check("GEO007", target).findings[0].message
    assert numbers(run_check("GEO007", target))["steps"] == []
    for code in ("GEO002", "GEO006", "GEO010", "GEO012"):  # single steps of what nobody can explain
        assert run_check(code, target).status is Status.BLOCKED


def test_without_points_or_depth_files_the_checks_say_why_they_say_nothing(broken: Broken) -> None:
    repo = broken()
    for path in (repo / "data/OPV2V/test").rglob("*.pcd"):
        path.unlink()
    target = one_split(repo)
    assert run_check("GEO007", target).status is Status.SKIPPED
    assert ".pcd" in str(run_check("GEO007", target).reason)
    assumed = run_check("GEO001", target)
    assert assumed.status is Status.BLOCKED
    assert "0 LiDAR points" in str(assumed.reason) and ".pcd" in str(assumed.hint)
    assert assumed.at is not None and assumed.at.path.suffix == ".yaml"
    offsets = run_check("GEO002", target)  # whatever the files hold, the panoramas follow from them
    assert offsets.status is Status.PASSED


def test_agents_alone_say_nothing_of_their_poses(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / DATASET, "return [agents[0], *map(str, others)]", "return [agents[0]]")
    results = {code: run_check(code, one_split(repo)) for code in ("GEO003", "GEO004", "GEO008")}
    assert {result.status for result in results.values()} == {Status.SKIPPED}
    assert "identity in every convention" in str(results["GEO003"].reason)
    assert "their own inverses" in str(results["GEO004"].reason)
    assert "shows one agent" in str(results["GEO008"].reason)


def test_a_flat_world_tells_no_order_of_angles(broken: Broken) -> None:
    repo = broken()
    images, depths = repo / "data/OPV2V", repo / "data/opv2v_depth"
    for folder in (images, depths):
        shutil.rmtree(folder / "test")
    write_scene(images, depths, seed=5, image_size=(96, 72), scenarios={"test": (4,)}, tilt=0.0)
    target = one_split(repo)
    flat = run_check("GEO003", target)
    assert flat.status is Status.SKIPPED
    assert "too flat" in str(flat.reason)
    assert run_check("GEO004", target).status is Status.PASSED


def test_poses_of_no_known_convention_have_no_direction_that_could_pass(broken: Broken) -> None:
    repo = broken()
    turned = (
        "pose @ np.block([[cv2.Rodrigues(np.array([0.1, 0.2, 0.3]) * (int(agent) % 5))[0], "
        "np.zeros((3, 1))], [0, 0, 0, 1]])"
    )
    replace_text(repo / DATASET, '"camera_pose": pose,', f'"camera_pose": {turned},')
    target = one_split(repo)
    strange = run_check("GEO003", target)
    assert strange.status is Status.FAILED
    assert "unexplained" in strange.findings[0].message
    assert run_check("GEO004", target).status is Status.BLOCKED


@pytest.mark.parametrize(
    ("model", "status", "said"),
    [
        ('"pinhole"', Status.BLOCKED, "names a scenario, an agent, a frame and a camera"),
        ("None", Status.SKIPPED, "no panoramas"),
    ],
)
def test_views_of_single_cameras_that_name_none_are_no_panoramas(
    broken: Broken, model: str, status: Status, said: str
) -> None:
    repo = broken("view_per_camera")
    replace_text(repo / DATASET, '"camera_model": "cyl"', f'"camera_model": {model}')
    target = one_split(repo)
    for code in ("GEO001", "GEO003", "GEO007", "GEO009"):
        result = run_check(code, target)
        assert result.status is status, (code, result.reason)
        assert said in str(result.reason)


def test_one_split_that_cannot_be_judged_keeps_no_other_from_it(broken: Broken) -> None:
    repo = broken("z_read_as_range")
    for path in (repo / "data/OPV2V/validate").rglob("*.pcd"):
        path.unlink()
    target = make_target(repo=repo, splits=("val", "test"), num_samples=1)
    result = run_check("GEO007", target)
    assert result.status is Status.FAILED
    assert [finding.subjects for finding in result.findings] == [("test",), ()]
    assert "no LiDAR files" in result.findings[1].message


def test_a_scale_is_placed_where_a_depth_map_first_has_it(broken: Broken) -> None:
    repo = broken()
    inverse = "self.inverse = 1.0 / np.where"
    stitcher = repo / PANORAMA
    replace_text(stitcher, inverse, inverse.replace("1.0", "0.5"))
    finding = run_check("GEO001", one_split(repo)).findings[0]
    assert (finding.path, finding.line) == (stitcher, line_of(stitcher, "self.inverse = 0.5"))


def test_rays_of_every_view_are_looked_at(broken: Broken) -> None:
    repo = broken()
    first = "self.stitcher.rays * (float('nan') if agent == main_agent else 1.0)"
    replace_text(repo / DATASET, '"ray_directions_cam": self.stitcher.rays', f'"ray_directions_cam": {first}')
    result = run_check("GEO005", one_split(repo))
    assert result.status is Status.FAILED
    assert "not finite" in result.findings[0].message


def test_depth_files_are_compared_with_the_pngs_beside_them(broken: Broken) -> None:
    import cv2

    repo = broken()
    for path in (repo / "data/opv2v_depth/test").rglob("*_depth.npy"):
        cv2.imwrite(str(path.with_suffix(".png")), (np.load(path) * 1000).clip(0, 12000).astype(np.uint16))
    result = run_check("GEO011", one_split(repo))
    assert result.status is Status.WARNED
    assert "millimetres" in result.findings[0].message
