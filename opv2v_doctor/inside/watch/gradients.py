"""Gradients and updates, looked at every k steps: NaN, zero, not cleared, or changing nothing."""

from __future__ import annotations

from typing import Any, Callable

from .parameters import Parameters, some
from .progress import Counters
from .warnings import Warnings


class Gradients:
    """Counts the updates of the optimizer, and inspects those that are due."""

    def __init__(self, progress: Counters, parameters: Parameters, warn: Warnings) -> None:
        self.progress, self.parameters, self.warn = progress, parameters, warn
        self.due = False
        self.updated = self.updated_before = False
        self.norms: dict[str, float] | None = None
        self.handles: list[Any] = []
        self.verified: set[str] = set()  # groups, in this step
        self.at_start: dict[str, int] = {}
        self.had_rate: set[str] = set()
        self.updates_before = 0

    def attend(self, optimizer: Any) -> None:
        """Be called before and after each update; needs a torch whose optimizers have hooks."""
        optimizer.register_step_pre_hook(lambda *_: self.warn.guard(self.before_update))
        optimizer.register_step_post_hook(lambda *_: self.warn.guard(self.after_update))

    def begin_epoch(self) -> None:
        """Remember the parameters as they are."""
        self.at_start = self.parameters.fingerprints()
        self.had_rate, self.updates_before = set(), self.progress.updates

    def begin_step(self, due: bool) -> None:
        """The gradients of the last update must be gone when the first new one comes."""
        self.due, self.norms, self.verified = due, None, set()
        self.updated_before, self.updated = self.updated, False
        if due and self.updated_before:
            for label, group in self.parameters.groups():
                first = next((p for p in group["params"] if p.requires_grad), None)
                if first is not None:
                    self.handles.append(first.register_hook(self.clear_of(label, first)))

    def clear_of(self, label: str, parameter: Any) -> Callable[[Any], None]:
        """A hook that runs when a gradient of the parameter arrives, just before it is added."""

        def arrives(_: Any) -> None:
            self.warn.guard(self.verify_cleared, label, parameter)

        return arrives

    def verify_cleared(self, label: str, parameter: Any) -> None:
        """Only the first arrival of a step: what comes later in it is added to what came first."""
        if label in self.verified:
            return
        self.verified.add(label)
        left = parameter.grad
        if left is not None and bool(left.any()):
            self.warn(
                "gradients not cleared",
                "{} still holds the gradients of the last update when new ones arrive".format(label),
                group=label,
                parameter=self.parameters.names.get(parameter),
            )

    def end_step(self) -> None:
        """Take our hooks away."""
        while self.handles:
            self.handles.pop().remove()

    def before_update(self) -> None:
        """The gradients are complete."""
        self.had_rate |= {label for label, group in self.parameters.groups() if group["lr"]}
        if self.due:
            self.inspect()

    def after_update(self) -> None:
        self.progress.updates += 1
        self.updated = True

    def inspect(self) -> None:
        """The norm of every gradient; one wait for the device in all."""
        import torch

        entries = [entry for entry in self.parameters.trained() if entry[3].grad is not None]
        grads = [entry[3].grad.detach() for entry in entries]
        norms = [norm.to(grads[0].device) for norm in torch._foreach_norm(grads)] if grads else []
        values = torch.stack(norms).tolist() if norms else []
        self.norms = norms_of = dict(zip((entry[2] for entry in entries), values))
        for label, group in self.parameters.groups():
            self.judge(label, norms_of, [self.parameters.names.get(p, "unnamed") for p in group["params"]])

    def judge(self, label: str, norms: dict[str, float], names: list[str]) -> None:
        bad = [name for name in names if not abs(norms.get(name, 0.0)) < float("inf")]
        if bad:
            self.warn(
                "gradients not finite",
                "{}: gradients of {} are NaN or infinite".format(label, some(bad)),
                group=label, parameter=bad[0],
            )  # fmt: skip
        elif names and not any(norms.get(name) for name in names):
            self.warn(
                "gradients are zero",
                "{}: no parameter has a gradient ({})".format(label, some(names)),
                group=label, parameter=names[0],
            )  # fmt: skip

    def end_epoch(self) -> None:
        """Tell which parameters are what they were, though their group had a learning rate."""
        if self.progress.updates == self.updates_before or not self.at_start:
            return
        now = self.parameters.fingerprints()
        for label, group in self.parameters.groups():
            names = [self.parameters.names.get(p) for p in group["params"]]
            still = [
                name
                for name in names
                if name is not None and name in now and now[name] == self.at_start.get(name)
            ]
            if still and label in self.had_rate:
                tell = self.warn if len(still) == len(names) else self.warn.note
                tell(
                    "parameters never change",
                    "{}: {} of {} parameters did not change in this epoch: {}".format(
                        label, len(still), len(names), some(still)
                    ),
                    group=label, parameter=still[0],
                )  # fmt: skip
