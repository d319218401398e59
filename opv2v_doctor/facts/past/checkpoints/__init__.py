"""Checkpoints: what `torch.save` wrote, read without running what is in it and without its tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.past.checkpoints.archives import Archive, ArchiveDamaged, open_archive
from opv2v_doctor.facts.past.checkpoints.arguments import plain
from opv2v_doctor.facts.past.checkpoints.models import model_of, optimizers_of
from opv2v_doctor.facts.past.checkpoints.tensors import is_tensor, number, shape_of, tensor
from opv2v_doctor.facts.past.checkpoints.unreadable import CheckpointUnreadable, reasons
from opv2v_doctor.facts.past.pickles import Pickle, walk
from opv2v_doctor.facts.past.pickles.harmless import is_accepted, is_harmless
from opv2v_doctor.facts.past.pickles.machine import PickleRefused, RecordedCall, ascii_excerpt
from opv2v_doctor.facts.past.runs import BEST, LAST, number_of, saved_checkpoints
from opv2v_doctor.state import of_file
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text

__all__ = ["Checkpoint", "CheckpointUnreadable", "read_checkpoint", "readable", "resumable", "strangers"]

SAMPLED = 40  # parameters whose step is read: each is a piece of the disk of its own
SCALERS = (  # Lightning's last
    *("scaler", "grad_scaler", "loss_scaler", "amp_scaler", "scaler_state_dict"),
    *("MixedPrecision", "MixedPrecisionPlugin", "native_amp_scaling_state"),
)
GLOBAL_STEPS = ("global_step", "global_steps", "num_updates", "iteration", "step")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One checkpoint: its counters, and the shape of what it holds."""

    path: Path
    size: int
    written: float  # seconds since the epoch
    epoch: int | None
    best_so_far: float | None
    global_step: int | None
    optimizer_steps: tuple[int, int] | None  # AdamW's own counters: least and most over a sample
    learning_rates: tuple[float, ...]  # one a parameter group
    groups: tuple[Mapping[str, Any], ...]  # what the optimizer was told for each parameter group
    trained: int  # parameters that the optimizer was given
    optimizers: int
    has_optimizer: bool
    has_scaler: bool
    loss_scale: float | None  # where the gradient scaler stands; each step that it skips halves it
    refused: tuple[
        str, ...
    ]  # globals that torch.load refuses since torch 2.6, where weights_only is not false
    foreign: tuple[str, ...]  # globals that loading would import, and that no checkpoint needs
    problems: tuple[Text, ...]  # of what was read of its tensors
    root: Mapping[Any, Any] = field(repr=False)  # the walked pickle, for what is not always asked for

    @cached_property
    def args(self) -> Mapping[str, Any] | None:
        """The training's config as plain values, interpolations unresolved."""
        args = plain(self.root["args"]) if "args" in self.root else None
        return args if isinstance(args, dict) else None

    @cached_property
    def world_size(self) -> int | None:
        """The number of processes, wherever the training wrote it down."""
        args = self.args or {}
        tables = [table for table in (self.root, args, args.get("distributed")) if isinstance(table, Mapping)]
        found = (table.get("world_size") for table in tables)
        return next((size for size in found if type(size) is int), None)

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each of the model's tensors."""
        found = map(shape_of, model_of(self.root).values())
        return tuple(shape for shape in found if shape is not None)

    @property
    def tensors(self) -> int:
        return sum(map(is_tensor, model_of(self.root).values()))

    @property
    def part(self) -> str:
        """What the file holds alone, as accelerate saves it; nothing for a checkpoint or a model."""
        alone = {"optimizer": "param_groups", "scheduler": "last_epoch", "scaler": "growth_factor"}
        return "" if self.tensors else next((name for name, key in alone.items() if key in self.root), "")

    @property
    def elements(self) -> int:
        return sum(map(math.prod, self.shapes))

    @property
    def steps(self) -> int:
        """Optimizer steps made: the most of any parameter, since one without a gradient is not counted."""
        return self.optimizer_steps[1] if self.optimizer_steps else 0

    @property
    def progress(self) -> tuple[int, int]:
        """Epoch and steps: the greater, the newer."""
        return self.epoch or 0, self.steps

    def is_behind(self, other: Checkpoint) -> bool:
        """Whether the other one is later, in epochs and, where both count them, in steps."""
        earlier = self.epoch is None or other.epoch is None or self.epoch < other.epoch
        return earlier and (not self.steps or not other.steps or self.steps < other.steps)

    @property
    def counted(self) -> Text:
        """Both counters, to be read."""
        return Text(
            "epoch {epoch} after {steps:step|steps}" if self.steps else "epoch {epoch}",
            epoch=self.epoch,
            steps=self.steps,
        )


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint's counters. Raises CheckpointUnreadable with the reason."""
    with reasons(path):
        path.stat()  # says why, where it cannot be looked at
        if not path.is_file():
            raise CheckpointUnreadable("not a file")
        return _checkpoint_of(path)


def readable(target: Target) -> list[Checkpoint]:
    """The run's checkpoints that can be loaded. Raises Skip where there is none, Blocked where none can."""
    found: list[Checkpoint] = []
    paths = saved_checkpoints(target)
    for path in paths:
        with suppress(CheckpointUnreadable):
            checkpoint = read_checkpoint(path)
            found += [] if strangers(target, checkpoint) else [checkpoint]
    if not found:
        raise Blocked(
            "none of the {n:checkpoint|checkpoints} can be loaded",
            at=paths[0].parent,
            hint="see CKP001 for the reasons",
            n=len(paths),
        )
    return found


def resumable(target: Target) -> list[Checkpoint]:
    """Those that the training saves to resume from, the numbered ones first and in their order."""
    return [c for c in readable(target) if number_of(c.path) is not None or c.path.name in (LAST, BEST)]


def strangers(target: Target, checkpoint: Checkpoint) -> list[str]:
    """Its foreign globals, without the repository's own, which the training imports anyway."""
    return [name for name in checkpoint.foreign if not (target.repo / name.partition(".")[0]).is_dir()]


@of_file(most=64)
def _checkpoint_of(path: Path) -> Checkpoint:
    found = path.stat()
    with open_archive(path) as archive:
        pickle = walk(archive.read("data.pkl"))
        root = pickle.root.entries if isinstance(pickle.root, RecordedCall) else pickle.root
        if not isinstance(root, dict):
            raise PickleRefused("holds no dictionary: not a training checkpoint")
        return _checkpoint(path, found.st_size, found.st_mtime_ns, archive, pickle, root)


def _checkpoint(
    path: Path, size: int, written: int, archive: Archive, pickle: Pickle, root: dict[Any, Any]
) -> Checkpoint:
    """What the walked pickle says; every part may be absent, or be something else."""
    problems: list[Text] = []
    optimizers = optimizers_of(root)
    groups = [_table(group) for optimizer in optimizers.values() for group in optimizer["param_groups"]]
    alone = root if "growth_factor" in root else {}
    scaler = next((_table(root[name]) for name in SCALERS if name in root), alone)
    return Checkpoint(
        path=path,
        size=size,
        written=written / 1e9,
        epoch=_integer(root.get("epoch"), archive),
        best_so_far=number(root.get("best_so_far"), archive),
        global_step=next((_integer(root[name], archive) for name in GLOBAL_STEPS if name in root), None),
        optimizer_steps=_optimizer_steps(optimizers, archive, problems),
        learning_rates=tuple(_learning_rates(groups, archive)),
        groups=tuple(_groups(groups, archive)),
        trained=sum(_length(group.get("params")) for group in groups),
        optimizers=len(optimizers),
        has_optimizer=any(_table(optimizer.get("state")) for optimizer in optimizers.values()),
        has_scaler=any(name in root for name in SCALERS),
        loss_scale=number(scaler.get("scale"), archive),
        refused=tuple(ascii_excerpt(name) for name in pickle.names if not is_accepted(name)),
        foreign=tuple(ascii_excerpt(name) for name in pickle.names if not is_harmless(name)),
        problems=tuple(problems),
        root=root,
    )


def _table(value: Any) -> dict[Any, Any]:
    """A dictionary, be it a plain or an ordered one; an empty one for anything else."""
    if isinstance(value, RecordedCall):
        return value.entries
    return value if isinstance(value, dict) else {}


def _integer(value: Any, archive: Archive) -> int | None:
    """A whole number, be it plain, numpy's or a tensor of one element."""
    found = None if isinstance(value, bool | float) else number(value, archive)
    return int(found) if found is not None and found == found // 1 else None


def _optimizer_steps(
    optimizers: Mapping[str, dict[Any, Any]], archive: Archive, problems: list[Text]
) -> tuple[int, int] | None:
    """The least and the most updates that a parameter got; of many parameters, only a sample is read."""
    steps: list[int] = []
    states = [pair for each in optimizers.values() for pair in _table(each.get("state")).items()]
    for parameter, state in states[:: max(1, len(states) // SAMPLED)] + states[-1:]:
        try:
            step = number(_table(state).get("step"), archive)
        except ArchiveDamaged as problem:
            problems.append(
                Text(
                    "optimizer state {parameter}: {problem}",
                    parameter=ascii_excerpt(str(parameter)),
                    problem=problem.reason,
                )
            )
            continue
        if step is not None and math.isfinite(step):
            steps.append(int(step))
    return (min(steps), max(steps)) if steps else None


def _learning_rates(groups: list[dict[Any, Any]], archive: Archive) -> Iterator[float]:
    for group in groups:
        rate = number(group.get("lr"), archive)
        if rate is not None:
            yield rate


def _groups(groups: list[dict[Any, Any]], archive: Archive) -> Iterator[Mapping[str, Any]]:
    """Each group's values, without its parameters."""
    for group in groups:
        numbers = {key: number(value, archive) for key, value in group.items() if tensor(value)}
        yield plain({key: value for key, value in {**group, **numbers}.items() if key != "params"})


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0
