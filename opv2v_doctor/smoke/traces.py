"""Traces: what the watch wrote about every step of a short training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from opv2v_doctor.foreign_files import from_json, open_file
from opv2v_doctor.text import Place, Text

EVENTS = "events.jsonl"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A line of the training that something came through, and its function."""

    place: Place
    function: str


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A file that a rank wrote, the epoch that its content claims, and the lines that lead there."""

    rank: int
    file: str
    says: int | None
    completed: int | None  # the epoch that was trained last
    frames: tuple[Frame, ...]


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """The epoch of the checkpoint that was loaded, the first one to train, and who took the epoch."""

    epoch: int | None
    start: int | None
    frames: tuple[Frame, ...]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of one rank; hashes stand for weights, optimizer and random numbers."""

    rank: int
    epoch: int
    step: int
    global_step: int
    samples: list[str]
    draws: str
    random: str
    optimizer: str
    optimizer_steps: int
    before: str  # weights
    weights: str  # after the step
    lr: Mapping[str, float]
    loss: float | None
    gradients: Mapping[str, float] | None  # norm by parameter, where the step ended in an update
    content: str | None = None  # a hash of what the batch holds
    views: int | None = None
    size: int | None = None  # samples of the batch
    memory: Mapping[str, int] | None = None  # bytes of the GPU: allocated and reserved at most, total, free
    asked: float | None = None  # the epoch that the learning rate was asked for
    rate_set: tuple[Frame, ...] = ()  # the lines that set the first group's learning rate, innermost first

    @property
    def place(self) -> Text:
        """Where in the training it was."""
        return Text("epoch {epoch}, step {step}", epoch=self.epoch, step=self.step)


@dataclass(frozen=True, kw_only=True)
class Warned:
    """A warning or a note of the watch."""

    what: str
    message: str
    rank: int
    epoch: int | None
    step: int | None
    is_note: bool

    @property
    def place(self) -> Text:
        """Where in the training it was said."""
        return Text(
            "epoch {epoch}, step {step}" if self.step is not None else "epoch {epoch}",
            epoch=self.epoch,
            step=self.step,
        )


Sketches = Mapping[str, Sequence[float]]  # projections of a tensor by its name, its norm last


@dataclass(frozen=True, kw_only=True)
class Backward:
    """A backward pass: the gradients of this rank alone, and the share of the batch's loss in its root."""

    rank: int
    epoch: int
    step: int
    at: str
    error: str | None
    loss: str | None  # seen, detached, unseen
    weight: float | None
    scale: float | None  # of mixed precision; gradients are without it
    gradients: Sketches | None


@dataclass(frozen=True, kw_only=True)
class Update:
    """What the optimizer was about to use, how it was clipped, and in which order that came to be."""

    rank: int
    epoch: int
    step: int
    at: str
    gradients: Sketches
    clips: Sequence[Mapping[str, Any]]
    order: Sequence[str]  # "backward FILE:LINE"


@dataclass(frozen=True, kw_only=True)
class Held:
    """The parameters of model and optimizer, and what the config says that concerns them."""

    rank: int
    names: Sequence[str]
    frozen: Sequence[str]
    left_out: Sequence[str]
    strange: int  # parameters of the optimizer that are not the model's
    held: int  # parameters of the optimizer
    decayed_by_bias: Sequence[
        str
    ] = ()  # modules with weight decay on their vectors, and none on their matrices
    at: str  # where the optimizer is made
    steps: int  # of an epoch, when it is not cut short
    config: Mapping[str, Any]  # whole key -> value


@dataclass(frozen=True, kw_only=True)
class Modes:
    """How a model ran in the first forward of an epoch or an evaluation."""

    rank: int
    epoch: int
    phase: str
    training: Sequence[str]
    evaluating: Sequence[str]
    numbers: Sequence[int]  # modules in training mode, in evaluation mode
    gradients: bool
    random: Sequence[str]
    statistics: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Precision:
    """In which precision modules were computed: precision -> number of modules, of their parameters."""

    rank: int
    modules: Mapping[str, Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class Perturbed:
    """The gradients of the first batch's loss with its images rounded otherwise."""

    rank: int
    epoch: int
    step: int
    gradients: Sketches


@dataclass(frozen=True, kw_only=True)
class Largest:
    """The largest batch that was found among all kinds that the sampler drew."""

    rank: int
    kinds: int
    views: int
    numbers: int


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """An evaluation that the training made, and what of the model it changed."""

    rank: int
    epoch: int | None
    split: str
    number: int  # of this set, from 1
    changed: Sequence[str] | None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Evaluations of known batches: content that came twice, results by list of batches, predictions."""

    rank: int
    split: str
    first: Sequence[str]
    again: str | None
    sets: Mapping[str, Any] | None = None
    alone: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """How many names a module was given to load, how many fit and are missing; one given and one missing."""

    rank: int
    model: str
    given: int
    fitting: int
    missing: int
    names: Sequence[str]
    at: str


KINDS: dict[str, type[Any]] = {
    "loaded": Loaded,
    "backward": Backward,
    "update": Update,
    "parameters": Held,
    "modes": Modes,
    "precision": Precision,
    "perturbed": Perturbed,
    "largest": Largest,
    "largest step": Step,
    "evaluated": Evaluated,
    "trials": Trial,
}  # of an event -> what is made of it
Kind = TypeVar("Kind")


@dataclass(frozen=True, kw_only=True)
class TracedException:
    """An exception that ended the training of a rank, and the innermost calls that led to it."""

    rank: int
    error: str
    frames: tuple[Place, ...]


@dataclass(frozen=True, kw_only=True)
class TrainingTrace:
    """All steps of a training, in order for each rank, and what the watch had to say."""

    steps: tuple[Step, ...]
    warnings: tuple[Warned, ...]
    stopped: str | None
    raised: tuple[TracedException, ...] = ()
    saved: tuple[Saved, ...] = ()
    resumed: Resumed | None = None
    others: tuple[tuple[str, Any], ...] = ()  # (kind of event, what it says), in the order of the events

    def every(self, kind: type[Kind], rank: int | None = None, event: str = "") -> list[Kind]:
        """All that was told of a kind, of one rank or of all."""
        return [
            one
            for name, one in self.others
            if isinstance(one, kind) and rank in (None, one.rank) and event in ("", name)  # type: ignore[attr-defined]
        ]

    def of_rank(self, rank: int) -> list[Step]:
        """The steps of one rank."""
        return [step for step in self.steps if step.rank == rank]

    @property
    def updates(self) -> list[Step]:
        """The steps that ended in an update of the optimizer, as far as it tells."""
        return [step for step in self.steps if step.gradients is not None]

    def at(self, rank: int, epoch: int, step: int) -> Step | None:
        """One step; None where it was not made."""
        found = (s for s in self.steps if (s.rank, s.epoch, s.step) == (rank, epoch, step))
        return next(found, None)


def read_trace(run: Path, start: int = 0) -> TrainingTrace:
    """The trace in a run directory, from a byte of its events on."""
    events = list(events_in(run / EVENTS, start))
    stops = [str(event["reason"]) for event in events if event["event"] == "stopped"]
    return TrainingTrace(
        steps=tuple(_step(event) for event in events if event["event"] == "step"),
        warnings=tuple(_warning(event) for event in events if event["event"] in ("warning", "note")),
        stopped=stops[0] if stops else None,
        raised=tuple(_exception(event) for event in events if event["event"] == "raised"),
        others=tuple(
            (
                event["event"],
                _step(event) if KINDS[event["event"]] is Step else _made(KINDS[event["event"]], event),
            )
            for event in events
            if event["event"] in KINDS
        ),
        saved=tuple(_saved(event) for event in events if event["event"] == "saved"),
        resumed=_resumed(events),
    )


def frames_in(told: object) -> tuple[Frame, ...]:
    """The lines that an event tells, innermost first."""
    return tuple(
        Frame(place=Place(Path(path), int(line)), function=str(function))
        for path, line, function in (told if isinstance(told, list) else ())
    )


def _saved(event: dict[str, Any]) -> Saved:
    says = event.get("says")
    return Saved(
        rank=event["rank"],
        file=str(event["file"]),
        says=says if isinstance(says, int) else None,
        completed=event.get("completed"),
        frames=frames_in(event["frames"]),
    )


def _resumed(events: list[dict[str, Any]]) -> Resumed | None:
    """What rank 0 resumed from, None where it did not."""
    own = [event for event in events if event.get("rank") == 0]
    told = next((event for event in own if event["event"] == "resume"), None)
    taken = [event for event in own if event["event"] == "epoch taken"]
    if told is None:
        return None
    lines = frames_in(taken[-1]["frames"]) if taken else ()
    return Resumed(epoch=told.get("epoch"), start=told.get("start_epoch"), frames=lines)


def events_in(path: Path, start: int) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    with open_file(path) as file:
        file.seek(start)
        for line in file:
            try:
                event = from_json(line)
            except ValueError:  # its writer was killed
                continue
            if isinstance(event, dict) and "event" in event:
                yield event


def _made(kind: type[Kind], event: dict[str, Any]) -> Kind:
    return kind(**{field.name: event.get(field.name) for field in fields(kind)})  # type: ignore[arg-type]


def placed(told: str) -> Place | None:
    """The place that the watch tells as FILE:LINE."""
    path, _, line = told.rpartition(":")
    return Place(Path(path), int(line)) if path and line.isdecimal() else None


def _step(event: dict[str, Any]) -> Step:
    known = {field.name: event.get(field.name) for field in fields(Step)}
    return Step(**{**known, "rate_set": frames_in(event.get("rate_set"))})  # type: ignore[arg-type]


def _exception(event: dict[str, Any]) -> TracedException:
    frames = [str(frame).rpartition(":") for frame in event["frames"]]
    places = (Place(Path(path), int(line)) for path, _, line in frames)
    return TracedException(rank=event["rank"], error=str(event["error"]), frames=tuple(places))


def _warning(event: dict[str, Any]) -> Warned:
    return Warned(
        what=str(event["what"]),
        message=str(event["message"]),
        rank=event["rank"],
        epoch=event.get("epoch"),
        step=event.get("step"),
        is_note=event["event"] == "note",
    )
