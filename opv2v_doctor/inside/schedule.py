"""Questions about the learning rate, answered by the repository's own function on a stand-in optimizer."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
from typing import Any, Callable, Dict, Iterator, TypedDict

from .config import LeafReading, function_of, hydra_config
from .loaders import as_rank

ALL_STEPS = 2000  # an epoch with more is sampled
POINTS = 6000  # over the whole training


class Params(Dict[str, Any]):
    """A plain copy of `train_params`: omegaconf resolves at every access, ten thousand times."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Optimizer:
    """All that a schedule needs of an optimizer: one parameter group for each name."""

    def __init__(self, groups: list[str]) -> None:
        self.param_groups: list[dict[str, Any]] = [{"lr": 0.0, "params": []} for _ in groups]


class Sized:
    """Something of which only the length is asked for."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length


class Loader(Sized):
    """Whatever the training loop calls its loader."""

    def __init__(self, steps: int, samples: int) -> None:
        super().__init__(steps)
        self.batch_sampler, self.dataset = Sized(steps), Sized(samples)


class Progress(TypedDict):
    """The training loop's own expression for the fraction of epochs, and its names."""

    expression: str
    counter: str
    sized: list[str]  # names of the loader
    module: str


class Curves(TypedDict):
    """The rate of each group at the same points; why not by the loop's own expression, or an empty text."""

    epochs: list[float]
    rates: list[tuple[float, ...]]
    problem: str
    resumed: list[float]  # an epoch, what is asked there, and what by a training that was resumed there


def curves(
    config_dir: str,
    config_name: str,
    overrides: list[str],
    schedule: str,
    steps: int,
    samples: int,
    accumulated: int,
    groups: list[str],
    progress: Progress | None,
    world_size: int,
) -> Curves:
    """The rate of each group at the same points, one list a group."""
    cfg, _ = hydra_config(config_dir, config_name, tuple(overrides))
    args = params_of(LeafReading().plain(cfg.train_params))
    adjust = function_of(schedule)
    optimizer = Optimizer(groups)
    given: tuple[Any, ...] = (args, dict(enumerate(groups)), args.get("submodule_configs"))
    given = given[: len(inspect.signature(adjust).parameters) - 2]
    epochs: list[float] = []
    rates: list[list[float]] = []
    with as_rank(0, world_size):
        loader, whole = Loader(steps, samples), params_of(LeafReading().plain(cfg))
        asked, problem = asked_epoch(loader, progress, schedule, started(whole, 0))
        middle = int(args.epochs) // 2
        again, _ = asked_epoch(loader, progress, schedule, started(whole, middle))
        resumed = [float(middle), float(asked(middle, 0)), float(again(middle, 0))]
        for epoch, step in points(int(args.epochs), steps, accumulated, float(args.warmup_epochs)):
            adjust(optimizer, asked(epoch, step), *given)
            epochs.append(epoch + step / steps)
            rates.append([float(group["lr"]) for group in optimizer.param_groups])
    return {"epochs": epochs, "rates": list(zip(*rates)), "problem": problem, "resumed": resumed}


def params_of(node: Any) -> Any:
    """Nested dictionaries whose keys can also be read as attributes, as in omegaconf."""
    return Params({key: params_of(value) for key, value in node.items()}) if isinstance(node, dict) else node


def points(epochs: int, steps: int, accumulated: int, warmup: float) -> Iterator[tuple[int, int]]:
    """(epoch, step) at which the rate changes; in long epochs, all near the seams and some in between."""
    share = max(20, min(200, POINTS // max(1, epochs)))
    updates = range(0, steps, accumulated)
    every = 1 if steps <= ALL_STEPS and len(updates) * epochs <= POINTS else max(1, len(updates) // share)
    for epoch in range(epochs):
        chosen = set(updates[::every]) | set(updates[:2]) | set(updates[-2:])
        seam = int((warmup - epoch) * len(updates))
        chosen |= set(updates[max(0, seam - 2) : max(0, seam + 3)])
        for step in sorted(chosen):
            yield epoch, step


def asked_epoch(
    loader: Loader, progress: Progress | None, schedule: str, config: Any = None
) -> tuple[Callable[[int, int], Any], str]:
    """The training loop's own expression as a function of (epoch, step), and an empty text.

    The usual one and the reason where none was found, or where it needs what only a running training has. A
    name that its module does not have is an argument: the config, or the part of it that is for the training.
    """
    if progress is None:
        return usual_epoch(loader), "no call of %s in a counted loop was found" % schedule.partition(":")[2]
    expression, counter = progress["expression"], progress["counter"]
    try:
        code = compile(expression, "<training loop>", "eval")
        needed = {node.id for node in ast.walk(ast.parse(expression)) if isinstance(node, ast.Name)}
        loaders = dict.fromkeys(progress["sized"], loader)
        outside = needed - {"epoch", counter} - set(loaders)
        names = known(
            code, {name: choices(name, progress["module"], config) for name in outside}, loaders, counter
        )
    except Exception as problem:
        return usual_epoch(loader), "%s could not be evaluated (%s)" % (
            expression,
            " ".join(str(problem).split()),
        )
    return lambda epoch, step: eval(code, dict(names, **loaders, **{"epoch": epoch, counter: step})), ""


def started(config: Any, epoch: int) -> Any:
    """The config of a training that begins with an epoch, as the loop hands it on."""
    params = Params(dict(config.get("train_params") or {}, start_epoch=epoch))
    return Params(dict(config, train_params=params))


def choices(name: str, module_name: str, config: Any) -> list[Any]:
    """What a name may be: a builtin, one of its module, else the config, or its part for the training."""
    try:
        return [outer(name, module_name)]
    except AttributeError:
        if config is None:
            raise
        return [config, config["train_params"]]


def known(code: Any, found: dict[str, list[Any]], loaders: dict[str, Loader], counter: str) -> dict[str, Any]:
    """The first of what the names may be that gives an expression a value. Raises what the last raises."""
    problem: Exception | None = None
    for number in range(max(map(len, found.values()), default=1)):
        names = {name: each[min(number, len(each) - 1)] for name, each in found.items()}
        try:
            eval(code, dict(names, **loaders, **{"epoch": 0, counter: 0}))
        except Exception as raised:
            problem = raised
        else:
            return names
    assert problem is not None
    raise problem


def usual_epoch(loader: Loader) -> Callable[[int, int], Any]:
    """The expression of the public repositories."""
    return lambda epoch, step: epoch + step / len(loader)


def outer(name: str, module_name: str) -> Any:
    """A name of the expression that is not the loop's: a builtin, or one of its module."""
    return (
        getattr(builtins, name)
        if hasattr(builtins, name)
        else getattr(importlib.import_module(module_name), name)
    )
