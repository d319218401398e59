"""The trace: everything about every step of a short training, so that two of them can be compared."""

from __future__ import annotations

import hashlib
import random
import sys
import time
from typing import Any, Iterator

from . import ranks
from .fingerprints import digest
from .frames import Noting
from .lines import Lines
from .parameters import Parameters
from .progress import Counters
from .samples import draws, names

PATIENCE = 300.0  # seconds that a held step waits to be killed


class StepTrace:
    """One event a step."""

    def __init__(
        self, settings: dict[str, Any], lines: Lines, progress: Counters, parameters: Parameters
    ) -> None:
        self.hold = settings.get("hold")
        self.lines, self.progress, self.parameters = lines, progress, parameters
        self.facts: dict[str, Any] = {}
        self.loss: float | None = None
        self.rate_set: list[list[Any]] = []  # the lines that set the learning rate last

    def begin(self, batch: Any) -> None:
        """Before a step: the state that it starts from."""
        if self.hold == [self.progress.epoch, self.progress.step]:
            self.lines.event("held", **self.progress.place())
            time.sleep(PATIENCE)
        self.attend()
        self.facts = {
            "samples": names(batch),
            "draws": digest(draws(batch)),
            "random": random_digest(),
            "optimizer": self.parameters.optimizer_digest(),
            "optimizer_steps": self.parameters.optimizer_steps(),
            "before": digest(sorted(self.parameters.fingerprints().items())),
        }

    def attend(self) -> None:
        """Hear who sets the learning rate of the first group."""
        groups = self.parameters.optimizer.param_groups
        if groups and type(groups[0]) is dict:
            groups[0] = Noting(groups[0], "lr", self.note)

    def note(self, lines: list[list[Any]]) -> None:
        self.rate_set = lines or self.rate_set

    def end(self, norms: dict[str, float] | None, updates: int) -> None:
        """After a step: what it did."""
        self.lines.event(
            "step",
            **dict(self.progress.place(), **self.facts),
            lr=self.parameters.rates(),
            rate_set=self.rate_set,
            asked=self.progress.asked,
            loss=self.loss,
            gradients=norms,
            updates=updates,
            weights=digest(sorted(self.parameters.fingerprints().items())),
            ranks=ranks.world_size(),
        )


class Short:
    """A loader of a few batches; in all else it is the one that it stands for."""

    def __init__(self, loader: Any, steps: int) -> None:
        self._loader, self._steps = loader, steps

    def __len__(self) -> int:
        return min(self._steps, len(self._loader))

    def __iter__(self) -> Iterator[Any]:
        items = iter(self._loader)
        for _ in range(len(self)):
            yield next(items)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def random_digest() -> str:
    """A hash of the state of every source of random numbers."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    found = hashlib.sha256(repr(random.getstate()).encode())
    if numpy is not None:
        found.update(repr(numpy.random.get_state()[1].tolist()).encode())
    if torch is not None:
        found.update(torch.get_rng_state().numpy().tobytes())
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            found.update(torch.cuda.get_rng_state().cpu().numpy().tobytes())
    return found.hexdigest()[:16]
