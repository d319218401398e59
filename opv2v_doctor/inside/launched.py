"""The launch itself, up to its first epoch: model, criteria, loaders, optimizer as the script makes them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import json
import logging
import os
import runpy
import sys
from typing import Any, Callable, Dict, Iterator, TypedDict

from .frames import CodePlace
from .recording import defined_at, place, replacing
from .scripted import Enough, as_it_was

MOST_EPOCHS = 200  # that are passed over until the launch evaluates
ROLES = {  # of the arguments of an epoch -> what they are usually called
    "model": ("model", "net"),
    "criterion": ("criterion", "loss_fn", "criteria"),
    "loader": ("data_loader", "dataloader", "loader"),
    "optimizer": ("optimizer",),
    "epoch": ("epoch",),
}


class LaunchWords(TypedDict):
    """How the launch is started, and which functions play the parts of its training: module and name."""

    script: str
    module: str | None  # of `python -m`
    arguments: list[str]
    folder: str  # of what is gone in the end
    parts: dict[str, list[str]]


class Zeros(Dict[str, float]):
    """What stands for the statistics of an epoch that was not trained: every one is 0."""

    def __missing__(self, key: str) -> float:
        return 0.0


class Epoch:
    """One call of the function that trains or evaluates an epoch; it can be made again with other parts."""

    def __init__(self, function: Callable[..., Any], given: inspect.BoundArguments) -> None:
        self.function, self.given = function, given
        self.names = roles_of(given.arguments)
        self.place = defined_at(function)

    def __getitem__(self, role: str) -> Any:
        return self.given.arguments.get(self.names.get(role, ""))

    def run(self, **parts: Any) -> Any:
        """Call it with other parts, and without what writes curves."""
        arguments = dict(self.given.arguments)
        for name, value in arguments.items():
            if type(value).__name__ == "SummaryWriter":
                arguments[name] = None
        arguments.update({self.names[role]: value for role, value in parts.items() if role in self.names})
        again = inspect.BoundArguments(self.given.signature, arguments)
        return self.function(*again.args, **again.kwargs)


def roles_of(arguments: Any) -> dict[str, str]:
    """Which argument is the model, the criterion, the loader: by its name, else by what it is."""
    import torch

    found = {
        role: name for role, names in ROLES.items() for name in names[::-1] if arguments.get(name) is not None
    }
    modules = [name for name, value in arguments.items() if isinstance(value, torch.nn.Module)]
    modules.sort(key=lambda name: -sum(p.numel() for p in arguments[name].parameters()))
    for role, names in (("model", modules[:1]), ("criterion", modules[1:2])):
        if names:
            found.setdefault(role, names[0])
    for name, value in arguments.items():
        if hasattr(value, "dataset") and hasattr(value, "__len__"):
            found.setdefault("loader", name)
        if isinstance(value, torch.optim.Optimizer):
            found.setdefault("optimizer", name)
    return found


class Launched:
    """What the launch hands to its epochs, and the weights that it would begin with."""

    def __init__(
        self, train: Epoch, tests: list[Epoch], read: list[tuple[str, Any]], loaded_at: CodePlace | None
    ) -> None:
        self.train, self.tests, self.read, self.loaded_at = train, tests, read, loaded_at
        self.initial = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self.train["model"]

    @functools.cached_property
    def device(self) -> Any:
        return next(self.model.parameters()).device


def launched(words: LaunchWords) -> Launched:
    """The launch, made once in this process."""
    return _launched(json.dumps(words, sort_keys=True))


@functools.lru_cache(maxsize=1)
def _launched(text: str) -> Launched:
    words: LaunchWords = json.loads(text)
    heard = _Heard()
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(words["folder"], "inductor"))
    with as_it_was(), _as_it_logs(), contextlib.ExitStack() as stack:
        os.environ["HYDRA_FULL_ERROR"] = "1"
        stack.enter_context(_files(heard))
        sys.path.insert(0, os.path.dirname(words["script"]))
        for part, make in heard.makers().items():
            if part in words["parts"]:
                module, name = words["parts"][part]
                _replace(stack, module, name, make)
        _run(words)
    if not heard.trains:
        raise RuntimeError("the script ends without an epoch of training")
    return Launched(heard.trains[0], heard.tests, heard.read, heard.loaded_at)


class _Heard:
    """What a launch hands to its epochs, none of which is made, and the files of weights that it reads."""

    def __init__(self) -> None:
        self.trains: list[Epoch] = []
        self.tests: list[Epoch] = []
        self.read: list[tuple[str, Any]] = []
        self.loaded_at: CodePlace | None = None  # the line that gave a module its weights last

    def makers(self) -> dict[str, Callable[[Callable[..., Any]], Any]]:
        """{part: what makes of its function one that is passed over}."""
        return {
            "train_epoch": lambda function: self._passed_over(function, self._trained),
            "test_epoch": lambda function: self._passed_over(function, self.tests.append),
            "save": lambda function: functools.wraps(function)(lambda *_, **__: None),
            "save_model": lambda function: functools.wraps(function)(lambda *_, **__: None),
        }

    def _passed_over(self, function: Callable[..., Any], keep: Callable[[Epoch], None]) -> Callable[..., Any]:
        @functools.wraps(function)
        def noted(*rest: Any, **given: Any) -> Zeros:
            keep(Epoch(function, inspect.signature(function).bind(*rest, **given)))
            return Zeros()

        return noted

    def _trained(self, epoch: Epoch) -> None:
        """Once an evaluation was made, all is known."""
        self.trains.append(epoch)
        if self.tests or len(self.trains) > MOST_EPOCHS:
            raise Enough


def _run(words: LaunchWords) -> None:
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    sys.argv = [words["script"], *words["arguments"]]
    try:
        if words["module"]:
            runpy.run_module(words["module"], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(words["script"], run_name="__main__")
    except Enough:
        pass
    except SystemExit as end:
        if end.code not in (None, 0):
            raise RuntimeError("the script exits with %s" % end.code) from end
    finally:
        GlobalHydra.instance().clear()


def _replace(
    stack: contextlib.ExitStack, module: str, name: str, make: Callable[[Callable[..., Any]], Any]
) -> None:
    """Give a function another one's place, wherever it was imported to."""
    owner = importlib.import_module(module)
    real = getattr(owner, name)
    watched = make(real)
    for home in list(sys.modules.values()):
        names = getattr(home, "__dict__", None) or {}
        for alias in [alias for alias, value in list(names.items()) if value is real]:
            stack.enter_context(replacing(home, alias, watched))


@contextlib.contextmanager
def _files(heard: _Heard) -> Iterator[None]:
    """Note the weights that are read, and save nothing: a checkpoint may be larger than the disk's rest."""
    import torch

    load, give = torch.load, torch.nn.Module.load_state_dict

    @functools.wraps(load)
    def noted(file: Any, *rest: Any, **words: Any) -> Any:
        found = load(file, *rest, **words)
        heard.read.append((str(file), found))
        return found

    def save(_: Any, file: Any, *__: Any, **___: Any) -> None:
        if isinstance(file, (str, os.PathLike)):
            open(file, "wb").close()

    @functools.wraps(give)
    def given(*rest: Any, **words: Any) -> Any:
        heard.loaded_at = place() or heard.loaded_at
        return give(*rest, **words)

    places = ((torch, "load", noted), (torch, "save", save), (torch.nn.Module, "load_state_dict", given))
    with contextlib.ExitStack() as stack:
        for owner, name, value in places:
            stack.enter_context(replacing(owner, name, value))
        yield


@contextlib.contextmanager
def _as_it_logs() -> Iterator[None]:
    """Undo what a script does to the logging of its process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        for handler in [one for one in root.handlers if one not in handlers]:
            with contextlib.suppress(Exception):
                handler.close()
        root.handlers[:], root.level = handlers, level
