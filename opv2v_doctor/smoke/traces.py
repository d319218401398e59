"""Traces: what the watch wrote about every step of a short training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from opv2v_doctor.foreign_files import from_json, open_file
from opv2v_doctor.text import Place, Text

EVENTS = "events.jsonl"


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
    events = list(_events(run / EVENTS, start))
    stops = [str(event["reason"]) for event in events if event["event"] == "stopped"]
    return TrainingTrace(
        steps=tuple(_step(event) for event in events if event["event"] == "step"),
        warnings=tuple(_warning(event) for event in events if event["event"] in ("warning", "note")),
        stopped=stops[0] if stops else None,
        raised=tuple(_exception(event) for event in events if event["event"] == "raised"),
    )


def _events(path: Path, start: int) -> Iterator[dict[str, Any]]:
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


def _step(event: dict[str, Any]) -> Step:
    return Step(**{field.name: event.get(field.name) for field in fields(Step)})  # type: ignore[arg-type]


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
