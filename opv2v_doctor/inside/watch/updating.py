"""The way of a gradient, from the loss to the optimizer: what each rank had, and what the update was made of.

Each backward pass is preceded by one of ours over the same graph, whose gradients go nowhere: what this rank
alone has to say, with the dropout that was drawn. Of them all, an update should be the mean.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections import OrderedDict
from typing import Any, Callable

from .batches import disturbed, rounding
from .calls import Call
from .guard import Guard
from .lines import Lines
from .parameters import Parameters
from .places import caller
from .progress import Counters
from .replacing import replaced
from .samples import views_of
from .sketches import sketches

MOST_NAMED = 20


class Updates:
    """Follows the gradients of the first epoch, in a short training that is compared."""

    def __init__(
        self, lines: Lines, progress: Counters, parameters: Parameters, guard: Guard, loop: str
    ) -> None:
        self.lines, self.progress, self.parameters, self.guard = lines, progress, parameters, guard
        self.loss: Any = None
        self.scaler: Any = None
        self.clips: list[dict[str, Any]] = []
        self.order: list[str] = []
        self.busy = False
        self.loop = loop  # the function that trains an epoch
        self.made_at: dict[int, str] = {}  # optimizers by their identity

    def attend(self, optimizer: Any) -> None:
        """Be told of backward, clipping, clearing and updating, wherever the training calls them."""
        torch = sys.modules["torch"]
        replaced(torch.autograd, "backward", self.before_backward)
        replaced(torch.nn.utils, "clip_grad_norm_", self.clipping("norm"))
        replaced(torch.nn.utils, "clip_grad_value_", self.clipping("value"))
        replaced(torch.amp.GradScaler, "scale", self.scaling)
        replaced(torch.optim.Optimizer, "zero_grad", self.noting("zero_grad"))
        replaced(torch.nn.Module, "zero_grad", self.noting("zero_grad"))
        optimizer.register_step_pre_hook(lambda *_: self.guard(self.before_update))

    def hear_of_optimizers(self, module: Any) -> None:
        """Remember where each optimizer is made."""

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(original)
            def made(optimizer: Any, *args: Any, **kwargs: Any) -> None:
                self.made_at[id(optimizer)] = caller()
                original(optimizer, *args, **kwargs)

            return made

        replaced(module.Optimizer, "__init__", make)

    @property
    def wanted(self) -> bool:
        """Whether this is a step that is compared."""
        return self.progress.phase == "train" and not self.busy

    def noting(self, what: str) -> Callable[..., Any]:
        """What is only told by its name and place, in the order of what happened."""

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(original)
            def noted(*args: Any, **kwargs: Any) -> Any:
                if self.wanted:
                    self.order.append("{} {}".format(what, caller()))
                return original(*args, **kwargs)

            return noted

        return make

    def scaling(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def scale(scaler: Any, *args: Any, **kwargs: Any) -> Any:
            self.scaler = scaler
            return original(scaler, *args, **kwargs)

        return scale

    def scale(self) -> float:
        """What the loss is multiplied by before a backward pass in mixed precision."""
        enabled = self.scaler is not None and self.scaler.is_enabled()
        return float(self.scaler.get_scale()) if enabled else 1.0

    def before_backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if self.wanted:
                self.guard(self.look, tensors)
            return original(tensors, *args, **kwargs)

        return backward

    def look(self, root: Any) -> None:
        """The gradients of this rank alone, and how much of the batch's loss is in what is derived."""
        import torch

        place, loss = caller(self.loop), self.loss
        self.order.append("backward {}".format(place))
        if not torch.is_tensor(root) or root.numel() != 1 or self.parameters.sharded():
            self.lines.event(
                "backward", error="no loss of a single number", at=place, **self.progress.place()
            )
            return
        live = torch.is_tensor(loss) and loss.requires_grad
        named = [(name, p) for p, name in self.parameters.names.items() if p.requires_grad]
        wanted = [p for _, p in named] + ([loss] if live else [])
        self.busy = True
        try:
            found = torch.autograd.grad(root, wanted, retain_graph=True, allow_unused=True)
        except RuntimeError as problem:
            first = str(problem).split("\n")[0]
            self.lines.event("backward", error=first, at=place, **self.progress.place())
            return
        finally:
            self.busy = False
        scale = self.scale()
        weight = float(found[-1]) / scale if live and found[-1] is not None else None
        grads = sketches(zip([name for name, _ in named], found))
        self.lines.event(
            "backward",
            at=place,
            weight=weight,
            loss="unseen" if loss is None else "detached" if not live else "seen",
            scale=scale,
            gradients={name: [value / scale for value in row] for name, row in grads.items()},
            **self.progress.place(),
        )

    def clipping(self, kind: str) -> Callable[..., Any]:
        """A clipping function that tells what it was given."""

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(original)
            def clip(parameters: Any, bound: Any, *args: Any, **kwargs: Any) -> Any:
                import torch

                parameters = [parameters] if torch.is_tensor(parameters) else list(parameters)
                result = original(parameters, bound, *args, **kwargs)
                if self.wanted:
                    self.guard(self.clipped, kind, parameters, bound, result)
                return result

            return clip

        return make

    def clipped(self, kind: str, parameters: list[Any], bound: Any, norm: Any) -> None:
        given = {id(parameter) for parameter in parameters}
        entries = [entry for entry in self.parameters.trained() if entry[3].grad is not None]
        missed = [entry[2] for entry in entries if id(entry[3]) not in given]
        place = caller()
        self.order.append("clip {}".format(place))
        self.clips.append(
            {
                "kind": kind,
                "bound": float(bound),
                "norm": None if norm is None else float(norm),
                "at": place,
                "missed": missed,
                "of": len(entries),
            }
        )

    def before_update(self) -> None:
        """What the optimizer is about to use."""
        place = caller()
        entries = self.parameters.trained()
        self.lines.event(
            "update",
            at=place,
            gradients=sketches((name, p.grad) for _, _, name, p in entries if p in self.parameters.names),
            clips=self.clips,
            order=[*self.order, "update {}".format(place)][-MOST_NAMED:],
            **self.progress.place(),
        )
        self.clips, self.order = [], []

    def after_loss(self, loss: Any) -> None:
        """The loss of a batch, which is still to be weighted."""
        if self.wanted:
            self.loss = loss

    def perturb(self, original: Callable[..., Any], call: Call) -> None:
        """The gradients of the same batch, its images rounded otherwise: what rounding alone can change."""
        import torch

        given = dict(call.bound.arguments)
        for name, value in given.items():
            if views_of(value):
                given[name] = disturbed(value, rounding(self.parameters.model))
            elif hasattr(value, "module") and hasattr(value, "named_parameters"):
                given[name] = value.module
        bound = inspect.BoundArguments(inspect.signature(original), OrderedDict(given))
        loss = loss_in(original(*bound.args, **bound.kwargs))
        named = [(name, p) for p, name in self.parameters.names.items() if p.requires_grad]
        found = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True)
        grads = sketches(zip([name for name, _ in named], found))
        self.lines.event("perturbed", gradients=grads, **self.progress.place())


def loss_in(result: Any) -> Any:
    """The loss that a function returned: alone, first of several, or by its name; None where it is unseen."""
    import torch

    if isinstance(result, dict):
        result = result.get("loss")
    while isinstance(result, (tuple, list)) and result:
        result = result[0]
    return result if torch.is_tensor(result) and result.numel() == 1 else None
