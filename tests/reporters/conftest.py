"""Results that reporters are tried on: one of every status, with messages as hostile as logs can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opv2v_doctor import (
    Check,
    Finding,
    Findings,
    Place,
    Target,
    Text,
    check,
    error,
    examined,
    note,
    quoted,
    warning,
)
from opv2v_doctor.reporters import REPORTERS, Examination, Medium
from opv2v_doctor.result import Result, Status

REPO = Path("/home/ada/map-anything")
HOSTILE = (
    "[red]bad[/red] [/x] \x1b[2J\x9b1m\a | `x` <b>&</b> 100% a,b:c @ada #1 \u202egnp\udcff"
    "\n::error::forged\r\nend"
)


def of_family(family: str) -> Callable[[Callable[[Target], Findings]], Callable[[Target], Findings]]:
    """Put a check's function into the module that its family is named after."""

    def moved(function: Callable[[Target], Findings]) -> Callable[[Target], Findings]:
        function.__module__ = f"examples.{family}"
        return function

    return moved


@check("CFG901", tier="static")
@of_family("config")
def config_composes(target: Target) -> Findings:
    """The config composes with the overrides of the launch.

    ## Why it matters
    Nothing starts without it.

    ## How to fix
    Run the command of the hint.
    """
    yield note("composed")


@check("CFG902", tier="static")
@of_family("config")
def evaluation_is_not_training(target: Target) -> Findings:
    """No evaluation set is drawn from the training split."""
    yield note("drawn")


@check("DAT901", tier="data")
@of_family("dataset")
def every_frame_is_whole(target: Target) -> Findings:
    """Every frame can be read."""
    yield note("read")


@check("DAT902", tier="data", requires=["DAT901"])
@of_family("dataset")
def samples_repeat(target: Target) -> Findings:
    """The same index is the same sample."""
    yield note("the same")


@check("DAT903", tier="data")
@of_family("dataset")
def poses_are_rigid(target: Target) -> Findings:
    """Every pose is a rotation and a translation."""
    yield note("rigid")


@check("CKP901", tier="run")
@of_family("checkpoint")
def steps_agree(target: Target) -> Findings:
    """Epoch and optimizer steps agree."""
    yield note("agree")


@pytest.fixture
def checks() -> tuple[Check, ...]:
    return (
        config_composes,
        evaluation_is_not_training,
        every_frame_is_whole,
        samples_repeat,
        poses_are_rigid,
        steps_agree,
    )


def _failure() -> tuple[Finding, ...]:
    return (
        note(
            "{scenarios:scenario|scenarios}", at=Place(REPO / "configs/dataset/opv2v.yaml", 3), scenarios=12
        ),
        error(
            "{lost} is replaced by {winner}: {kept:loader|loaders} kept, expected {expected}",
            at=Place(REPO / "configs/dataset/opv2v.yaml", 12, near=True),
            hint="give the two sets different class names,\nor run with dataset=opv2v_two_sets",
            lost="validate",
            winner="test",
            kept=1,
            expected=2,
            share=float("nan"),
        ),
        error(quoted(HOSTILE), at=Path("/data/opv2v/a, b.yaml"), hint="look at `log.txt` | [here](x)"),
    )


@pytest.fixture
def results() -> tuple[Result, ...]:
    """One result of every status, in the order of a checklist."""
    hazard = warning(
        "mean {mean:.2f}, floor {floor:.2f}",
        hint="measure more samples",
        at=Path("mapanything/masks.py"),
        of="val",
        mean=0.049,
        floor=0.05,
    )
    return (
        Result(
            check=config_composes,
            status=Status.PASSED,
            findings=(note("composed in 1.0 s\nonce"),),
            examined=(examined(25, "config file"),),
            seconds=0.25,
        ),
        Result(check=evaluation_is_not_training, status=Status.FAILED, findings=_failure(), seconds=2.0),
        Result(
            check=every_frame_is_whole,
            status=Status.CRASHED,
            reason=quoted("OSError: \x1b[31mgone (frames.py:7)"),
        ),
        Result(
            check=samples_repeat,
            status=Status.BLOCKED,
            reason=Text("the seed is assumed"),
            at=Place(REPO / "mapanything/datasets.py", 7),
            hint=Text("set names.seed in opv2v-doctor.toml"),
        ),
        Result(check=poses_are_rigid, status=Status.WARNED, findings=(hazard,), seconds=1.5),
        Result(check=steps_agree, status=Status.SKIPPED, reason=Text("no checkpoint yet")),
    )


@pytest.fixture
def examination() -> Examination:
    """What an imagined repository was examined for, reported to a plain medium."""
    return Examination(
        repo=REPO,
        commit="0123456789abcdef0123456789abcdef01234567",
        dirty=True,
        overrides=("dataset=opv2v_cyl_coop_ft",),
        gpus=4,
        started=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        medium=Medium(folder=REPO),
    )


@pytest.fixture
def written(results: tuple[Result, ...], examination: Examination) -> Iterator[Callable[[str], str]]:
    """The whole report in one format."""
    yield lambda name: "\n".join(REPORTERS[name](results, examination)) + "\n"
