"""Images of single cameras: a right loader passes in any frame and axes, each fault is named where it is."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from opv2v_doctor.cli.preview import show_samples
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.result import Result, Status
from opv2v_doctor.runner import run
from opv2v_doctor.sandbox import FAULTS, copy_repository, put, write_repository
from opv2v_doctor.sandbox.faults import single_cameras
from opv2v_doctor.sandbox.faults.fault import replace_text
from opv2v_doctor.state import State
from opv2v_doctor.target import Target, make_target
from opv2v_doctor.testing import run_check

LOADER, CROPPING = "mapanything/datasets/opv2v.py", "mapanything/utils/cropping.py"
POSES = "data_processing/opv2v_poses.py"
COOP = "dataset=opv2v_coop_ft"
CODES = [
    check.code for check in installed_checks() if check.code[:3] in ("GEO", "MSK") or check.code == "DAT004"
]
ELSEWHERE = {"GEO002", "MSK005"}  # of a panorama only: what its LiDAR sees, and where its cameras look


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A healthy repository that was never trained."""
    directory = tmp_path_factory.mktemp("cameras") / "repository"
    write_repository(directory)
    return directory


@pytest.fixture
def broken(written: Path, tmp_path: Path) -> Callable[..., Path]:
    def build(*names: str) -> Path:
        copy = tmp_path / "copy"
        copy_repository(written, copy)
        for name in names:
            put(name, copy)
        return copy

    return build


def results(target: Target, *codes: str) -> dict[str, Result]:
    """Those of some checks, which share what they measure."""
    chosen = [check for check in installed_checks() if check.code in codes]
    required = {code: "tested alone" for check in chosen for code in check.requires}
    target = replace(target, state=State())
    return {result.check.code: result for result in run(chosen, target, ignored=required)}


def line_of(path: Path, text: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)


@pytest.mark.parametrize(
    "words",
    [
        (COOP, "dataset.opv2v.pose_reference=camera", "dataset.opv2v.pose_axes=opengl"),
        ("dataset=opv2v_ft", "dataset.opv2v.pose_reference=world"),
    ],
    ids=" ".join,
)
def test_a_right_loader_passes(written: Path, words: tuple[str, ...]) -> None:
    found = results(make_target(repo=written, splits=("val",), num_samples=2, overrides=words), *CODES)
    assert {code for code, result in found.items() if result.status is not Status.PASSED} == ELSEWHERE
    assert found["GEO002"].status is Status.SKIPPED


def test_intrinsics_that_are_no_cameras_are_told_where_they_are_made(broken: Callable[..., Path]) -> None:
    repo = broken()
    scaled = "intrinsics = np.diag([size[0] / width, size[1] / height, 1.0]) @ intrinsics"
    replace_text(repo / "mapanything/utils/cropping.py", scaled, f"{scaled} * 1000")
    target = make_target(repo=repo, splits=("val",), num_samples=2, overrides=(COOP,))
    (finding,) = run_check("GEO010", target).findings
    assert "[0.0, 0.0, 1000.0], expected [fx, s, cx], [0, fy, cy], [0, 0, 1]" in finding.message
    assert finding.path and finding.path.is_relative_to(repo / "mapanything")


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (("range_for_z", "carla_axes"), {"GEO001": '"depthmap": depth', "GEO003": '"camera_pose":'}),
        (
            ("crop_not_followed", "lidar_pose_for_camera"),
            {"GEO010": "def crop_to_middle", "GEO004": "camera_pose = cords_to_pose("},
        ),
        (
            ("images_exchanged", "camera_poses_exchanged"),
            {"GEO014": '"img":', "GEO004": "camera_pose = cords_to_pose("},
        ),
        (("camera_files_exchanged",), {"GEO012": "np.load(", "GEO005": '"ray_directions_cam":'}),
    ],
)
def test_faults_are_named_where_they_are(
    broken: Callable[..., Path], names: tuple[str, ...], places: dict[str, str]
) -> None:
    repo = broken(*names)
    if "GEO005" in places:
        rays = "pinhole_rays(intrinsics, depth.shape)"
        replace_text(repo / LOADER, rays, rays.replace("intrinsics", "intrinsics * [[2], [2], [1]]"))
    found = results(make_target(repo=repo, splits=("test",), num_samples=2, overrides=(COOP,)), *places)
    for code, text in places.items():
        assert found[code].status is Status.FAILED, found[code]
        finding = found[code].findings[0]
        file = repo / (CROPPING if text.startswith("def crop") else LOADER)
        assert (finding.path, finding.line) == (file, line_of(file, text))
    assert {FAULTS[name].code for name in names} == set(places) - {"GEO005"}


@pytest.mark.nightly
@pytest.mark.parametrize("name", [n for n, f in FAULTS.items() if f.overrides == single_cameras.LAUNCH])
def test_each_fault_is_named_by_its_check(name: str, broken: Callable[..., Path]) -> None:
    target = make_target(repo=broken(name), splits=("test",), num_samples=2, overrides=(COOP,))
    code = FAULTS[name].code
    assert results(target, code)[code].status is Status.FAILED


def test_a_preview_shows_cameras_by_agent_with_the_lidar(written: Path, tmp_path: Path) -> None:
    target = make_target(repo=written, splits=("val",), overrides=(COOP,))
    assert show_samples(target, index=0, random=0, seed=0, output=tmp_path) == 0
    text = (tmp_path / "preview.html").read_text()
    page = json.loads(text.partition('type="application/json">')[2].partition("</script>")[0])
    for view in page["views"]:
        assert view["name"] == f"agent {view['agent']} {view['camera']}"
        assert view["camera"] in view["words"][1]  # the instance
        assert len(view["lidar"]) > 100
        assert all(0 <= c < view["width"] and 0 <= r < view["height"] for c, r, _ in view["lidar"])
        assert {"mine", "theirs"} <= set(view["depth"]) and view["reference"]
    assert len(list(tmp_path.glob("view*_image.png"))) == len(page["views"])
