"""Tests of SLURM jobs, as far as they go without SLURM: what is asked for, and what each node would run."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from opv2v_doctor import Target
from opv2v_doctor.runs.commands import Nodes
from opv2v_doctor.runs.request import Request
from opv2v_doctor.runs.slurm import OnNode, prepared
from opv2v_doctor.settings import Settings, Slurm
from opv2v_doctor.usage import UsageError

pytest.importorskip("submitit")


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    settings = Settings(
        runs=str(tmp_path), slurm=Slurm(partition="gpu", minutes=90, parameters=(("qos", "high"),))
    )
    overrides = ("hydra.run.dir=experiments/a",)
    target = Target(
        repo=tmp_path, python=Path(sys.executable), gpus=8, overrides=overrides, settings=settings
    )
    return Request(target=target, nodes=Nodes(count=2), force="why not")


def test_a_job_asks_for_nodes_gpus_and_time(request_: Request) -> None:
    executor, _ = prepared(request_, cluster="debug")
    assert executor.cluster == "debug"
    from submitit.slurm.slurm import _make_sbatch_string

    text = _make_sbatch_string("run", "folder", nodes=2, ntasks_per_node=1, gpus_per_node=4, time=90)
    assert "--gpus-per-node=4" in text


def test_each_node_runs_train_and_meets_at_the_first(request_: Request) -> None:
    _, task = prepared(request_, cluster="debug")
    words = task.command(["one", "two"], 1)
    assert words[1:4] == ["-m", "opv2v_doctor", "train"]
    assert words[words.index("--node-rank") + 1] == "1"
    assert words[words.index("--rdzv-endpoint") + 1] == "one:29500"
    assert words[words.index("--gpus") + 1] == "8"
    assert words[words.index("--force") + 1] == "why not"
    assert words[-1] == "hydra.run.dir=experiments/a"


def test_one_node_needs_no_meeting() -> None:
    assert "--nnodes" not in OnNode(words=(), port=1).command(["one"], 0)


def test_nodes_without_a_shared_directory_are_refused(request_: Request) -> None:
    lonely = replace(request_, target=replace(request_.target, overrides=()))
    with pytest.raises(UsageError, match="share one directory"):
        prepared(lonely, cluster="debug")
