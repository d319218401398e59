"""Sketches of tensors: a few random projections each, which add up as the tensors do and tell their distance.

The projections of a difference have the mean square of its norm (Johnson and Lindenstrauss), whatever its
direction: two gradients that are equally long and point elsewhere differ in them.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Iterable

if TYPE_CHECKING:
    from torch import Tensor

NUMBER = 4  # projections of a tensor


def sketches(tensors: Iterable[tuple[str, Tensor | None]]) -> dict[str, list[float]]:
    """{name: its projections, and its norm last}; the same name is always projected alike.

    What is None is left out. One wait for the device in all.
    """
    import torch

    found: dict[str, Any] = {}
    with torch.no_grad():
        for name, tensor in tensors:
            if tensor is not None:
                found[name] = projected(tensor.detach(), zlib.crc32(name.encode()))
        if not found:
            return {}
        stacked = torch.stack([row.to("cpu", torch.float64) for row in found.values()])
    return dict(zip(found, stacked.tolist()))


def projected(tensor: Tensor, seed: int) -> Tensor:
    import torch

    dense = tensor.to_dense() if tensor.layout != torch.strided else tensor
    flat = dense.reshape(-1).float()
    random = torch.Generator(device=flat.device).manual_seed(seed)
    rows = [torch.randn(flat.shape, generator=random, device=flat.device).dot(flat) for _ in range(NUMBER)]
    return torch.stack([*rows, flat.norm()])
