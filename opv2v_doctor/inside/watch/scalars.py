"""TensorBoard scalars in the run directory, written by the first rank when the first one comes."""

from __future__ import annotations

from typing import Any, Mapping

from . import ranks


class Scalars:
    """A writer that is made when it is needed."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.writer: Any = None

    def write(self, split: str, values: Mapping[str, float], epoch: int) -> None:
        """One scalar a value; the axis is the training's own: a thousand an epoch."""
        if ranks.rank() != 0 or not values:
            return
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(log_dir=self.folder, filename_suffix=".watch")
        for name, value in values.items():
            self.writer.add_scalar("watch/{}/{}".format(split, name), value, 1000 * epoch)
        self.writer.flush()
