"""JSON lines: the statistics of whole epochs, in a file of their own (log.txt) or between other lines."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from opv2v_doctor.facts.past.logs.metric_rows import NO_EPOCH, MetricRows
from opv2v_doctor.foreign_files import from_json

NO_STEP = -1
STEPS = ("step", "global_step", "iteration", "iter", "_step")  # what counts steps, the first of them
EVALUATIONS = ("test_", "val_", "valid_", "validation_", "eval_")
_written = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d{1,3})?|nan|inf(?:inity)?)", re.IGNORECASE)
LONGEST = 1 << 20  # bytes


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """The statistics of one line: of the training, and of each test set."""

    epoch: int
    values: dict[str, float]
    step: int = NO_STEP


def statistics(text: bytes, before: int = 0) -> Statistics | None:
    """A line's statistics; None where it is not an object with an epoch, a step, or a loss.

    A line that counts neither epochs nor steps is that of the next epoch: `before` are before it.
    """
    if not text.lstrip().startswith(b'{"') or len(text) > LONGEST:
        return None
    try:
        found = from_json(text)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    numbers = {str(name): number for name, value in found.items() if (number := _number(value)) is not None}
    step = next((int(numbers[name]) for name in STEPS if _counts(numbers.get(name))), NO_STEP)
    epoch = numbers.get("epoch")
    values = {name: value for name, value in numbers.items() if name not in ("epoch", *STEPS)}
    if _counts(epoch) and (float(epoch or 0) % 1 == 0 or step != NO_STEP):
        step = NO_STEP if float(epoch or 0) % 1 == 0 else step
        return Statistics(epoch=int(epoch or 0), step=step, values=values)
    if "epoch" in found or not any("loss" in name for name in values):
        return None
    return Statistics(epoch=before if step == NO_STEP else 0, step=step, values=values)


def _counts(number: float | None) -> bool:
    return number is not None and 0 <= number < 1 << 31


def _number(value: object) -> float | None:
    """A number, also one that was written as text; of a list the first, which COCO's are summed up by."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str) and _written.fullmatch(value):
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def runs_of(found: Statistics, line: int, shifted: bool) -> list[MetricRows]:
    """The statistics as runs of one line without a step.

    `shifted`: the file counts epochs from its first line `{"epoch": 0}`, so that line n+1 holds what epoch n
    trained; the epoch of the tests is the line's own, as in the log.
    """
    values = found.values
    train = {
        name.removeprefix("train_"): value for name, value in values.items() if name.startswith("train_")
    }
    rest = {name: value for name, value in values.items() if not name.startswith("train_")}
    sets = _test_sets(rest)
    if not train:  # then what names no set is the training's
        train = {name: value for name, value in rest.items() if not name.startswith(tuple(sets))}
        train = train if any("loss" in name for name in train) else {}
    runs = [_run("train", found.epoch - shifted, found.step, line, train)] if train else []
    for prefix in sets:
        ours = {name.removeprefix(prefix): rest[name] for name in rest if name.startswith(prefix)}
        if ours:
            runs.append(_run("test", found.epoch, NO_STEP, line, ours))
    return runs


def _test_sets(values: dict[str, float]) -> list[str]:
    """The prefixes of the test sets: what stands before `loss_med`, or before `loss`."""
    named = [name.removesuffix("loss_med") for name in values if name.endswith("loss_med")]
    sets = [prefix for prefix in named if f"{prefix}loss_avg" in values]
    shortest = [one for one in sets if not any(one != other and one.startswith(other) for other in sets)]
    return shortest or [one for one in EVALUATIONS if any(name.startswith(one) for name in values)][:1]


def _run(phase: str, epoch: int, step: int, line: int, values: dict[str, float]) -> MetricRows:
    """One line: `NAME_avg` and `NAME_med` are average and median of one metric."""
    pairs = {name.removesuffix("_med") for name in values if name.endswith("_med")}
    pairs = {name for name in pairs if f"{name}_avg" in values}
    single = [name for name in values if not (name[-4:] in ("_avg", "_med") and name[:-4] in pairs)]
    names = list(dict.fromkeys(name if name in single else name[:-4] for name in values))
    medians = [values[f"{name}_med"] if name in pairs else values[name] for name in names]
    averages = [values[f"{name}_avg"] if name in pairs else values[name] for name in names]
    return MetricRows(
        phase=phase,
        steps=0,
        names=tuple(names),
        averaged=np.ones(len(names), np.bool_),
        epoch=np.array([max(epoch, NO_EPOCH)], np.int64),
        step=np.array([step], np.int64),
        line=np.array([line], np.int64),
        medians=np.array([medians], np.float64),
        averages=np.array([averages], np.float64),
    )
