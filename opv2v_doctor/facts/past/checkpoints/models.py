"""Models: the weights in a checkpoint of torch.save, in a safetensors file, or in the shards of either."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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

MODELS = (
    "model",
    "state_dict",
    "model_state_dict",
    "module",
    "net",
    "network",
    "weights",
)  # where a training keeps its model
MOST_PLACES = 3  # names between the root of a file and an optimizer, or a model's table
UNKNOWN = NumberKind("unknown", 1)


def model_of(root: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The table of a model's tensors in what torch.save wrote: a part of it, or all of it."""
    for name in MODELS:
        part = root.get(name)
        table = part.entries if isinstance(part, RecordedCall) else part
        if isinstance(table, dict):
            return table
    return root if any(map(is_tensor, root.values())) else {}


def optimizers_of(root: Any) -> dict[str, dict[Any, Any]]:
    """Each optimizer's state with the name of its place, by its form: a library may call it what it likes."""
    return dict(_optimizers(root, "", MOST_PLACES, set()))


def _optimizers(value: Any, name: str, depth: int, seen: set[int]) -> Iterator[tuple[str, dict[Any, Any]]]:
    table = value.entries if isinstance(value, RecordedCall) else value
    if id(table) in seen or not isinstance(table, dict | list):
        return
    seen.add(id(table))
    if isinstance(table, dict) and isinstance(table.get("param_groups"), list):
        yield name or "optimizer", table
    elif depth:
        for key, entry in table.items() if isinstance(table, dict) else enumerate(table):
            place = f"{name}.{_spoken(key)}".removeprefix(".")
            yield from _optimizers(entry, place, depth - 1, seen)


def states_of(root: Mapping[Any, Any]) -> dict[str, Any]:
    """The tensors beside the model, by name: `optimizer.exp_avg.0` of moments, `ema.head.weight`."""
    optimizers = optimizers_of(root)
    found = {
        f"{name}.{_spoken(moment)}.{_spoken(parameter)}": value
        for name, optimizer in optimizers.items()
        for parameter, state in _items(optimizer.get("state"))
        for moment, value in _items(state)
        if is_tensor(value)
    }
    seen = {id(table) for table in (model_of(root), *optimizers.values())}
    return found | dict(_tensors(root, "", MOST_PLACES, seen))


def _tensors(value: Any, name: str, depth: int, seen: set[int]) -> Iterator[tuple[str, Any]]:
    table = value.entries if isinstance(value, RecordedCall) else value
    if is_tensor(value):
        yield name, value
    elif depth and isinstance(table, dict | list) and id(table) not in seen:
        seen.add(id(table))
        for key, entry in table.items() if isinstance(table, dict) else enumerate(table):
            yield from _tensors(entry, f"{name}.{_spoken(key)}".removeprefix("."), depth - 1, seen)


def _items(table: Any) -> list[tuple[Any, Any]]:
    """The entries of a dictionary of any kind; none of anything else."""
    entries = table.entries if isinstance(table, RecordedCall) else table
    return list(entries.items()) if isinstance(entries, dict) else []


def _spoken(key: Any) -> str:
    """A key as text; of what is no name only its type: a tuple of tuples may be larger than any memory."""
    return str(key) if isinstance(key, str | int) else type(key).__name__


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


@contextmanager
def open_states(path: Path) -> Iterator[Weights]:
    """What a checkpoint holds beside its model: moments, averages. Raises CheckpointUnreadable."""
    with reasons(path):
        if shards_of(path) or is_safetensors(path):
            yield Weights(size=0, tensors={})
            return
        with _open(path, states_of) as found:
            vectors = {name: weight for name, weight in found.tensors.items() if weight.shape}
            yield Weights(size=found.size, tensors=vectors)  # single numbers are counters


def damaged_members(path: Path) -> list[str]:
    """The members of an archive that do not match their checksum; safetensors have none."""
    with reasons(path):
        if shards_of(path) or is_safetensors(path):
            return []
        with open_archive(path) as archive:
            return archive.damaged()


def _shards(parts: Sharded) -> tuple[Path, ...]:
    if refusal := parts.refusal:
        raise refusal
    return parts.shards


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do."""
    with open_file(path) as file:
        return looks_like_safetensors(file.read(16))


@contextmanager
def _open(path: Path, part: Callable[[Mapping[Any, Any]], Mapping[Any, Any]] = model_of) -> Iterator[Weights]:
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
        yield Weights(size=archive.size, tensors=dict(_weights(archive, part(table))))


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
