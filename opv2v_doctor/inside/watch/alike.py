"""Random numbers of a step that follow from its batch: two trainings draw alike, in whatever order."""

from __future__ import annotations

import random
import sys
import zlib
from typing import Any

from .samples import names


class Alike:
    """Gives the computation of a loss numbers of its own, and the training its own ones back afterwards."""

    def __init__(self) -> None:
        self.kept: tuple[Any, ...] | None = None

    def begin(self, batch: Any) -> None:
        """From here on, what is drawn follows from the samples of the batch."""
        torch, numpy = sys.modules["torch"], sys.modules.get("numpy")
        seed = zlib.crc32(repr(names(batch)).encode())
        there = torch.cuda.is_available() and torch.cuda.is_initialized()
        if self.kept is None:
            self.kept = (
                random.getstate(),
                numpy.random.get_state() if numpy else None,
                torch.get_rng_state(),
                torch.cuda.get_rng_state() if there else None,
            )
        random.seed(seed)
        torch.manual_seed(seed)
        if numpy:
            numpy.random.seed(seed)

    def end(self) -> None:
        """The numbers go on where the training left them."""
        if self.kept is None:
            return
        torch, numpy = sys.modules["torch"], sys.modules.get("numpy")
        own, of_numpy, of_torch, of_device = self.kept
        self.kept = None
        random.setstate(own)
        torch.set_rng_state(of_torch)
        if numpy and of_numpy is not None:
            numpy.random.set_state(of_numpy)
        if of_device is not None:
            torch.cuda.set_rng_state(of_device)
