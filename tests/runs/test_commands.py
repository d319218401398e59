"""Tests of the words that start a training."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from opv2v_doctor import Target
from opv2v_doctor.runs.command_line import Nodes, chosen_directory, command, quote, unquote
from opv2v_doctor.settings import LaunchSettings, Settings
from opv2v_doctor.user_error import UsageError

RUN, OUTPUT = Path("/runs/one"), Path("/runs/one/output/1")


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(repo=tmp_path, python=Path(sys.executable), overrides=("dataset=b",), gpus=4)


def test_several_gpus_start_by_torchrun_with_one_directory_for_all(target: Target) -> None:
    words = command(target, RUN, OUTPUT)
    assert words[:5] == [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "4"]
    assert "--standalone" in words
    assert words[-3:] == [str(target.script), "dataset=b", "hydra.run.dir=/runs/one"]


def test_one_gpu_starts_alone(target: Target) -> None:
    words = command(replace(target, gpus=1), RUN, OUTPUT)
    assert words[0] == sys.executable
    assert words[1:] == [str(target.script), "dataset=b", "hydra.run.dir=/runs/one"]


def test_a_module_and_a_config_are_started_by_name(target: Target) -> None:
    launch = LaunchSettings(script="tools/train.py", module=True, config_name="other", config_path="../conf")
    words = command(replace(target, settings=Settings(launch=launch)), RUN, OUTPUT)
    options = ["--config-name=other", "--config-path=../conf"]
    assert words[-6:] == ["-m", "tools.train", *options, "dataset=b", "hydra.run.dir=/runs/one"]


def test_nodes_share_the_gpus_and_meet(target: Target) -> None:
    words = command(target, RUN, OUTPUT, Nodes(count=2, rank=1, endpoint="host:29500"))
    assert words[words.index("--nproc_per_node") + 1] == "2"
    assert words[words.index("--nnodes") + 1] == "2"
    assert words[words.index("--rdzv_endpoint") + 1] == "host:29500"
    assert "--standalone" not in words


@pytest.mark.parametrize("nodes", [Nodes(count=3, endpoint="host:1"), Nodes(count=2)])
def test_nodes_that_cannot_be_are_refused(target: Target, nodes: Nodes) -> None:
    with pytest.raises(UsageError):
        command(target, RUN, OUTPUT, nodes)


def test_the_directory_is_given_once_whoever_else_gives_it(target: Target) -> None:
    settings = Settings(launch=LaunchSettings(overrides=("hydra.run.dir=old",)))
    words = command(replace(target, settings=settings, overrides=("hydra.run.dir=older",)), RUN, OUTPUT)
    assert [word for word in words if word.startswith("hydra.run.dir")] == ["hydra.run.dir=/runs/one"]


def test_the_last_chosen_directory_wins() -> None:
    assert chosen_directory(["a=1", "hydra.run.dir=x", "+hydra.run.dir='y z'"]) == "y z"
    assert chosen_directory(["a=1"]) is None


@example('/\\"')
@example("/\\${")
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(lambda text: f"/{text}"))
def test_any_name_survives_the_grammar_of_overrides(name: str) -> None:
    parsed = OverridesParser.create().parse_override(f"hydra.run.dir={quote(name)}").value()
    for value in (str(parsed), unquote(quote(name))):
        assert OmegaConf.create({"dir": value}).dir == name
