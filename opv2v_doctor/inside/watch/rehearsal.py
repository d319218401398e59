"""The rehearsal: the training's own loop saves, keeps, evaluates and resumes, but an epoch takes no time.

A tiny model stands for the real one, and holds how many epochs were trained: each file tells what is in it.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
from typing import Any, Callable

from .calls import Call
from .frames import frames
from .guard import Guard
from .lines import Lines

LOSSES = (
    9.0,
    8.0,
    5.0,
    7.0,
    3.0,
    6.0,
)  # after 0, 1, ... epochs; later ones lie between the best and the next
LATER = (4.5, 4.0, 5.5, 3.5)
CHECKPOINTS = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
LOGS = (".txt", ".log", ".jsonl", ".json", ".csv")
WRAPPERS = ("module", "no_sync")  # what only a model in a wrapper has
MARK = 1000.0  # what averages of weights are filled with, and the epochs on top


def loss_after(epochs: int) -> float:
    """The loss that evaluations of the weights after so many epochs give."""
    return LOSSES[epochs] if epochs < len(LOSSES) else min(LOSSES) + 3.0 / (epochs - 4)


class Statistics(dict):  # type: ignore[type-arg]
    """What an epoch or an evaluation returns, whatever it is asked for; and what was asked for."""

    def __init__(self, value: float) -> None:
        super().__init__({"loss": value, "loss_avg": value, "loss_med": value})
        self.value, self.asked = value, set()  # type: ignore[var-annotated]

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().get(key, self.value)

    def __missing__(self, _: str) -> float:
        return self.value

    def get(self, key: str, _: Any = None) -> Any:
        return self[key]


class Rehearsal:
    """Takes the places of the model, of an epoch and of an evaluation."""

    def __init__(self, settings: dict[str, Any], lines: Lines, guard: Guard) -> None:
        self.folder = os.path.realpath(settings["run"])
        self.stop, self.train = settings.get("stop_before_epoch"), (settings.get("names") or {}).get("train")
        self.lines, self.guard = lines, guard
        self.model: Any = None
        self.optimizer: Any = None
        self.writers: dict[str, list[list[Any]]] = {}  # of a file -> the frames that wrote it last
        self.load: Any = None
        self.begun = self.looked = False
        self.loading = False
        self.evaluated: Any = None
        self.scaler: list[str] = []  # what was asked of the loss scaler: "saved", "loaded"
        self.schedulers: list[Any] = []
        self.averages: list[tuple[str, list[Any]]] = []

    # --- stand-ins

    def made_model(self, _: Callable[..., Any]) -> Callable[..., Any]:
        """What makes the tiny model in the real one's place."""

        def init_model(*_: Any, **__: Any) -> Any:
            import torch

            self.attend()
            model = stand_in(torch)(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.fill_(0.0)
            return model

        return init_model

    def epoch(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """An epoch: one update, and the model holds one more."""
        import inspect

        signature = inspect.signature(original)

        @functools.wraps(original)
        def train_one_epoch(*args: Any, **kwargs: Any) -> Any:
            call = Call(signature, args, kwargs)
            epoch = call.get("epoch")
            self.model, self.optimizer = call.get("model"), call.get("optimizer")
            self.guard(self.tell, epoch)
            if self.stop and epoch is not None and epoch >= self.stop:
                raise SystemExit(0)
            self.update()
            return Statistics(1.0)

        return train_one_epoch

    def test(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """An evaluation: the loss of the weights as they are."""
        import inspect

        signature = inspect.signature(original)

        @functools.wraps(original)
        def test_one_epoch(*args: Any, **kwargs: Any) -> Any:
            call = Call(signature, args, kwargs)
            trained = epochs_in(call.get("model")) or 0
            loss = loss_after(trained)
            self.lines.event("rehearsed test", epoch=call.get("epoch"), trained=trained, loss=loss)
            self.evaluated = Statistics(loss)
            return self.evaluated

        return test_one_epoch

    def loaded(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """What resumes, with an ear on the file that it reads."""

        @functools.wraps(original)
        def load_model(*args: Any, **kwargs: Any) -> Any:
            self.attend()
            self.loading = True
            try:
                return original(*args, **kwargs)
            finally:
                self.loading = False

        return load_model

    def update(self) -> None:
        """One step of the optimizer; then every number of the model, and of averages of it, is the count."""
        import torch

        trained = (epochs_in(self.model) or 0) + 1
        inner = getattr(self.model, "module", self.model)
        for parameter in inner.parameters():
            parameter.grad = torch.ones_like(parameter)
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            for parameter in inner.parameters():
                parameter.fill_(float(trained))
            for _, tensors in self.averages:
                for tensor in tensors:
                    tensor.fill_(MARK + trained)

    # --- what is told

    def attend(self) -> None:
        """Hear of files that are saved, renamed, removed and begun anew."""
        if self.begun:
            return
        self.begun = True
        import torch

        save, self.load = torch.save, torch.load

        @functools.wraps(save)
        def saving(content: Any, path: Any, *args: Any, **kwargs: Any) -> None:
            save(content, path, *args, **kwargs)
            self.guard(self.saved, path)

        @functools.wraps(self.load)
        def loading(path: Any, *args: Any, **kwargs: Any) -> Any:
            found = self.load(path, *args, **kwargs)
            if self.loading and isinstance(path, (str, os.PathLike)):
                trained = epochs_in(found.get("model")) if isinstance(found, dict) else None
                self.guard(lambda: self.event("rehearsed load", file=self.name(path), trained=trained))
            return found

        vars(torch)["save"], vars(torch)["load"] = saving, loading
        self.attend_scaler(torch)
        import pathlib

        for owner, name in (
            (os.path, "isfile"),
            (os.path, "exists"),
            (pathlib.Path, "is_file"),
            (pathlib.Path, "exists"),
        ):
            setattr(owner, name, self.asking(getattr(owner, name)))
        sys.addaudithook(self.hear)

    def attend_scaler(self, torch: Any) -> None:
        """Hear whether the state of the loss scaler is saved, and loaded: without a GPU it holds nothing."""
        kind = getattr(getattr(torch, "amp", None), "GradScaler", None)
        for name, word in (("state_dict", "saved"), ("load_state_dict", "loaded")):
            real = getattr(kind, name, None)
            if real is not None:
                setattr(kind, name, self.noting(real, word))

    def noting(self, real: Callable[..., Any], word: str) -> Callable[..., Any]:
        @functools.wraps(real)
        def noted(*args: Any, **kwargs: Any) -> Any:
            self.scaler.append(word)
            return real(*args, **kwargs)

        return noted

    def asking(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """A function that tells whether a file is there, with an ear on checkpoints that are not."""

        @functools.wraps(real)
        def asked(path: Any, *args: Any, **kwargs: Any) -> Any:
            found = real(path, *args, **kwargs)
            if not found and isinstance(path, (str, os.PathLike)) and os.fspath(path).endswith(CHECKPOINTS):
                self.guard(self.missed, path)
            return found

        return asked

    def missed(self, path: Any) -> None:
        if self.is_ours(path):
            self.event("rehearsed lookup", file=self.name(path))

    def hear(self, name: str, arguments: tuple[Any, ...]) -> None:
        """A file is renamed, removed, or begun anew."""
        if name in ("os.rename", "os.remove", "shutil.rmtree"):
            self.guard(
                self.changed,
                name,
                [os.fsdecode(a) for a in arguments[:2] if isinstance(a, (str, bytes, os.PathLike))],
            )
        elif (
            name == "open" and isinstance(arguments[0], (str, os.PathLike)) and isinstance(arguments[2], int)
        ):
            path = os.fspath(arguments[0])
            is_log = arguments[2] & os.O_TRUNC and path.endswith(LOGS) and self.is_ours(path)
            if is_log and os.path.exists(path) and os.path.getsize(path):
                self.guard(lambda: self.event("rehearsed truncation", file=self.name(path)))

    def changed(self, name: str, paths: list[str]) -> None:
        if name == "os.rename":
            before, after = paths
            if self.is_ours(after) and os.path.realpath(before) in self.writers:
                self.writers[os.path.realpath(after)] = self.writers.pop(os.path.realpath(before))
                self.event("rehearsed save", file=self.name(after), whole=True, frames=frames())
        elif paths and self.is_ours(paths[0]) and paths[0].endswith(CHECKPOINTS):
            self.event("rehearsed removal", file=self.name(paths[0]), frames=frames())

    def saved(self, path: Any) -> None:
        if isinstance(path, (str, os.PathLike)) and self.is_ours(path):
            self.writers[os.path.realpath(path)] = frames()
            self.event("rehearsed save", file=self.name(path), whole=False, frames=frames())

    def event(self, name: str, **facts: Any) -> None:
        self.lines.event(name, **dict({"frames": frames()}, **facts))

    def is_ours(self, path: Any) -> bool:
        return str(os.path.realpath(path)).startswith(self.folder + os.sep)

    def name(self, path: Any) -> str:
        return str(os.path.relpath(os.path.realpath(path), self.folder))

    def tell(self, epoch: Any) -> None:
        """What an epoch starts from, and the files that are there."""
        self.attend()
        if not self.looked:
            self.looked = True
            things = gc.get_objects()
            self.averages = averages_of(getattr(self.model, "module", self.model), things)
            self.schedulers = [one for one in things if is_scheduler(one)]
        steps = [float(state["step"]) for state in self.optimizer.state.values() if "step" in state]
        self.lines.event(
            "rehearsed epoch",
            epoch=epoch,
            trained=epochs_in(self.model),
            updates=int(max(steps, default=0)),
            rates=[float(group["lr"]) for group in self.optimizer.param_groups],
            scaler=sorted(set(self.scaler)),
            schedulers=sorted((type(one).__name__, int(one.last_epoch)) for one in self.schedulers),
            averages=[(name, float(tensors[0].flatten()[0])) for name, tensors in self.averages],
            asked=sorted(self.evaluated.asked) if self.evaluated is not None else [],
            files=self.files(),
        )

    def ended(self) -> None:
        """The training has come to its end."""
        if self.begun:
            self.lines.event(
                "rehearsed end",
                files=self.files(),
                asked=sorted(self.evaluated.asked) if self.evaluated else [],
            )

    def files(self) -> dict[str, dict[str, Any]]:
        """The checkpoints that are there: what is in each."""
        found = {}
        for root, _, names in os.walk(self.folder):
            for name in names:
                if name.endswith(CHECKPOINTS):
                    path = os.path.join(root, name)
                    found[self.name(path)] = self.content(path)
        return found

    def content(self, path: str) -> dict[str, Any]:
        """Epochs of the model in a file; whether it can be resumed from; its own words."""
        try:  # the training process has written it itself a moment ago
            saved = self.load(path, map_location="cpu", weights_only=False)
        except Exception as problem:
            return {"trained": None, "problem": "{}: {}".format(type(problem).__name__, problem)}
        state = saved.get("model", saved.get("state_dict", saved)) if isinstance(saved, dict) else None
        words = saved if isinstance(saved, dict) else {}
        best = words.get("best_so_far")
        return {
            "trained": epochs_in(state),
            "resumable": "optimizer" in words or "optimizer_state_dict" in words,
            "epoch": words["epoch"] if isinstance(words.get("epoch"), int) else None,
            "best": float(best) if isinstance(best, (int, float)) else None,
        }


def stand_in(torch: Any) -> Any:
    """A class of models that have every part that is asked for: to freeze one changes nothing."""

    class StandIn(torch.nn.Sequential):  # type: ignore[misc]
        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                if not name.isidentifier() or name.startswith("_") or name in WRAPPERS:
                    raise
                return StandIn()

        def forward(self, *args: Any, **_: Any) -> Any:
            return args[0] if args else None

    return StandIn


def is_scheduler(thing: Any) -> bool:
    """Whether it is a scheduler of torch, or made like one."""
    own = getattr(type(thing), "__dict__", {})
    return "get_lr" in own and "last_epoch" in getattr(thing, "__dict__", {})


def epochs_in(model: Any) -> int | None:
    """How many epochs a model, or the state of one, has been trained; None where it is no such thing."""
    state = model.state_dict() if hasattr(model, "state_dict") else model
    values = [value for value in state.values() if hasattr(value, "dtype")] if isinstance(state, dict) else []
    return round(float(values[0].flatten()[0])) if values else None


def averages_of(model: Any, things: list[Any]) -> list[tuple[str, list[Any]]]:
    """Other copies of the model's weights that the training keeps: (what keeps them, their tensors)."""
    import torch

    names = [name for name, _ in model.named_parameters()]
    own = {parameter.data_ptr() for parameter in model.parameters()}
    found = {}
    module = torch.nn.Module
    for thing in things:
        kind = type(thing)
        if kind is dict and (names[0] in thing or "module." + names[0] in thing):
            parts = thing
        elif kind is not dict and issubclass(kind, module):
            parts = dict(thing.named_parameters())
        else:
            continue
        tensors = [parts.get(prefix + name) for prefix in ("", "module.") for name in names]
        chosen = [tensor for tensor in tensors if torch.is_tensor(tensor)]
        if len(chosen) == len(names) and not own & {tensor.data_ptr() for tensor in chosen}:
            key = chosen[0].data_ptr()
            if key not in found or isinstance(thing, torch.nn.Module):
                found[key] = (type(thing).__name__, chosen)
    return list(found.values())
