"""All options of train make one request: each alone, each pair, and what a SLURM job gets of them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from opv2v_doctor.cli.program import app
from opv2v_doctor.cli.train import takes_request
from opv2v_doctor.runs.request import TrainingRequest, read_request, request_text
from opv2v_doctor.runs.slurm import on_node
from opv2v_doctor.user_error import UsageError

DIRECTORY = "hydra.run.dir=experiments/one"
VALUES: dict[str, list[str]] = {  # a new option needs one, that shows in the request
    "overrides": ["train_params.epochs=3"],
    "--nnodes": ["2"],
    "--node-rank": ["1"],
    "--rdzv-endpoint": ["first:29500"],
    "--fresh": [],
    "--resume": ["{tmp}/earlier"],
    "--dry-run": [],
    "--verbose": [],
    "--quiet": [],
    "--force": ["a reason"],
    "--require-clean": [],
    "--steps-per-epoch": ["7"],
    "--ignore": ["ENV005: shared on purpose"],
    "--slurm": [],
    "--repo": ["{tmp}/other"],
    "--python": ["/bin/sh"],
    "--settings": ["{tmp}/settings.toml"],
    "--gpus": ["4"],
    "--split": ["val"],
    "--run": ["{tmp}/run"],
    "--num-samples": ["9"],
    "--timeout": ["77"],
}


def declared() -> list[str]:
    """The options of the command, as they are typed; a command behind `--` has tests of its own."""
    command: Any = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    named = [param for param in command.params if param.name not in ("help", "own")]
    return [param.opts[0] for param in named]


def with_needs(option: str, pair: Iterable[str]) -> set[str]:
    """An option and what it makes no sense without, beside the other of its pair."""
    if option == "--node-rank":
        return {option} | with_needs("--nnodes", pair)
    if option != "--nnodes":
        return {option}
    needed = {option, "--gpus"}
    needed |= set() if "--slurm" in pair else {"--rdzv-endpoint"}
    return needed | (set() if "--resume" in pair else {DIRECTORY})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training repositories as far as a request looks at them, and what options name."""
    folder = tmp_path_factory.mktemp("asked")
    for name in ("repo", "other"):
        (folder / name / "scripts").mkdir(parents=True)
        (folder / name / "scripts" / "train.py").touch()
    for name in ("run", "earlier"):
        (folder / name).mkdir()
    (folder / "settings.toml").write_text("strict = true\n")
    return folder


parser = typer.Typer()
made: list[TrainingRequest] = []


@parser.command()
@takes_request
def shown(request: TrainingRequest) -> None:
    made[:] = [request]


def asked(place: Path, options: Iterable[str]) -> TrainingRequest:
    """The request that these options make: parsed as train parses them, and nothing started."""
    words = [] if "--repo" in options else ["--repo", str(place / "repo")]
    trailing = []
    for option in options:
        given = [word.format(tmp=place) for word in VALUES.get(option, [])]
        if option.startswith("--"):
            words += [option, *given]
        else:
            trailing += given or [option]
    ran = CliRunner().invoke(parser, [*words, *trailing])
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    assert ran.exit_code == 0, ran.output
    return made.pop()


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """A document as dotted keys, and an entry of its own for each word of a list."""
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in flat(part, f"{name}.{key}").items()}
    if name == ".target.overrides":
        return {f"{name}: {word}": True for word in value}
    return {name: value}


@functools.cache
def told(place: Path, *options: str) -> dict[str, Any]:
    """The request of these options, as a job gets it."""
    return flat(json.loads(request_text(asked(place, options))))


def changed(place: Path, options: Iterable[str]) -> set[tuple[str, str]]:
    """What these options change in the request."""
    usual, now = told(place), told(place, *sorted(options))
    return {(key, repr(value)) for key, value in now.items() if usual.get(key, "absent") != value}


@pytest.mark.parametrize("option", declared())
def test_an_option_shows_in_the_request_and_reaches_the_job_whole(option: str, place: Path) -> None:
    request = asked(place, sorted(with_needs(option, (option,))))
    assert request != asked(place, sorted(with_needs(option, (option,)) - {option} - {"--nnodes"}))
    assert read_request(request_text(request)) == request
    there = read_request(request_text(on_node(request, ["n1", "n2"], 1)))
    kept = {field.name for field in dataclasses.fields(TrainingRequest)} - {"nodes", "slurm"}
    assert {name: getattr(there, name) for name in kept} == {name: getattr(request, name) for name in kept}
    assert (there.nodes.count, there.nodes.rank, there.slurm) == (2, 1, False)


@pytest.mark.parametrize("pair", list(itertools.combinations(declared(), 2)), ids=" ".join)
def test_each_pair_is_meant_or_refused_with_both_words(pair: tuple[str, str], place: Path) -> None:
    needs = [with_needs(option, pair) for option in pair]
    try:
        found = changed(place, set.union(*needs))
    except UsageError as problem:
        for each in needs:
            names = {name.partition("=")[0] for name in each}
            assert any(name in str(problem) for name in names), (each, str(problem))
        return
    for option, kept in zip(pair, needs, strict=True):
        alone = with_needs(option, (option,))
        expected = changed(place, alone)
        for left_out in alone - kept:  # which the other of the pair makes needless
            expected = expected - changed(place, [left_out])
        assert expected <= found


REFUSED = {
    ("--fresh", "--resume"),
    ("--node-rank", "--slurm"),
    ("--rdzv-endpoint", "--slurm"),
    ("--fresh", "--nnodes"),
    ("--resume", "--run"),
}


@pytest.mark.parametrize("pair", sorted(REFUSED))
def test_these_pairs_are_refused(pair: tuple[str, str], place: Path) -> None:
    words = sorted(with_needs(pair[0], pair) | with_needs(pair[1], pair))
    with pytest.raises(UsageError) as problem:
        asked(place, words)
    assert all(word in str(problem.value) for word in pair)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nnodes", "2", "--gpus", "3"], "--gpus 3 counts all nodes: --nnodes 2"),
        (["--nnodes", "2", "--gpus", "2"], "--rdzv-endpoint"),
        (["--node-rank", "1"], "--node-rank 1: --nnodes 1"),
        (["--resume", "a", DIRECTORY], "hydra.run.dir"),
        (["--force", " "], "reason"),
        (["--split", "holdout"], "holdout"),
        (["--ignore", "XYZ999: no"], "XYZ999"),
        (["--slurm", "--resume", "{repo}"], "run.json"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(words: list[str], said: str, place: Path) -> None:
    repo = place / "repo"
    given = [word.format(repo=repo) for word in words]
    ran = subprocess.run(
        [sys.executable, "-m", "opv2v_doctor", "train", "--repo", repo, *given],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{programs(place)}:{os.environ['PATH']}"},
    )
    assert (ran.returncode, said in ran.stderr) == (2, True), ran.stderr
    assert not (place / "submitted").exists()
    assert sorted(path.name for path in repo.iterdir()) == ["scripts"]


def programs(place: Path) -> Path:
    """A folder with an sbatch that notes that it was called, and an srun."""
    folder = place / "bin"
    folder.mkdir(exist_ok=True)
    for name in ("sbatch", "srun"):
        (folder / name).write_text(
            f'#!/bin/sh\necho "$@" >> "{place}/submitted"\necho Submitted batch job 7\n'
        )
        (folder / name).chmod(0o755)
    return folder


def test_a_number_from_slurm_is_no_option(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NODEID", "3")
    assert asked(place, []).nodes.rank == 0
    assert asked(place, ["--slurm"]).nodes.rank == 0
    with pytest.raises(UsageError, match="--node-rank 3"):
        asked(place, sorted(with_needs("--nnodes", ())))


@pytest.mark.parametrize("job", [["--gpus", 2], ["--nnodes", 2, "--gpus", 2, DIRECTORY]])
def test_a_dry_run_calls_no_sbatch(job: list[object], broken: Callable[..., Path], tmp_path: Path) -> None:
    repo = broken()
    settings = repo / "opv2v-doctor.toml"
    settings.write_text(f'select = ["CFG001"]\n{settings.read_text()}')  # the whole gate is tested elsewhere
    before = sorted(repo.rglob("*"))
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "opv2v_doctor", "train", "--repo", repo, "--dry-run", "-v", "--slurm"),
            *map(str, job),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PATH": f"{programs(tmp_path)}:{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    assert ran.returncode == 0, ran.stderr
    plan, stamp = ran.stdout.split("\n{\n")
    assert "torch.distributed.run" in plan
    assert json.loads(f"{{{stamp}")["world_size"] == 2
    assert "a SLURM job with" in ran.stderr
    assert not (tmp_path / "submitted").exists()
    assert sorted(repo.rglob("*")) == before
