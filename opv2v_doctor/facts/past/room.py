"""Room: how much space the checkpoints of the launch need, and what their disk has."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.launch.config import config, run_directory
from opv2v_doctor.facts.past.checkpoints.unreadable import stand_in
from opv2v_doctor.facts.past.runs import checkpoints
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text

MIB = 1 << 20
STATES_PER_WEIGHT = 3  # AdamW keeps two numbers beside each weight


@dataclass(frozen=True, kw_only=True)
class Room:
    """Free space where the checkpoints will go, and what they will take."""

    folder: Path  # the nearest one that exists
    free: int
    checkpoint: int  # bytes of one
    measured_on: Path  # the file that says how large one is
    estimated: bool  # from the pretrained weights, not from a checkpoint
    count: int
    there: int  # bytes of the checkpoints that the run directory holds already

    @property
    def needed(self) -> int:
        """What is still to be written."""
        return max(0, self.checkpoint * self.count - self.there)

    @property
    def text(self) -> Text:
        """Both, and how large a checkpoint was taken to be."""
        return Text(
            "{free_mib:,.0f} MiB free in {folder}, {needed_mib:,.1f} MiB still needed for "
            "{count:checkpoint|checkpoints} of {each_mib:,.1f} MiB ({basis})",
            free_mib=self.free / MIB,
            folder=self.folder,
            needed_mib=self.needed / MIB,
            count=self.count,
            each_mib=self.checkpoint / MIB,
            basis=Text(
                "{times} times {file}" if self.estimated else "the size of {file}",
                times=STATES_PER_WEIGHT,
                file=self.measured_on.name,
            ),
        )


@fact
def room(target: Target) -> Room | None:
    """The room for the checkpoints to come; None where nothing tells how large one will be.

    Raises Blocked where nothing tells how many there will be.
    """
    sized = _sized_by(target)
    if sized is None:
        return None
    wanted = target.cwd / run_directory(target)
    folder = next(place for place in (wanted, *wanted.parents) if _is(Path.is_dir, place))
    path, factor = sized
    return Room(
        folder=folder,
        free=shutil.disk_usage(folder).free,
        checkpoint=path.stat().st_size * factor,
        measured_on=path,
        estimated=factor > 1,
        count=_checkpoint_count(target),
        there=sum(file.stat().st_size for file in wanted.glob("checkpoint-*.pth") if file.is_file()),
    )


def _sized_by(target: Target) -> tuple[Path, int] | None:
    """The file that tells a checkpoint's size, and by what to multiply its own.

    The final checkpoint holds no optimizer, so it tells less than the others.
    """
    ours = [path for path in checkpoints(target) if _has_size(path) and path.name != "checkpoint-final.pth"]
    if ours:
        return max(ours, key=lambda path: path.stat().st_mtime), 1
    paths = [target.cwd / word for word in _words(config(target).get("model", {}))]
    weights = [path for path in paths if path.suffix in (".pth", ".pt", ".safetensors") and _has_size(path)]
    return (max(weights, key=lambda path: path.stat().st_size), STATES_PER_WEIGHT) if weights else None


def _has_size(path: Path) -> bool:
    """Whether a file is there whose size tells something: not an empty one, nor a pointer to Git LFS."""
    return _is(Path.is_file, path) and path.stat().st_size > 0 and not stand_in(path)


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    """Whether a path is of a kind; it is of none in a folder that may not be entered."""
    try:
        return kind(path)
    except OSError:
        return False


def _words(node: Any) -> Iterator[str]:
    """All strings of a part of the config."""
    children: Iterable[Any] = (
        node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    )
    if isinstance(node, str):
        yield node
    for child in children:
        yield from _words(child)


def _checkpoint_count(target: Target) -> int:
    """The numbered ones, and last, best, final, and the temporary file of a save."""
    epochs, every = (config(target).number(f"train_params.{key}") for key in ("epochs", "keep_freq"))
    if every and epochs is None:
        raise Blocked("the config has no train_params.epochs: the number of checkpoints is unknown")
    return (int((epochs or 0) // every) if every and every > 0 else 0) + 4
