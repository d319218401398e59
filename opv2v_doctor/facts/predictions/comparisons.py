"""Comparisons: what an inference loads, is fed and answers, beside what training's forward does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.interpreter.questions import Account, WeightPart
from opv2v_doctor.text import Place


@dataclass(frozen=True, kw_only=True)
class Load(Account):
    """What of a model's weights was found in a checkpoint."""

    strict: bool = True
    place: Place | None = None  # of the call, where a script made it

    @property
    def elements(self) -> int:
        return sum(part.elements for part in self.parts.values())

    @property
    def loaded(self) -> int:
        return sum(part.loaded for part in self.parts.values())

    @property
    def incomplete(self) -> Mapping[str, WeightPart]:
        """The sub-modules that some of their weights were not found for."""
        return {name: part for name, part in self.parts.items() if part.loaded < part.elements}


@dataclass(frozen=True, kw_only=True)
class Line:
    """Of one channel: given = slope * trained + offset, and what that leaves of the deviation."""

    slope: float
    offset: float
    rest: float


Figure = str | float | tuple[int, ...] | None  # words or a type, a mean, a shape


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Of two images: a line through each channel, whether they are reversed, and the second's range."""

    lines: tuple[Line, ...]
    reversed: bool
    least: float
    most: float


@dataclass(frozen=True, kw_only=True)
class Values:
    """Of two tensors: root mean squares of the numbers and of what they are apart."""

    size: float
    apart: float
    relative: float
    factor: float  # that explains most of it
    rest: float  # that it leaves, relative


@dataclass(frozen=True, kw_only=True)
class Mask:
    """Of two masks: the share of the pixels that differ, and of those where one is the other's opposite."""

    differs: float
    inverted: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What tells of a difference; which of them there are, depends on its kind."""

    trained: Figure = None
    given: Figure = None
    scale: float | None = None  # the metric one that the model answered
    values: Values | None = None
    mask: Mask | None = None
    channels: Channels | None = None

    @property
    def evidence(self) -> dict[str, Any]:
        """All of them in one row."""
        alone = {"trained": self.trained, "given": self.given, "scale": self.scale}
        found = {name: value for name, value in alone.items() if value is not None}
        for part in (self.values, self.mask, self.channels):
            found |= asdict(part) if part else {}
        return found


@dataclass(frozen=True, kw_only=True)
class Unlike:
    """One thing that goes into the model, or comes out, and is not as in training."""

    key: str
    kind: str  # words, shape, type, mask, values, only inference, only training
    view: int
    place: Place | None
    numbers: Figures

    @property
    def relative(self) -> float:
        """How far apart, relative to what it should be."""
        if self.numbers.values is not None:
            return self.numbers.values.relative
        return self.numbers.mask.differs if self.numbers.mask is not None else 1.0


@dataclass(frozen=True, kw_only=True)
class Counts:
    """On how many things a comparison rests."""

    inputs: int
    raw: int
    final: int


@dataclass(frozen=True, kw_only=True)
class InferenceDifference:
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
    compared: Counts


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Between two poses."""

    degrees: float
    metres: float


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Points against the truth: how far apart (m, RMS), and what would bring them onto it; None: too few."""

    points: int
    apart: float | None = None
    size: float = 0.0
    scale: float = 1.0
    degrees: float = 0.0
    metres: float = 0.0
    pose: Turn | None = None
    again: Fit | None = None  # of the points that depth, rays and pose make
    kept: float | None = None


@dataclass(frozen=True, kw_only=True)
class RoundTrip:
    """What becomes of ground truth in the computation of points, and in `infer`."""

    composed: tuple[Fit | None, ...]  # of each view: its depth, rays and pose against its points
    returned: tuple[Fit | None, ...]  # of each view: ground truth after `infer`
    returned_at: Place | None


@dataclass(frozen=True, kw_only=True)
class Parity(RoundTrip):
    """What the model does with one validation batch."""

    load: Load
    device: str
    views: tuple[str | None, ...]
    outputs: int  # that two evaluations both answered
    unrepeated: tuple[Unlike, ...]  # those that differ
    unseeded: bool  # and that other random numbers explain
    inference: InferenceDifference | None  # by `infer`, None where the model has none

    @property
    def draws_inputs(self) -> bool:
        """Whether one evaluation tells little: what the model takes and answers depends on random numbers."""
        return bool(self.unrepeated) and self.unseeded


@dataclass(frozen=True, kw_only=True)
class ReadFile:
    """A file of weights that a script read, or looked for."""

    path: Path
    place: Place | None
    there: bool
    state: str  # the key in the file of the state that most of the model's weights are
    held: int  # numbers of the model that are in it


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """A file that a script wrote: the line, the inferences before it, how often since the last one."""

    path: Path
    place: Place | None
    inferences: int
    times: int


@dataclass(frozen=True, kw_only=True)
class AnsweredView:
    """One view of the script's inference: its names, and files of arrays by the keys of the outputs."""

    instance: str | None
    agent: str | None
    answered: Mapping[str, Path]  # by the model
    returned: Mapping[str, Path]  # by `infer`


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a script ended, and why: finished, late, refused (a write to `why`), failed or hindered.

    It failed of itself, or was hindered by a file, a package or a device that is not here.
    """

    how: str
    why: str
    place: Place | None


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """What the settings' inference script did."""

    path: Path
    loads: tuple[Load, ...]
    held: Load | None  # of the checkpoint's weights, those that the model holds as it infers
    configs: tuple[tuple[Mapping[str, Any], Place | None], ...]  # of the models that it built
    inference: InferenceDifference | None
    read: tuple[ReadFile, ...]
    written: tuple[WrittenFile, ...]
    views: tuple[AnsweredView, ...]
    ending: Ending
