"""What training and evaluation came to: their averages, and the masks that the criterion saw."""

from __future__ import annotations

from typing import Any

from . import ranks
from .calls import Call
from .guard import Guard
from .lines import Lines
from .masks import MaskSums
from .progress import Counters
from .scalars import Scalars
from .trace import Short


class CriterionAverages:
    """Listens to the criteria, and tells the averages at the end of each epoch."""

    def __init__(self, settings: dict[str, Any], lines: Lines, progress: Counters, guard: Guard) -> None:
        self.limit = settings.get("limit")
        self.lines, self.progress, self.guard = lines, progress, guard
        self.masks, self.scalars = MaskSums(settings.get("views") or {}), Scalars(settings["run"])
        self.listened: list[Any] = []
        self.heard: list[str] = []  # content of the batches of an evaluation

    def begin(self, criterion: Any, thinned: bool = False) -> None:
        """A new epoch or evaluation begins; of a long epoch, some batches are enough."""
        self.masks.forget(thinned)
        self.guard(self.listen, criterion)

    def listen(self, criterion: Any) -> None:
        """See what the criterion sees; once is enough for each."""
        if criterion is not None and not any(known is criterion for known in self.listened):
            criterion.register_forward_pre_hook(lambda _, given: self.hear(given))
            self.listened.append(criterion)

    def hear(self, given: tuple[Any, ...]) -> None:
        """Views and predictions on their way into the criterion."""
        if len(given) >= 2:
            self.guard(self.masks.see, given[0], given[1])

    def tell(self, split: str) -> None:
        """Averages: an event, and scalars."""
        averages, epoch = self.masks.averages(), self.progress.epoch
        if not averages:
            self.lines.event("not watched", point="masks of " + split, reason="none reaches the criterion")
            return
        self.lines.event("masks", split=split, epoch=epoch, batches=self.masks.batches, **averages)
        self.guard(self.scalars.write, split, averages, epoch)

    def before_test(self, call: Call) -> None:
        """An evaluation begins."""
        loader = call.get("data_loader")
        self.heard.clear()
        if self.limit:
            loader = Short(loader, 1, self.heard)
            call.set("data_loader", loader)
        self.progress.enter("test", call.get("epoch"), len(loader))
        self.begin(call.get("criterion"))

    def after_test(self, call: Call, result: Any) -> None:
        """An evaluation has ended."""
        split = "test_{}".format(call.get("prefix", "")).rstrip("_")
        self.guard(self.tell_results, split, result)
        self.guard(self.tell, split)
        self.progress.enter("between")

    def tell_results(self, split: str, result: Any) -> None:
        """What the epoch function returns: the averages of its meters by name, which the first rank tells."""
        if ranks.rank() == 0 and isinstance(result, dict):
            values = {str(name): float(value) for name, value in result.items() if is_number(value)}
            if values:
                self.lines.event("averages", split=split, epoch=self.progress.epoch, values=values)


def is_number(value: Any) -> bool:
    """Whether it is one number, of Python, NumPy or torch."""
    return isinstance(value, (int, float)) or getattr(value, "shape", None) == ()
