"""The largest batch that a sampler can draw: it is met in some epoch, and needs the most memory."""

from __future__ import annotations

import random
import sys
from typing import Any

from .samples import views_of

LOOKED_AT = 2000  # batches of indices: an epoch of a small dataset, and a third of one of 40 000 samples
MOST_KINDS = 12  # batches that are loaded


def largest_batch(loader: Any) -> tuple[Any, dict[str, Any]]:
    """The batch of the most numbers among one of each kind; and how many kinds were seen.

    A kind is what the indices of a batch have in common: their number, and what they hold beside the sample
    (the resolution, the number of views). The sampler's random numbers are given back.
    """
    kinds = kinds_of(loader)
    dataset, collate = loader.dataset, getattr(loader, "collate_fn", None)
    best: tuple[int, Any] = (-1, None)
    for indices in list(kinds.values())[:MOST_KINDS]:
        items = fetched(dataset, indices)
        batch = collate(items) if collate is not None else items
        best = max(best, (numbers_of(batch), batch), key=lambda one: one[0])
    return best[1], {"kinds": len(kinds), "numbers": best[0], "views": len(views_of(best[1]))}


def kinds_of(loader: Any) -> dict[Any, Any]:
    """One batch of indices of each kind."""
    torch = sys.modules["torch"]
    sampler = getattr(loader, "batch_sampler", None) or loader.sampler
    found: dict[Any, Any] = {}
    kept, own = torch.get_rng_state(), random.getstate()
    try:
        for _, indices in zip(range(LOOKED_AT), sampler):
            many = indices if isinstance(indices, (list, tuple)) and not is_index(indices) else [indices]
            beside = tuple(index[1:] for index in many[:1] if is_index(index))
            found.setdefault((len(many), beside), indices)
    finally:
        torch.set_rng_state(kept)
        random.setstate(own)
    return found


def is_index(value: Any) -> bool:
    """Whether it is one index with features, like (sample, resolution, views)."""
    return isinstance(value, tuple) and all(isinstance(part, int) for part in value)


def fetched(dataset: Any, indices: Any) -> Any:
    """What the loader's own fetcher would get of the dataset."""
    if hasattr(dataset, "__getitems__"):
        return dataset.__getitems__(indices)
    return [dataset[index] for index in indices] if isinstance(indices, list) else dataset[indices]


def numbers_of(batch: Any) -> int:
    """How many numbers its tensors hold."""
    torch = sys.modules["torch"]
    return sum(value.numel() for view in views_of(batch) for value in view.values() if torch.is_tensor(value))
