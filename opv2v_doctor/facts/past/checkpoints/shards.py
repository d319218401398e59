"""Sharded checkpoints told apart: one model in several files, with an index or torch.distributed's."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.past.checkpoints.archives import ArchiveDamaged, NotExaminable
from opv2v_doctor.foreign_files import bytes_of, from_json
from opv2v_doctor.text import Command, Text

LARGEST_INDEX = 64 << 20  # bytes
INDEXES = "*.index.json"
SHOWN = 3  # files that are missing
_shard = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.(?:safetensors|bin|pt|pth)")


@dataclass(frozen=True, kw_only=True)
class Sharded:
    """One model in several files: which there are, and which should be."""

    path: Path  # the index, the folder, or the shard that was named
    form: str  # what wrote it
    shards: tuple[Path, ...]
    missing: tuple[str, ...] = ()
    problem: str = ""  # why its index says nothing

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.shards)

    @property
    def is_distributed(self) -> bool:
        """Whether only what wrote it can put it together."""
        return self.form in (DISTRIBUTED, DEEPSPEED)

    @property
    def refusal(self) -> ArchiveDamaged | None:
        """Why the model cannot be put together, if it cannot."""
        if self.problem:
            return ArchiveDamaged("not an index of shards: {problem}", problem=self.problem)
        if self.missing:
            few = [*self.missing[:SHOWN], *["..."] * (len(self.missing) > SHOWN)]
            return ArchiveDamaged(
                "{n:file is|files are} missing: {missing}", n=len(self.missing), missing=few
            )
        return self._apart() if self.is_distributed else None

    def _apart(self) -> NotExaminable:
        folder = str(self.path)
        joining = ["-m", "torch.distributed.checkpoint.format_utils", "dcp_to_torch", folder, f"{folder}.pth"]
        if self.form == DEEPSPEED:  # it puts its script beside the folders of its checkpoints
            top, tag = self.path.parent.parent, self.path.parent.name
            joining = [str(top / "zero_to_fp32.py"), str(top), f"{top}-fp32", "--tag", tag]
        found = NotExaminable(
            "{n:shard|shards} that {form} wrote: only that can put them together",
            n=len(self.shards),
            form=self.form,
        )
        found.hint = Text("{command}", command=Command(shlex.join(["python", *joining])))
        return found


DISTRIBUTED, DEEPSPEED = "torch.distributed.checkpoint", "DeepSpeed"
_deepspeed = re.compile(r"(bf16_)?zero_pp_rank_\d+_mp_rank_\d+_(model|optim)_states\.pt")


def shards_of(path: Path) -> Sharded | None:
    """What a path is part of; None where it is no sharded checkpoint."""
    if path.is_dir():
        return _torch_distributed(path) or _by_index(path)
    if path.name.endswith(".index.json"):
        return _index(path)
    if _deepspeed.fullmatch(path.name):
        there = sorted(path.parent.glob("*zero_pp_rank_*_states.pt"))
        return Sharded(path=path, form=DEEPSPEED, shards=tuple(there))
    found = _shard.fullmatch(path.name)
    return _by_number(path, found["stem"], int(found["count"])) if found else None


def _torch_distributed(folder: Path) -> Sharded | None:
    shards = tuple(sorted(folder.glob("__*_*.distcp")))
    if not shards and not (folder / ".metadata").is_file():
        return None
    missing = () if (folder / ".metadata").is_file() else (".metadata",)
    return Sharded(path=folder, form=DISTRIBUTED, shards=shards, missing=missing)


def _by_index(folder: Path) -> Sharded | None:
    indexes = sorted(path for path in folder.glob(INDEXES) if path.is_file())
    return _index(indexes[0]) if indexes else None


def _index(path: Path) -> Sharded | None:
    """Hugging Face's index: which tensor is in which file beside it."""
    try:
        if path.stat().st_size > LARGEST_INDEX:
            raise ValueError(f"{path.stat().st_size} bytes")
        table = from_json(bytes_of(path))
        names = sorted({_name(name) for name in table["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        said = f"{type(problem).__name__}: {problem}"
        return Sharded(path=path, form="index", shards=(), problem=said)
    return _beside(path, "index", names)


def _name(name: Any) -> str:
    """A file's name; an index must not lead elsewhere."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w.+-]{1,255}", name) or name.startswith("."):
        raise ValueError(f"a shard named {str(name)[:60]!r}")
    return name


def _by_number(path: Path, stem: str, count: int) -> Sharded:
    names = [f"{stem}-{number:05}-of-{count:05}{path.suffix}" for number in range(1, count + 1)]
    return _beside(path, "numbered files", names)


def _beside(path: Path, form: str, names: list[str]) -> Sharded:
    there = {name: (path.parent / name).is_file() for name in names}
    return Sharded(
        path=path,
        form=form,
        shards=tuple(path.parent / name for name, is_there in there.items() if is_there),
        missing=tuple(name for name, is_there in there.items() if not is_there),
    )
