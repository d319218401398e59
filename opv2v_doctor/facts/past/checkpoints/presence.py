"""Presence: whether the file holds every tensor that its pickle names, each at its full length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from opv2v_doctor.facts.past.checkpoints import Checkpoint
from opv2v_doctor.facts.past.checkpoints.archives import Archive, open_archive
from opv2v_doctor.facts.past.checkpoints.models import UNKNOWN, model_of
from opv2v_doctor.facts.past.checkpoints.tensors import Tensor, tensor
from opv2v_doctor.facts.past.checkpoints.unreadable import reasons
from opv2v_doctor.facts.past.checkpoints.weights import TORCH
from opv2v_doctor.facts.past.pickles.machine import RecordedCall, ascii_excerpt
from opv2v_doctor.text import Text


@dataclass(frozen=True, kw_only=True)
class Presence:
    """The tensors of model and optimizer: how many the pickle names, and which are not there as a whole."""

    tensors: int
    absent: tuple[Text, ...]


def presence(checkpoint: Checkpoint) -> Presence:
    """Compare the pickle with the archive's directory; no value is read. Raises CheckpointUnreadable."""
    with reasons(checkpoint.path), open_archive(checkpoint.path) as archive:
        archive.verify()
        found = [(name, one) for name, value in _candidates(checkpoint) if (one := tensor(value)) is not None]
        absent = (_absence(name, one, archive) for name, one in found)
        return Presence(tensors=len(found), absent=tuple(text for text in absent if text is not None))


def _candidates(checkpoint: Checkpoint) -> Iterator[tuple[str, Any]]:
    """All that may be a tensor, with a name that a reader can find it by."""
    for name, value in model_of(checkpoint.root).items():
        yield _spoken(name), value
    states = _items(dict(_items(checkpoint.root.get("optimizer"))).get("state"))
    for parameter, state in states:
        for name, value in _items(state):
            yield f"optimizer {_spoken(parameter)}.{_spoken(name)}", value


def _spoken(key: Any) -> str:
    """A key as text; of what is no name only its type: a tuple of tuples may be larger than any memory."""
    return str(key) if isinstance(key, str | int) else type(key).__name__


def _items(table: Any) -> list[tuple[Any, Any]]:
    """The entries of a dictionary of any kind; none of anything else."""
    entries = table.entries if isinstance(table, RecordedCall) else table
    return list(entries.items()) if isinstance(entries, dict) else []


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
