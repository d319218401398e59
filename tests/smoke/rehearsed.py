"""Rehearsals by hand: the events that the watch tells of a healthy loop, and what is changed in the loop."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from opv2v_doctor.result import Result
from opv2v_doctor.runner import run
from opv2v_doctor.smoke import CHECKS
from opv2v_doctor.smoke.launches import frequencies, rehearsed, uninterrupted_training
from opv2v_doctor.smoke.rehearsals import Frequencies, read_rehearsal
from opv2v_doctor.smoke.traces import EVENTS
from opv2v_doctor.state import State

from .recordings import recorded

LINES = {"save": 10, "removal": 20, "load": 30}  # of the loop, that do it
LOSSES = (9.0, 8.0, 5.0, 7.0, 3.0, 6.0, 4.5, 4.0, 3.75, 3.6, 3.5, 3.4, 3.4)


@dataclass
class Loop:
    """A training loop that trains nothing: what it does, and what a fault lets it do."""

    folder: Path
    epochs: int = 12
    stop: int = 7
    keep: int = 1
    save: int = 1
    saves_last: bool = True
    evaluates: bool = True
    remembers_best: bool = True
    is_best: Callable[[float, float], bool] = lambda loss, best: loss < best
    shift: int = 0  # of the number in a name
    removes: Callable[[list[int]], list[int]] = lambda numbers: []
    renames: bool = True
    resumes_from: str = "checkpoint-last.pth"
    resumes: bool = True
    updates_back: bool = True
    scaler_back: bool = True
    average: float | None = None
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    best: float = float("inf")
    scaler: list[str] = field(default_factory=list)

    def tell(self, event: str, **facts: Any) -> None:
        self.events.append({"event": f"rehearsed {event}", "rank": 0, **facts})

    def frames(self, what: str) -> list[list[Any]]:
        return [[str(self.folder / "loop.py"), LINES[what], "train"]]

    def write(self, name: str, trained: int) -> None:
        self.scaler = ["saved"]
        self.files[name] = {"trained": trained, "resumable": True, "epoch": trained - 1, "best": self.best}
        self.tell(
            "save", file=f"{name}.tmp" if self.renames else name, whole=False, frames=self.frames("save")
        )
        if self.renames:
            self.tell("save", file=name, whole=True, frames=self.frames("save"))

    def moment(self, epoch: int | None, trained: int, updates: int, event: str = "epoch") -> None:
        averages = [] if self.average is None else [["Average", self.average + trained]]
        files = {name: dict(content) for name, content in self.files.items()}
        self.tell(
            event, epoch=epoch, trained=trained, updates=updates, rates=[0.1], schedulers=[],
            averages=averages, scaler=self.scaler, asked=["loss_med"], files=files,
        )  # fmt: skip

    def train(self, start: int, end: int, updates: int) -> None:
        """Epochs as the embedded repository's loop goes through them."""
        for epoch in range(start, end + 1):
            trained = epoch > start
            if trained and self.saves_last and (epoch % self.save == 0 or epoch == self.epochs):
                self.write("checkpoint-last.pth", epoch)
            is_new = False
            if self.evaluates and epoch:
                self.tell("test", epoch=epoch, trained=epoch, loss=LOSSES[epoch])
                is_new = self.is_best(LOSSES[epoch], self.best)
                self.best = min(self.best, LOSSES[epoch])
            if trained and self.keep and epoch % self.keep == 0:
                self.write(f"checkpoint-{epoch + self.shift}.pth", epoch)
            if trained and is_new:
                self.write("checkpoint-best.pth", epoch)
            numbers = [int(n[11:-4]) for n in self.files if n[11:-4].isdigit()]
            for number in self.removes(numbers):
                del self.files[f"checkpoint-{number}.pth"]
                self.tell("removal", file=f"checkpoint-{number}.pth", frames=self.frames("removal"))
            if epoch < self.epochs:
                self.moment(epoch, epoch, updates + epoch - start)
        if end == self.epochs:
            self.moment(None, end, 0, "end")


def events(loop: Loop) -> tuple[list[dict[str, Any]], int]:
    """The events of both launches, and how many the first has."""
    loop.train(0, loop.stop, 0)
    first = len(loop.events)
    source = loop.files.get(loop.resumes_from) if loop.resumes else None
    if source is not None:
        loop.tell("load", file=loop.resumes_from, trained=source["trained"], frames=loop.frames("load"))
    loop.scaler = ["loaded"] if source and loop.scaler_back else []
    loop.best = float(source["best"]) if source and loop.remembers_best else float("inf")
    start = source["trained"] if source else 0
    if loop.average is not None and not loop.updates_back:
        loop.average = -float(start)
    loop.train(start, loop.epochs, start if loop.updates_back else 0)
    return loop.events, first


def judged(code: str, folder: Path, lost: tuple[str, ...] = (), **changes: Any) -> Result:
    """What one check says of a rehearsal of a healthy loop with changes."""
    target = recorded(folder)
    loop = Loop(folder=folder, **changes)
    told, first = events(loop)
    place = folder / "rehearsal"
    place.mkdir(exist_ok=True)
    lines = [json.dumps(event) + "\n" for event in told]
    (place / EVENTS).write_text("".join(lines))
    rates = Frequencies(save=loop.save, keep=loop.keep, eval=1)
    found = read_rehearsal(
        place, sum(len(line.encode()) for line in lines[:first]), rates, tuple(folder / name for name in lost)
    )
    given = {rehearsed: found, frequencies: rates, uninterrupted_training: uninterrupted_training(target)}
    (check,) = [check for check in CHECKS if check.code == code]
    ignored = dict.fromkeys(check.requires, "tested alone")
    (result,) = run([check], replace(target, state=State(given)), ignored=ignored)
    return result
