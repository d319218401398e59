"""Fingerprints of tensors: one number each, which a single changed bit changes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Sequence

if TYPE_CHECKING:
    from torch import Tensor

INTEGERS = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}


def fingerprints(tensors: Sequence[Tensor]) -> list[int]:
    """The sum of the bits of each tensor, as integers; one wait for the device in all."""
    import torch

    with torch.no_grad():
        sums = [as_integers(tensor).sum(dtype=torch.int64) for tensor in tensors]
        if not sums:
            return []
        stacked: list[int] = torch.stack([number.to(sums[0].device) for number in sums]).tolist()
        return stacked


def as_integers(tensor: Tensor) -> Tensor:
    """The same bits, read as integers."""
    import torch

    tensor = tensor.detach()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    if tensor.layout != torch.strided or tensor.element_size() not in INTEGERS:
        tensor = tensor.to_dense().float()
    return tensor.view(getattr(torch, INTEGERS[tensor.element_size()]))


def digest(value: object) -> str:
    """A short hash of anything that has a faithful `repr`."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]
