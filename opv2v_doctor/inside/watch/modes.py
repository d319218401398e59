"""How a model runs: its modules in training mode or not, in which precision, with gradients or not."""

from __future__ import annotations

from typing import Any

from .guard import Guard
from .lines import Lines
from .progress import Counters

MOST_NAMED = 12


class Modes:
    """Looks at a model as its forward begins: once in each epoch of training, and in each evaluation."""

    def __init__(self, lines: Lines, progress: Counters, guard: Guard) -> None:
        self.lines, self.progress, self.guard = lines, progress, guard
        self.attended: list[Any] = []
        self.told: set[tuple[Any, ...]] = set()
        self.handles: list[Any] = []
        self.dtypes: dict[str, list[int]] = {}  # number of modules and of their parameters, by precision

    def attend(self, model: Any) -> None:
        """Be told of each forward of a model, be it wrapped or not."""
        inner = getattr(model, "module", model)
        if hasattr(inner, "register_forward_pre_hook") and not any(inner is one for one in self.attended):
            self.attended.append(inner)
            inner.register_forward_pre_hook(lambda module, _: self.guard(self.begins, module))
            inner.register_forward_hook(lambda *_: self.guard(self.ends))

    def begins(self, model: Any) -> None:
        """The flags of all modules; and in the first forward of all, the precision inside."""
        import torch

        phase, epoch = self.progress.phase, self.progress.epoch
        if phase not in ("train", "test") or (phase, epoch) in self.told:
            return
        if phase == "train" and not self.told:
            self.listen(model)
        self.told.add((phase, epoch))
        flags = {name or "the model": module.training for name, module in model.named_modules()}
        training = [name for name, flag in flags.items() if flag]
        waiting = [name for name, flag in flags.items() if not flag]
        self.lines.event(
            "modes",
            phase=phase,
            training=training[:MOST_NAMED],
            evaluating=waiting[:MOST_NAMED],
            numbers=[len(training), len(waiting)],
            gradients=torch.is_grad_enabled(),
            random=sorted({kind(m) for m in model.modules() if m.training and is_random(m)}),
            statistics=sorted({kind(m) for m in model.modules() if m.training and keeps_statistics(m)}),
            **self.progress.place(),
        )

    def listen(self, model: Any) -> None:
        """To every module that has parameters of its own."""
        for module in model.modules():
            own = sum(p.numel() for p in module.parameters(recurse=False))
            if own and not any(True for _ in module.children()):
                hook = self.hook(own)
                self.handles.append(module.register_forward_hook(hook))

    def hook(self, own: int) -> Any:
        def ran(_: Any, given: Any, result: Any) -> None:
            self.guard(self.see, own, given, result)

        return ran

    def see(self, own: int, given: Any, result: Any) -> None:
        import torch

        tensors = [value for value in given if torch.is_tensor(value) and value.is_floating_point()]
        if not tensors or not torch.is_tensor(result):
            return
        precision = autocast_of(tensors[0].device.type) or short(result.dtype)
        counted = self.dtypes.setdefault(precision, [0, 0])
        counted[0] += 1
        counted[1] += own

    def ends(self) -> None:
        """The forward has ended: what it was computed in."""
        if self.handles:
            while self.handles:
                self.handles.pop().remove()
            self.lines.event("precision", modules=self.dtypes, **self.progress.place())


def autocast_of(device: str) -> str | None:
    """The precision of autocast on a kind of device, None where it is off."""
    import torch

    try:
        on = torch.is_autocast_enabled(device)
        return short(torch.get_autocast_dtype(device)) if on else None
    except (AttributeError, TypeError):  # before torch 2.4
        of_cpu = device == "cpu"
        on = torch.is_autocast_cpu_enabled() if of_cpu else torch.is_autocast_enabled()
        named = torch.get_autocast_cpu_dtype() if of_cpu else torch.get_autocast_gpu_dtype()
        return short(named) if on else None


def short(dtype: Any) -> str:
    """`bfloat16` of torch.bfloat16."""
    return str(dtype).rpartition(".")[2]


def kind(module: Any) -> str:
    return type(module).__name__


def is_random(module: Any) -> bool:
    """Whether a module draws random numbers in training: its class says so by its name, and its rate."""
    name = type(module).__name__.lower()
    rate = getattr(module, "p", None) or getattr(module, "drop_prob", None)
    return ("drop" in name or "stochastic" in name) and bool(rate)


def keeps_statistics(module: Any) -> bool:
    """Whether a module changes what it remembers while it trains."""
    return getattr(module, "running_mean", None) is not None
