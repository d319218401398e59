"""Every fault breaks something, once, and says which check must tell."""

import hashlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from opv2v_doctor.sandbox import FAULTS, copy_repository, put

RUN = "experiments/opv2v_cyl_coop"


DIGESTS: dict[tuple[str, int, int], str] = {}  # of files by name, time of change and size: copies keep these


def contents(directory: Path) -> dict[str, str]:
    """A digest of every file outside of git."""
    files = [path for path in directory.rglob("*") if path.is_file() and ".git" not in path.parts]
    return {str(path.relative_to(directory)): digest(path, directory) for path in files}


def digest(path: Path, directory: Path) -> str:
    seen, name = path.stat(), str(path.relative_to(directory))
    key = (name, seen.st_mtime_ns, seen.st_size)
    if key not in DIGESTS:
        DIGESTS[key] = hashlib.md5(path.read_bytes()).hexdigest()
    return DIGESTS[key]


def test_faults_are_named_told_and_numbered() -> None:
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert re.fullmatch(r"[a-z_]+", name)
        assert re.fullmatch(r"[A-Z]{3}\d{3}", fault.code)
        assert fault.summary.endswith(".")
    assert len({fault.summary for fault in FAULTS.values()}) == len(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_changes_something_and_leaves_git_clean(name: str, healthy: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy_repository(healthy, copy)
    earlier = contents(copy)
    put(name, copy)
    if name != "no_commit":
        assert contents(copy) != earlier
        assert git(copy, "status", "--porcelain") == ""
    else:
        assert git(copy, "rev-list", "--all") == ""


def test_a_fault_that_finds_no_place_is_refused(broken: Callable[..., Path]) -> None:
    copy = broken("euler_order")
    with pytest.raises(ValueError, match="holds"):
        put("euler_order", copy)


def test_an_unknown_fault_names_its_neighbours(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inverse_pose"):
        put("inverse_poses", tmp_path)


def test_the_healthy_repository_is_never_touched(broken: Callable[..., Path], healthy: Path) -> None:
    before = contents(healthy)
    broken("missing_camera", "truncated_depth", "frozen_epochs", "epoch_off_by_one")
    assert contents(healthy) == before


def test_a_hostile_checkpoint_does_what_it_says(broken: Callable[..., Path]) -> None:
    copy = broken("hostile_checkpoint")
    mark = copy / "hostile_checkpoint_was_executed"
    assert not mark.exists()
    with pytest.raises(Exception):  # noqa: B017  what is left is no checkpoint
        torch.load(copy / RUN / "checkpoint-last.pth", weights_only=False)["model"]
    assert mark.exists()


def test_a_run_of_another_world_size_is_consistent(broken: Callable[..., Path]) -> None:
    copy = broken("other_world_size")
    log = (copy / RUN / "train.log").read_text(encoding="utf-8")
    assert "/10]" not in log
    assert re.findall(r"- Epoch: \[2\]  \[(\d)/5\]", log) == list("01234")
    last = torch.load(copy / RUN / "checkpoint-last.pth", weights_only=False)
    assert {int(state["step"]) for state in last["optimizer"]["state"].values()} == {15}


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
