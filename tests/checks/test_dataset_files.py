"""Dataset checks: files that cannot be read, and depth that cannot be used."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from opv2v_doctor import Severity
from opv2v_doctor.result import Status
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

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
    assert any(str(finding.path).endswith(ending) for finding in result.findings)


def test_a_broken_file_that_no_sample_meets_is_found(broken: Broken) -> None:
    repo = broken()
    image = max(repo.glob("data/OPV2V/train/*/*/*_camera0.png"))  # in the scenario with too few agents
    image.write_bytes(image.read_bytes()[:-20])
    result = run_check("DAT009", make_target(repo=repo, splits=("train",)))
    assert [f.path for f in result.findings if f.severity is Severity.ERROR] == [image]


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
