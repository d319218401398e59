"""The config of a run: references, numbers, and rates."""

from pathlib import Path

import pytest

from opv2v_doctor.facts.past.logs.run_configs import PrintedConfig, RunConfig

VALUES = {
    "a": {"b": "${c.d}", "loop": "${a.loop}", "text": "+ ${c.n} @ Data"},
    "c": {"d": 3, "n": "40_000"},
    "dataset": {"train_dataset": "+ 40_000 @ A(split='x') + 1_000 @ B()"},
    "train_params": {
        "epochs": 10,
        "lr": "5e-05",
        "min_lr": 0.0,
        "warmup_epochs": 2,
        "submodule_configs": {"encoder": {"lr": 0.0}},
    },
}


@pytest.fixture
def config() -> RunConfig:
    return RunConfig(values=VALUES, place=Path("config.yaml"))


def test_references_are_followed_and_loops_end(config: RunConfig) -> None:
    assert config.get("a.b") == 3
    assert config.get("a.loop") == "${a.loop}"
    assert config.text("a.text") == "+ 40_000 @ Data"


def test_rates_follow_the_schedule(config: RunConfig) -> None:
    assert config.rate("", 1.0) == pytest.approx(2.5e-5)
    assert config.rate("", 2.0) == pytest.approx(5e-5)
    assert config.rate("", 10.0) == pytest.approx(0.0)
    assert config.rate("encoder", 1.0) == 0.0
    assert config.groups == ("encoder",)


def test_a_config_that_says_too_little_has_no_rate() -> None:
    assert RunConfig(values={}, place=Path()).rate("", 1.0) is None


def test_samples_of_all_sets_are_added(config: RunConfig) -> None:
    assert config.samples() == 41_000


def test_a_printed_config_is_put_together_again() -> None:
    printed = PrintedConfig()
    values = {"train_params": {"epochs": 3, "sizes": [(518, 294)]}, "text": "f(a, b={'x': 1})"}
    for line in f"before\n{values}\nafter".replace(", ", ",\n").splitlines():
        printed.read(line)
    assert printed.values == values


def test_a_printed_config_without_end_is_forgotten() -> None:
    printed = PrintedConfig()
    printed.read("{'a': 1,")
    for _ in range(2000):
        printed.read("x" * 1000)
    assert printed.values == {}
