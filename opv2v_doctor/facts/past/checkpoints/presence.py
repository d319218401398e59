"""Presence: whether the file holds every tensor that its pickle names, each at its full length."""

from __future__ import annotations

from dataclasses import dataclass

from opv2v_doctor.facts.past.checkpoints import Checkpoint
from opv2v_doctor.facts.past.checkpoints.archives import Archive, open_archive
from opv2v_doctor.facts.past.checkpoints.models import UNKNOWN, model_of, states_of
from opv2v_doctor.facts.past.checkpoints.tensors import Tensor, tensor
from opv2v_doctor.facts.past.checkpoints.unreadable import reasons
from opv2v_doctor.facts.past.checkpoints.weights import TORCH
from opv2v_doctor.facts.past.pickles.machine import ascii_excerpt
from opv2v_doctor.text import Text


@dataclass(frozen=True, kw_only=True)
class Presence:
    """All tensors of a file: how many the pickle names, and which are not there as a whole."""

    tensors: int
    absent: tuple[Text, ...]


def presence(checkpoint: Checkpoint) -> Presence:
    """Compare the pickle with the archive's directory; no value is read. Raises CheckpointUnreadable."""
    with reasons(checkpoint.path), open_archive(checkpoint.path) as archive:
        archive.verify()
        everything = states_of(checkpoint.root)
        everything |= {
            str(name): value
            for name, value in model_of(checkpoint.root).items()
            if isinstance(name, str | int)
        }
        found = [(name, one) for name, value in everything.items() if (one := tensor(value)) is not None]
        absent = (_absence(name, one, archive) for name, one in found)
        return Presence(tensors=len(found), absent=tuple(text for text in absent if text is not None))


def _absence(name: str, found: Tensor, archive: Archive) -> Text | None:
    """What is wrong with the storage of a tensor; None where it is there."""
    member = f"data/{found.key}"
    there = archive.length(member)
    if there is None:
        return Text(
            "{member} of {tensor} is missing", member=ascii_excerpt(member), tensor=ascii_excerpt(name)
        )
    wanted = _elements(found) * TORCH.get(found.kind, UNKNOWN).width
    if wanted <= there:
        return None
    return Text(
        "{member} of {tensor} has {there} of {wanted} bytes",
        member=ascii_excerpt(member),
        tensor=ascii_excerpt(name),
        there=there,
        wanted=wanted,
    )


def _elements(found: Tensor) -> int:
    """Elements of its storage until its last one."""
    if 0 in found.shape:
        return 0
    reach = sum((size - 1) * stride for size, stride in zip(found.shape, found.strides, strict=True))
    return found.offset + 1 + reach
