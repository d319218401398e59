"""Comparisons: what an inference loads, is fed and answers, beside what training's forward does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opv2v_doctor.text import Place


@dataclass(frozen=True, kw_only=True)
class Load:
    """What of a model's weights was found in a checkpoint."""

    parts: Mapping[str, Mapping[str, Any]]  # sub-module -> elements, loaded, missing
    unexpected: tuple[str, ...]
    reshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]  # name, in the file, in the model
    strict: bool = True
    place: Place | None = None  # of the call, where a script made it

    @property
    def elements(self) -> int:
        return sum(part["elements"] for part in self.parts.values())

    @property
    def loaded(self) -> int:
        return sum(part["loaded"] for part in self.parts.values())

    @property
    def incomplete(self) -> Mapping[str, Mapping[str, Any]]:
        """The sub-modules that some of their weights were not found for."""
        return {name: part for name, part in self.parts.items() if part["loaded"] < part["elements"]}


@dataclass(frozen=True, kw_only=True)
class Unlike:
    """One thing that goes into the model, or comes out, and is not as in training."""

    key: str
    kind: str  # words, shape, type, mask, values, only inference, only training
    view: int
    place: Place | None
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def relative(self) -> float:
        """How far apart, relative to what it should be."""
        return float(self.numbers.get("relative", self.numbers.get("differs", 1.0)))


@dataclass(frozen=True, kw_only=True)
class Inference:
    """An inference against training's forward."""

    name: str  # `infer`, or the script's
    forwards: int
    modules: int
    views: tuple[int, int]  # training's, inference's
    called_at: Place | None
    defined_at: Place | None
    in_training: tuple[str, ...]  # modules that were in train mode
    precision: tuple[str | None, str | None]
    taken: tuple[str, ...]  # entries of the views that the model took
    inputs: tuple[Unlike, ...]
    raw: tuple[Unlike, ...]  # the model's own outputs
    final: tuple[Unlike, ...]  # what was made of them
    compared: Mapping[str, int]  # of inputs, raw and final: on how many of them the answer rests


@dataclass(frozen=True, kw_only=True)
class Parity:
    """What the model does with one validation batch."""

    load: Load
    device: str
    views: tuple[str, ...]
    outputs: int  # that two evaluations both answered
    unrepeated: tuple[Unlike, ...]  # those that differ
    unseeded: bool  # and that other random numbers explain
    composed: tuple[
        Mapping[str, Any] | None, ...
    ]  # of each view: its depth, rays and pose against its points
    inference: Inference | None  # by `infer`, None where the model has none
    returned: tuple[Mapping[str, Any] | None, ...]  # of each view: ground truth after `infer`
    returned_at: Place | None

    @property
    def draws_inputs(self) -> bool:
        """Whether one evaluation tells little: what the model takes and answers depends on random numbers."""
        return bool(self.unrepeated) and self.unseeded


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """What the settings' inference script did on its way to its first inference."""

    path: Path
    loads: tuple[Load, ...]
    held: Load | None  # of the checkpoint's weights, those that the model holds as it infers
    configs: tuple[tuple[Mapping[str, Any], Place | None], ...]  # of the models that it built
    inference: Inference | None


def load_of(answer: Mapping[str, Any]) -> Load:
    return Load(
        parts=answer["parts"],
        unexpected=tuple(answer["unexpected"]),
        reshaped=tuple((name, tuple(given), tuple(wanted)) for name, given, wanted in answer["reshaped"]),
        strict=answer.get("strict", True),
        place=place_of(answer.get("at")),
    )


def held_of(parts: Mapping[str, Mapping[str, Any]]) -> Load:
    return Load(parts=parts, unexpected=(), reshaped=())


def inference_of(name: str, answer: Mapping[str, Any] | None) -> Inference | None:
    if answer is None:
        return None
    return Inference(
        name=name,
        forwards=answer["forwards"],
        modules=answer["modules"],
        views=(answer["views"][0], answer["views"][1]),
        called_at=place_of(answer["called_at"]),
        defined_at=place_of(answer["defined_at"]),
        in_training=tuple(answer["in_training"]),
        precision=(answer["precision"][0], answer["precision"][1]),
        taken=tuple(answer["taken"]),
        inputs=tuple(unlike_of(found) for found in answer["inputs"]),
        raw=tuple(unlike_of(found) for found in answer["raw"]),
        final=tuple(unlike_of(found) for found in answer["final"]),
        compared=answer["compared"],
    )


def unlike_of(answer: Mapping[str, Any]) -> Unlike:
    known = ("key", "kind", "view", "at")
    return Unlike(
        key=answer["key"],
        kind=answer["kind"],
        view=answer.get("view", 0),
        place=place_of(answer.get("at")),
        numbers={name: value for name, value in answer.items() if name not in known},
    )


def place_of(answer: Any) -> Place | None:
    return Place(path=Path(answer[0]), line=answer[1]) if answer else None
