"""Every fault breaks something, once, and says which check must tell."""

import hashlib
import re
import shutil
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


@pytest.fixture(scope="module")
def one_copy(healthy: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy that one fault after the other is put into, and what it is put back to."""
    copy, kept = (tmp_path_factory.mktemp(name) / "copy" for name in ("faulty", "kept"))
    copy_repository(healthy, copy)
    shutil.copytree(copy, kept, symlinks=True)
    return copy, kept


def put_back(copy: Path, kept: Path, healthy: dict[str, str]) -> None:
    """What a fault changed becomes what it was, the git repository too."""
    broken = contents(copy)
    for name in {*broken, *healthy}:
        if broken.get(name) != healthy.get(name):
            (copy / name).unlink(missing_ok=True)
            if name in healthy:
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(kept / name, copy / name)
    for folder in sorted((path for path in copy.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()) and not (kept / folder.relative_to(copy)).exists():
            folder.rmdir()
    shutil.rmtree(copy / ".git")
    shutil.copytree(kept / ".git", copy / ".git")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_changes_something_and_leaves_git_clean(name: str, one_copy: tuple[Path, Path]) -> None:
    copy, kept = one_copy
    healthy = contents(kept)
    put(name, copy)
    try:
        if name != "no_commit":
            assert contents(copy) != healthy
            assert git(copy, "status", "--porcelain") == ""
        else:
            assert git(copy, "rev-list", "--all") == ""
    finally:
        put_back(copy, kept, healthy)
    assert contents(copy) == healthy


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
