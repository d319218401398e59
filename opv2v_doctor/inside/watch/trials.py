"""Trials: evaluations of known batches by the training's own function: one result follows from another.

The same batch again must give the same, a list of batches the mean (or the median) of each alone, and a
sample the same prediction whatever lies beside it.
"""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from typing import Any, Callable, Iterator, Tuple

from .batches import content, copied, disturbed, part, rounding, size
from .calls import Call
from .fingerprints import fingerprints
from .guard import Guard
from .lines import Lines
from .modes import Modes
from .places import caller
from .progress import Counters
from .samples import views_of

Passed = Tuple[str, float, float, Tuple[int, ...], str]  # module, mean, deviation, shape, who called it


class Trials:
    """Evaluates more than the training asked for, in a short training that is compared."""

    def __init__(
        self, settings: dict[str, Any], lines: Lines, progress: Counters, modes: Modes, guard: Guard
    ) -> None:
        self.wanted = settings.get("trials")
        self.lines, self.progress, self.modes, self.guard = lines, progress, modes, guard
        self.loss_call: tuple[Callable[..., Any], Call] | None = None
        self.known: dict[str, int] = {}  # evaluations of each set
        self.heard: list[Any] = []

    def around_test(self, original: Callable[..., Any], watched: Callable[..., Any]) -> Callable[..., Any]:
        """The watched evaluation, with trials behind the first one of each set."""
        signature = inspect.signature(original)

        @functools.wraps(original)
        def tested(*args: Any, **kwargs: Any) -> Any:
            call = self.guard(Call, signature, args, kwargs)
            if call is None:
                return watched(*args, **kwargs)
            self.guard(self.modes.attend, model_of(call))
            before = self.guard(state_of, model_of(call))
            self.loss_call = None
            result = watched(*args, **kwargs)
            name = "{}".format(call.get("prefix") or "")
            number = self.known[name] = self.known.get(name, 0) + 1
            self.lines.event(
                "evaluated",
                split=name,
                number=number,
                changed=self.guard(changes, before, model_of(call)),
                **self.progress.place(),
            )
            if self.wanted and number == 1:
                self.guard(self.all_trials, original, call, name)
            return result

        return tested

    def all_trials(self, original: Callable[..., Any], call: Call, split: str) -> None:
        """On the batches that the training's loader gives now."""
        loader, phase, loss_call = call.get("data_loader"), self.progress.phase, self.loss_call
        self.progress.phase = "trial"
        try:
            batches = list(take(loader, 2))
            again = content(batches[0]) if batches else None
            facts: dict[str, Any] = {"first": self.heard[:1], "again": again, "batches": len(batches)}
            if batches:
                facts["sets"] = self.sets(original, call, loader, batches)
            if batches and loss_call is not None:
                facts["alone"] = self.guard(self.alone, loss_call, batches[0], model_of(call))
            self.lines.event("trials", split=split, **facts, **self.progress.place())
        finally:
            self.progress.phase = phase

    def sets(
        self, original: Callable[..., Any], call: Call, loader: Any, batches: list[Any]
    ) -> dict[str, Any]:
        """Results of some lists of batches: `0` is the first batch, `1` another."""
        if len(batches) < 2:
            first = batches[0]
            batches = [part(first, n) for n in range(min(2, size(first)))] if size(first) > 1 else batches
        lists = {"0": [0], "0 again": [0]}
        if len(batches) > 1:
            lists.update({"1": [1], "0 0 1": [0, 0, 1], "1 0 0": [1, 0, 0]})
        found: dict[str, Any] = {"sizes": [size(batch) for batch in batches]}
        for name, numbers in lists.items():
            given = Listed(loader, [copied(batches[number]) for number in numbers])
            found[name] = numbers_in(self.evaluate(original, call, given))
        return found

    def evaluate(self, original: Callable[..., Any], call: Call, loader: Any) -> Any:
        """The training's evaluation of another loader, which writes nothing."""
        arguments = dict(call.bound.arguments, data_loader=loader)
        if "log_writer" in arguments:
            arguments["log_writer"] = None
        bound = inspect.BoundArguments(inspect.signature(original), OrderedDict(arguments))
        return original(*bound.args, **bound.kwargs)

    def alone(self, loss_call: tuple[Callable[..., Any], Call], batch: Any, model: Any) -> dict[str, Any]:
        """How far a sample's predictions move when it is evaluated alone, and when its image is rounded."""
        import torch

        if size(batch) < 2:
            return {"samples": size(batch)}
        modes = [(module, module.training) for module in model.modules()]
        heard: list[list[Passed]] = []
        try:
            model.eval()
            with torch.no_grad():
                share = rounding(model)
                given = (copied(batch), part(batch, 0), disturbed(batch, share))
                whole, first, other = (self.predictions(loss_call, one, model, heard) for one in given)
        finally:
            for module, flag in modes:
                module.training = flag
        moved = {}
        for name, value in whole.items():
            single, rounded = first.get(name), other.get(name)
            if single is None or rounded is None or value.shape[1:] != single.shape[1:]:
                continue
            spread = float(value.float().std()) + 1e-12 if value.numel() > 1 else abs(float(value)) + 1e-12
            far = float((value[:1].float() - single[:1].float()).abs().max()) / spread
            near = float((value.float() - rounded.float()).abs().max()) / spread
            moved[name] = [far, near]
        return {"samples": size(batch), "moved": moved, "parts": parts_at(heard)}

    def predictions(
        self, loss_call: tuple[Callable[..., Any], Call], batch: Any, model: Any, passed: list[list[Passed]]
    ) -> dict[str, Any]:
        """Every tensor that the model's forward returns, by view and name; and what each module was given."""
        heard: dict[str, Any] = {}
        original, call = loss_call
        inner = getattr(model, "module", model)
        ours: list[Passed] = []
        passed.append(ours)
        handles = [inner.register_forward_hook(lambda _, __, result: heard.update(tensors_in(result)))]
        for name, module in inner.named_modules():
            if not any(True for _ in module.children()):
                handles.append(module.register_forward_hook(hearing(name, ours)))
        try:
            arguments = {
                name: batch if views_of(value) else value for name, value in call.bound.arguments.items()
            }
            bound = inspect.BoundArguments(inspect.signature(original), OrderedDict(arguments))
            original(*bound.args, **bound.kwargs)
        finally:
            for handle in handles:
                handle.remove()
        return heard

    def loss_made(self, original: Callable[..., Any], call: Call) -> None:
        """A loss of an evaluation: its call can be repeated."""
        if self.progress.phase == "test":
            self.loss_call = original, call


class Listed:
    """A loader of given batches; in all else it is the one that it stands for."""

    def __init__(self, loader: Any, batches: list[Any]) -> None:
        self._loader, self._batches = loader, batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def hearing(name: str, passed: list[Passed]) -> Callable[..., None]:
    """A hook that keeps what a module makes of the first sample."""

    def hear(_: Any, given: Any, result: Any) -> None:
        import torch

        for number, tensor in enumerate((given[0] if given else None, result)):
            if torch.is_tensor(tensor) and tensor.dim() and tensor.is_floating_point():
                first = tensor[:1].float()
                spread = float(first.std()) if first.numel() > 1 else abs(float(first))
                words = name if number else "what goes into " + name
                passed.append((words, float(first.mean()), spread, tuple(first.shape), caller()))

    return hear


def parts_at(heard: list[list[Passed]]) -> list[str] | None:
    """The first module whose sample is another in another batch, by more than rounding; and its place."""
    for whole, alone, rounded in zip(*heard):
        if whole[0] != alone[0] or whole[3] != alone[3]:
            return None
        far, near = (max(abs(one[n] - whole[n]) for n in (1, 2)) for one in (alone, rounded))
        if far > 10 * near + 1e-4 * (whole[2] + abs(whole[1])):
            return [whole[0], whole[4]]
    return None


def model_of(call: Call) -> Any:
    """The model among the arguments: by its name, else the first module that has parameters."""
    if call.get("model") is not None:
        return call.get("model")
    modules = [value for value in call.bound.arguments.values() if hasattr(value, "named_parameters")]
    return next((module for module in modules if next(module.parameters(), None) is not None), None)


def state_of(model: Any) -> dict[str, int]:
    """A number for each parameter and buffer."""
    entries = dict(model.named_parameters())
    entries.update(model.named_buffers())
    return dict(zip(entries, fingerprints(list(entries.values()))))


def changes(before: dict[str, int] | None, model: Any) -> list[str]:
    """Names of what is not what it was."""
    now = state_of(model)
    return [name for name, value in now.items() if before is not None and before.get(name) != value]


def take(loader: Any, number: int) -> Iterator[Any]:
    """The first batches that a loader gives now."""
    for _, batch in zip(range(number), loader):
        yield batch


def numbers_in(result: Any, prefix: str = "") -> dict[str, float]:
    """All single numbers of a result, by their path."""
    if isinstance(result, dict):
        entries = list(result.items())
    elif isinstance(result, (list, tuple)):
        entries = list(enumerate(result))
    else:
        entries = []
        value = number(result)
        if value is not None:
            return {prefix or "result": value}
    found: dict[str, float] = {}
    for key, value in entries:
        found.update(numbers_in(value, "{}.{}".format(prefix, key) if prefix else str(key)))
    return found


def number(value: Any) -> float | None:
    if isinstance(value, (bool, str)) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def tensors_in(result: Any, prefix: str = "") -> dict[str, Any]:
    """Every tensor of a prediction whose first dimension counts samples, by its path."""
    import torch

    if torch.is_tensor(result):
        return {prefix: result.detach()} if result.dim() and result.is_floating_point() else {}
    entries = list(result.items()) if isinstance(result, dict) else []
    if isinstance(result, (list, tuple)):
        entries = list(enumerate(result))
    found: dict[str, Any] = {}
    for key, value in entries:
        found.update(tensors_in(value, "{}.{}".format(prefix, key) if prefix else str(key)))
    return found
