"""Rehearsals: what the watch told of a training whose epochs took no time: files, evaluations, the resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from opv2v_doctor.smoke.traces import EVENTS, Frame, events_in, frames_in

FEWEST, MOST = 12, 60  # epochs: "10" sorts before "9"; a rare file must come twice


@dataclass(frozen=True, kw_only=True)
class Frequencies:
    """How often the config saves, keeps and evaluates, in epochs; 0 where it does not say."""

    save: int
    keep: int
    eval: int

    @property
    def epochs(self) -> int:
        """How many epochs show it."""
        return min(MOST, max(FEWEST, 2 * max(self.save, self.keep, self.eval) + 2))

    @property
    def stop(self) -> int:
        """The epoch before which it is ended."""
        return self.epochs // 2 + 1


@dataclass(frozen=True, kw_only=True)
class KeptFile:
    """A checkpoint as it lay there: epochs that its model was trained, and what it says itself."""

    trained: int | None
    resumable: bool = False
    epoch: int | None = None
    best: float | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The state that an epoch begins with, or that the training ends with (epoch None)."""

    epoch: int | None
    trained: int | None
    updates: int
    rates: tuple[float, ...]
    schedulers: tuple[tuple[str, int], ...]
    averages: tuple[tuple[str, float], ...]
    scaler: tuple[str, ...]  # what was asked of the loss scaler by then: saved, loaded
    asked: tuple[str, ...]  # of what the evaluation returned
    files: Mapping[str, KeptFile]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A file that was saved (`whole` where it got its name as a whole), removed, looked for or begun anew."""

    what: str
    file: str
    whole: bool
    frames: tuple[Frame, ...]
    trained: int | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The loss that was given for weights after so many epochs."""

    trained: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of both launches."""

    moments: tuple[Moment, ...]
    changes: tuple[Change, ...]
    evaluations: tuple[Evaluation, ...]

    def written_by(self, file: str, what: str = "save") -> tuple[Frame, ...]:
        """The lines that did something to a file last."""
        return next((c.frames for c in reversed(self.changes) if (c.file, c.what) == (file, what)), ())

    @property
    def loaded(self) -> Change | None:
        """What was resumed from."""
        return next((change for change in self.changes if change.what == "load"), None)


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """A training that was ended before an epoch, and resumed until its end."""

    frequencies: Frequencies
    first: Part
    resumed: Part
    lost_lines: tuple[Path, ...]  # logs that lack lines of before the resume

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        return (*self.first.changes, *self.resumed.changes)

    def written_by(self, file: str, what: str = "save") -> tuple[Frame, ...]:
        """The lines that did something to a file last."""
        return self.resumed.written_by(file, what) or self.first.written_by(file, what)


def read_rehearsal(run: Path, start: int, frequencies: Frequencies, lost: tuple[Path, ...]) -> Rehearsal:
    """The rehearsal in a run directory; the resumed launch begins at a byte of its events."""
    path = run / EVENTS
    resumed = list(events_in(path, start))
    first = list(events_in(path, 0))[: -len(resumed) or None]
    return Rehearsal(frequencies=frequencies, first=_part(first), resumed=_part(resumed), lost_lines=lost)


def _part(events: list[dict[str, Any]]) -> Part:
    told = {
        name: [e for e in events if e["event"] == f"rehearsed {name}"] for name in ("epoch", "test", "end")
    }
    changes = [
        e
        for e in events
        if e["event"].partition(" ")[2] in ("save", "removal", "load", "lookup", "truncation")
    ]
    return Part(
        moments=tuple(_moment(event) for event in (*told["epoch"], *told["end"])),
        changes=tuple(_change(event) for event in changes if event["event"].startswith("rehearsed ")),
        evaluations=tuple(Evaluation(trained=e["trained"], loss=e["loss"]) for e in told["test"]),
    )


def _moment(event: dict[str, Any]) -> Moment:
    return Moment(
        epoch=event.get("epoch"),
        trained=event.get("trained"),
        updates=event.get("updates", 0),
        rates=tuple(event.get("rates", ())),
        schedulers=tuple((name, number) for name, number in event.get("schedulers", ())),
        averages=tuple((name, value) for name, value in event.get("averages", ())),
        scaler=tuple(event.get("scaler", ())),
        asked=tuple(event.get("asked", ())),
        files={name: KeptFile(**content) for name, content in event.get("files", {}).items()},
    )


def _change(event: dict[str, Any]) -> Change:
    return Change(
        what=event["event"].partition(" ")[2],
        file=event["file"],
        whole=bool(event.get("whole")),
        frames=frames_in(event["frames"]),
        trained=event.get("trained"),
    )
