"""Going on with a run: what must be as it was, what may differ and is said, and what would start anew."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.facts.launch.config import config
from opv2v_doctor.facts.past.checkpoints import Checkpoint, read_checkpoint
from opv2v_doctor.facts.past.checkpoints.counters import counters
from opv2v_doctor.facts.past.checkpoints.unreadable import CheckpointUnreadable
from opv2v_doctor.facts.past.runs import LAST, epoch_lengths, number_of
from opv2v_doctor.runs import configuration, processes
from opv2v_doctor.runs.record import Run, Stamp
from opv2v_doctor.target import Target


@dataclass(frozen=True, kw_only=True)
class Remark:
    """One thing to say about a resume; an obstacle stands in its way until it is cured, or forced."""

    text: str
    cure: str = ""

    @property
    def is_obstacle(self) -> bool:
        return bool(self.cure)

    def __str__(self) -> str:
        return f"{self.text}\n  -> {self.cure}" if self.cure else self.text


def remarks(target: Target, run: Run, now: Stamp) -> Iterator[Remark]:
    """Everything worth saying about going on with a run from here."""
    yield from _alive(run)
    yield from _code(run.last.stamp, now)
    yield from _config(target, run)
    yield from _length(run.stamp, now)
    yield from _checkpoint(target, run)


def _alive(run: Run) -> Iterator[Remark]:
    token = run.last.token
    living = sorted(processes.of_launch(token)) if token else []
    if living:
        words = " ".join(map(str, living))
        yield Remark(text=f"processes of the last launch still run: {words}", cure=f"kill -9 {words}")


def _code(before: Stamp, now: Stamp) -> Iterator[Remark]:
    if before.commit is None or now.commit is None:
        reason = before.without_commit if before.commit is None else now.without_commit
        yield Remark(text=f"whether the code is the same cannot be told: {reason or 'no commit was stamped'}")
    elif before.commit != now.commit:
        yield Remark(text=f"the commit differs: {before.commit[:12]} -> {now.commit[:12]}")
    if before.files.get("diff.patch", "") != now.files.get("diff.patch", "") and before.files:
        changed = sorted({*before.dirty} ^ {*now.dirty}) or sorted({*before.dirty, *now.dirty})
        yield Remark(
            text=f"changes that are not committed differ: {', '.join(changed[:5]) or 'untracked code'}"
        )
    moved = [name for name, file in now.modules.items() if before.modules.get(name, file) != file]
    for name in moved:
        yield Remark(text=f"{name} now comes from {now.modules[name]}, then from {before.modules[name]}")


def _config(target: Target, run: Run) -> Iterator[Remark]:
    file = stamped_config(run)
    if file is None:
        yield Remark(text="no config was stamped: what differs cannot be told")
        return
    before, now = configuration.read_config(file), configuration.values_of(target, run.path)
    if not run.is_stamped:  # what Hydra left behind holds interpolations, and its own part is elsewhere
        now = {key: value for key, value in now.items() if key in before}
    for difference in configuration.differences(before, now):
        yield Remark(text=f"config differs: {difference}")


def stamped_config(run: Run) -> Path | None:
    """The config of a run's last launch: stamped, or what Hydra left behind."""
    places = [run.path / run.last.folder / configuration.FILE, run.path / ".hydra" / configuration.FILE]
    return next((place for place in places if place.is_file()), None)


def _length(before: Stamp, now: Stamp) -> Iterator[Remark]:
    """World size and steps an epoch: the schedule and the counters depend on both."""
    if before.world_size and now.world_size != before.world_size:
        yield Remark(
            text=f"{now.world_size} GPUs, the run had {before.world_size}",
            cure=f"--gpus {before.world_size}, or --force REASON",
        )
    steps = (before.steps_per_epoch, now.steps_per_epoch)
    if None not in steps and steps[0] != steps[1]:
        yield Remark(
            text=f"{steps[1]} steps an epoch, the run had {steps[0]}: the learning rate would jump",
            cure=f"the dataset config of the run ({_dataset(before)}), or --force REASON",
        )


def _dataset(stamp: Stamp) -> str:
    chosen = [word for word in stamp.overrides if word.startswith(("dataset=", "dataset.train_dataset="))]
    return " ".join(map(shlex.quote, chosen)) or "its default"


def _checkpoint(target: Target, run: Run) -> Iterator[Remark]:
    """Whether the training will find what it goes on from, and whether its counters agree."""
    last, others = run.path / LAST, _others(run.path)
    if not config(target).get("train_params.resume", True):
        yield Remark(
            text="train_params.resume is false: it would begin anew", cure="train_params.resume=True"
        )
    try:
        checkpoint = read_checkpoint(last)
    except CheckpointUnreadable as problem:
        if not last.exists() and not last.is_symlink() and not others:
            yield Remark(text="no checkpoint yet: it begins with epoch 0")
        else:
            best = f"cp {shlex.quote(str(others[-1]))} {shlex.quote(str(last))}" if others else "another run"
            yield Remark(text=f"{last}: {problem}: the training cannot go on from it", cure=best)
        return
    yield Remark(text=f"goes on after {checkpoint.counted}, with epoch {(checkpoint.epoch or 0) + 1}")
    yield from _counters(run, checkpoint)


def _others(path: Path) -> list[Path]:
    """The numbered checkpoints that can be read, the latest last."""
    found = [file for file in path.glob("checkpoint-*.pth") if number_of(file) is not None]
    return [file for file in sorted(found, key=lambda file: number_of(file) or 0) if _readable(file)]


def _readable(path: Path) -> bool:
    try:
        read_checkpoint(path)
    except CheckpointUnreadable:
        return False
    return True


def _counters(run: Run, checkpoint: Checkpoint) -> Iterator[Remark]:
    usual = run.stamp.steps_per_epoch
    if usual is None or checkpoint.optimizer_steps is None:
        return
    found = counters(checkpoint, epoch_lengths(run.path), usual)
    if not found.agree:
        yield Remark(
            text=f"{checkpoint.path}: {checkpoint.counted}, its epochs give {found.expected} ({found.sum})",
            cure="a checkpoint whose counters agree, or --force REASON",
        )
