"""Dataset checks: files that cannot be read, and depth that cannot be used."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from opv2v_doctor import Severity
from opv2v_doctor.facts.disk.damage import damage
from opv2v_doctor.facts.disk.frames import disk
from opv2v_doctor.facts.samples.draws import samples
from opv2v_doctor.result import Status
from opv2v_doctor.sandbox import copy_repository
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

from ..edges import assert_edge

Broken = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("missing_camera", "_camera2.png"),
        ("truncated_image", "_camera1.png"),
        ("truncated_yaml", ".yaml"),
        ("truncated_depth", "_depth.npy"),
    ],
)
def test_a_file_that_fails_is_named(broken: Broken, name: str, ending: str) -> None:
    result = run_check("DAT009", make_target(repo=broken(name)))
    assert result.status is Status.FAILED
    (found,) = [finding for finding in result.findings if finding.severity is Severity.ERROR]
    assert result.findings[0] is found
    assert str(found.path).endswith(ending)


def test_a_broken_file_that_no_sample_meets_is_found(broken: Broken) -> None:
    repo = broken()
    target = make_target(repo=repo, splits=("val",), num_samples=1, overrides=("dataset.num_views=2",))
    drawn = {view.identity.instance for view in samples(target, "val").views}
    frames = [
        frame for frame in disk(target, "val").frames if f"{frame.name}/{frame.agent.name}" not in drawn
    ]
    image = frames[-1].image("camera0")
    image.write_bytes(image.read_bytes()[:-20])
    result = run_check("DAT009", target)
    assert [f.path for f in result.findings if f.severity is Severity.ERROR] == [image]


def test_a_broken_file_that_the_dataset_never_reads_is_no_fault(broken: Broken) -> None:
    repo = broken()
    scenario = max((repo / "data/opv2v_depth/train").iterdir())  # of three agents, and min_agents is 4
    shutil.rmtree(scenario)
    result = run_check("DAT009", make_target(repo=repo, splits=("train",)))
    assert result.status is Status.PASSED


def test_samples_that_fail_are_told_with_the_file_that_they_stumble_over(broken: Broken) -> None:
    repo = broken()
    for path in repo.glob("data/opv2v_depth/test/*/*/*_camera1_depth.npy"):
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    result = run_check("DAT009", make_target(repo=repo, splits=("test",)))
    (found,) = [finding for finding in result.findings if finding.severity is Severity.ERROR]
    assert str(found.path).endswith("_camera1_depth.npy")
    assert "failed to load" in found.message


def test_a_dataset_that_cannot_be_built_is_an_error(broken: Broken) -> None:
    target = make_target(repo=broken(), overrides=("dataset.opv2v.val.min_agents=9",), splits=("val",))
    result = run_check("DAT009", target)
    assert result.status is Status.FAILED
    assert result.findings[0].line


@pytest.mark.parametrize("name", ["nan_depth", "zero_depth"])
def test_depth_files_that_hold_nothing_are_named(broken: Broken, name: str) -> None:
    result = run_check("DAT010", make_target(repo=broken(name), splits=("train",)))
    assert result.status is Status.FAILED
    assert str(result.findings[0].path).endswith("_depth.npy")


def test_depth_in_millimetres_is_a_warning(broken: Broken) -> None:
    repo = broken()
    for path in repo.glob("data/opv2v_depth/test/*/*/*.npy"):
        np.save(path, np.load(path) * np.float32(1000))
    source = repo / "mapanything/datasets/opv2v_panorama.py"
    source.write_text(source.read_text().replace("FAR = 500.0", "FAR = 500000.0"))
    result = run_check("DAT010", make_target(repo=repo, splits=("test",)))
    assert result.status is Status.WARNED


def another(healthy: Path, folder: Path, value: float) -> Path:
    """A copy for one value: facts about a repository are remembered by its path."""
    copy_repository(healthy, folder / f"at_{value}")
    return folder / f"at_{value}"


def with_depth(healthy: Path, folder: Path, value: float, depth: str) -> Status:
    """What DAT010 says where the dataset gives this depth of a `panorama`, {value} being the value."""
    repo = another(healthy, folder, value)
    source = repo / "mapanything/datasets/opv2v_cyl.py"
    text = source.read_text()
    assert '"depthmap": panorama.depth,' in text
    source.write_text(
        text.replace('"depthmap": panorama.depth,', f'"depthmap": {depth.format(value=value)},')
    )
    return run_check("DAT010", make_target(repo=repo, splits=("val",), num_samples=1)).status


def test_depth_may_be_unknown_in_nine_tenths_of_the_mask(healthy: Path, tmp_path: Path) -> None:
    first = "np.cumsum(panorama.mask).reshape(panorama.mask.shape) <= {value} * panorama.mask.sum()"
    depth = f"np.where({first}, 0, np.maximum(panorama.depth, 1)).astype(np.float32)"
    assert_edge(0.9, lambda share: with_depth(healthy, tmp_path, share, depth))


def test_half_of_the_depth_may_be_as_far_as_a_street_is_long(healthy: Path, tmp_path: Path) -> None:
    depth = "({value} + np.arange(panorama.depth.size) % 3 - 1).reshape(panorama.depth.shape)"
    assert_edge(500, lambda far: with_depth(healthy, tmp_path, far, depth))


def test_half_of_a_depth_file_may_be_infinite(healthy: Path, tmp_path: Path) -> None:
    def status_at(share: float) -> Status:
        repo = another(healthy, tmp_path, share)
        for path in repo.glob("data/opv2v_depth/validate/*/*/*.npy"):
            depth = np.load(path)
            depth.ravel()[: round(share * depth.size)] = np.inf
            np.save(path, depth)
        return run_check("DAT010", make_target(repo=repo, splits=("val",), num_samples=1)).status

    assert_edge(0.5, status_at)


def test_what_is_opened_depends_on_names_alone(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound that is reached is told, with the command that opens all; the machine's load plays no part."""
    monkeypatch.setattr("opv2v_doctor.facts.disk.damage.MOST_OPENED", 20)
    repo = broken()
    found = damage(make_target(repo=repo, splits=("val",)), "val")
    assert found.opened == 18  # two frames of a yaml, four images and four depth maps
    assert found.present == found.expected > found.opened
    (told,) = [f for f in run_check("DAT009", make_target(repo=repo, splits=("val",))).findings if f.hint]
    assert told.severity is Severity.NOTE
    assert "opv2v-doctor audit" in str(told.hint)


def test_truncated_files_of_several_sizes_are_one_finding(broken: Broken) -> None:
    repo = broken()
    files = sorted(repo.glob("data/opv2v_depth/validate/*/*/*_camera0_depth.npy"))[:5]
    for number, path in enumerate(files):
        path.write_bytes(path.read_bytes()[: 300 + number])
    result = run_check("DAT009", make_target(repo=repo, splits=("val",), num_samples=1))
    errors = [finding for finding in result.findings if finding.severity is Severity.ERROR]
    (found,) = [finding for finding in errors if "truncated" in finding.message]
    assert found.text.values["files"] == files
    assert "and 2 more" in found.message


def test_a_key_of_views_has_the_name_that_the_settings_give_it(broken: Callable[..., Path]) -> None:
    repo = broken()
    for name in ("opv2v_cyl.py", "base/base_dataset.py"):
        path = repo / "mapanything/datasets" / name
        path.write_text(path.read_text().replace('"depthmap"', '"range_map"'))
    result = run_check("DAT010", make_target(repo=repo, splits=("val",), num_samples=1))
    assert result.status is Status.BLOCKED
    assert result.reason is not None
    assert result.reason.template == "the views of {split} have no depthmap"
    with (repo / "opv2v-doctor.toml").open("a") as settings:
        settings.write('[names]\nviews = { depthmap = "range_map" }\n')
    result = run_check("DAT010", make_target(repo=repo, splits=("val",), num_samples=1))
    assert (result.status, result.reason) == (Status.PASSED, None)
