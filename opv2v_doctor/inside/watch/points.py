"""The points where the watch is attached: functions of the training by name, and what happens around each."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Callable

from .calls import Call, around, around_each
from .guard import Guard
from .lines import Lines
from .rehearsal import Rehearsal
from .replacing import Make, replaced
from .session import Session

LOOP, TOOLS = "mapanything.train.training", "mapanything.utils.train_tools"
LOADERS, INFERENCE = "mapanything.datasets", "mapanything.utils.inference"
USUAL = {  # a part of a training -> module and name, where the launch is not known to have others
    "train_loader": (LOADERS, "get_train_data_loader"),
    "test_loader": (LOADERS, "get_test_data_loader"),
    "train": (LOOP, "train"),
    "train_epoch": (LOOP, "train_one_epoch"),
    "test_epoch": (LOOP, "test_one_epoch"),
    "schedule": (TOOLS, "adjust_learning_rate"),
    "save": (TOOLS, "save_on_master"),
    "save_model": (TOOLS, "save_model"),
    "load_model": (TOOLS, "load_model"),
    "metric_logger": (TOOLS, "MetricLogger.log_every"),
    "model": ("mapanything.models", "init_model"),
    "loss": (INFERENCE, "loss_of_one_batch_multi_view"),
}


class Points:
    """Wraps the functions when their modules come, and tells of those that never came."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.lines = Lines(os.path.join(settings["run"], "events.jsonl"))
        self.guard = Guard(self.lines)
        self.session = Session(settings, self.lines, self.guard, self.tell_missing)
        self.rehearsal = Rehearsal(settings, self.lines, self.guard) if settings.get("rehearsal") else None
        self.modules = self.table(settings.get("names") or {})
        self.missing = {(module, name) for module, points in self.modules.items() for name in points}

    def begin(self) -> None:
        """The process has begun."""
        self.session.begin()

    def table(self, named: dict[str, list[str]]) -> dict[str, dict[str, Make]]:
        """{module: {name: what makes a watched one of the original}}."""
        table: dict[str, dict[str, Make]] = {}
        for part, make in self.parts().items():
            module, name = named.get(part, USUAL[part])
            table.setdefault(module, {}).setdefault(name, make)
        return table

    def parts(self) -> dict[str, Make]:
        """{part of a training: what makes a watched one of what plays it}."""
        session, rehearsal = self.session, self.rehearsal
        if rehearsal is not None:
            return {
                "train": self.wrap(failed=session.training_failed, after=lambda *_: rehearsal.ended()),
                "train_epoch": rehearsal.epoch,
                "test_epoch": rehearsal.test,
                "load_model": rehearsal.loaded,
                "model": rehearsal.made_model,
            }
        return {
            "train_loader": self.wrap(after=session.loaders.made("train")),
            "test_loader": self.wrap(after=session.loaders.made("test")),
            "train": self.wrap(failed=session.training_failed, after=session.training_ended),
            "train_epoch": self.wrap(session.before_epoch, session.after_epoch),
            "test_epoch": self.wrap_test,
            "schedule": self.wrap(session.schedule.before_adjusting, session.steps.after_adjusting),
            "save": self.wrap(
                session.checkpoints.before_save,
                session.checkpoints.after_save,
                session.checkpoints.failed_save,
            ),
            "save_model": self.wrap(session.before_saving, session.after_saving),
            "load_model": self.wrap_load,
            "metric_logger": self.wrap_log_every,
            "loss": self.wrap_loss,
        }

    def by_module(self) -> dict[str, Callable[[ModuleType], None]]:
        """{module: what to call with it when it has been imported}."""
        found: dict[str, Callable[[ModuleType], None]] = dict.fromkeys(self.modules, self.attach)
        found["torch.nn.modules.module"] = self.session.loads.attend
        if self.session.settings.get("trace"):
            found["torch.optim.optimizer"] = self.session.updates.hear_of_optimizers
        return found

    def wrap(
        self,
        before: Callable[[Call], object] | None = None,
        after: Callable[[Call, Any], object] | None = None,
        failed: Callable[[Call, BaseException], object] | None = None,
    ) -> Make:
        """A maker of watched functions."""
        return lambda original: around(original, self.guard, before, after, failed)

    def wrap_loss(self, original: Callable[..., Any]) -> Callable[..., Any]:
        session = self.session
        return around(original, self.guard, session.before_loss, session.loss_made(original))

    def wrap_test(self, original: Callable[..., Any]) -> Callable[..., Any]:
        session = self.session
        evaluation = session.evaluation
        watched = around(original, self.guard, evaluation.before_test, evaluation.after_test)
        return session.trials.around_test(original, watched) if session.settings.get("trace") else watched

    def wrap_load(self, original: Callable[..., Any]) -> Callable[..., Any]:
        loading = self.session.checkpoints.loading(original)
        return around(loading, self.guard, after=self.session.after_load)

    def wrap_log_every(self, original: Callable[..., Any]) -> Callable[..., Any]:
        return around_each(
            original, self.guard, self.session.steps.before_item, self.session.steps.after_item
        )

    def attach(self, module: ModuleType) -> None:
        """Put the watched functions in the places of the originals."""
        for name, make in self.modules[module.__name__].items():
            self.guard(self.replace, module, name, make)

    def replace(self, module: ModuleType, name: str, make: Make) -> None:
        owner_name, _, last = name.rpartition(".")
        owner = getattr(module, owner_name, None) if owner_name else module
        original = getattr(owner, last, None)
        self.missing.discard((module.__name__, name))
        if not callable(original):
            self.lacking("{}.{}".format(module.__name__, name), "the repository has no such function")
            return
        replaced(owner, last, make)

    def lacking(self, point: str, reason: str) -> None:
        """Say that something is not watched."""
        self.lines.event("not watched", point=point, reason=reason)

    def tell_missing(self) -> None:
        """Name the points whose modules were never imported."""
        for module, name in sorted(self.missing):
            self.lacking("{}.{}".format(module, name), "its module was not imported")
        self.missing = set()
