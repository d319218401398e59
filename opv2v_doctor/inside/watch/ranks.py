"""The ranks: which one this is, how many there are, and what each of them says."""

from __future__ import annotations

import datetime
import os
import sys
from typing import Any

PATIENCE = datetime.timedelta(seconds=120)


def process_group() -> Any:
    """`torch.distributed` where the training has joined its processes, else None."""
    torch: Any = sys.modules.get("torch")
    there = torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed if there else None


def rank() -> int:
    """The number of this process."""
    joined = process_group()
    return joined.get_rank() if joined else int(os.environ.get("RANK", 0))


def world_size() -> int:
    """How many processes train together, as far as torch knows: 1 where they were never joined."""
    joined = process_group()
    return joined.get_world_size() if joined else 1


class Assembly:
    """Where the ranks compare notes: a process group of our own, whose messages never meet the training's."""

    def __init__(self) -> None:
        self.group: Any = None
        self.closed = False

    def open(self) -> None:
        """To be called by all ranks at the same point of the training."""
        joined = process_group()
        if joined is not None and self.group is None and joined.is_gloo_available():
            self.group = joined.new_group(backend="gloo", timeout=PATIENCE)

    def gathered(self, said: dict[str, Any]) -> list[dict[str, Any]]:
        """What each rank says, in order; only our own where there are no others, or once one was silent."""
        joined = process_group()
        if joined is None or joined.get_world_size() == 1 or self.closed:
            return [said]
        answers: list[Any] = [None] * joined.get_world_size()
        try:
            joined.all_gather_object(answers, said, group=self.group)
        except Exception:
            self.closed = True  # waiting once is enough
            raise
        return answers
