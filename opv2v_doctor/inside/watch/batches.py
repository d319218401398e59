"""Batches of views: copied, parted, joined, disturbed, and told apart by their content."""

from __future__ import annotations

from typing import Any

from .fingerprints import digest, fingerprints
from .modes import autocast_of
from .samples import views_of


def copied(batch: Any) -> Any:
    """The same views in dictionaries of their own: what a training puts in is not seen in the other."""
    if isinstance(batch, (list, tuple)):
        return type(batch)(dict(view) if isinstance(view, dict) else view for view in batch)
    return dict(batch) if isinstance(batch, dict) else batch


def content(batch: Any) -> str:
    """A hash of all tensors."""
    import torch

    found = [
        (number, key, tuple(value.shape), value)
        for number, view in enumerate(views_of(batch))
        for key, value in sorted(view.items())
        if torch.is_tensor(value)
    ]
    return digest(([entry[:3] for entry in found], fingerprints([entry[3] for entry in found])))


def size(batch: Any) -> int:
    """How many samples the views hold; 0 where they do not agree."""
    import torch

    views = views_of(batch)
    sizes = {
        len(value) for view in views for value in view.values() if torch.is_tensor(value) and value.dim()
    }
    return sizes.pop() if len(sizes) == 1 else 0


def part(batch: Any, number: int) -> list[dict[str, Any]]:
    """One sample of a batch, as a batch."""
    import torch

    whole = size(batch)

    def of(value: Any) -> Any:
        if torch.is_tensor(value) and value.dim():
            return value[number : number + 1]
        if isinstance(value, (list, tuple)) and len(value) == whole:
            return type(value)([value[number]])
        if isinstance(value, (list, tuple)):  # a list of numbers of each sample
            return [of(entry) for entry in value]
        return value

    return [{key: of(value) for key, value in view.items()} for view in views_of(batch)]


def disturbed(batch: Any, share: float) -> Any:
    """The batch with its images rounded otherwise: each number is another by this share of itself."""
    import torch

    other = copied(batch)
    for view in views_of(other):
        for key, value in view.items():
            if key.startswith("img") and torch.is_tensor(value) and value.is_floating_point():
                signs = torch.arange(value.numel(), device=value.device).reshape(value.shape) % 2 * 2 - 1
                view[key] = value * (1 + share * signs)
    return other


def rounding(model: Any) -> float:
    """The relative step of the coarsest precision that the model computes in."""
    import torch

    parameter = next(model.parameters())
    named = autocast_of(parameter.device.type) or str(parameter.dtype).rpartition(".")[2]
    return float(torch.finfo(getattr(torch, named)).eps)
