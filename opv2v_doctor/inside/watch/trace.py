"""The trace: everything about every step of a short training, so that two of them can be compared."""

from __future__ import annotations

import hashlib
import random
import sys
import time
from typing import Any, Callable, Iterator

from . import ranks
from .batches import content
from .fingerprints import digest
from .frames import Noting
from .lines import Lines
from .parameters import Parameters
from .progress import Counters
from .samples import draws, names, size, views_of

PATIENCE = 300.0  # seconds that a held step waits to be killed


class StepTrace:
    """One event a step."""

    def __init__(
        self, settings: dict[str, Any], lines: Lines, progress: Counters, parameters: Parameters
    ) -> None:
        self.hold = settings.get("hold")
        self.lines, self.progress, self.parameters = lines, progress, parameters
        self.memory = Memory()
        self.kind = "step"
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
            "content": content(batch),
            "views": len(views_of(batch)),
            "size": size(views_of(batch)),
            "random": random_digest(),
            "optimizer": self.parameters.optimizer_digest(),
            "optimizer_steps": self.parameters.optimizer_steps(),
            "before": digest(sorted(self.parameters.fingerprints().items())),
        }
        self.memory.begin()

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
            self.kind,
            **dict(self.progress.place(), **self.facts),
            lr=self.parameters.rates(),
            rate_set=self.rate_set,
            asked=self.progress.asked,
            loss=self.loss,
            gradients=norms,
            updates=updates,
            weights=digest(sorted(self.parameters.fingerprints().items())),
            ranks=ranks.world_size(),
            memory=self.memory.peak(),
        )


class Memory:
    """What a step needs of a GPU at most; on a machine without one there is nothing to tell."""

    def begin(self) -> None:
        """A step begins."""
        cuda = used_cuda()
        if cuda is not None:
            cuda.reset_peak_memory_stats()

    def peak(self) -> dict[str, int] | None:
        """Bytes: the most that tensors held, that torch had reserved, and that the GPU has in all."""
        cuda = used_cuda()
        if cuda is None:
            return None
        device = cuda.current_device()
        return {
            "allocated": cuda.max_memory_allocated(device),
            "reserved": cuda.max_memory_reserved(device),
            "total": cuda.get_device_properties(device).total_memory,
            "free": cuda.mem_get_info(device)[0],
        }


def used_cuda() -> Any:
    """`torch.cuda` where this process uses a GPU, else None."""
    torch = sys.modules["torch"]
    return torch.cuda if torch.cuda.is_available() and torch.cuda.is_initialized() else None


class Short:
    """A loader of a few batches; in all else it is the one that it stands for.

    Its content is told to `heard`; `more` makes one batch more, which it does not count.
    """

    def __init__(
        self,
        loader: Any,
        steps: int,
        heard: list[Any] | None = None,
        more: Callable[[Any], Any] | None = None,
    ) -> None:
        self._loader, self._steps = loader, steps
        self._heard, self._more = heard, more

    def __len__(self) -> int:
        return min(self._steps, len(self._loader))

    def __iter__(self) -> Iterator[Any]:
        items = iter(self._loader)
        for _ in range(len(self)):
            item = next(items)
            if self._heard is not None:
                self._heard.append(content(item))
            yield item
        if self._more is not None:
            item = self._more(self._loader)
            if item is not None:
                yield item

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
