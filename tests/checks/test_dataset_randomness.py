"""Dataset checks: what an index means in another process, and in another epoch."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor.facts.samples.draws import redrawings, samples
from opv2v_doctor.result import Status
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

Broken = Callable[..., Path]


def test_a_seed_of_zero_that_counts_as_none_is_found(broken: Broken) -> None:
    repo = broken("unseeded_validation")
    result = run_check("DAT007", make_target(repo=repo))
    (first,) = result.findings
    assert result.status is Status.FAILED
    assert first.path is not None and first.line is not None
    assert "if self.seed:" in first.path.read_text().splitlines()[first.line - 1]
    assert first.text.values["seed"] == 0
    assert first.subjects == ("val", "test")


def test_chance_does_not_hide_what_is_not_reproducible(broken: Broken) -> None:
    repo = broken("frozen_epochs", "view_counts_ignored", "unseeded_validation")
    assert run_check("DAT007", make_target(repo=repo)).status is Status.FAILED


@pytest.mark.parametrize(
    "generator",
    [
        "np.random.default_rng()",
        "np.random.default_rng(np.random.randint(2**31))",
        "np.random.default_rng(__import__('random').getrandbits(31))",
        "np.random.default_rng(int(__import__('torch').randint(2**31, ()))) ",
    ],
)
def test_all_is_drawn_again_where_a_few_may_be_the_same_by_chance(broken: Broken, generator: str) -> None:
    repo = broken()
    base = repo / "mapanything/datasets/base/base_dataset.py"
    seeded = "epoch_generator(self.epoch, self.seed, self._seed_offset, sample)"
    assert seeded in base.read_text()
    base.write_text(base.read_text().replace(seeded, generator))
    target = make_target(repo=repo, splits=("val",))
    (pairs,) = redrawings(target).values()
    assert len(pairs) == len(samples(target, "val").samples) > 2
    assert run_check("DAT007", target).status is Status.FAILED


def test_a_few_are_drawn_again_where_nothing_is_left_to_chance(healthy: Path) -> None:
    assert [len(pairs) for pairs in redrawings(make_target(repo=healthy)).values()] == [2, 2]


def test_with_another_seed_the_same_code_is_reproducible(broken: Broken) -> None:
    overrides = ("dataset.opv2v.val.seed=5", "dataset.opv2v.test.seed=6")
    target = make_target(repo=broken("unseeded_validation"), overrides=overrides)
    assert run_check("DAT007", target).status is Status.PASSED


def test_epochs_that_are_the_same_are_found(broken: Broken) -> None:
    result = run_check("DAT008", make_target(repo=broken("frozen_epochs")))
    assert result.status is Status.FAILED


def test_randomness_is_skipped_for_splits_that_are_not_examined(healthy: Path) -> None:
    assert run_check("DAT007", make_target(repo=healthy, splits=("train",))).status is Status.SKIPPED
    assert run_check("DAT008", make_target(repo=healthy, splits=("val",))).status is Status.SKIPPED
