"""The loader family: each check stays silent on a healthy repository, and fires where one thing is broken."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor import Severity
from opv2v_doctor.result import Status
from opv2v_doctor.sandbox.faults.fault import replace_text
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

Broken = Callable[..., Path]
SAMPLER = Path("mapanything/datasets/base/batched_sampler.py")


def line_of(path: Path, text: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)


@pytest.mark.parametrize("code", ["LDR001", "LDR002", "LDR003", "LDR004", "LDR005"])
def test_a_healthy_repository_passes(healthy: Path, code: str) -> None:
    result = run_check(code, make_target(repo=healthy))
    assert (result.status, result.reason) == (Status.PASSED, "")
    assert {finding.severity for finding in result.findings} == {Severity.NOTE}


def test_a_length_that_follows_the_gpus_is_found_where_it_is_set(broken: Broken) -> None:
    repo = broken("steps_follow_gpus")
    result = run_check("LDR001", make_target(repo=repo))
    finding = result.findings[0]
    config = repo / "configs/dataset/opv2v_cyl_coop_ft_2gpu.yaml"
    assert result.status is Status.FAILED
    assert (finding.path, finding.line) == (config, line_of(config, "train_dataset:"))
    assert finding.evidence == {"steps": 20, "wanted": 10}
    assert "40 @" in finding.hint


def test_the_config_for_this_number_of_gpus_is_proposed(healthy: Path) -> None:
    target = make_target(repo=healthy, gpus=5, overrides=("dataset=opv2v_cyl_coop_ft",))
    finding = run_check("LDR001", target).findings[0]
    assert finding.evidence == {"steps": 8, "wanted": 10}
    assert "dataset=opv2v_cyl_coop_ft_5gpu" in finding.hint


def test_the_lengths_for_one_to_sixteen_gpus_are_said(healthy: Path) -> None:
    table = run_check("LDR001", make_target(repo=healthy)).findings[-1].evidence["lengths"]
    assert isinstance(table, dict)
    assert [table["1"], table["2"], table["4"], len(table)] == [20, 10, 5, 16]


def test_a_length_that_only_the_data_tells_is_no_failure(healthy: Path) -> None:
    whole = "dataset.train_dataset=${dataset.opv2v.train.dataset_str}"
    assert run_check("LDR001", make_target(repo=healthy, overrides=(whole,))).status is Status.PASSED


@pytest.mark.parametrize("wanted", ["steps_per_epoch = 10", ""])
def test_a_documented_command_with_other_steps_is_found(broken: Broken, wanted: str) -> None:
    repo = broken("stale_readme_command")
    replace_text(repo / "opv2v-doctor.toml", "steps_per_epoch = 10", wanted)
    result = run_check("LDR002", make_target(repo=repo))
    (finding,) = [finding for finding in result.findings if finding.severity is Severity.WARNING]
    assert result.status is Status.WARNED
    assert (finding.path, finding.line) == (repo / "README.md", line_of(repo / "README.md", "node 10"))
    assert finding.evidence == {"steps": 5, "expected": 10, "gpus": 10}


def test_most_commands_say_what_one_should_give(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / "opv2v-doctor.toml", "steps_per_epoch = 10", "")
    replace_text(repo / "README.md", "dataset=opv2v_cyl_coop_ft_5gpu", "dataset=opv2v_cyl_coop_ft")
    (finding, _) = run_check("LDR002", make_target(repo=repo)).findings
    assert finding.evidence == {"steps": 8, "expected": 10, "gpus": 5}


def test_commands_that_leave_the_gpus_to_the_shell_are_not_judged(broken: Broken) -> None:
    repo = broken()
    (repo / "README.md").write_text("torchrun --nproc_per_node ${NUM_GPUS} scripts/train.py dataset=none\n")
    (repo / "bash_scripts/train/opv2v_cyl_coop.sh").unlink()
    assert run_check("LDR002", make_target(repo=repo)).status is Status.SKIPPED


def test_a_loader_of_another_length_is_found_at_its_sampler(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / SAMPLER, "// largest // self.world_size", "// largest")
    result = run_check("LDR003", make_target(repo=repo))
    finding = result.findings[0]
    assert result.status is Status.FAILED
    assert (finding.path, finding.line) == (
        repo / SAMPLER,
        line_of(repo / SAMPLER, "class DynamicBatchedMultiFeatureRandomSampler"),
    )
    assert finding.evidence == {"steps": 20, "expected": 10}


def test_a_length_of_the_data_is_held_against_the_settings_by_name(healthy: Path) -> None:
    whole = "dataset.train_dataset='4 * ${dataset.opv2v.train.dataset_str}'"
    target = make_target(repo=healthy, overrides=(whole,))
    (finding, _) = run_check("LDR003", target).findings
    assert finding.evidence["expected"] == 10
    assert "opv2v-doctor.toml" in finding.message
    later = run_check("LDR005", target)
    assert later.status is Status.WARNED
    assert later.findings[0].evidence == {"before": 10, "now": finding.evidence["steps"]}


@pytest.mark.parametrize("code", ["LDR003", "LDR004"])
def test_ranks_are_measured_where_the_evaluation_loaders_are_not_known(code: str, broken: Broken) -> None:
    repo = broken()
    replace_text(repo / "mapanything/train/training.py", "test=True", "test=bool(1)")
    result = run_check(code, make_target(repo=repo))
    assert (result.status, result.reason) == (Status.PASSED, "")


def test_an_evaluation_loader_that_cannot_be_built_is_found(healthy: Path) -> None:
    target = make_target(repo=healthy, overrides=("dataset.opv2v.split_names.val=nowhere",))
    result = run_check("LDR003", target)
    assert result.status is Status.FAILED
    (finding,) = [finding for finding in result.findings if finding.severity is Severity.ERROR]
    assert finding.path is not None and finding.path.is_relative_to(healthy)


def test_a_train_set_that_cannot_be_built_blocks(healthy: Path) -> None:
    target = make_target(repo=healthy, overrides=("dataset.opv2v.split_names.train=nowhere",))
    assert run_check("LDR003", target).status is Status.BLOCKED


def test_a_rank_with_fewer_batches_is_found(broken: Broken) -> None:
    repo = broken("shorter_last_rank")
    result = run_check("LDR004", make_target(repo=repo))
    finding = result.findings[0]
    assert result.status is Status.FAILED
    assert finding.path == repo / SAMPLER
    assert finding.evidence["batches"] == {"0": 10, "1": 9}


def test_ranks_that_draw_the_same_samples_are_found(broken: Broken) -> None:
    repo = broken()
    batches = "        rank=get_rank(),\n        drop_last=drop_last,\n        max"
    replace_text(
        repo / "mapanything/datasets/__init__.py", batches, batches.replace("rank=get_rank()", "rank=0")
    )
    result = run_check("LDR004", make_target(repo=repo))
    assert result.status is Status.FAILED
    assert result.findings[0].path == repo / SAMPLER


def test_another_number_of_steps_than_in_the_last_run_is_found_in_its_log(broken: Broken) -> None:
    repo = broken("other_world_size")
    result = run_check("LDR005", make_target(repo=repo))
    (finding,) = result.findings
    assert result.status is Status.WARNED
    assert finding.path == repo / "experiments/opv2v_cyl_coop/train.log"
    assert finding.line is not None
    assert finding.evidence == {"before": 5, "now": 10}


def test_without_an_earlier_run_there_is_nothing_to_compare(healthy: Path) -> None:
    target = make_target(repo=healthy, overrides=("hydra.run.dir=experiments/new",))
    assert run_check("LDR005", target).status is Status.SKIPPED
