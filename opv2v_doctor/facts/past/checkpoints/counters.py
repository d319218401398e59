"""Counters: the optimizer's own number of steps against the number that the epochs should have given."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from opv2v_doctor.facts.past.checkpoints import Checkpoint
from opv2v_doctor.facts.past.runs import EpochLength

FIRST_SCALE, GROWTH_INTERVAL = 65536.0, 2000  # torch's defaults for the gradient scaler
MOST_EPOCHS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class OptimizerCounters:
    """One checkpoint's optimizer steps, and those that its epochs make."""

    checkpoint: Checkpoint
    expected: int
    skippable: int  # steps that the gradient scaler may have skipped
    sum: str  # 2 x 5000 + 3 x 4000

    @property
    def agree(self) -> bool:
        """Whether the measured steps are the expected ones, less at most what the scaler may skip."""
        return self.expected - self.skippable <= self.checkpoint.steps <= self.expected


def counters(checkpoint: Checkpoint, lengths: tuple[EpochLength, ...], usual: int) -> OptimizerCounters:
    """A checkpoint's counters: the log's length for each epoch that it shows, the usual one for others."""
    known = {length.epoch: length.steps for length in lengths}
    epochs = range(min((checkpoint.epoch or 0) + 1, MOST_EPOCHS))
    each = [known.get(epoch, usual) // _batches_a_step(checkpoint) for epoch in epochs]
    return OptimizerCounters(
        checkpoint=checkpoint,
        expected=sum(each),
        skippable=_skippable(checkpoint),
        sum=" + ".join(f"{count} x {steps}" for steps, count in Counter(each).items()),
    )


def implied_steps_per_epoch(checkpoint: Checkpoint) -> float:
    """Steps an epoch that the counters imply; rounded up where the scaler may have skipped the rest."""
    epochs, steps = max(1, (checkpoint.epoch or 0) + 1), checkpoint.steps
    rounded = -(-steps // epochs)
    return rounded if rounded * epochs - steps <= _skippable(checkpoint) else steps / epochs


def global_step_agrees(checkpoint: Checkpoint) -> bool:
    """Whether a stored global step, if any, counts the optimizer's steps or the batches that they took.

    Of several optimizers it may count the steps of all together, as Lightning does.
    """
    stored, skippable = checkpoint.global_step, _skippable(checkpoint)
    counted = (checkpoint.steps, checkpoint.steps * _batches_a_step(checkpoint))
    if stored is None or not checkpoint.steps:
        return True
    more = checkpoint.steps * (checkpoint.optimizers - 1)
    return any(0 <= stored - steps <= skippable + more for steps in counted)


def _batches_a_step(checkpoint: Checkpoint) -> int:
    parameters = (checkpoint.args or {}).get("train_params")
    count = parameters.get("accum_iter") if isinstance(parameters, dict) else 1
    return count if isinstance(count, int) and count > 0 else 1


def _skippable(checkpoint: Checkpoint) -> int:
    """Each step that the gradient scaler skips halves its scale, which only many good ones double again."""
    if not checkpoint.loss_scale or not 0 < checkpoint.loss_scale < math.inf:
        return 0
    halvings = round(math.log2(FIRST_SCALE / checkpoint.loss_scale))
    return max(0, halvings + checkpoint.steps // GROWTH_INTERVAL)
