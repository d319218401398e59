"""The loader family: each check stays silent on a healthy repository, and fires where one thing is broken."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor import Finding, Severity
from opv2v_doctor.facts.launch.loaders import loaders
from opv2v_doctor.result import Status
from opv2v_doctor.sandbox import copy_repository
from opv2v_doctor.sandbox.faults.fault import replace_text
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

from ..edges import assert_edge

Broken = Callable[..., Path]
SAMPLER = Path("mapanything/datasets/base/batched_sampler.py")


def line_of(path: Path, text: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def another(healthy: Path, folder: Path, value: float) -> Path:
    """A copy for one value: facts about a repository are remembered by its path."""
    copy_repository(healthy, folder / f"at_{value}")
    return folder / f"at_{value}"


def values(finding: Finding, *names: str) -> dict[str, object]:
    """Some of the values that a finding was told with."""
    return {name: finding.text.values[name] for name in names}


@pytest.mark.parametrize("code", ["LDR001", "LDR002", "LDR003", "LDR004", "LDR005"])
def test_a_healthy_repository_passes(healthy: Path, code: str) -> None:
    result = run_check(code, make_target(repo=healthy))
    assert (result.status, result.reason) == (Status.PASSED, None)
    assert {finding.severity for finding in result.findings} == {Severity.NOTE}


def test_a_length_that_follows_the_gpus_is_found_where_it_is_set(broken: Broken) -> None:
    repo = broken("steps_follow_gpus")
    result = run_check("LDR001", make_target(repo=repo))
    finding = result.findings[0]
    config = repo / "configs/dataset/opv2v_cyl_coop_ft_2gpu.yaml"
    assert result.status is Status.FAILED
    assert (finding.path, finding.line) == (config, line_of(config, "train_dataset:"))
    assert values(finding, "steps", "wanted") == {"steps": 20, "wanted": 10}
    assert "40 @" in str(finding.hint)


def test_the_config_for_this_number_of_gpus_is_proposed(healthy: Path) -> None:
    target = make_target(repo=healthy, gpus=5, overrides=("dataset=opv2v_cyl_coop_ft",))
    finding = run_check("LDR001", target).findings[0]
    assert values(finding, "steps", "wanted") == {"steps": 8, "wanted": 10}
    assert "dataset=opv2v_cyl_coop_ft_5gpu" in str(finding.hint)


def test_a_number_of_gpus_that_the_settings_do_not_know_is_added_to_them(broken: Broken) -> None:
    repo = broken()
    settings = repo / "opv2v-doctor.toml"
    settings.write_text(settings.read_text().replace("[launch.5]", "[launch.6]"))
    target = make_target(repo=repo, gpus=5, overrides=("dataset=opv2v_cyl_coop_ft",))
    hint = str(run_check("LDR001", target).findings[0].hint)
    assert "[launch.5]" in hint and "dataset=opv2v_cyl_coop_ft_5gpu" in hint


def test_the_lengths_for_one_to_sixteen_gpus_are_said(healthy: Path) -> None:
    table = run_check("LDR001", make_target(repo=healthy)).findings[-1].text.values["lengths"]
    assert isinstance(table, dict)
    assert [table["1"], table["2"], table["4"], len(table)] == [20, 10, 5, 16]


def test_a_length_that_only_the_data_tells_is_no_verdict(healthy: Path) -> None:
    whole = "dataset.train_dataset=${dataset.opv2v.train.dataset_str}"
    assert run_check("LDR001", make_target(repo=healthy, overrides=(whole,))).status is Status.SKIPPED


def test_without_wanted_steps_the_lengths_are_told_and_nothing_passes(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / "opv2v-doctor.toml", "steps_per_epoch = 10", "")
    result = run_check("LDR001", make_target(repo=repo))
    assert result.status is Status.SKIPPED
    assert "steps_per_epoch = 10" in str(result.hint)
    assert result.findings[-1].text.values["lengths"]


def test_an_epoch_without_a_step_is_an_error(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / "opv2v-doctor.toml", "steps_per_epoch = 10", "")
    target = make_target(repo=repo, gpus=64, overrides=("dataset=opv2v_cyl_coop_ft",))
    assert run_check("LDR001", target).status is Status.FAILED
    assert run_check("LDR003", target).status is Status.FAILED


@pytest.mark.parametrize(
    ("word", "lacking"), [("num_views=${dataset.num_views},", "num_views"), ("min_num_views=", "min_num")]
)
def test_a_batch_that_follows_from_an_unknown_number_of_views_blocks(
    word: str, lacking: str, broken: Broken
) -> None:
    repo = broken()
    config = repo / "configs/dataset/opv2v/train/cyl_coop.yaml"
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if not line.strip().startswith(word) or ":" in line))
    result = run_check("LDR001", make_target(repo=repo))
    assert result.status is Status.BLOCKED
    assert lacking in str(result.reason)


@pytest.mark.parametrize("wanted", ["steps_per_epoch = 10", ""])
def test_a_documented_command_with_other_steps_is_found(broken: Broken, wanted: str) -> None:
    repo = broken("stale_readme_command")
    replace_text(repo / "opv2v-doctor.toml", "steps_per_epoch = 10", wanted)
    result = run_check("LDR002", make_target(repo=repo))
    (finding,) = [finding for finding in result.findings if finding.severity is Severity.WARNING]
    assert result.status is Status.WARNED
    assert (finding.path, finding.line) == (repo / "README.md", line_of(repo / "README.md", "node 10"))
    assert values(finding, "steps", "expected", "gpus") == {"steps": 5, "expected": 10, "gpus": 10}


def test_most_commands_say_what_one_should_give(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / "opv2v-doctor.toml", "steps_per_epoch = 10", "")
    replace_text(repo / "README.md", "dataset=opv2v_cyl_coop_ft_5gpu", "dataset=opv2v_cyl_coop_ft")
    finding, *_ = run_check("LDR002", make_target(repo=repo)).findings
    assert values(finding, "steps", "expected", "gpus") == {"steps": 8, "expected": 10, "gpus": 5}


def test_a_command_that_cannot_start_is_named_and_not_counted(broken: Broken) -> None:
    repo = broken()
    script = repo / "bash_scripts/train/opv2v_cyl_coop.sh"
    replace_text(script, "torchrun ", "python -m torch.distributed.launch ")
    result = run_check("LDR002", make_target(repo=repo))
    assert [(one.count, one.unit) for one in result.examined] == [(2, "documented command")]
    told = [finding for finding in result.findings if "--local-rank" in finding.message]
    assert [finding.at for finding in told if finding.at] != []
    assert told[0].path == script


def test_the_only_command_of_a_training_is_compared_with_nothing(broken: Broken) -> None:
    repo = broken()
    replace_text(repo / "opv2v-doctor.toml", "steps_per_epoch = 10", "")
    text = "torchrun --nproc_per_node 4 scripts/train.py dataset=opv2v_cyl_coop_ft"
    (repo / "README.md").write_text(f"{text} model=mapanything train_params=opv2v_cyl_coop\n")
    (repo / "bash_scripts/train/opv2v_cyl_coop.sh").unlink()
    result = run_check("LDR002", make_target(repo=repo))
    assert result.status is Status.SKIPPED
    assert "no other command" in str(result.reason)


def test_what_dividing_by_the_gpus_leaves_over_is_no_difference(healthy: Path, tmp_path: Path) -> None:
    def status_at(difference: float) -> Status:
        steps, repo = 10_000, another(healthy, tmp_path, difference)
        settings = f"steps_per_epoch = {steps}"
        replace_text(repo / "opv2v-doctor.toml", "steps_per_epoch = 10", settings)
        size = round(steps * (1 - difference)) * 4 * 2
        replace_text(repo / "configs/dataset/opv2v_cyl_coop_ft.yaml", "+ 80 @", f"+ {size} @")
        fitting = f"+ {steps * 5 * 2} @"
        replace_text(repo / "configs/dataset/opv2v_cyl_coop_ft_5gpu.yaml", "+ 100 @", fitting)
        return run_check("LDR002", make_target(repo=repo)).status

    assert_edge(0.01, status_at)


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
        line_of(repo / SAMPLER, "def __len__"),
    )
    assert values(finding, "steps", "expected") == {"steps": 20, "expected": 10}


def test_a_length_of_the_data_is_held_against_the_settings_by_name(healthy: Path) -> None:
    whole = "dataset.train_dataset='4 * ${dataset.opv2v.train.dataset_str}'"
    target = make_target(repo=healthy, overrides=(whole,))
    finding = run_check("LDR003", target).findings[0]
    assert finding.text.values["expected"] == 10
    assert "opv2v-doctor.toml" in finding.message
    later = run_check("LDR005", target)
    assert later.status is Status.WARNED
    assert values(later.findings[0], "before", "now") == {"before": 10, "now": finding.text.values["steps"]}


def test_ranks_are_measured_where_the_evaluation_loaders_are_not_known(broken: Broken) -> None:
    repo = broken()
    training = repo / "mapanything/train/training.py"
    replace_text(training, "in args.dataset.test_dataset", "in getattr(args.dataset, 'test' + '_dataset')")
    target = make_target(repo=repo)
    assert run_check("LDR004", target).status is Status.PASSED
    result = run_check("LDR003", target)
    assert result.status is Status.BLOCKED
    assert "evaluation loaders are not known" in str(result.reason)
    assert ["steps" in finding.message for finding in result.findings] == [True]


@pytest.mark.parametrize("code", ["LDR003", "LDR004"])
def test_a_builder_that_is_not_there_blocks_where_it_is_called(code: str, broken: Broken) -> None:
    repo = broken()
    training = repo / "mapanything/train/training.py"
    text = training.read_text().replace("get_train_data_loader", "built_otherwise")
    training.write_text(
        text.replace("import get_test_data_loader, built_otherwise", "import get_test_data_loader")
    )
    result = run_check(code, make_target(repo=repo))
    assert result.status is Status.BLOCKED
    assert result.at is not None
    assert (result.at.path, result.at.line) == (training, line_of(training, "built_otherwise("))


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
    assert finding.text.values["batches"] == {"0": 10, "1": 9}


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
    assert values(finding, "before", "now") == {"before": 5, "now": 10}


def test_without_an_earlier_run_there_is_nothing_to_compare(healthy: Path) -> None:
    target = make_target(repo=healthy, overrides=("hydra.run.dir=experiments/new",))
    assert run_check("LDR005", target).status is Status.SKIPPED


def test_a_tenth_of_the_samples_may_be_drawn_twice(healthy: Path, tmp_path: Path) -> None:
    many = ("dataset.train_dataset='+ 4000 @ ${dataset.opv2v.train.dataset_str}'",)
    drawn = loaders(make_target(repo=healthy, overrides=many)).drawn

    def status_at(share: float) -> Status:
        repo, order = another(healthy, tmp_path, share), "random.permutation(self.total_size).tolist()"
        different = f"{order} and [n % {round(share * drawn)} for n in range(self.total_size)]"
        replace_text(repo / SAMPLER, order, different)
        return run_check("LDR004", make_target(repo=repo, overrides=many)).status

    assert_edge(0.9, status_at, good="above")


def test_a_number_in_the_call_counts_and_the_configs_does_not(broken: Broken) -> None:
    repo = broken()
    training = repo / "mapanything/train/training.py"
    key = "max_num_of_imgs_per_gpu"
    replace_text(training, f"{key}=args.train_params.{key},\n    )", f"{key}=2,\n    )")
    target = make_target(repo=repo)
    (shadowed,) = run_check("CFG014", target).findings
    assert (shadowed.path, shadowed.line) == (training, line_of(training, f"{key}=2"))
    assert values(shadowed, "key", "configured", "literal") == {
        "key": f"train_params.{key}",
        "configured": 4,
        "literal": 2,
    }
    measured = [f for f in run_check("LDR003", target).findings if "steps" in f.text.values]
    assert [f.text.values["steps"] for f in measured] == [20]


@pytest.mark.parametrize(("seed", "status"), [("+ train_tools.get_rank()", "failed"), ("", "passed")])
def test_a_sampler_that_draws_from_its_process_is_seeded_as_that_is(
    seed: str, status: str, broken: Broken
) -> None:
    repo = broken()
    generator = "__import__('numpy').random.default_rng(torch.initial_seed() % 2**31)"
    replace_text(repo / SAMPLER, "epoch_generator(epoch, self.total_size)", generator)
    training = repo / "mapanything/train/training.py"
    replace_text(
        training, "args.train_params.seed + train_tools.get_rank()", f"args.train_params.seed {seed}"
    )
    assert run_check("LDR004", make_target(repo=repo)).status == status
