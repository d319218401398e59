"""Passages: one batch through the function of an epoch, and what happened to it on the way."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import os
import random
import sys
import time
from types import FrameType
from typing import Any, Callable, Dict, Iterator

from .frames import CodePlace
from .launched import Epoch, Launched
from .recording import ForwardCall, calls_of, replacing
from .samples import SEED

Numbers = Dict[str, float]


class Passage:
    """What happened to one batch between the loader and its loss."""

    def __init__(self, line: CodePlace | None, views: Any, predictions: Any, answer: Any) -> None:
        self.line = line
        self.views = [_detached(view) for view in views]
        self.predictions = [_detached(prediction) for prediction in predictions]
        self.loss, self.terms = _told_loss(answer)
        self.call: ForwardCall | None = None
        self.logged: float | None = None
        self.losses = [self.loss]  # of the same batch, drawn for anew
        self.called: Any = None

    @property
    def factor(self) -> float:
        """What the epoch's function makes of the criterion's loss."""
        mean = sum(self.losses) / len(self.losses)
        if not mean or self.logged is None or not math.isfinite(self.logged / mean):
            return 1.0
        return self.logged / mean


def _detached(entries: Any) -> dict[str, Any]:
    return {key: value.detach() if hasattr(value, "detach") else value for key, value in dict.items(entries)}


def _told_loss(answer: Any) -> tuple[float, Numbers]:
    loss, details = answer if isinstance(answer, (tuple, list)) else (answer, {})
    numbers = {}
    for name, value in (details or {}).items():
        with contextlib.suppress(TypeError, ValueError):
            numbers[str(name)] = float(value)
    return float(loss.detach() if hasattr(loss, "detach") else loss), numbers


class ReadyBatches(list):  # type: ignore[type-arg]
    """A loader of batches that are there already, each anew: who gets one may change it."""

    dataset = sampler = batch_sampler = None
    deadline = math.inf

    def __iter__(self) -> Iterator[Any]:
        for batch in list.__iter__(self):
            if time.monotonic() > self.deadline:
                return
            yield [dict(view) for view in batch]


class Passages(list):  # type: ignore[type-arg]
    """The passages of some batches, and what an epoch has to be given so that they are heard."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, Any] = {}


@contextlib.contextmanager
def hearing_criterion(epoch: Epoch, model: Any, whole: bool = True) -> Iterator[Passages]:
    """Every call of an epoch's criterion meanwhile, with the forward before it; else only what it says."""
    criterion = epoch["criterion"]
    heard = Passages()
    is_module = hasattr(criterion, "forward")
    real = criterion.forward if is_module else criterion

    @functools.wraps(real)
    def forward(*given: Any, **words: Any) -> Any:
        answer = real(*given, **words)
        views, predictions = [*given, *words.values()][:2]
        if not whole:
            calls.clear()
            holders.clear()
            heard.append(Passage(None, (), (), answer))
            return answer
        path = Passage(_line_in(epoch.function), views, predictions, answer)
        path.call, path.called = calls[-1] if calls else None, holders[-1] if holders else None
        heard.append(path)
        return answer

    kind = type(getattr(model, "module", model))
    holders: list[Any] = []
    entry = kind.__call__

    def called(self: Any, *rest: Any, **words: Any) -> Any:
        if type(self) is kind:
            _seed(len(holders))  # what the first forward draws is the same on both paths
            holders.append(self)
        return entry(self, *rest, **words)

    with contextlib.ExitStack() as stack:
        calls = stack.enter_context(calls_of(kind))
        stack.enter_context(replacing(kind, "__call__", called))
        if is_module:
            stack.enter_context(replacing(criterion, "forward", forward))
        else:
            heard.parts["criterion"] = forward
        yield heard


def _seed(number: int) -> None:
    import numpy
    import torch

    random.seed(SEED + number)
    numpy.random.seed(SEED + number)
    torch.manual_seed(SEED + number)


def _line_in(function: Callable[..., Any]) -> CodePlace | None:
    """The line of a function that is running, by which it came to here."""
    import inspect

    code = getattr(inspect.unwrap(function), "__code__", None)
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is code:
            return {"path": os.path.abspath(frame.f_code.co_filename), "line": frame.f_lineno}
        frame = frame.f_back
    return None


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Let an epoch print into nothing, with `force=True` or without."""
    import builtins

    with replacing(builtins, "print", lambda *_, **__: None):
        yield


def through(epoch: Epoch, batch: list[dict[str, Any]], times: int = 1, **parts: Any) -> Passage:
    """A batch through the function of an epoch, so often with other random numbers; the first passage."""
    model = parts.get("model", epoch["model"])
    stats: Any = None
    with quietly(), hearing_criterion(epoch, model) as heard:
        try:
            stats = epoch.run(loader=ReadyBatches([batch] * times), **{**heard.parts, **parts})
        except SystemExit:  # a loss that is too large ends it
            if not heard:
                raise
    if not heard:
        raise RuntimeError("the epoch of one batch ended without a loss")
    path: Passage = heard[0]
    path.losses = [one.loss for one in heard]
    if isinstance(stats, dict):
        names = [name for name in ("loss", "loss_avg", "loss_med") if name in stats]
        path.logged = float(stats[names[0]]) if names else None
    return path


def step_of(asked: Launched, batch: list[dict[str, Any]]) -> Passage:
    import torch

    with torch.enable_grad():
        return through(asked.train, batch)


def value_of(criterion: Any, views: Any, predictions: Any, factor: float) -> tuple[float, Numbers]:
    """What a criterion says of predictions."""
    import torch

    with torch.no_grad():
        answer = criterion([dict(view) for view in views], [dict(one) for one in predictions])
    loss, terms = _told_loss(answer)
    return loss * factor, terms


@contextlib.contextmanager
def weights_as_they_were(asked: Launched) -> Iterator[None]:
    """Undo what a step of training does to weights and optimizer."""
    weights = {name: value.detach().clone() for name, value in asked.model.state_dict().items()}
    optimizer = asked.train["optimizer"]
    state = copy.deepcopy(optimizer.state_dict()) if optimizer is not None else None
    try:
        yield
    finally:
        asked.model.load_state_dict(weights)
        if state is not None:
            optimizer.load_state_dict(state)
            optimizer.zero_grad()


def lacks_memory(problem: BaseException) -> bool:
    return type(problem).__name__ == "OutOfMemoryError" or "out of memory" in str(problem)
