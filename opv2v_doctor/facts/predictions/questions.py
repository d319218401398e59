"""The questions about inference, answered in `inside/`, declared as `facts/interpreter/questions.py` is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from opv2v_doctor.facts.interpreter.probe import question
from opv2v_doctor.facts.interpreter.questions import Lines
from opv2v_doctor.facts.predictions.comparisons import Parity, RoundTrip, Scripted
from opv2v_doctor.facts.predictions.judgements import Judged
from opv2v_doctor.text import Place


class Case(TypedDict):
    """A checkpoint with the config that opens it, a sample, and what opens them, each as MODULE:NAME."""

    config: Mapping[str, Any] | str  # values, or the path of a file
    checkpoint: str  # empty: the model as it is initialised
    models: str
    losses: str
    datasets: str
    test_loader: str
    expression: str
    index: int


@question("parity")
def infer(*, case: Case) -> Parity:
    """How the weights load, evaluation repeats itself, `infer` compares, and ground truth comes back."""
    raise NotImplementedError


class Setting(TypedDict):
    """Where the script runs: our folder, what it must not write to, seconds from its first inference."""

    folder: str
    kept: list[str]
    seconds: float


@question("parity")
def round_trip(*, case: Case) -> RoundTrip:
    """How ground truth comes back from the computation of points and from `infer`; any weights will do."""
    raise NotImplementedError


@question("scripted")
def script(*, path: str, arguments: list[str], case: Case, setting: Setting) -> Scripted:
    """What a script did, how that compares with training's forward, and the files that it wrote."""
    raise NotImplementedError


@question("scripted", each="wrong")
def parting(
    *, path: str, arguments: list[str], case: Case, setting: Setting, wrong: list[list[str]]
) -> tuple[Place | None, ...]:
    """Of each wrong value, told as files of arrays in its forms: the line of the script that first has it."""
    raise NotImplementedError


class CriterionCase(TypedDict):
    """The launch's config, the lines that build its loader and one criterion, and what else they need."""

    config_dir: str
    config_name: str
    overrides: list[str]
    loader: Lines
    expression: str
    datasets: str
    losses: str  # MODULE:NAME of what computes the loss of a batch
    criterion: Lines
    variable: str
    key: str  # of the config, that holds its expression
    tried: list[str]  # options that need not be tried, as CLASS.NAME
    repo: str


@question("criterion")
def judged(*, case: CriterionCase) -> Judged:
    """What a criterion says of ground truth and of known disturbances of it."""
    raise NotImplementedError


@question("criterion")
def parted(
    *,
    case: CriterionCase,
    term: str,
    alike: list[str],
    entry: str,
    how: str,
    view: int | None,
    value: float,
) -> Place | None:
    """The line where a term of a criterion goes wrong: `how` says in which way."""
    raise NotImplementedError
