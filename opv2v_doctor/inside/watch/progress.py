"""Where the training is: its epoch, step and phase; and the heart that beats it into the events."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from .guard import Guard
from .lines import Lines

SECONDS = 5.0
LOOK = 1.0  # seconds between two looks at the parent
ORPHANED = 137  # as if it had been killed with the others


class Counters:
    """Counters of this process: steps are batches that were trained on, updates are those of the weights."""

    def __init__(self) -> None:
        self.phase = "start"
        self.epoch: int | None = None
        self.step: int | None = None  # in the epoch, from 0
        self.steps: int | None = None  # of the epoch
        self.global_step = 0  # completed since the training began, in this process or in those before
        self.made = 0  # completed in this process
        self.updates = 0  # of the weights, in this process
        self.moved_at = time.monotonic()
        self.meters: Any = None
        self.optimizer: Any = None
        self.asked: float | None = None  # the epoch that a learning rate was asked for last

    def moved(self) -> None:
        """Something was done: this is no stall."""
        self.moved_at = time.monotonic()

    def enter(self, phase: str, epoch: int | None = None, steps: int | None = None) -> None:
        """A new part of the training begins."""
        self.phase, self.step, self.steps = phase, None, steps
        self.epoch = self.epoch if epoch is None else epoch
        self.moved()

    def place(self) -> dict[str, Any]:
        """Where we are, for an event."""
        return {"epoch": self.epoch, "step": self.step, "global_step": self.global_step}

    def pulse(self) -> dict[str, Any]:
        """All that a live line needs; numbers that are at hand, nothing that would wait for a device."""
        groups = self.optimizer.param_groups if self.optimizer is not None else []
        return dict(
            self.place(),
            phase=self.phase,
            steps=self.steps,
            quiet=round(time.monotonic() - self.moved_at, 1),
            loss=last_value(self.meters, "loss"),
            lr=float(groups[0]["lr"]) if groups else None,
        )


def last_value(meters: Any, name: str) -> float | None:
    """The latest value of a meter, if it is a plain number."""
    meter = dict(getattr(meters, "meters", None) or {}).get(name)
    window = getattr(meter, "deque", None) or getattr(meter, "window", None)
    return float(window[-1]) if window and isinstance(window[-1], (int, float)) else None


def beat(
    progress: Counters,
    lines: Lines,
    guard: Guard,
    seconds: float = SECONDS,
    parent: int | None = None,
) -> None:
    """Start the heart: it beats even while a step takes long, and says for how long nothing moved.

    Where a parent is given, the process ends when that is gone: nobody would end it, or hear it, any more.
    """

    def beats() -> None:
        due = time.monotonic() + seconds
        while True:
            time.sleep(min(seconds, LOOK))
            if parent is not None and os.getppid() != parent:
                guard(lambda: lines.event("orphaned", **progress.place()))
                os._exit(ORPHANED)
            if time.monotonic() >= due:
                due += seconds
                guard(lambda: lines.event("beat", **progress.pulse()))

    threading.Thread(target=beats, name="opv2v-doctor heart", daemon=True).start()
