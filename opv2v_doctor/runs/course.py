"""The course of a training: what its watch, its log.txt and its checkpoints tell of each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opv2v_doctor.runs.alarms import loss_of
from opv2v_doctor.runs.milestones import SAVED, STATISTICS, json_lines
from opv2v_doctor.runs.vitals import EVENTS


@dataclass
class Epoch:
    """What is known of one epoch; losses and masks by split, the first named train."""

    steps: int | None = None
    rates: dict[str, float] = field(default_factory=dict)  # by parameter group, at its start
    losses: dict[str, float] = field(default_factory=dict)
    masks: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)  # (predicted, true)


@dataclass(frozen=True, kw_only=True)
class Course:
    """The epochs of a run by number, the length of its training loader, and its saves in their order."""

    epochs: Mapping[int, Epoch]
    length: int | None
    saves: tuple[Mapping[str, Any], ...]

    @property
    def splits(self) -> list[str]:
        """What was evaluated."""
        found = dict.fromkeys(split for epoch in self.epochs.values() for split in epoch.losses)
        return [split for split in found if split != "train"]


def course_of(run: Path) -> Course:
    """Reads what a run directory holds by now. Of an epoch that was made twice the later one counts."""
    epochs: dict[int, Epoch] = {}
    length = None
    for line in json_lines(run / STATISTICS):
        _take_statistics(epochs, line)
    for event in json_lines(run / EVENTS):
        if event.get("rank") != 0:
            continue
        if event.get("event") == "loader" and str(event.get("name")).startswith("train"):
            length = event.get("length")
        number = event.get("epoch")
        if isinstance(number, int):
            _take(epochs.setdefault(number, Epoch()), event)
    saves = tuple(json_lines(run / SAVED))
    known = {number: epoch for number, epoch in sorted(epochs.items()) if epoch != Epoch()}
    return Course(epochs=known, length=length if isinstance(length, int) else None, saves=saves)


def _take(epoch: Epoch, event: Mapping[str, Any]) -> None:
    split = str(event.get("split"))
    match event.get("event"):
        case "epoch":
            epoch.steps = event.get("steps")
            epoch.rates = _numbers(event.get("lr"))
        case "averages":
            loss = loss_of(_numbers(event.get("values")))
            if loss is not None:
                epoch.losses[split] = loss
        case "masks":
            epoch.masks[split] = (_number(event.get("pred_mask_mean")), _number(event.get("gt_mask_mean")))


def _take_statistics(epochs: dict[int, Epoch], line: Mapping[str, Any]) -> None:
    """A line of log.txt: the evaluations at an epoch, and the averages of the training before it."""
    number = line.get("epoch")
    if not isinstance(number, int):
        return
    groups: dict[str, dict[str, float]] = {}
    for name, value in line.items():
        split, _, rest = str(name).rpartition("_loss")
        if split and rest in ("", "_avg", "_med") and _number(value) is not None:
            groups.setdefault(split, {})[f"loss{rest}"] = float(value)
    for split, values in groups.items():
        if any(split.startswith(f"{other}_") for other in groups):  # a part of that one's loss
            continue
        loss = loss_of(values)
        if loss is not None and split == "train":
            epochs.setdefault(number - 1, Epoch()).losses[split] = loss
        elif loss is not None:
            epochs.setdefault(number, Epoch()).losses[f"test_{split.removeprefix('test_')}"] = loss


def _numbers(value: object) -> dict[str, float]:
    found = value.items() if isinstance(value, Mapping) else ()
    return {str(name): float(number) for name, number in found if _number(number) is not None}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
