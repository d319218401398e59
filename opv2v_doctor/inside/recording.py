"""Recording: what a model is fed and answers, and the lines that take from the one and change the other."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from types import FrameType
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping

from .frames import CodePlace

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = os.getcwd()  # of the launch: a script may run elsewhere


def place() -> CodePlace | None:
    """File and line of the innermost frame of the repository or of the running script, None without one."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if is_theirs(frame.f_code.co_filename):
            return {"path": os.path.join(HOME, frame.f_code.co_filename), "line": frame.f_lineno}
        frame = frame.f_back
    return None


def is_theirs(file: str) -> bool:
    """Whether it is the script, or a file in the launch's directory that nobody installed there."""
    path = os.path.join(HOME, file)
    inside = path.startswith(HOME + os.sep) and "site-packages" not in path and file[:1] != "<"
    return path == sys.argv[0] or (inside and not path.startswith(HERE + os.sep))


class Entries(Dict[str, Any]):
    """A dictionary that remembers which entries were taken and set, and the line that did it first."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        super(Entries, self).__init__(entries)
        self.taken: dict[str, CodePlace | None] = {}
        self.changed: dict[str, CodePlace | None] = {}

    def __getitem__(self, key: str) -> Any:
        self.taken.setdefault(key, place())
        return super(Entries, self).__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.changed.setdefault(key, place())
        super(Entries, self).__setitem__(key, value)

    def get(self, key: str, default: Any = None) -> Any:
        if key in self:
            self.taken.setdefault(key, place())
        return super(Entries, self).get(key, default)

    def items(self) -> Any:
        return [(key, self[key]) for key in list(self)]

    def values(self) -> Any:
        return [self[key] for key in list(self)]


class ForwardCall:
    """One forward: the views with what was taken of them, the outputs as they came, and how it was called."""

    def __init__(self, model: Any, views: Iterable[Mapping[str, Any]]) -> None:
        self.views = [Entries(view) for view in views]
        parts = list(model.named_modules())
        self.modules = len(parts)
        self.in_training = [name or "the model" for name, part in parts if part.training]
        self.precision = precision_now()
        self.called_at = place()
        self.outputs: list[dict[str, Any]] = []
        self.given: list[Entries] = []

    def answered(self, outputs: Iterable[Mapping[str, Any]]) -> list[Entries]:
        """Keep the outputs as they are, and hand on what remembers who changes them."""
        self.outputs = [copied(output) for output in outputs]
        self.given = [Entries(output) for output in outputs]
        return self.given


class InferCall:
    """One call of `infer`: what was given, what came back, from where, and the forward within."""

    def __init__(self, model: Any, views: Iterable[Mapping[str, Any]]) -> None:
        self.views = [dict(view) for view in views]
        self.called_at = place()
        self.defined_at = defined_at(model.infer)
        self.calls: list[ForwardCall] = []
        self.predictions: list[dict[str, Any]] = []


def copied(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Entries as they are now: tensors may be changed in place later."""
    return {
        key: value.detach().clone() if hasattr(value, "detach") else value
        for key, value in dict(entries).items()
    }


def defined_at(function: Callable[..., Any]) -> CodePlace:
    """File and line of a function, through its decorators."""
    import inspect

    code = inspect.unwrap(function).__code__
    return {"path": os.path.abspath(code.co_filename), "line": code.co_firstlineno}


def precision_now() -> str | None:
    """The data type that autocast computes in here, None without autocast."""
    import torch

    if hasattr(torch, "get_autocast_dtype"):  # since torch 2.4
        kinds = [kind for kind in ("cuda", "cpu") if torch.is_autocast_enabled(kind)]
        return str(torch.get_autocast_dtype(kinds[0])) if kinds else None
    if torch.is_autocast_enabled():
        return str(torch.get_autocast_gpu_dtype())
    return str(torch.get_autocast_cpu_dtype()) if torch.is_autocast_cpu_enabled() else None


@contextlib.contextmanager
def calls_of(
    kind: type[Any], answer: Callable[[Any], list[dict[str, Any]]] | None = None
) -> Iterator[list[ForwardCall]]:
    """Every forward of a class of models meanwhile; `answer` answers in the model's place."""
    calls: list[ForwardCall] = []
    real = kind.forward

    @functools.wraps(real)
    def forward(self: Any, *rest: Any, **words: Any) -> Any:
        views = words.pop("views") if "views" in words else rest[0]
        call = ForwardCall(self, views)
        calls.append(call)
        return call.answered(answer(views) if answer else real(self, call.views, *rest[1:], **words))

    with replacing(kind, "forward", forward):
        yield calls


@contextlib.contextmanager
def inferences_of(kind: type[Any]) -> Iterator[list[InferCall]]:
    """Every `infer` of a class of models meanwhile, each with its forwards."""
    found: list[InferCall] = []
    real = kind.infer

    @functools.wraps(real)
    def infer(self: Any, views: Any, *rest: Any, **words: Any) -> Any:
        inference = InferCall(self, views)
        found.append(inference)
        with calls_of(kind) as inference.calls:
            predictions = real(self, views, *rest, **words)
        inference.predictions = [copied(prediction) for prediction in predictions]
        return predictions

    with replacing(kind, "infer", infer):
        yield found


@contextlib.contextmanager
def replacing(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give an attribute another value meanwhile."""
    had, before = name in vars(owner), getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before) if had else delattr(owner, name)
