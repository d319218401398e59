"""Dataset checks on files as others have them: what the loader reads is judged, and nothing else."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from opv2v_doctor import Blocked, Severity
from opv2v_doctor.facts.disk.damage import Damage, damage
from opv2v_doctor.facts.disk.frames import Disk, disks, frame_file
from opv2v_doctor.facts.disk.scenarios import scenarios
from opv2v_doctor.facts.geometry.depth_maps import depth_of
from opv2v_doctor.facts.interpreter.views import DrawFailure, Identity, Sample
from opv2v_doctor.facts.launch.datasets import parts_of
from opv2v_doctor.facts.launch.splits import examined_splits
from opv2v_doctor.facts.samples.draws import Samples, samples
from opv2v_doctor.facts.samples.rigs import rig
from opv2v_doctor.result import Result, Status
from opv2v_doctor.sandbox import write_scene
from opv2v_doctor.settings import Files, Keys, Settings
from opv2v_doctor.target import Target
from opv2v_doctor.testing import run_check

TEMPLATE = Path(__file__).parents[2] / "opv2v_doctor/sandbox/repository"
LOADER = TEMPLATE / "mapanything/datasets/opv2v_cyl.py"
(PART,) = parts_of("OPV2VCoopCylindricalDataset(split='train', max_num_retries=5, min_agents=1)")
Given = dict[Callable[..., Any], Any]


def target_of(settings: Settings | None = None) -> Target:
    return Target(
        repo=TEMPLATE, python=Path(sys.executable), splits=("train",), settings=settings or Settings()
    )


def where_of(folder: Path, target: Target, code: frozenset[str] = frozenset()) -> Disk:
    return Disk(
        part=PART, folder=folder, depth_folder=folder, scenarios=scenarios(target, folder, folder, code)
    )


def given(where: Disk, *failures: DrawFailure) -> Given:
    drawn = [Sample(key=(n,), requested=None, views=(), failure=one) for n, one in enumerate(failures)]
    right = Sample(key=(9,), requested=None, views=(), failure=None)
    found = Samples(
        split="train", parts=(PART,), length=9, classes=(), view_counts=(), samples=(*drawn, right)
    )
    return {examined_splits: ("train",), disks: (where,), samples: found}


def failed(path: Path, message: str = "no lidar_pose") -> DrawFailure:
    return DrawFailure(kind="KeyError", message=message, place=None, opened=path)


def loud(result: Result) -> list[str]:
    return [finding.message for finding in result.findings if finding.severity > Severity.NOTE]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split of one scenario, two agents, three frames; depth lies with the images. Never to be modified."""
    root = tmp_path_factory.mktemp("whole")
    write_scene(root, root, image_size=(40, 30), scenarios={"train": (2,)}, frames=3)
    return root / "train"


@pytest.fixture
def scene(whole: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(whole, tmp_path / "train"))


def test_a_file_that_is_no_frame_is_not_to_be_restored(scene: Path) -> None:
    extra = [path.with_name(f"{path.stem}_additional.yaml") for path in scene.glob("*/*/*.yaml")]
    for path in extra:
        path.write_text("bev_sem_cam: {}\n")
    target = target_of()
    told = given(where_of(scene, target), failed(extra[0]), failed(extra[1], f"wrong in {extra[1]}"))
    result = run_check("DAT009", target, given=told)
    (finding,) = [one for one in result.findings if one.severity is Severity.ERROR]
    assert "2 of 3 samples failed" in finding.message
    assert "FRAME_additional.yaml is no frame, and is read as one" in finding.message
    line = next(n for n, text in enumerate(LOADER.read_text().splitlines(), 1) if '"*/*.yaml"' in text)
    assert (finding.path, finding.at and finding.at.line) == (LOADER, line)
    assert "restore" not in str(finding.hint)


def test_a_frame_that_cannot_be_read_is_still_to_be_restored(scene: Path) -> None:
    path, target = min(scene.glob("*/*/*.yaml")), target_of()
    result = run_check("DAT009", target, given=given(where_of(scene, target), failed(path, f"in {path}")))
    (finding,) = [one for one in result.findings if one.severity is Severity.ERROR]
    assert f"restore {path}" in str(finding.hint)


def test_a_loader_that_reads_another_suffix_is_told_which(scene: Path) -> None:
    image, target = min(scene.glob("*/*/*_camera0.png")), target_of()
    image = image.rename(image.with_suffix(".jpg"))
    asked = image.with_suffix(".png")
    failure = failed(asked, f"no readable image {asked}")
    nothing = Damage(
        files=(), expected=1, present=1, opened=1, frames=()
    )  # the split may be too large to look into
    told = {**given(where_of(scene, target), failure), damage: nothing}
    result = run_check("DAT009", target, given=told)
    (finding,) = [one for one in result.findings if one.severity is Severity.ERROR]
    assert str(finding.hint).startswith("let the dataset read .jpg")


def test_extra_files_are_named_and_not_judged(scene: Path) -> None:
    for path in list(scene.glob("*/*/*.yaml")):
        path.with_name(f"{path.stem}_bev_dynamic.png").touch()
    target = target_of()
    result = run_check("DAT002", target, given=given(where_of(scene, target)))
    assert result.status is Status.PASSED
    assert any("6 FRAME_bev_dynamic.png" in finding.message for finding in result.findings)


@pytest.mark.parametrize(("gone", "told"), [("000069", False), ("000073", False), ("000071", True)])
def test_agents_may_come_later_and_go_sooner(scene: Path, gone: str, told: bool) -> None:
    agent = min(path for path in scene.glob("*/*") if path.is_dir())
    for path in agent.glob(f"{gone}*"):
        path.unlink()
    target = target_of()
    found = loud(run_check("DAT002", target, given=given(where_of(scene, target))))
    assert [message for message in found if "1 of 3 frames" in message] == found
    assert bool(found) == told


def test_images_of_another_suffix_are_looked_for_by_it(scene: Path) -> None:
    for path in scene.glob("*/*/*_camera?.png"):
        path.rename(path.with_suffix(".jpg"))  # what is in a file counts, not how it is called
    target = target_of()
    told = given(where_of(scene, target))
    assert loud(run_check("DAT009", target, given=told)) == []
    lost = max(scene.glob("*/*/*_camera2.jpg"))
    lost.unlink()
    target = target_of()
    (message,) = loud(run_check("DAT009", target, given=given(where_of(scene, target))))
    assert str(lost) in message


def test_of_two_suffixes_the_one_that_the_loader_reads_counts(scene: Path) -> None:
    for path in list(scene.glob("*/*/*_camera?.png")):
        path.with_suffix(".jpg").write_bytes(path.read_bytes()[:99])
    target = target_of()
    assert loud(run_check("DAT009", target, given=given(where_of(scene, target, frozenset({".png"}))))) == []
    target = target_of()
    told = given(where_of(scene, target, frozenset({".jpg"})))
    assert "truncated" in loud(run_check("DAT009", target, given=told))[0]


def test_a_roadside_agent_and_words_of_others_are_read(scene: Path) -> None:
    first = min(path for path in scene.glob("*/*") if path.is_dir())
    agent = first.rename(first.with_name("-1"))
    for path in agent.glob("*.yaml"):
        path.write_text(path.read_text().replace("lidar_pose:", "ego:").replace("camera", "cam"))
    for path in agent.glob("*_camera*"):
        path.rename(path.with_name(path.name.replace("camera", "cam")))
    keys = Keys(cameras=("cam0", "cam1", "cam2", "cam3"), lidar_pose="ego")
    target = target_of(Settings(keys=keys, files=Files(depth_scale=0.01)))
    where = where_of(scene, target)
    frame = where.agents[agent.parent.name, "-1"].frames[0]
    assert set(rig(where, frame)) == {"camera0", "camera1", "camera2", "camera3"}
    assert "lidar_pose" in frame_file(frame)
    view = Identity(label=f"{agent.parent.name}/-1", instance=f"{frame.name}/cam2", agent_id="-1")
    assert (where.frame_of(view), where.camera_of(view)) == (frame, "camera2")


def test_depth_of_whole_numbers_asks_for_its_scale_and_has_it_once_told(scene: Path) -> None:
    for path in list(scene.glob("*/*/*_depth.npy")):
        steps = np.clip(np.load(path) * 100, 0, 65535).astype(np.uint16)
        cv2.imwrite(str(path.with_suffix(".png")), steps)
        path.unlink()
    target = target_of()
    frame = where_of(scene, target).frames[0]
    assert frame.depth("camera0").suffix == ".png"
    with pytest.raises(Blocked) as raised:
        depth_of(frame, "camera0")
    assert "depth_scale" in str(raised.value.hint)
    target = target_of(Settings(files=Files(depth_scale=0.01)))
    depth = depth_of(where_of(scene, target).frames[0], "camera0")
    assert depth is not None and 1 < depth.max() <= 655.35
    told = given(where_of(scene, target))
    assert loud(run_check("DAT009", target, given=told)) == []
