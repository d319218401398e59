"""Tests of the environment checks, on a small repository and interpreters of our own making."""

from __future__ import annotations

import getpass
import importlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import Place, Severity, Target
from opv2v_doctor.result import Result, Status, examined_text
from opv2v_doctor.settings import Settings
from opv2v_doctor.testing import run_check

from ..edges import assert_edge
from ..nvidia import driver_in, with_driver

pytestmark = pytest.mark.slow
ENVIRONMENT: Any = importlib.import_module("opv2v_doctor.checks.environment")  # an import hook serves it
CONFIG = """\
hydra: {run: {dir: experiments/one}}
machine:
  images: DATA
dataset:
  train_dataset: "+ 8 @ OPV2VCoopCylindricalDataset(split='train', ROOT='${machine.images}')"
  test_dataset: "+ 2 @ OPV2VCoopCylindricalDataset(split='test', ROOT='${machine.images}')"
model: {pretrained: WEIGHTS}
train_params: {epochs: 10, keep_freq: 5}
"""
SCRIPT = """\
import hydra

from mapanything.datasets import OPV2VCoopCylindricalDataset


@hydra.main(version_base=None, config_path="../configs", config_name="train")
def train(cfg):
    return OPV2VCoopCylindricalDataset
"""
DATASET = "from data_processing import poses\n\n\nclass OPV2VCoopCylindricalDataset:\n    pass\n"


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose launch is in order."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    repo = tmp_path / "map anything 训练"
    data, weights = tmp_path / "OPV2V", write(tmp_path / "weights.pth", "0" * 1000)
    data.mkdir()
    write(repo / "scripts/train.py", SCRIPT)
    write(repo / "configs/train.yaml", CONFIG.replace("DATA", str(data)).replace("WEIGHTS", str(weights)))
    write(repo / "mapanything/__init__.py")
    write(repo / "mapanything/datasets.py", DATASET)
    write(repo / "data_processing/__init__.py")
    write(repo / "data_processing/poses.py")
    return repo


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter with nothing installed."""
    venv.create(tmp_path / "venv", symlinks=True, with_pip=False)
    return tmp_path / "venv" / "bin" / "python"


def site_packages(python: Path) -> Path:
    (folder,) = python.parent.parent.glob("lib/python*/site-packages")
    return folder


def stale(folder: Path) -> Path:
    """An older copy of the package, without the dataset."""
    write(folder / "mapanything/datasets.py", "class OPV2VDataset:\n    pass\n")
    return write(folder / "mapanything/__init__.py")


def installed(python: Path, name: str, record: str, version: str = "1.0") -> None:
    folder = site_packages(python) / f"{name}-{version}.dist-info"
    write(folder / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    write(folder / "RECORD", f"{record},,\n")


def target_of(repo: Path, python: Path | str = sys.executable, *, gpus: int = 1, **env: str) -> Target:
    settings = Settings.model_validate({"launch": {"env": env or {"PYTHONPATH": "."}}})
    return Target(repo=repo, python=Path(python), settings=settings, gpus=gpus, timeout=60)


def findings(result: Result, severity: Severity) -> list[tuple[Path | None, int | None]]:
    return [(found.path, found.line) for found in result.findings if found.severity is severity]


def text(result: Result) -> str:
    return "\n".join(f"{found.message} -> {found.hint}" for found in result.findings)


def test_an_interpreter_with_all_packages_passes(repo: Path) -> None:
    result = run_check("ENV001", target_of(repo))
    assert result.status is Status.PASSED
    assert result.findings[0].text.values["versions"]["torch"]  # type: ignore[index,call-overload]
    assert str(examined_text(result.examined)) == "4 packages"


def test_a_bare_interpreter_fails(repo: Path, python: Path) -> None:
    result = run_check("ENV001", target_of(repo, python))
    assert result.status is Status.FAILED
    (found,) = [found for found in result.findings if found.severity is Severity.ERROR]
    assert found.text.values["missing"] == ["torch", "hydra-core", "omegaconf", "numpy"]
    assert found.path == repo / "scripts/train.py"


def test_declared_distributions_that_are_missing_are_listed(repo: Path) -> None:
    write(
        repo / "requirements.txt",
        "--index-url somewhere\n# a comment\nnumpy>=1\nnot-there-at-all[extra]>=2 \\\n  --hash=sha256:0\n"
        "winonly; sys_platform == 'win32'\naddressed @ https://example.org/a.whl\n-e .\n",
    )
    result = run_check("ENV001", target_of(repo))
    assert result.status is Status.WARNED
    assert findings(result, Severity.WARNING) == [(repo / "requirements.txt", 4)]
    assert result.findings[-1].text.values["missing"] == ["not-there-at-all"]


def test_a_bound_that_is_not_met_is_a_note(repo: Path) -> None:
    project = '[project]\nname = "mapanything"\ndependencies = [\n    "numpy<1",\n]\n'
    write(repo / "pyproject.toml", project + '[project.optional-dependencies]\nall = ["not-there-at-all"]\n')
    result = run_check("ENV001", target_of(repo))
    assert result.status is Status.PASSED
    assert (repo / "pyproject.toml", 4) in findings(result, Severity.NOTE)


def test_another_build_of_the_same_modules_is_as_good(repo: Path) -> None:
    write(repo / "requirements.txt", "opencv-contrib-python\n")
    assert run_check("ENV001", target_of(repo)).status is Status.PASSED


def test_modules_of_the_repository_pass(repo: Path, python: Path) -> None:
    result = run_check("ENV002", target_of(repo, python))
    assert result.status is Status.PASSED
    assert "mapanything" in text(result) and "data_processing" in text(result)


def test_an_installed_copy_wins_without_pythonpath(repo: Path, python: Path) -> None:
    copy = stale(site_packages(python))
    installed(python, "old-mapanything", "mapanything/__init__.py")
    result = run_check("ENV002", target_of(repo, python, OTHER="1"))
    assert result.status is Status.FAILED
    assert findings(result, Severity.ERROR)[0] == (repo / "scripts/train.py", 3)
    assert str(copy) in text(result)
    assert "class OPV2VCoopCylindricalDataset" in text(result)
    assert "pip uninstall old-mapanything" in text(result)


def test_a_module_that_is_found_nowhere_fails(repo: Path, python: Path) -> None:
    result = run_check("ENV002", target_of(repo, python, OTHER="1"))
    assert findings(result, Severity.ERROR) == [
        (repo / "scripts/train.py", 3),
        (repo / "mapanything/datasets.py", 1),
    ]
    assert f"PYTHONPATH={repo}" in text(result)


def test_an_older_checkout_on_pythonpath_wins(repo: Path, python: Path, tmp_path: Path) -> None:
    stale(tmp_path / "old")
    result = run_check("ENV002", target_of(repo, python, PYTHONPATH=f"../old{os.pathsep}."))
    assert findings(result, Severity.ERROR) == [(repo / "scripts/train.py", 3)]
    assert "PYTHONPATH" in text(result) and "rm " not in text(result)


def test_a_copy_in_the_scripts_folder_wins(repo: Path, python: Path) -> None:
    copy = stale(repo / "scripts")
    result = run_check("ENV002", target_of(repo, python))
    assert result.status is Status.FAILED
    assert f"remove {copy.parent}" in text(result)


def test_another_module_of_the_same_name_in_the_scripts_folder_is_no_copy(repo: Path, python: Path) -> None:
    write(repo / "scripts/train.py", "import tools\n" + SCRIPT)
    write(repo / "tools/__init__.py")
    write(repo / "tools/formats.py")
    write(repo / "scripts/tools/__init__.py")
    write(repo / "scripts/tools/plots.py")
    assert run_check("ENV002", target_of(repo, python)).status is Status.PASSED


def test_an_installed_package_beats_a_folder_without_init(repo: Path, python: Path) -> None:
    stale(site_packages(python))
    (repo / "mapanything/__init__.py").unlink()
    result = run_check("ENV002", target_of(repo, python))
    assert result.status is Status.FAILED
    assert f"touch {repo / 'mapanything/__init__.py'}" in text(result)


def test_a_folder_without_init_passes_where_nothing_beats_it(repo: Path, python: Path) -> None:
    (repo / "mapanything/__init__.py").unlink()
    assert run_check("ENV002", target_of(repo, python)).status is Status.PASSED
    assert run_check("ENV003", target_of(repo, python)).status is Status.PASSED


def test_a_script_that_finds_its_repository_itself_passes(repo: Path, python: Path) -> None:
    stale(site_packages(python))
    edit = (
        "import os\nimport sys\nROOT = os.path.dirname(os.path.dirname(__file__))\nsys.path.insert(0, ROOT)\n"
    )
    write(repo / "scripts/train.py", edit + SCRIPT)
    assert run_check("ENV002", target_of(repo, python, OTHER="1")).status is Status.PASSED
    assert run_check("ENV003", target_of(repo, python, OTHER="1")).status is Status.PASSED


def test_a_change_of_the_path_that_cannot_be_replayed_blocks(repo: Path, python: Path) -> None:
    write(repo / "scripts/train.py", "import sys\nsys.path.insert(0, unknown)\n" + SCRIPT)
    result = run_check("ENV002", target_of(repo, python))
    assert (result.status, result.at) == (Status.BLOCKED, Place(repo / "scripts/train.py"))
    assert "name 'unknown' is not defined" in str(result.reason)


def test_a_script_without_modules_of_the_repository_is_no_answer(repo: Path, python: Path) -> None:
    write(repo / "scripts/train.py", "import json\n")
    for code in ("ENV002", "ENV003"):
        assert run_check(code, target_of(repo, python)).status is Status.BLOCKED


def test_no_other_copy_passes_and_says_what_would_happen(repo: Path, python: Path) -> None:
    result = run_check("ENV003", target_of(repo, python))
    assert result.status is Status.PASSED
    assert "would not be found" in text(result)


def test_an_installed_copy_that_waits_is_a_warning(repo: Path, python: Path) -> None:
    copy = stale(site_packages(python))
    result = run_check("ENV003", target_of(repo, python))
    assert findings(result, Severity.WARNING) == [(copy, None)]
    assert str(repo / "mapanything") in text(result)


def test_a_path_file_to_another_checkout_is_a_warning(repo: Path, python: Path, tmp_path: Path) -> None:
    copy = stale(tmp_path / "old")
    path_file = write(site_packages(python) / "__editable__.mapanything-1.0.pth", f"{tmp_path / 'old'}\n")
    installed(python, "mapanything", path_file.name)
    result = run_check("ENV003", target_of(repo, python))
    assert findings(result, Severity.WARNING) == [(copy, None)]
    assert str(path_file) in text(result) and "pip uninstall mapanything" in text(result)


FINDER = """\
import sys
from importlib.util import spec_from_file_location

class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "mapanything":
            return spec_from_file_location(name, FILE, submodule_search_locations=[])

def install():
    sys.meta_path.append(Finder)
"""


@pytest.mark.parametrize("where", ["another checkout", "this repository"])
def test_an_editable_install_warns_unless_it_is_this_repository(
    repo: Path, python: Path, tmp_path: Path, where: str
) -> None:
    copy = stale(tmp_path / "old") if where == "another checkout" else repo / "mapanything/__init__.py"
    name = "__editable___mapanything_1_0_finder"
    write(site_packages(python) / f"{name}.py", FINDER.replace("FILE", repr(str(copy))))
    write(site_packages(python) / "__editable__.mapanything-1.0.pth", f"import {name}; {name}.install()\n")
    installed(python, "mapanything", f"{name}.py")
    result = run_check("ENV003", target_of(repo, python))
    expected = [(copy, None)] if where == "another checkout" else []
    assert findings(result, Severity.WARNING) == expected
    assert ("pip uninstall mapanything" in text(result)) == bool(expected)


def test_the_shells_own_pythonpath_is_seen(
    repo: Path, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = stale(tmp_path / "old")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "old"))
    result = run_check("ENV003", target_of(repo, python))
    assert findings(result, Severity.WARNING) == [(copy, None)]


def test_a_folder_of_outputs_with_the_packages_name_is_harmless(repo: Path, python: Path) -> None:
    write(repo / "scripts/mapanything/log.txt")
    assert run_check("ENV002", target_of(repo, python)).status is Status.PASSED
    assert run_check("ENV003", target_of(repo, python)).status is Status.PASSED


def git(repo: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", "-C", repo, *identity, *words], check=True, capture_output=True)


@pytest.fixture
def committed(repo: Path) -> Path:
    git(repo, "init")
    git(repo, "add", ".")
    git(repo, "commit", "-m", "one")
    return repo


def test_a_committed_repository_passes(committed: Path) -> None:
    write(committed / "mapanything/new.py")
    result = run_check("ENV004", target_of(committed))
    assert result.status is Status.PASSED
    assert "mapanything/new.py" in text(result)


def test_a_repository_without_git_is_a_warning(repo: Path) -> None:
    result = run_check("ENV004", target_of(repo))
    assert findings(result, Severity.WARNING) == [(repo, None)]
    assert "git init" in text(result)


def test_a_repository_of_another_user_is_a_warning(committed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    result = run_check("ENV004", target_of(committed))
    assert result.status is Status.WARNED
    assert "git config --global --add safe.directory" in text(result)


def test_a_machine_without_git_is_no_answer(committed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(committed))
    result = run_check("ENV004", target_of(committed))
    assert (result.status, str(result.reason)) == (Status.BLOCKED, "there is no git executable")


def test_paths_that_exist_pass(repo: Path) -> None:
    assert run_check("ENV007", target_of(repo)).status is Status.PASSED


def test_a_missing_data_folder_fails_with_its_line(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "OPV2V").rmdir()
    result = run_check("ENV007", target_of(repo))
    assert findings(result, Severity.ERROR) == [(repo / "configs/train.yaml", 3)]
    assert "machine.images=DIR" in text(result)


def test_a_path_in_another_checkout_is_a_warning(repo: Path, tmp_path: Path) -> None:
    other = tmp_path / "map-anything3"
    stale(other)
    shutil.copytree(tmp_path / "OPV2V", other / "OPV2V")
    config = repo / "configs/train.yaml"
    config.write_text(config.read_text().replace(str(tmp_path / "OPV2V"), str(other / "OPV2V")))
    result = run_check("ENV007", target_of(repo))
    assert findings(result, Severity.WARNING) == [(config, 3)]
    assert str(other) in text(result)


def test_of_several_keys_that_lead_into_a_checkout_each_path_names_its_own(
    repo: Path, tmp_path: Path
) -> None:
    other = tmp_path / "map-anything3"
    stale(other)
    shutil.copytree(tmp_path / "OPV2V", other / "OPV2V")
    config = repo / "configs/train.yaml"
    words = config.read_text().replace(str(tmp_path / "OPV2V"), str(other / "OPV2V"))
    words = words.replace("machine:\n", f"machine:\n  experiments: {other}/experiments\n")
    config.write_text(words + "output_dir: ${machine.experiments}/run\n")
    result = run_check("ENV007", target_of(repo))
    lines = config.read_text().splitlines()
    places = [
        lines.index(next(line for line in lines if key in line)) + 1 for key in ("images:", "experiments:")
    ]
    assert findings(result, Severity.WARNING) == [(config, line) for line in places]
    assert "machine.experiments is in another checkout" in text(result)


def test_the_repositorys_own_paths_pass_through_a_link(repo: Path, tmp_path: Path) -> None:
    config, home = repo / "configs/train.yaml", tmp_path.with_name(f"{tmp_path.name} home")
    home.symlink_to(tmp_path)
    shutil.move(tmp_path / "OPV2V", repo / "OPV2V")
    text_ = config.read_text().replace(str(tmp_path / "OPV2V"), str(home / repo.name / "OPV2V"))
    config.write_text(text_)
    assert run_check("ENV007", target_of(repo)).status is Status.PASSED
    assert run_check("ENV007", target_of(home / repo.name)).status is Status.PASSED


def test_another_checkout_is_found_through_a_link(repo: Path, tmp_path: Path) -> None:
    stale(tmp_path / "old")
    shutil.move(tmp_path / "OPV2V", tmp_path / "old/OPV2V")
    (tmp_path / "OPV2V").symlink_to(tmp_path / "old/OPV2V")
    result = run_check("ENV007", target_of(repo))
    assert findings(result, Severity.WARNING) == [(repo / "configs/train.yaml", 3)]
    assert "machine.images=" in text(result)


def test_a_name_that_no_file_system_takes_is_missing(repo: Path) -> None:
    config = repo / "configs/train.yaml"
    config.write_text(config.read_text().replace("machine:\n", f"machine:\n  other: /{'a' * 300}\n"))
    assert run_check("ENV007", target_of(repo)).status is Status.PASSED


def test_a_missing_path_that_nothing_reads_is_a_note(repo: Path) -> None:
    config = repo / "configs/train.yaml"
    config.write_text(config.read_text().replace("machine:\n", "machine:\n  other: /not/there\n"))
    result = run_check("ENV007", target_of(repo))
    assert result.status is Status.PASSED
    assert "/not/there" in text(result)
    assert str(examined_text(result.examined)) == "2 paths"  # the images' and the weights'


def test_no_path_that_the_launch_uses_is_skipped(repo: Path) -> None:
    write(repo / "configs/train.yaml", "dataset: {train_dataset: 8 @ D(), test_dataset: 2 @ D()}\n")
    result = run_check("ENV007", target_of(repo))
    assert (result.status, str(result.reason)) == (Status.SKIPPED, "nothing to examine: 0 paths")


def test_of_many_paths_that_nothing_reads_three_are_named(repo: Path) -> None:
    config, many = repo / "configs/train.yaml", "".join(f"  other{n}: /not/there{n}\n" for n in range(9))
    config.write_text(config.read_text().replace("machine:\n", f"machine:\n{many}"))
    said = text(run_check("ENV007", target_of(repo)))
    assert "machine.other2=/not/there2, ..." in said and "other3" not in said


def test_a_disk_with_room_passes(repo: Path) -> None:
    result = run_check("ENV006", target_of(repo))
    assert result.status is Status.PASSED
    assert (
        result.findings[0].text.values["needed"] == 6 * 3 * 1000
    )  # two numbered, last, best, final, temporary


def test_a_disk_that_is_too_small_fails(repo: Path, tmp_path: Path) -> None:
    grow(tmp_path / "weights.pth", shutil.disk_usage(tmp_path).free)
    assert run_check("ENV006", target_of(repo)).status is Status.FAILED


def test_a_disk_shall_have_some_more_than_is_needed(repo: Path, tmp_path: Path) -> None:
    targets = (target_of(repo, gpus=number) for number in range(1, 9))  # facts are cached by target

    def at(times: float) -> Status:
        grow(tmp_path / "weights.pth", int(shutil.disk_usage(tmp_path).free / (times * 6 * 3)))
        return run_check("ENV006", next(targets)).status

    assert_edge(ENVIRONMENT.SPARE, at, good="above", step=0.1)  # others write to this disk meanwhile
    assert at(1.25) is Status.WARNED


def grow(path: Path, size: int) -> None:
    """A file that claims a size and takes no room."""
    with path.open("r+b") as file:
        file.truncate(size)


def test_the_last_runs_checkpoint_tells_the_size(repo: Path) -> None:
    write(repo / "experiments/one/checkpoint-last.pth", "0" * 5000)
    result = run_check("ENV006", target_of(repo))
    assert result.findings[0].text.values["needed"] == 6 * 5000 - 5000


def test_nothing_that_tells_a_size_is_skipped(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").unlink()
    assert run_check("ENV006", target_of(repo)).status is Status.SKIPPED


@pytest.mark.parametrize("text", ["", "version https://git-lfs.github.com/spec/v1\nsize 2000000000\n"])
def test_a_file_that_is_no_weights_tells_no_size(repo: Path, tmp_path: Path, text: str) -> None:
    write(tmp_path / "weights.pth", text)
    assert run_check("ENV006", target_of(repo)).status is Status.SKIPPED


def test_checkpoints_that_cannot_be_counted_are_no_answer(repo: Path) -> None:
    config = repo / "configs/train.yaml"
    config.write_text(config.read_text().replace("epochs: 10, ", ""))
    result = run_check("ENV006", target_of(repo))
    assert result.status is Status.BLOCKED
    assert "train_params.epochs" in str(result.reason)


Answer = tuple[str, str, list[list[str]]]


@pytest.fixture
def examine(repo: Path, python: Path, tmp_path: Path) -> Callable[..., Answer]:
    """ENV005 on a machine with an NVIDIA driver of our own making, asked for a number of GPUs."""
    write(site_packages(python) / "torch/__init__.py")
    write(site_packages(python) / "torch/version.py", "cuda: Optional[str] = '12.4'\n")
    library = driver_in(tmp_path)

    def ask(gpus: int, **env: object) -> Answer:
        found = with_driver(library, repo, python, gpus, **env)
        return found["status"], found["reason"], [one for one in found["findings"] if one[0] == "ERROR"]

    return ask


def test_free_gpus_pass(examine: Callable[..., Answer]) -> None:
    assert examine(2, FAKE_GPUS=2) == ("passed", "", [])


def test_too_few_gpus_fail(examine: Callable[..., Answer]) -> None:
    status, _, errors = examine(4, FAKE_GPUS=2)
    assert status == "failed"
    assert errors[0][1:] == ["4 GPUs asked for, 2 visible of 2", "launch on fewer: --gpus 2"]


def test_gpus_that_are_hidden_do_not_count(examine: Callable[..., Answer]) -> None:
    status, _, errors = examine(2, FAKE_GPUS=2, CUDA_VISIBLE_DEVICES="1")
    assert (status, errors[0][2]) == ("failed", "name 2 of the 2 GPUs in CUDA_VISIBLE_DEVICES")
    assert examine(2, FAKE_GPUS=2, CUDA_VISIBLE_DEVICES="0,GPU-c")[0] == "passed"
    assert examine(2, FAKE_GPUS=2, CUDA_VISIBLE_DEVICES="0,7,1")[0] == "failed"


def test_a_gpu_that_somebody_holds_fails_with_his_name(examine: Callable[..., Answer]) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        # not a child of the process that examines, which is a child of ours
        status, _, errors = examine(2, FAKE_GPUS=3, FAKE_HELD=0, FAKE_PID=other.pid, FAKE_BYTES=8 << 30)
        other.kill()
    assert status == "failed"
    assert f"process {other.pid} of {getpass.getuser()}, 8.0 GiB: sleep 60" in errors[0][1]
    assert errors[0][2] == "CUDA_VISIBLE_DEVICES=1,2"


def test_memory_that_nobody_visible_holds_fails(examine: Callable[..., Answer]) -> None:
    assert examine(1, FAKE_GPUS=1, FAKE_HELD=0, FAKE_BYTES=8 << 30)[0] == "failed"


def test_little_memory_and_no_holder_pass(examine: Callable[..., Answer]) -> None:
    def at(part: float) -> Status:
        return Status(examine(1, FAKE_GPUS=1, FAKE_HELD=0, FAKE_BYTES=int(part * (24 << 30)))[0])

    assert_edge(ENVIRONMENT.UNSEEN, at)


def test_a_holder_of_a_little_memory_passes(examine: Callable[..., Answer]) -> None:
    def at(memory: float) -> Status:
        return Status(examine(1, FAKE_GPUS=1, FAKE_HELD=0, FAKE_PID=1, FAKE_BYTES=int(memory))[0])

    assert_edge(ENVIRONMENT.SMALL, at)


def test_memory_whose_holders_the_driver_does_not_list_is_no_answer(examine: Callable[..., Answer]) -> None:
    unlisted = {"FAKE_GPUS": 1, "FAKE_HELD": 0, "FAKE_UNLISTED": 1}
    status, reason, _ = examine(1, FAKE_BYTES=1 << 30, **unlisted)
    assert status == "blocked"
    assert "1,024 MiB of GPU 0" in reason
    assert examine(1, FAKE_BYTES=200 << 20, **unlisted)[0] == "passed"
    assert examine(1, FAKE_BYTES=8 << 30, **unlisted)[0] == "failed"


def test_a_driver_that_sees_no_gpu_is_no_answer(examine: Callable[..., Answer]) -> None:
    assert examine(1, FAKE_GPUS=0)[:2] == ("blocked", "the NVIDIA driver sees no GPU")


def test_our_own_processes_are_let_pass(examine: Callable[..., Answer]) -> None:
    assert examine(1, FAKE_GPUS=1, FAKE_HELD=0, FAKE_PID=os.getpid(), FAKE_BYTES=8 << 30)[0] == "passed"


def test_a_launch_with_a_cpu_build_is_skipped(examine: Callable[..., Answer], python: Path) -> None:
    write(site_packages(python) / "torch/version.py", "cuda: Optional[str] = None\n")
    assert examine(8, FAKE_GPUS=2)[0] == "skipped"


def test_a_machine_without_a_driver_is_skipped(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("an NVIDIA driver is here: run it where there is none")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert run_check("ENV005", replace(target_of(repo), gpus=8)).status is Status.SKIPPED


def installed_by(installer: str, python: Path, name: str, version: str) -> None:
    installed(python, name, f"{name}/__init__.py", version)
    write(site_packages(python) / f"{name}-{version}.dist-info/INSTALLER", f"{installer}\n")


def test_an_environment_without_the_doctor_is_the_trainings_own(repo: Path, python: Path) -> None:
    for name in ("opencv_python", "opencv_python_headless"):  # whose business is not ours
        installed_by("pip", python, name, "4.10.0.84")
    result = run_check("ENV008", target_of(repo, python))
    assert (result.status, result.findings) == (Status.PASSED, ())


@pytest.mark.parametrize("theirs", ["", "opencv_python_headless"])
def test_the_doctor_in_the_trainings_environment_is_noted(repo: Path, python: Path, theirs: str) -> None:
    for name in filter(None, ("opv2v_doctor", theirs)):
        installed_by("pip", python, name, "1.0")
    (found,) = run_check("ENV008", target_of(repo, python)).findings
    assert found.severity is Severity.NOTE
    assert str(site_packages(python)) in str(found.message)
    assert f'python = "{python}"' in str(found.hint)


def test_an_opencv_that_the_doctors_overwrote_is_told_with_its_repair(repo: Path, python: Path) -> None:
    installed_by("pip", python, "opv2v_doctor", "0.1.0")
    installed_by("uv", python, "opencv_python_headless", "4.12.0.88")
    installed_by("pip", python, "opencv_contrib_python", "4.9.0.80")
    result = run_check("ENV008", target_of(repo, python))
    assert result.status is Status.WARNED
    _, found = result.findings
    assert found.path == site_packages(python) / "cv2"
    removal, repair = str(found.hint).split(" && ")
    assert removal == f"{python} -m pip uninstall --yes opv2v-doctor opencv-python-headless"
    assert repair.endswith("install --force-reinstall --no-deps opencv-contrib-python==4.9.0.80")


def test_condas_one_opencv_of_two_names_is_no_conflict(repo: Path, python: Path) -> None:
    installed_by("pip", python, "opv2v_doctor", "0.1.0")
    for name in ("opencv_python", "opencv_python_headless"):
        installed_by("conda", python, name, "4.10.0")
    assert run_check("ENV008", target_of(repo, python)).status is Status.PASSED
