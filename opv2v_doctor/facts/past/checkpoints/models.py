"""Models: the weights in a checkpoint of torch.save, in a safetensors file, or in the shards of either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.past.checkpoints.archives import Archive, ArchiveDamaged, open_archive
from opv2v_doctor.facts.past.checkpoints.safetensors import looks_like_safetensors, open_safetensors
from opv2v_doctor.facts.past.checkpoints.shards import Sharded, shards_of
from opv2v_doctor.facts.past.checkpoints.tensors import Tensor, is_tensor, kind_unread, tensor
from opv2v_doctor.facts.past.checkpoints.unreadable import CheckpointUnreadable, reasons
from opv2v_doctor.facts.past.checkpoints.weights import TORCH, Chunks, NumberKind, Weight, Weights
from opv2v_doctor.facts.past.pickles import walk
from opv2v_doctor.facts.past.pickles.machine import RecordedCall
from opv2v_doctor.foreign_files import open_file

MODELS = ("model", "state_dict", "model_state_dict", "module")  # where a training keeps its model
UNKNOWN = NumberKind("unknown", 1)


def model_of(root: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The table of a model's tensors in what torch.save wrote: a part of it, or all of it."""
    for name in MODELS:
        part = root.get(name)
        table = part.entries if isinstance(part, RecordedCall) else part
        if isinstance(table, dict):
            return table
    return root if any(map(is_tensor, root.values())) else {}


@contextmanager
def open_weights(path: Path) -> Iterator[Weights]:
    """The weights of any file, or of the shards that it is one of. Raises CheckpointUnreadable."""
    with reasons(path), ExitStack() as stack:
        parts = shards_of(path)
        files = _shards(parts) if parts else [path]
        found = [stack.enter_context(_open(file)) for file in files]
        tensors = {name: weight for weights in found for name, weight in weights.tensors.items()}
        if len(tensors) < sum(len(weights.tensors) for weights in found):
            raise ArchiveDamaged("two shards hold a tensor of the same name")
        yield Weights(size=sum(weights.size for weights in found), tensors=tensors)


def _shards(parts: Sharded) -> tuple[Path, ...]:
    if refusal := parts.refusal:
        raise refusal
    return parts.shards


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do."""
    with open_file(path) as file:
        return looks_like_safetensors(file.read(16))


@contextmanager
def _open(path: Path) -> Iterator[Weights]:
    if not path.is_file():
        raise CheckpointUnreadable("not a file" if path.exists() else "no such file")
    if is_safetensors(path):
        with open_safetensors(path) as weights:
            yield weights
        return
    with open_archive(path) as archive:
        archive.verify()
        root = walk(archive.read("data.pkl")).root
        table = root.entries if isinstance(root, RecordedCall) else root
        if not isinstance(table, dict):
            raise ArchiveDamaged("holds no dictionary: not a checkpoint")
        yield Weights(size=archive.size, tensors=dict(_weights(archive, model_of(table))))


def _weights(archive: Archive, table: Mapping[Any, Any]) -> Iterator[tuple[str, Weight]]:
    for name, value in table.items():
        found = tensor(value)
        kind = kind_unread(value)
        if found is not None and isinstance(name, str):
            yield name, _weight(archive, name, found)
        elif kind and isinstance(name, str):
            yield name, Weight(name, NumberKind(kind, 1), (0,), (1,), 0, lambda *_: iter(()))


def _weight(archive: Archive, name: str, found: Tensor) -> Weight:
    kind = TORCH.get(found.kind, UNKNOWN)
    start = found.offset * kind.width
    member = f"data/{found.key}"
    return Weight(
        name,
        kind,
        found.shape,
        found.strides,
        start,
        _chunks(archive, member),
        archive.big_endian,
        start if archive.is_packed(member) else 0,
    )


def _chunks(archive: Archive, member: str) -> Chunks:
    def chunks(first: int, length: int, most: int) -> Iterator[bytes]:
        return archive.chunks(member, first, length, most)

    return chunks
