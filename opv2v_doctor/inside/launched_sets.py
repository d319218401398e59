"""The sets that a launch trains and is evaluated on, and samples of them as its loaders give them."""

from __future__ import annotations

import functools
import json
from typing import Any

from .launched import Epoch, Launched, LaunchWords, launched
from .loaders import batches_of
from .samples import SEED, begin, leaves


def chosen_set(asked: Launched, splits: list[str]) -> Epoch | None:
    """The evaluation of a set that reads one of these folders, else the first one."""
    own = [epoch for epoch in asked.tests if set(splits) & set(splits_of(epoch["loader"]))]
    return next(iter([*own, *asked.tests]), None)


def splits_of(loader: Any) -> list[str]:
    return sorted({str(leaf.split) for leaf in leaves(loader.dataset) if getattr(leaf, "split", None)})


@functools.lru_cache(maxsize=4)
def _drawn(text: str, part: str, splits: tuple[str, ...], count: int) -> list[list[dict[str, Any]]]:
    asked = launched(json.loads(text))
    epoch = asked.train if part == "train" else chosen_set(asked, list(splits))
    return spread(epoch["loader"], count) if epoch else []


def samples_of(launch: LaunchWords, part: str, splits: list[str], count: int) -> list[list[dict[str, Any]]]:
    """Samples, each a batch of one, spread over an epoch of a loader."""
    return _drawn(json.dumps(launch, sort_keys=True), part, tuple(splits), count)


def spread(loader: Any, count: int) -> list[list[dict[str, Any]]]:
    keys = keys_of(loader)
    count = min(count, len(keys))
    wanted = [keys[number * len(keys) // count] for number in range(count)]
    return [collated(loader, [key]) for key in wanted]


def keys_of(loader: Any, epoch: int = 0) -> list[Any]:
    """What the loader asks its dataset for in an epoch, in its order."""
    begin(loader.dataset, SEED, epoch)
    parts: list[Any] = [getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)]
    for part in parts:
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)
    flat: list[Any] = []
    for batch in batches_of(loader):
        flat += batch if isinstance(batch, list) else [batch]
    if not flat:
        raise RuntimeError("the loader has no sample")
    return flat


def collated(loader: Any, keys: list[Any]) -> list[dict[str, Any]]:
    dataset = loader.dataset
    drawn = dataset.__getitems__(keys) if hasattr(dataset, "__getitems__") else [dataset[key] for key in keys]
    batch: list[dict[str, Any]] = loader.collate_fn(drawn)
    return batch
