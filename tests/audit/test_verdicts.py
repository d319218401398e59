"""Tests of the verdicts: a healthy dataset passes them all; each fires when one thing is broken."""

import re
import shutil
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
import yaml

from opv2v_doctor.audit.inventory import open_inventory
from opv2v_doctor.audit.listing import Dataset
from opv2v_doctor.audit.survey import survey
from opv2v_doctor.audit.verdicts import VERDICTS
from opv2v_doctor.audit.workers import readers
from opv2v_doctor.check import Finding, Severity
from opv2v_doctor.clouds import points
from opv2v_doctor.layout import Layout
from opv2v_doctor.result import Result, Status, exit_code
from opv2v_doctor.runner import run
from opv2v_doctor.target import Target

from .conftest import Audit


def loud(result: Result) -> list[Finding]:
    """The findings that are more than notes."""
    return [finding for finding in result.findings if finding.severity > Severity.NOTE]


def others_passed(results: dict[str, Result], *broken: str) -> bool:
    return all(result.status is Status.PASSED for code, result in results.items() if code not in broken)


def test_a_healthy_dataset_passes(audit: Audit) -> None:
    results = audit()
    assert {result.status for result in results.values()} == {Status.PASSED}
    assert exit_code(results.values()) == 0
    assert results["AUD001"].findings[0].text.values["frames"] == 18
    assert results["AUD013"].findings[0].text.values["median"] == pytest.approx(0.85, abs=0.01)


def test_nothing_to_read_is_no_answer(dataset: Path, audit: Audit) -> None:
    shutil.rmtree(dataset / "data" / "train")
    shutil.rmtree(dataset / "data" / "validate")
    shutil.rmtree(dataset / "data" / "test")
    results = audit()
    assert {result.status for result in results.values()} == {Status.BLOCKED}
    assert exit_code(results.values()) == 3


def test_a_dataset_of_which_nothing_can_be_read_is_no_answer(dataset: Path, audit: Audit) -> None:
    for path in [*dataset.rglob("*.yaml"), *dataset.rglob("*.p*"), *dataset.rglob("*.npy")]:
        path.write_bytes(b"")
    assert exit_code(audit().values()) == 3


@pytest.mark.parametrize("share", [0, 1, 7, 40, 500, -1, -12])
def test_a_truncated_image_is_named(first_frame: Path, audit: Audit, share: int) -> None:
    image = first_frame.with_name(f"{first_frame.stem}_camera1.png")
    image.write_bytes(image.read_bytes()[:share])
    results = audit()
    (finding,) = loud(results["AUD002"])
    assert finding.path == image
    assert finding.text.values["camera"] == "camera1"
    assert others_passed(results, "AUD002", "AUD013")
    assert exit_code(results.values()) == 1


def test_a_flipped_bit_in_an_image_is_found(first_frame: Path, audit: Audit) -> None:
    image = first_frame.with_name(f"{first_frame.stem}_camera0.png")
    content = bytearray(image.read_bytes())
    content[len(content) // 2] ^= 1
    image.write_bytes(bytes(content))
    assert "checksum" in loud(audit()["AUD002"])[0].message


def test_frames_of_one_camera_make_one_finding(first_frame: Path, audit: Audit) -> None:
    for path in first_frame.parent.glob("*_camera2.png"):
        path.write_bytes(b"not a picture")
    (finding,) = loud(audit()["AUD002"])
    assert finding.text.values["names"] == ["000069", "000071", "000073"]


def test_a_black_image_is_empty(first_frame: Path, audit: Audit) -> None:
    image = first_frame.with_name(f"{first_frame.stem}_camera1.png")
    cv2.imwrite(str(image), np.zeros((72, 96, 3), np.uint8))
    results = audit()
    assert loud(results["AUD003"])[0].path == image
    assert others_passed(results, "AUD003")


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_depth_that_knows_nothing_is_empty(first_depth: Path, audit: Audit, value: float) -> None:
    np.save(first_depth, np.full((72, 96), value, np.float32))
    results = audit()
    assert loud(results["AUD003"])[0].path == first_depth
    assert others_passed(results, "AUD003")


def test_an_image_of_another_size_is_found_and_so_is_its_depth(first_frame: Path, audit: Audit) -> None:
    image = first_frame.with_name(f"{first_frame.stem}_camera1.png")
    picture = cv2.imread(str(image))
    assert picture is not None
    cv2.imwrite(str(image), picture[:36])
    results = audit()
    assert results["AUD004"].status is Status.WARNED
    assert loud(results["AUD004"])[0].path == image
    assert results["AUD005"].status is Status.FAILED
    assert others_passed(results, "AUD004", "AUD005", "AUD013")


def test_depth_of_another_size_than_its_image_is_found(first_depth: Path, audit: Audit) -> None:
    np.save(first_depth, np.load(first_depth)[::2, ::2])
    results = audit()
    assert loud(results["AUD005"])[0].path == first_depth
    assert others_passed(results, "AUD005")


def test_a_missing_image_is_found(first_frame: Path, audit: Audit) -> None:
    image = first_frame.with_name(f"{first_frame.stem}_camera3.png")
    image.unlink()
    results = audit()
    assert [finding.path for finding in loud(results["AUD006"])] == [image]
    assert results["AUD006"].status is Status.FAILED
    assert others_passed(results, "AUD006", "AUD013")


def test_missing_depth_is_found(first_depth: Path, audit: Audit) -> None:
    first_depth.unlink()
    results = audit()
    assert [finding.path for finding in loud(results["AUD006"])] == [first_depth]
    assert others_passed(results, "AUD006")


def test_a_missing_cloud_and_a_missing_frame_file_are_hazards(first_frame: Path, audit: Audit) -> None:
    first_frame.with_suffix(".pcd").unlink()
    results = audit()
    assert loud(results["AUD006"])[0].path == first_frame.with_suffix(".pcd")
    assert results["AUD006"].status is Status.WARNED
    first_frame.unlink()
    results = audit()
    assert loud(results["AUD006"])[0].path == first_frame


def test_a_scenario_without_agents_is_a_hazard(dataset: Path, audit: Audit) -> None:
    (dataset / "data" / "train" / "2021_12_01_00_00_00").mkdir()
    assert audit()["AUD006"].status is Status.WARNED


def test_a_scenario_that_lacks_a_camera_is_told_once(first_frame: Path, dataset: Path, audit: Audit) -> None:
    scenario = first_frame.parents[1]
    for path in [*scenario.rglob("*_camera3.png"), *dataset.glob(f"depth/train/{scenario.name}/*/*camera3*")]:
        path.unlink()
    results = audit()
    (finding,) = loud(results["AUD007"])
    assert finding.path == scenario
    assert finding.text.values["cameras"] == ["camera3"]
    assert others_passed(results, "AUD007", "AUD013")


def test_a_gap_in_the_frames_is_found(first_frame: Path, audit: Audit) -> None:
    for agent in first_frame.parents[1].iterdir():
        for path in agent.glob("000071*") if agent.is_dir() else ():
            path.unlink()
    results = audit()
    assert {finding.path for finding in loud(results["AUD008"])} == {
        agent for agent in first_frame.parents[1].iterdir() if agent.is_dir()
    }
    assert loud(results["AUD008"])[0].text.values["gaps"] == [[69, 73]]
    assert others_passed(results, "AUD008")


def test_an_agent_that_lacks_a_frame_is_found(first_frame: Path, audit: Audit) -> None:
    for path in first_frame.parent.glob("000071*"):
        path.unlink()
    results = audit()
    (finding,) = loud(results["AUD009"])
    assert (finding.path, finding.text.values["frames"]) == (first_frame.parent, ["000071"])
    assert others_passed(results, "AUD008", "AUD009")


def test_an_agent_that_goes_sooner_is_no_hazard(first_frame: Path, audit: Audit) -> None:
    for path in first_frame.parent.glob("000073*"):
        path.unlink()
    results = audit()
    assert others_passed(results)
    (finding,) = results["AUD009"].findings
    assert (finding.text.values["first"], finding.text.values["last"]) == ("000069", "000071")


def as_jpg(root: Path) -> None:
    for path in root.rglob("*_camera?.png"):
        picture = cv2.imread(str(path))
        assert picture is not None
        cv2.imwrite(str(path.with_suffix(".jpg")), picture)
        path.unlink()


def test_images_as_jpg_are_images(dataset: Path, audit: Audit) -> None:
    as_jpg(dataset)
    last = max(dataset.glob("data/train/*/*/*_camera0.jpg"))
    results = audit()
    assert others_passed(results)
    assert results["AUD003"].examined[0].count == 72
    last.unlink()
    results = audit()
    (finding,) = loud(results["AUD006"])
    assert finding.path == last
    last.write_bytes(last.with_name(last.name.replace("camera0", "camera1")).read_bytes()[:2000])
    (finding,) = loud(audit()["AUD002"])
    assert "truncated" in finding.message


def test_depth_and_clouds_in_other_files_are_read(dataset: Path, audit: Audit) -> None:
    for path in dataset.glob("depth/*/*/*/*.npy"):
        np.savez_compressed(path.with_suffix(".npz"), depth=np.load(path))
        path.unlink()
    for path in dataset.glob("data/*/*/*/*.pcd"):
        found = points(path.read_bytes(), path.name)
        np.hstack([found, found[:, :1]]).astype("<f4").tofile(path.with_suffix(".bin"))
        path.unlink()
    last = max(dataset.glob("data/train/*/*/*.bin"))
    assert others_passed(audit())
    last.unlink()
    (finding,) = loud(audit()["AUD006"])
    assert finding.path == last


def test_what_is_nothing_of_a_frame_is_named_and_not_judged(dataset: Path, audit: Audit) -> None:
    for path in list(dataset.glob("data/*/*/*/*.yaml")):
        path.with_name(f"{path.stem}_additional.yaml").write_text("bev: !!python/name:os.abort\n")
        path.with_name(f"{path.stem}_bev_dynamic.png").write_bytes(b"no PNG")
    shutil.copytree(dataset / "data/train", dataset / "data/additional/train")
    (min(dataset.glob("data/train/*")) / "notes").mkdir()
    results = audit()
    assert others_passed(results)
    said = " ".join(finding.message for finding in results["AUD001"].findings)
    assert "FRAME_additional.yaml is no frame" in said
    for name in ("18 FRAME_bev_dynamic.png", "1 additional/", "1 SCENARIO/notes/"):
        assert name in said


def test_a_dataset_of_lidar_alone_is_whole(dataset: Path, audit: Audit) -> None:
    for path in [*dataset.rglob("*_camera?.png"), *dataset.rglob("*.npy")]:
        path.unlink()
    for path in dataset.glob("data/*/*/*/*.yaml"):
        content = yaml.load(path.read_bytes(), yaml.CSafeLoader)
        path.write_text(yaml.dump({key: content[key] for key in content if not key.startswith("camera")}))
    assert {code: result.status for code, result in audit().items() if result.status is Status.FAILED} == {}


def test_a_scenario_without_any_image_is_found(dataset: Path, audit: Audit) -> None:
    scenario = max((dataset / "data/train").iterdir())
    for path in [*scenario.rglob("*.png"), *(dataset / "depth/train" / scenario.name).rglob("*.npy")]:
        path.unlink()
    (finding,) = loud(audit()["AUD007"])
    assert (finding.path, len(finding.text.values["cameras"])) == (scenario, 4)  # type: ignore[arg-type]


def test_a_frame_file_in_other_words_names_its_keys_and_is_read_once_told(
    dataset: Path, audit: Audit, tmp_path: Path
) -> None:
    for path in dataset.glob("data/*/*/*/*.yaml"):
        path.write_text(path.read_text().replace("lidar_pose:", "ego:").replace("camera", "cam"))
    for path in list(dataset.rglob("*_camera*")):
        path.rename(path.with_name(path.name.replace("camera", "cam")))
    found = loud(audit()["AUD002"])
    assert "no lidar_pose among its keys" in found[0].message and "ego" in found[0].message
    told = Layout(cameras=("cam0", "cam1", "cam2", "cam3"), lidar_pose="ego")
    roots = str(dataset / "data"), str(dataset / "depth")
    with open_inventory(Dataset(*roots, told), tmp_path / "cache") as inventory:
        survey(inventory, readers(1), lambda *_: None)
        results = {result.check.code: result for result in run(VERDICTS, cast("Target", inventory))}
    assert others_passed(results)


def test_a_folder_too_deep_names_the_right_one(dataset: Path, tmp_path: Path) -> None:
    with open_inventory(Dataset(str(dataset / "data/train")), tmp_path / "cache") as inventory:
        survey(inventory, readers(1), lambda *_: None)
        (first, *_) = run(VERDICTS, cast("Target", inventory))
    assert first.status is Status.BLOCKED
    assert str(first.hint) == f"opv2v-doctor audit {dataset / 'data'}"


def test_a_pose_that_jumps_is_found(first_frame: Path, audit: Audit) -> None:
    text = first_frame.read_text()
    start, end = text.index("lidar_pose:"), text.index("plan_trajectory:")
    pose = re.sub(r"- (-?[\d.]+)\n", lambda m: f"- {float(m[1]) + 90}\n", text[start:end], count=1)
    first_frame.write_text(text[:start] + pose + text[end:])
    results = audit()
    (finding,) = loud(results["AUD010"])
    assert finding.path == first_frame.with_name("000071.yaml")
    assert isinstance(speed := finding.text.values["speed"], float)
    assert speed > 500
    assert others_passed(results, "AUD010", "AUD013")


def test_a_scenario_copied_into_another_split_is_found_under_any_name(
    first_frame: Path, dataset: Path, audit: Audit
) -> None:
    scenario = first_frame.parents[1]
    for kind in ("data", "depth"):
        source = dataset / kind / "train" / scenario.name
        shutil.copytree(source, dataset / kind / "test" / "2021_12_31_00_00_00")
    results = audit()
    assert results["AUD011"].status is Status.FAILED
    frames = [finding.text.values["names"] for finding in loud(results["AUD011"])]
    assert frames == [["000069", "000071", "000073"]] * 2
    assert others_passed(results, "AUD011")


def test_without_depth_nothing_is_said_of_it(dataset: Path, audit: Audit) -> None:
    shutil.rmtree(dataset / "depth")
    results = audit()
    assert others_passed(results, "AUD005", "AUD012")
    assert [results[code].status for code in ("AUD005", "AUD012")] == [Status.SKIPPED] * 2
    assert str(results["AUD012"].reason) == "there is no depth beside the images"
    assert [one.count for one in results["AUD003"].examined] == [72, 0, 18]


def test_frames_without_any_image_fail_and_nothing_passes_over_them(dataset: Path, audit: Audit) -> None:
    for image in dataset.rglob("*.png"):
        image.unlink()
    results = audit()
    told = [(finding.message, finding.path) for finding in loud(results["AUD006"])]
    assert told[0] == ("3 frames with 0 of 12 images", dataset / "data" / "test")
    for code in ("AUD004", "AUD005", "AUD007", "AUD013"):
        assert results[code].status is Status.SKIPPED, code
    assert exit_code(results.values()) == 1


def test_a_drive_of_one_frame_has_no_clock_and_no_speed(dataset: Path, audit: Audit) -> None:
    for path in dataset.rglob("0000*"):
        if not path.name.startswith("000069"):
            path.unlink()
    results = audit()
    for code in ("AUD008", "AUD010"):
        assert (results[code].status, str(results[code].reason)) == (
            Status.SKIPPED,
            "nothing to examine: 0 pairs of frames",
        )


def test_sparse_and_negative_depth_are_found(first_depth: Path, audit: Audit) -> None:
    depth = np.zeros((72, 96), np.float32)
    depth[0, 0] = 5
    np.save(first_depth, depth)
    assert audit()["AUD012"].status is Status.WARNED
    depth[1:] = -5
    np.save(first_depth, depth)
    result = audit()["AUD012"]
    assert result.status is Status.FAILED
    assert loud(result)[-1].path == first_depth


def test_a_rig_that_sees_less_is_found(first_frame: Path, audit: Audit) -> None:
    text = first_frame.read_text()
    focal = re.search(r"intrinsic:\n  - - ([\d.]+)", text)
    assert focal
    first_frame.write_text(text.replace(focal[1], str(float(focal[1]) * 3)))
    results = audit()
    (finding,) = loud(results["AUD013"])
    assert finding.path == first_frame.parent
    assert others_passed(results, "AUD013")


def test_every_verdict_has_a_page(audit: Audit) -> None:
    for code, result in audit().items():
        assert result.check.claim.endswith(".")
        assert "## Why it matters" in result.check.page, code
        assert "## How to fix" in result.check.page, code
