"""The schedule on fixed steps: the same curve over updates on any number of GPUs."""

from __future__ import annotations

from typing import Any

from .calls import Call
from .progress import Counters


class Schedule:
    """Tells the training's `adjust_learning_rate` another epoch: steps made / steps an epoch shall have."""

    def __init__(self, progress: Counters, steps_per_epoch: int | None) -> None:
        self.progress = progress
        self.steps_per_epoch = steps_per_epoch

    def before_adjusting(self, call: Call) -> None:
        """The fraction of epochs by steps; not beyond the last, where a cosine would rise again."""
        asked = call.get("epoch")
        self.progress.asked = float(asked) if isinstance(asked, (int, float)) else None
        if self.steps_per_epoch:
            epoch = self.progress.global_step / self.steps_per_epoch
            last = getattr(call.get("train_args"), "epochs", None)
            call.set("epoch", min(epoch, float(last)) if last else epoch)

    def shortfall(self, steps: int, train_params: Any) -> str | None:
        """What is wrong where the training's own steps end before or after the schedule does, else None."""
        epochs = getattr(train_params, "epochs", None)
        if not self.steps_per_epoch or not epochs or steps == self.steps_per_epoch:
            return None
        return (
            "the schedule runs on {} steps an epoch, {} in all; the loader has {}, {} in all: "
            "the training ends at {:.0%} of the schedule".format(
                self.steps_per_epoch, self.steps_per_epoch * epochs, steps, steps * epochs,
                steps / self.steps_per_epoch,
            )
        )  # fmt: skip
