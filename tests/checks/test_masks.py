"""Mask checks: measured means against the floor, and against what the rig sees."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opv2v_doctor import Finding, Severity, Target, Text
from opv2v_doctor.facts.disk.frames import Disk, disk, disks
from opv2v_doctor.facts.disk.scenarios import Agent, Frame, scenarios
from opv2v_doctor.facts.geometry.coverages import Coverage, coverages
from opv2v_doctor.facts.interpreter.views import Identity, Sample, View
from opv2v_doctor.facts.launch.datasets import Part, parts_of
from opv2v_doctor.facts.launch.splits import examined_splits
from opv2v_doctor.facts.samples.draws import Samples, samples
from opv2v_doctor.facts.samples.moments import AS_LARGE
from opv2v_doctor.facts.samples.rigs import panorama_camera, rig, rig_coverage, view_margin
from opv2v_doctor.result import Result, Status
from opv2v_doctor.sandbox import copy_repository, write_scene
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

from ..edges import assert_edge

SPARSEST: Any = importlib.import_module("opv2v_doctor.checks.masks").SPARSEST  # an import hook serves it
Broken = Callable[..., Path]
SOURCE = "mapanything/datasets/opv2v_cyl.py"
MASK = '"non_ambiguous_mask": panorama.mask'


def line_of(path: Path, words: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if words in line)


def coverage(finding: Finding) -> dict[str, Any]:
    """What a finding says of covered, seen and cropped parts."""
    told = finding.text.values.get("coverage", finding.text)
    assert isinstance(told, Text)
    return dict(told.values)


def another(healthy: Path, folder: Path, value: float) -> Path:
    """A copy for one value: facts about a repository are remembered by its path."""
    copy_repository(healthy, folder / f"at_{value}")
    return folder / f"at_{value}"


def with_mask(healthy: Path, folder: Path, value: float, code: str, new: str, old: str = MASK) -> Result:
    """What a check says where one line of the stitching or of the view is another, VALUE being the value."""
    repo = another(healthy, folder, value)
    for name in (SOURCE, "mapanything/datasets/opv2v_panorama.py"):
        text = (repo / name).read_text()
        (repo / name).write_text(text.replace(old, new.replace("VALUE", str(value))))
    return run_check(code, make_target(repo=repo, splits=("val",), num_samples=1))


@pytest.mark.parametrize("code", ["MSK001", "MSK002", "MSK003"])
def test_healthy_masks_pass(healthy: Path, code: str) -> None:
    assert run_check(code, make_target(repo=healthy)).status is Status.PASSED


def test_an_empty_mask_is_found_where_it_is_built(broken: Broken) -> None:
    repo = broken("empty_mask")
    result = run_check("MSK001", make_target(repo=repo))
    assert [f.subjects for f in result.findings if f.severity is Severity.ERROR] == [("train", "val", "test")]
    assert result.status is Status.FAILED
    assert result.findings[0].path == repo / SOURCE
    assert result.findings[0].line == line_of(repo / SOURCE, MASK)
    assert result.findings[0].text.values["mean"] == 0


def test_a_cropped_field_of_view_is_explained(broken: Broken) -> None:
    repo = broken("cropped_before_stitching")
    result = run_check("MSK002", make_target(repo=repo, splits=("val",)))
    (finding,) = result.findings
    assert result.status is Status.FAILED
    assert finding.path == repo / SOURCE
    covered = coverage(finding)
    assert covered["measured"] == pytest.approx(0.32, abs=0.02)
    assert covered["seen"] == pytest.approx(0.85, abs=0.02)
    assert covered["cropped"] == pytest.approx(covered["measured"], abs=0.02)
    assert "cropped" in finding.message


def test_a_mask_that_marks_everything_covers_more_than_the_rig_sees(broken: Broken) -> None:
    repo = broken()
    (repo / SOURCE).write_text((repo / SOURCE).read_text().replace(MASK, MASK + " | True"))
    result = run_check("MSK002", make_target(repo=repo, splits=("test",)))
    assert result.status is Status.FAILED
    assert result.findings[0].line == line_of(repo / SOURCE, MASK)


def test_a_rig_with_fewer_cameras_is_expected_to_see_less(healthy: Path) -> None:
    target = make_target(repo=healthy, splits=("test",), overrides=("dataset.opv2v.camera_ids=[0,3]",))
    result = run_check("MSK002", target)
    assert result.status is Status.PASSED
    assert coverage(result.findings[0])["seen"] == pytest.approx(0.45, abs=0.1)


def test_another_field_of_view_changes_what_is_expected(healthy: Path) -> None:
    overrides = (
        "dataset.opv2v.test.panorama_vertical_fov_deg=60",
        "dataset.opv2v.test.panorama_elevation_center_deg=10",
    )
    target = make_target(repo=healthy, splits=("test",), overrides=overrides)
    assert run_check("MSK002", target).status is Status.PASSED


def test_valid_pixels_outside_of_the_mask_are_a_warning(broken: Broken) -> None:
    repo = broken("valid_outside_mask")
    result = run_check("MSK003", make_target(repo=repo, splits=("test",)))
    assert result.status is Status.WARNED
    assert result.findings[0].path == repo / SOURCE


PART = MASK.replace(
    "panorama.mask",
    "(np.arange(panorama.mask.size) < VALUE * panorama.mask.size).reshape(panorama.mask.shape)",
)


def test_the_floor_of_a_mask_is_the_settings(healthy: Path, tmp_path: Path) -> None:
    def status_at(mean: float) -> Status:
        return with_mask(healthy, tmp_path, mean, "MSK001", PART).status

    assert_edge(0.05, status_at, good="above")


NO_FILES: dict[str, Any] = {"files": frozenset(), "depth_files": frozenset()}
SAMPLE = Sample(key=(0,), requested=None, views=(), failure=None)
VAL = Part(expression="Cylinders(split='val')", class_name="Cylinders", size=None)
DRAWN: dict[Callable[..., Any], Any] = {
    examined_splits: ("val",),
    samples: Samples(split="val", parts=(VAL,), length=1, classes=(), view_counts=(), samples=(SAMPLE,)),
}


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_tolerance_of_a_mask_is_the_settings(sign: int, tmp_path: Path) -> None:
    agent = Agent(scenario="a", name="1", folder=tmp_path, depth_folder=tmp_path, **NO_FILES)
    view = Coverage(frame=Frame(agent=agent, name="000001"), measured=0, seen=0.5, cropped=0.2)

    def status_at(off: float) -> Status:
        given = {**DRAWN, coverages: (replace(view, measured=0.5 + sign * off),)}
        return run_check("MSK002", Target(repo=tmp_path, python=tmp_path), given=given).status

    assert_edge(0.05, status_at)


def test_a_mask_that_is_what_cropped_images_give_is_said_to_be(tmp_path: Path) -> None:
    agent = Agent(scenario="a", name="1", folder=tmp_path, depth_folder=tmp_path, **NO_FILES)
    view = Coverage(frame=Frame(agent=agent, name="000001"), measured=0.33, seen=0.85, cropped=0.34)
    target = Target(repo=tmp_path, python=tmp_path)
    (finding,) = run_check("MSK002", target, given={**DRAWN, coverages: (view, view)}).findings
    assert "cropped to its shape first" in finding.message
    other = replace(view, cropped=0.5)
    (finding,) = run_check("MSK002", target, given={**DRAWN, coverages: (view, other)}).findings
    assert "cropped" not in finding.message
    assert finding.path == view.frame.yaml


def test_a_crop_explains_a_mask_that_is_as_near_as_this(healthy: Path, tmp_path: Path) -> None:
    cropped = coverages(make_target(repo=healthy, splits=("val",), num_samples=1), "val")[0].cropped or 0.0

    def status_at(off: float) -> Status:
        (finding,) = with_mask(healthy, tmp_path, cropped + off, "MSK002", PART).findings
        return Status.PASSED if "cropped" in finding.message else Status.FAILED

    assert_edge(0.02, status_at)


def test_a_border_of_valid_pixels_outside_of_the_mask_is_no_fault(healthy: Path, tmp_path: Path) -> None:
    old = "depth[~mask] = 0.0"
    filled = "depth.ravel()[np.flatnonzero(~mask)[: round(VALUE * mask.size)]] = 50.0"

    def status_at(part: float) -> Status:
        return with_mask(healthy, tmp_path, part, "MSK003", f"{old}\n        {filled}", old).status

    assert_edge(0.01, status_at)


def test_sparse_depth_files_excuse_a_valid_mask_as_sparse(tmp_path: Path) -> None:
    """Of so few known pixels that they are lost, nothing is excused."""

    def status(known: float) -> Status:
        root = tmp_path / str(known)
        write_scene(root, root, image_size=(40, 30), scenarios={"train": (2,)}, frames=1)
        target = Target(repo=root, python=root, splits=("train",))
        found = scenarios(target, root / "train", root / "train")
        for path in root.rglob("*_depth.npy"):
            depth = np.zeros(10_000, np.float32)
            depth[: round(known * depth.size)] = 20.0
            np.save(path, depth.reshape(100, 100))
        (part,) = parts_of("OPV2VCoopCylindricalDataset(split='train', min_agents=1)")
        frame = found[0].agents[0].frames[0]
        identity = Identity(label=f"{found[0].name}/{frame.agent.name}", instance=frame.name, agent_id=None)
        view = View(identity=identity, shape=(3, 4, 4), digest="", valid_mean=0.001)
        sample = Sample(key=(0,), requested=None, views=(view,), failure=None)
        drawn = {"length": 1, "classes": (), "view_counts": (1,), "samples": (sample,)}
        given: dict[Callable[..., Any], Any] = {
            samples: Samples(split="train", parts=(part,), **drawn),  # type: ignore[arg-type]
            examined_splits: ("train",),
            disks: (Disk(part=part, folder=root / "train", depth_folder=root / "train", scenarios=found),),
        }
        return run_check("MSK001", target, given=given).status

    assert_edge(SPARSEST, status, good="above")


def test_training_may_leave_a_camera_out_at_times(tmp_path: Path) -> None:
    """Where most panoramas show all cameras, and the others' masks fit the rest; in training only."""
    root = tmp_path
    write_scene(root, root, image_size=(40, 30), scenarios={"train": (4,)}, frames=1)
    found = scenarios(Target(repo=root, python=root), root / "train", root / "train")
    (part,) = parts_of(
        "OPV2VCoopCylindricalDataset(split='train', min_agents=1, panorama_resolution=(64, 16))"
    )
    where = Disk(part=part, folder=root / "train", depth_folder=root / "train", scenarios=found)
    frames, cylinder = where.scenes[0], panorama_camera(where)
    cameras = rig(where, frames[0])
    whole = rig_coverage(cylinder, cameras, view_margin(where))
    del cameras["camera1"]
    rest = rig_coverage(cylinder, cameras, view_margin(where))

    def status(off: float, lacking: int = 1, split: str = "train") -> Status:
        views = [
            View(
                identity=Identity(
                    label=f"{found[0].name}/{frame.agent.name}",
                    instance=frame.name,
                    agent_id=frame.agent.name,
                ),
                shape=(3, 16, 64),
                digest="",
                camera_model="cyl",
                mask_mean=rest - off if number < lacking else whole,
            )
            for number, frame in enumerate(frames)
        ]
        sample = Sample(key=(0,), requested=None, views=tuple(views), failure=None)
        given: dict[Callable[..., Any], Any] = {
            samples: Samples(
                split=split, parts=(part,), length=1, classes=(), view_counts=(4,), samples=(sample,)
            ),
            examined_splits: (split,),
            disk: where,
        }
        target = Target(repo=root, python=root, splits=(split,), num_samples=round(1 + 1000 * off))
        return run_check("MSK002", target, given=given).status

    assert_edge(AS_LARGE, status)
    assert status(0.0, lacking=2) is Status.FAILED
    assert status(0.0, split="val") is Status.FAILED
