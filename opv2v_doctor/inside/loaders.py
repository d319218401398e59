"""Questions about the loaders, built by the repository's own functions; only indices are drawn."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections import Counter
from typing import Any, Callable, Iterator, Sequence, TypedDict

from . import progress
from .config import BuilderCall, Lines, hydra_config, run_lines
from .datasets import dataset_of
from .frames import CodePlace, TracebackLine, frames_of


class Rank(TypedDict):
    """What one rank is given in an epoch; `views` is number of views -> batches."""

    rank: int
    length: int
    batches: int
    samples: int
    views: dict[str, int]


class EvalLoader(TypedDict):
    """The length of one evaluation loader, or why it cannot be built, and where."""

    key: str
    length: int | None
    problem: str
    frames: list[TracebackLine]


class Loaders(TypedDict):
    """The loaders as the repository builds them."""

    ranks: list[Rank]
    mixed: float
    distinct: int
    sampler: CodePlace | None
    counted: CodePlace | None
    evals: list[EvalLoader]


def loaders(
    config_dir: str,
    config_name: str,
    overrides: list[str],
    module_name: str,
    train: Lines,
    expression: str,
    evals: Lines | None,
    seeding: Lines | None,
    world_size: int,
    measured: list[int],
) -> Loaders:
    """The train loader of each measured rank, gone through once; the length of each evaluation loader.

    Each rank is seeded as it seeds itself: a sampler may draw from the state of its process.
    """
    cfg = hydra_config(config_dir, config_name, tuple(overrides))[0]
    epochs = []
    for done, rank in enumerate(measured):
        progress.advance("loaders", done, len(measured))
        with as_rank(rank, world_size):
            if seeding:
                run_lines(seeding, cfg, lambda *_: None)
            loader = train_loader(train, cfg, expression, module_name)
            epochs.append(epoch_of(rank, loader, dataset_of(expression, module_name)))
    with as_rank(0, world_size):
        tests = eval_loaders(evals, cfg, module_name) if evals else []
    ranks, views, drawn = zip(*epochs)
    return {
        "ranks": list(ranks),
        "mixed": mixed_share(views),
        "distinct": len(set().union(*drawn)),
        "sampler": drawn_at(batches_of(loader)),
        "counted": drawn_at(batches_of(loader), "__len__"),
        "evals": tests,
    }


def train_loader(lines: Lines, cfg: Any, expression: str, module_name: str) -> Any:
    """The loader that the training's lines build of its dataset."""
    built: dict[str, Any] = {}

    def build(call: BuilderCall, words: dict[str, Any], dataset: str) -> Any:
        loader = really_built(lines, call, words, dataset, module_name)
        built.setdefault(call["dataset"].strip(), loader)
        return loader

    run_lines(lines, cfg, build)
    return built.get(expression) or next(iter(built.values()))


def eval_loaders(lines: Lines, cfg: Any, module_name: str) -> list[EvalLoader]:
    """The length of each loader that the lines keep; where it cannot be built, why and where."""

    def build(call: BuilderCall, words: dict[str, Any], dataset: str) -> EvalLoader:
        try:
            loader = really_built(lines, call, words, dataset, module_name)
            return {"key": call["dataset"], "length": len(loader), "problem": "", "frames": []}
        except Exception as problem:
            said = "%s: %s" % (type(problem).__name__, problem)
            return {"key": call["dataset"], "length": None, "problem": said, "frames": frames_of(problem)}

    kept: dict[Any, EvalLoader] = run_lines(lines, cfg, build)[0]
    for key, loader in kept.items():
        loader["key"] = str(key).strip()
    return list(kept.values())


def really_built(
    lines: Lines, call: BuilderCall, words: dict[str, Any], dataset: str, module_name: str
) -> Any:
    """What a builder makes of a call; the dataset is made once, whoever asks for it."""
    function = getattr(importlib.import_module(lines["builders"][call["builder"]]), call["builder"])
    return function(**dict(words, **{dataset: dataset_of(call["dataset"].strip(), module_name)}))


@contextlib.contextmanager
def as_rank(rank: int, world_size: int) -> Iterator[None]:
    """Let torch.distributed say what it would say in this rank; no process group is made."""
    import torch.distributed as dist

    said: dict[str, Callable[..., Any]] = {
        "is_initialized": lambda: world_size > 1,
        "get_rank": lambda *_, **__: rank,
        "get_world_size": lambda *_, **__: world_size,
    }
    real = {name: getattr(dist, name) for name in said}
    vars(dist).update(said)
    try:
        yield
    finally:
        vars(dist).update(real)


def batches_of(loader: Any) -> Any:
    """What yields the batches of indices: the batch sampler where there is one."""
    return loader.batch_sampler if loader.batch_sampler is not None else loader.sampler


def epoch_of(rank: int, loader: Any, dataset: Any) -> tuple[Rank, list[int | None], list[int]]:
    """One rank's first epoch: counts, the number of views in each step, and the samples drawn."""
    sampler = batches_of(loader)
    parts: list[Any] = [getattr(loader, "sampler", None), sampler]
    for part in parts:  # as the training does at the start of an epoch
        if hasattr(part, "set_epoch"):
            part.set_epoch(0)
    views: list[int | None] = []
    drawn: list[int] = []
    for batch in filter(None, map(list, sampler)):  # an empty batch is none
        drawn += [int(index[0]) if isinstance(index, tuple) else int(index) for index in batch]
        views.append(views_of(batch[0], dataset))
    row: Rank = {
        "rank": rank,
        "length": len(loader),
        "batches": len(views),
        "samples": len(drawn),
        "views": dict(sorted(Counter(str(count) for count in views).items())),
    }
    return row, views, drawn


def views_of(index: Any, dataset: Any) -> int | None:
    """The number of views that an index (sample, resolution, views) asks for."""
    choices = getattr(dataset, "num_views", None)
    if isinstance(choices, (list, tuple)):
        return int(choices[index[-1]]) if isinstance(index, tuple) and len(index) > 2 else None
    return None if choices is None else int(choices)


def mixed_share(views: Sequence[list[int | None]]) -> float:
    """The share of the steps in which not all ranks hold the same number of views."""
    steps = list(zip(*views))
    return sum(len(set(step)) > 1 for step in steps) / len(steps) if steps else 0.0


def drawn_at(sampler: object, method: str = "__iter__") -> CodePlace | None:
    """Where a sampler's own class draws, or counts; else where that is defined."""
    place, own = place_of(sampler), vars(type(sampler)).get(method)
    code = getattr(own, "__code__", None)
    return {**place, "line": code.co_firstlineno} if place and code else place


def place_of(instance: object) -> CodePlace | None:
    """File and line of an object's class, None where it has no source."""
    try:
        file = inspect.getsourcefile(type(instance))
        line = inspect.getsourcelines(type(instance))[1]
        return {"path": file, "line": line} if file else None
    except (OSError, TypeError):
        return None
