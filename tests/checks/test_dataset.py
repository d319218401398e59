"""Dataset checks: the class, and the splits on disk."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor import Severity
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.result import Result, Status
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

Broken = Callable[..., Path]
CODES = ("DAT001", "DAT002", "DAT003", "DAT004", "DAT005", "DAT006", "DAT007", "DAT008", "DAT009", "DAT010")


@pytest.mark.parametrize("code", CODES)
def test_a_healthy_dataset_passes(healthy: Path, code: str) -> None:
    result = run_check(code, make_target(repo=healthy))
    assert result.status is Status.PASSED, (result.reason, result.findings)


def line_of(path: Path, words: str) -> int:
    """The first line that holds the words."""
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if words in line)


def worst(result: Result) -> list[Path | None]:
    """The paths of all findings that are no notes."""
    return [finding.path for finding in result.findings if finding.severity is not Severity.NOTE]


def hint_of(result: Result) -> str:
    """The hint of the one error."""
    (found,) = [finding for finding in result.findings if finding.severity is Severity.ERROR]
    return str(found.hint)


def test_a_class_that_is_not_exported_is_found_where_it_is_defined(broken: Broken) -> None:
    repo = broken("class_not_exported")
    result = run_check("DAT001", make_target(repo=repo))
    source = repo / "mapanything/datasets/opv2v_cyl.py"
    assert result.status is Status.FAILED
    assert result.findings[0].path == source
    assert result.findings[0].line == line_of(source, "class OPV2VCoopCylindricalDataset")


def test_a_package_that_cannot_be_imported_is_named(broken: Broken) -> None:
    repo = broken()
    source = repo / "mapanything/datasets/opv2v_cyl.py"
    source.write_text("import no_such_package\n" + source.read_text())
    result = run_check("DAT001", make_target(repo=repo))
    assert result.status is Status.FAILED
    assert (result.findings[0].path, result.findings[0].line) == (source, 1)


def test_the_file_of_another_copy_is_not_to_be_mended(broken: Broken) -> None:
    (finding,) = run_check("DAT001", make_target(repo=broken("stale_package"))).findings
    assert "old_checkout" in finding.message
    assert "old_checkout" not in str(finding.hint)


def test_a_class_is_looked_for_in_the_repositorys_own_package() -> None:
    check = {check.code: check for check in installed_checks()}["DAT001"]
    assert "ENV002" in check.requires


def test_an_empty_split_is_told_once(broken: Broken) -> None:
    source = broken() / "mapanything/datasets/opv2v_cyl.py"
    text = source.read_text().replace("if not self.scenes:", "if False:")
    source.write_text(
        text.replace("for scene in self.scenes)", "for scene in self.scenes or [{'agents': ()}])")
    )
    overrides = ("dataset.opv2v.val.min_agents=9",)
    target = make_target(repo=source.parents[2], overrides=overrides, splits=("val",))
    result = run_check("DAT002", target)
    assert result.status is Status.FAILED
    assert worst(result) == [target.repo / "data/OPV2V/validate"]
    for code in ("DAT004", "DAT007", "DAT009"):
        other = run_check(code, target)
        assert (other.status, worst(other)) == (Status.BLOCKED, [])
        assert "empty" in str(other.reason)


def test_another_class_than_expected_is_an_error(broken: Broken) -> None:
    repo = broken()
    settings = repo / "opv2v-doctor.toml"
    settings.write_text('dataset_class = "OPV2VDataset"\n' + settings.read_text())
    assert run_check("DAT001", make_target(repo=repo)).status is Status.FAILED


@pytest.mark.parametrize("root", ["data/OPV2V", "data/opv2v_depth"])
def test_a_split_that_is_not_there_is_named(broken: Broken, root: str) -> None:
    folder = broken() / root / "validate"
    shutil.rmtree(folder)
    result = run_check("DAT002", make_target(repo=folder.parents[2]))
    assert result.status is Status.FAILED
    assert worst(result) == [folder]
    assert "machine.opv2v_" in hint_of(result)


def test_a_split_without_enough_agents_is_named(broken: Broken) -> None:
    repo = broken()
    for scenario in (repo / "data/OPV2V/test").iterdir():
        for agent in sorted(path for path in scenario.iterdir() if path.is_dir())[1:]:
            shutil.rmtree(agent)
    result = run_check("DAT002", make_target(repo=repo))
    assert result.status is Status.FAILED
    assert worst(result) == [repo / "data/OPV2V/test"]
    assert "dataset.opv2v.test.min_agents=1" in hint_of(result)


def test_an_agent_that_lacks_a_camera_is_named(broken: Broken) -> None:
    repo = broken()
    agent = min((repo / "data/OPV2V/validate").glob("*/[0-9]*"))
    for image in agent.glob("*_camera3.png"):
        image.unlink()
    result = run_check("DAT002", make_target(repo=repo))
    assert result.status is Status.WARNED
    assert worst(result) == [agent]


def without_camera3(repo: Path, *, named: bool) -> Path:
    """A scenario without images of camera3, and without its entries in the frame files unless named."""
    scenario = min((repo / "data/OPV2V/validate").iterdir())
    for image in scenario.glob("*/*_camera3.png"):
        image.unlink()
    for frame in [] if named else scenario.glob("*/*.yaml"):
        frame.write_text(frame.read_text().replace("camera3:", "camera_of_old:"))
    return scenario


def test_a_scenario_without_camera3_is_only_noted(broken: Broken) -> None:
    repo = broken()
    scenario = without_camera3(repo, named=False)
    result = run_check("DAT002", make_target(repo=repo))
    assert result.status is Status.PASSED
    assert scenario in [finding.path for finding in result.findings]


def test_a_scenario_whose_frames_name_a_camera_without_images_is_a_warning(broken: Broken) -> None:
    repo = broken()
    scenario = without_camera3(repo, named=True)
    result = run_check("DAT002", make_target(repo=repo))
    assert worst(result) == [scenario]


def test_folders_that_an_editor_leaves_are_no_scenarios(broken: Broken) -> None:
    repo = broken()
    for folder in (repo / "data/OPV2V/train", *(repo / "data/OPV2V/validate").iterdir()):
        (folder / ".ipynb_checkpoints").mkdir()
        (folder / ".ipynb_checkpoints/000069-checkpoint.yaml").touch()
    shutil.copytree(
        repo / "data/OPV2V/train/.ipynb_checkpoints", repo / "data/OPV2V/validate/.ipynb_checkpoints"
    )
    target = make_target(repo=repo)
    assert run_check("DAT002", target).status is Status.PASSED
    assert run_check("DAT003", target).status is Status.PASSED


@pytest.mark.parametrize("how", ["link", "copy"])
def test_a_scenario_in_two_splits_is_named_whatever_it_is_called(how: str, broken: Broken) -> None:
    repo = broken()
    trained = min((repo / "data/OPV2V/train").iterdir())
    other = repo / "data/OPV2V/test/2021_12_24_00_00_00"
    if how == "link":
        other.symlink_to(trained)
    else:
        shutil.copytree(trained, other)
    result = run_check("DAT003", make_target(repo=repo))
    assert (result.status, worst(result)) == (Status.FAILED, [other])
    assert f"in test and in train, as {trained.name}" in result.findings[0].message


def test_one_split_alone_has_nothing_to_share(healthy: Path) -> None:
    assert run_check("DAT003", make_target(repo=healthy, splits=("test",))).status is Status.SKIPPED


def test_evaluation_in_the_training_folder_is_named(healthy: Path) -> None:
    overrides = ("dataset.opv2v.split_names.val=train",)
    result = run_check("DAT003", make_target(repo=healthy, overrides=overrides))
    assert result.status is Status.WARNED
    (finding,) = [finding for finding in result.findings if finding.severity is Severity.WARNING]
    assert finding.subjects == ("val",)


def test_two_evaluation_splits_may_share_a_folder(healthy: Path) -> None:
    overrides = ("dataset.opv2v.split_names.val=test",)
    assert run_check("DAT003", make_target(repo=healthy, overrides=overrides)).status is Status.PASSED


def test_a_class_that_is_resized_with_another_is_looked_for(healthy: Path) -> None:
    data = "${dataset.opv2v.train.dataset_str}"
    overrides = (f"dataset.train_dataset='40 @ ({data} + NoSuchDataset(num_views=2))'",)
    result = run_check("DAT001", make_target(repo=healthy, overrides=overrides))
    assert [finding.text.values["name"] for finding in result.findings] == ["NoSuchDataset"]


def test_a_folder_without_any_frame_is_told_without_a_number_to_lower(broken: Broken) -> None:
    repo = broken()
    for frame in (repo / "data/OPV2V/test").glob("*/*/*.yaml"):
        frame.unlink()
    (finding,) = run_check("DAT002", make_target(repo=repo, splits=("test",))).findings
    assert "min_agents" not in f"{finding.message} {finding.hint}"


def test_a_scenario_in_two_splits_is_named(broken: Broken) -> None:
    repo = broken("scenario_in_two_splits")
    result = run_check("DAT003", make_target(repo=repo))
    assert result.status is Status.FAILED
    (path,) = worst(result)
    assert path is not None
    assert path.parent == repo / "data/OPV2V/validate"


def test_a_set_that_the_launch_does_not_use_is_examined_only_where_it_is_asked_for(healthy: Path) -> None:
    overrides = (
        "dataset.test_dataset='+ 4 @ ${dataset.opv2v.val.dataset_str}'",
        "dataset.opv2v.split_names.test=nowhere",
    )
    assert run_check("DAT002", make_target(repo=healthy, overrides=overrides)).status is Status.PASSED
    result = run_check("DAT002", make_target(repo=healthy, overrides=overrides, splits=("test",)))
    assert result.status is Status.FAILED
    assert next(f.text.template for f in result.findings if f.severity is Severity.NOTE).startswith(
        "not in this"
    )
