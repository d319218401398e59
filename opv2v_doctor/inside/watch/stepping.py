"""The steps of an epoch: what is done before and after each, and what every k steps only."""

from __future__ import annotations

from typing import Any

from .calls import Call
from .gradients import Gradients
from .guard import Guard
from .lines import Lines
from .parameters import Parameters
from .progress import Counters
from .replicas import Replicas
from .samples import SampleOrder
from .trace import StepTrace
from .warnings import Warnings

EVERY = 100  # steps between two inspections
SMALLEST_SCALE = 1.0  # a healthy one is a large power of two


class Steps:
    """Counts steps where the training iterates through a MetricLogger, else where it computes a loss."""

    def __init__(
        self,
        settings: dict[str, Any],
        lines: Lines,
        progress: Counters,
        parts: tuple[Parameters, Gradients, Replicas, Warnings],
        guard: Guard,
    ) -> None:
        self.every = settings.get("every") or EVERY
        self.lines, self.progress, self.guard = lines, progress, guard
        self.parameters, self.gradients, self.replicas, self.warn = parts
        self.order = SampleOrder(self.warn)
        self.trace = StepTrace(settings, lines, progress, self.parameters) if settings.get("trace") else None
        self.iterated = self.epoch_told = False
        self.scaler: Any = None

    def begin_epoch(self, scaler: Any) -> None:
        """No step has been made, no learning rate been told."""
        self.scaler = scaler
        self.iterated = self.epoch_told = False
        self.order.begin_epoch()
        self.guard(self.gradients.begin_epoch)

    def end_epoch(self) -> None:
        """After the last step."""
        if not self.iterated and self.progress.step is not None:
            self.end()
        self.guard(self.gradients.end_epoch)
        self.guard(self.order.end_epoch)
        place = dict(self.progress.place(), updates=self.progress.updates, scale=self.scale())
        self.lines.event("epoch end", **place)

    def before_item(self, meters: Any, number: int, batch: Any) -> None:
        """A batch has come; it is a step where we train."""
        self.progress.moved()
        self.progress.meters = meters
        if self.progress.phase == "train":
            self.iterated = True
            self.begin(number, batch)

    def after_item(self, _: Any) -> None:
        """The batch is done with."""
        self.progress.moved()
        if self.progress.phase == "train":
            self.end()

    def before_loss(self, call: Call) -> None:
        """The other way to count steps: the last one ends where the next one begins."""
        if self.progress.phase != "train" or self.iterated:
            return
        self.progress.moved()
        number = 0
        if self.progress.step is not None:
            number = self.progress.step + 1
            self.end()
        self.begin(number, call.get("batch"))

    def after_loss(self, _: Call, result: Any) -> None:
        """Only a trace waits for the loss."""
        if self.trace is not None and isinstance(result, (tuple, list)):
            self.trace.loss = float(getattr(result[0], "detach", lambda: result[0])())

    def after_adjusting(self, _: Call, __: Any) -> None:
        """The learning rate is set."""
        if self.progress.phase == "train" and not self.epoch_told:
            self.tell_epoch()

    def tell_epoch(self) -> None:
        """Learning rates and steps, once the schedule has set them."""
        self.epoch_told = True
        self.lines.event(
            "epoch", steps=self.progress.steps, lr=self.parameters.rates(), **self.progress.place()
        )

    def begin(self, number: int, batch: Any) -> None:
        """Before anything is computed."""
        self.progress.step = number
        due = self.progress.made < 2 or self.progress.made % self.every == 0
        self.guard(self.gradients.begin_step, due or self.trace is not None)
        self.guard(self.order.see, batch)
        if self.trace is not None:
            self.guard(self.trace.begin, batch)

    def end(self) -> None:
        """After the update."""
        self.gradients.end_step()
        if not self.epoch_told:
            self.guard(self.tell_epoch)
        if self.gradients.due:
            self.guard(self.inspect)
        if self.trace is not None:
            self.guard(self.trace.end, self.gradients.norms, self.progress.updates)
        self.progress.global_step += 1
        self.progress.made += 1

    def inspect(self) -> None:
        """What is looked at every k steps only."""
        weights = self.replicas.compare()
        scale = self.scale()
        seen = {"updates": self.progress.updates, "scale": scale, "weights": weights}
        self.lines.event("inspection", **dict(self.progress.place(), **seen))
        if scale is not None and scale < SMALLEST_SCALE:
            self.warn("loss scale collapsed", "the loss scale is {}: updates overflow".format(scale))
        if self.progress.made >= self.every and not self.progress.updates:
            self.warn("no updates", "no step has changed the weights yet; loss scale {}".format(scale))

    def scale(self) -> float | None:
        """The loss scale of mixed precision, None where there is none."""
        scaler = getattr(self.scaler, "_scaler", self.scaler)
        enabled = hasattr(scaler, "get_scale") and scaler.is_enabled()
        return float(scaler.get_scale()) if enabled else None
