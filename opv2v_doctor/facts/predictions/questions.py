"""The questions about inference, answered in `inside/`, declared as `facts/interpreter/questions.py` is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from opv2v_doctor.facts.interpreter.probe import question
from opv2v_doctor.facts.predictions.comparisons import Parity, Scripted


class Case(TypedDict):
    """A checkpoint with the config that opens it, a sample, and what opens them, each as MODULE:NAME."""

    config: Mapping[str, Any] | str  # values, or the path of a file
    checkpoint: str
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


@question("scripted")
def script(*, path: str, arguments: list[str], case: Case) -> Scripted:
    """What a script does up to its first inference, and how that compares with training's forward."""
    raise NotImplementedError
