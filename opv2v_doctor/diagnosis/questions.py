"""The questions of a diagnosis, answered in `inside/`, declared as `facts/interpreter/questions.py` is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from opv2v_doctor.facts.interpreter.probe import question
from opv2v_doctor.facts.interpreter.questions import Account, ShownView
from opv2v_doctor.text import Place


class LaunchWords(TypedDict):
    """How the launch is started, and which functions play the parts of its training: module and name."""

    script: str
    module: str | None  # of `python -m`
    arguments: list[str]
    folder: str  # of what is gone in the end
    parts: dict[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A criterion's part: where it hangs, its class, and the numbers and words that it was made with."""

    path: str
    kind: str
    values: Mapping[str, Any]
    place: Place | None = None


@dataclass(frozen=True, kw_only=True)
class ReadFile:
    """A file of weights that the launch read: elements that the model has by name, and that it holds."""

    file: Path
    elements: int
    named: int
    held: int


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A sub-module between two states of its weights."""

    elements: int
    relative: float  # norm of the difference, as a share of the norm before
    still: tuple[str, ...]  # tensors that are trained and did not move at all
    frozen: int  # elements that the launch does not train


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The launch's parts, and how a checkpoint fits them."""

    device: str
    train_criterion: tuple[Part, ...]
    test_criterion: tuple[Part, ...]
    sets: tuple[tuple[str, ...], ...]  # that it evaluates on: the folders of their datasets' splits
    chosen: int | None  # the set that is looked at; None where the launch never evaluates
    train_place: Place
    test_place: Place | None
    account: Account
    read: tuple[ReadFile, ...]
    load_place: Place | None
    moved: Mapping[str, Moved]  # by sub-module, from the launch's first weights to the checkpoint's
    attributes: Mapping[str, tuple[str, ...]]  # of the datasets: name -> training's value, validation's
    fresh: bool  # whether validation is given another model, which a step of training does not change


@dataclass(frozen=True, kw_only=True)
class ViewNumbers:
    """A view in numbers: its image by channel, its place, depth and masks."""

    norm_type: str | None
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    least: tuple[float, ...]  # black, as far as the image holds any
    position: tuple[float, ...] | None  # metres, in the frame that the dataset chose
    turned: float | None  # degrees from that frame
    depth: float | None  # median of the known, metres
    known: float | None
    mask: float | None


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Samples of the training and of the evaluation set as their loaders give them."""

    train: tuple[tuple[ViewNumbers, ...], ...]
    test: tuple[tuple[ViewNumbers, ...], ...]
    distinct: int  # training samples that differ, of an epoch
    jitter: float | None  # by how much the image of a validation view changes with the epoch


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One sample through the validation path."""

    part: str  # train or test
    views: tuple[ShownView, ...]
    prefix: str
    loss: float  # as the epoch's function tells it
    by_train: float | None  # by the training criterion
    terms: Mapping[str, float]
    repaired: Mapping[str, float]  # the loss with one thing of the prediction put right
    constant: float | None
    constant_terms: Mapping[str, float]
    initial: float | None
    matched: float | None  # with the image's channels as training's are


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All samples that there was time for, and the first that could not be evaluated."""

    samples: tuple[Evaluated, ...]
    asked: int
    problem: str


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """What a batch met on a path: the mode, the precision, and what the criterion said."""

    loss: float | None
    again: float | None  # of the same batch with other random numbers
    factor: float
    in_training: tuple[str, ...]
    modules: int
    precision: str | None
    line: Place | None  # in the epoch's function
    weights_differ: int  # of the model that was called from the trained one: elements


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """The same batch through both paths."""

    part: str
    train: Crossing
    test: Crossing
    inputs: Mapping[str, float]  # key of a view -> how far what the model was given differs, relative
    changed_by: Mapping[str, str]  # the path that gave it another value than the loader
    by_test_of_train: float | None  # the test criterion on the outputs of training's path


@dataclass(frozen=True, kw_only=True)
class Paths:
    """All batches that were compared."""

    batches: tuple[Disagreement, ...]
    problem: str


@dataclass(frozen=True, kw_only=True)
class Overfitted:
    """One batch, trained on for some steps by the launch's own."""

    samples: int
    whole: int  # samples of the batch that the loader gave
    steps: int
    losses: tuple[float, ...]
    first_terms: Mapping[str, float]
    last_terms: Mapping[str, float]
    rates: tuple[float, ...]
    moved: Mapping[str, Moved]
    without_gradient: tuple[str, ...]
    unused: tuple[str, ...]  # sub-modules without a gradient whose weights change no prediction
    validated: float | None  # the batch's loss through the validation path, at its end
    train_after: float | None
    problem: str


@question("diagnosis")
def opened(*, launch: LaunchWords, checkpoint: str, splits: list[str]) -> Opened:
    """What the launch is made of, and what of it the checkpoint fills."""
    raise NotImplementedError


@question("diagnosis")
def drawn(*, launch: LaunchWords, splits: list[str], count: int) -> Drawn:
    """What the loaders give, in numbers."""
    raise NotImplementedError


@question("diagnosed_losses")
def evaluated(
    *,
    launch: LaunchWords,
    checkpoint: str,
    splits: list[str],
    count: int,
    seconds: float,
    folder: str,
    whole: bool,
) -> Evaluation:
    """Samples of both sets through the validation path; arrays go to FOLDER/NUMBER/VIEW_PREFIX_NAME.npy."""
    raise NotImplementedError


@question("diagnosed_paths")
def compared(*, launch: LaunchWords, checkpoint: str, splits: list[str], seconds: float) -> Paths:
    """A batch of each set through training's step and through validation, with the checkpoint's weights.

    One of training alone, where that took so many seconds.
    """
    raise NotImplementedError


@question("diagnosed_paths")
def overfitted(
    *, launch: LaunchWords, splits: list[str], steps: int, epoch: int, seconds: float
) -> Overfitted:
    """Train on one batch by the launch's own steps, from the launch's own first weights, then validate it."""
    raise NotImplementedError
