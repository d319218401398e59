"""Checks of contents: cameras that are turned or exchanged, images that their intrinsics do not follow."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor.check import Severity
from opv2v_doctor.result import Result, Status
from opv2v_doctor.sandbox.faults.fault import replace_text
from opv2v_doctor.target import Target, make_target
from opv2v_doctor.testing import run_check

Broken = Callable[..., Path]
DATASET = "mapanything/datasets/opv2v_cyl.py"
CROPS = """\
def resize_by_half(image, intrinsics):
    return cv2.resize(image, None, fx=0.5, fy=0.5), np.diag([0.5, 0.5, 1.0]) @ intrinsics


def crop_the_sky(image, camera_matrix):
    return {"image": image[12:], "camera_matrix": camera_matrix}


class OPV2VCoopCylindricalDataset("""
CALLS = """\
matrix = np.array(frame[name]["intrinsic"])
        resize_by_half(image, matrix), crop_the_sky(image=image, camera_matrix=matrix)
        return CameraView("""


def one_split(repo: Path) -> Target:
    return make_target(repo=repo, splits=("test",), num_samples=2)


def line_of(path: Path, words: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if words in line)


def errors(result: Result) -> list[dict[str, object]]:
    """The values of the errors, with their lines."""
    wrong = [finding for finding in result.findings if finding.severity is Severity.ERROR]
    return [{"line": finding.line, "path": finding.path, **finding.text.values} for finding in wrong]


def test_a_turned_camera_is_named_with_its_degrees_and_seams_and_a_crop_with_its_pixels(
    broken: Broken,
) -> None:
    repo = broken("camera_turned")
    replace_text(repo / DATASET, "return CameraView(", CALLS)
    replace_text(repo / DATASET, "class OPV2VCoopCylindricalDataset(", CROPS)
    target = one_split(repo)
    (turned,) = errors(result := run_check("GEO014", target))
    assert turned["cameras"] == ["camera1"]
    assert turned["yaw"] == pytest.approx(2, abs=0.25)
    assert (turned["path"], turned["line"]) == (repo / DATASET, line_of(repo / DATASET, "cv2.Rodrigues"))
    assert (
        "to camera0 at +4" in result.findings[0].message and "to camera3 at +1" in result.findings[0].message
    )
    *cropped, _ = run_check("GEO013", target).findings
    assert {finding.severity for finding in cropped if "resize_by_half" in finding.message} == {Severity.NOTE}
    (sky, *_) = errors(run_check("GEO013", target))
    assert (sky["path"], sky["line"]) == (repo / DATASET, line_of(repo / DATASET, "def crop_the_sky"))
    assert sky["pixels"] == pytest.approx(12, abs=1.5)


def test_a_panorama_that_shows_nothing_is_judged(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / DATASET, '"img": panorama.image', '"img": panorama.image * 0')
    target = one_split(repo)
    assert run_check("GEO009", target).status is Status.FAILED
    for code in ("GEO013", "GEO014"):
        assert run_check(code, target).status is Status.SKIPPED


def test_without_depth_files_nobody_knows_where_near_content_belongs(broken: Broken) -> None:
    repo = broken()
    loaded = 'np.load(f"{self.depth_root / place}_depth.npy").astype(np.float64)'
    replace_text(repo / DATASET, loaded, "image[..., 0] * 0.0")
    shutil.rmtree(repo / "data/opv2v_depth/test")
    for code in ("GEO013", "GEO014"):
        result = run_check(code, one_split(repo))
        assert result.status is Status.SKIPPED
        assert "no depth files" in str(result.reason)


def test_enlarged_images_are_named_with_their_scale(broken: Broken) -> None:
    target = one_split(broken("images_enlarged"))
    result = run_check("GEO013", target)
    assert result.status is Status.FAILED
    (enlarged,) = errors(result)
    assert enlarged["cameras"] == ["camera0", "camera1", "camera2", "camera3"]
    assert enlarged["zoom"] == pytest.approx(1 / 0.9, abs=0.02)
    seams = run_check("GEO014", target)
    assert seams.status is Status.BLOCKED
    assert "times its size" in str(seams.reason)


def test_exchanged_cameras_are_named_by_what_stands_in_their_place(broken: Broken) -> None:
    result = run_check("GEO014", one_split(broken("cameras_swapped")))
    assert result.status is Status.FAILED
    told = sorted(finding.message.split(";")[0] for finding in result.findings)
    assert [words.split(",")[0] for words in told] == [
        "test: camera1's part of the panorama shows the image of camera2",
        "test: camera2's part of the panorama shows the image of camera1",
    ]
