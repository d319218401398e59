"""JSON lines: the statistics of whole epochs, in a file of their own (log.txt) or between other lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opv2v_doctor.facts.past.logs.metric_rows import NO_EPOCH, MetricRows
from opv2v_doctor.foreign_files import from_json

NO_STEP = -1
LONGEST = 1 << 20  # bytes


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """The statistics of one line: of the training, and of each test set."""

    epoch: int
    values: dict[str, float]


def statistics(text: bytes) -> Statistics | None:
    """A line's statistics; None where it is not an object with an epoch and numbers only beside it."""
    if not text.lstrip().startswith(b'{"') or len(text) > LONGEST:
        return None
    try:
        found = from_json(text)
    except ValueError:
        return None
    epoch = found.get("epoch") if isinstance(found, dict) else None
    if not isinstance(epoch, int) or isinstance(epoch, bool) or not 0 <= epoch < 1 << 31:
        return None
    return Statistics(
        epoch=epoch, values={name: float(value) for name, value in found.items() if _is_number(value)}
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def runs_of(found: Statistics, line: int, shifted: bool) -> list[MetricRows]:
    """The statistics as runs of one line without a step.

    `shifted`: the file counts epochs from its first line `{"epoch": 0}`, so that line n+1 holds what epoch n
    trained; the epoch of the tests is the line's own, as in the log.
    """
    values = {name: value for name, value in found.values.items() if name != "epoch"}
    train = {
        name.removeprefix("train_"): value for name, value in values.items() if name.startswith("train_")
    }
    rest = {name: value for name, value in values.items() if not name.startswith("train_")}
    runs = [_run("train", found.epoch - shifted, line, train)] if train else []
    for prefix in _test_sets(rest):
        ours = {name.removeprefix(prefix): rest[name] for name in rest if name.startswith(prefix)}
        if ours:
            runs.append(_run("test", found.epoch, line, ours))
    return runs


def _test_sets(values: dict[str, float]) -> list[str]:
    """The prefixes of the test sets: what stands before `loss_med`, or before `loss`."""
    named = [name.removesuffix("loss_med") for name in values if name.endswith("loss_med")]
    sets = [prefix for prefix in named if f"{prefix}loss_avg" in values]
    shortest = [one for one in sets if not any(one != other and one.startswith(other) for other in sets)]
    return shortest or (["test_"] if any(name.startswith("test_") for name in values) else [])


def _run(phase: str, epoch: int, line: int, values: dict[str, float]) -> MetricRows:
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
        step=np.array([NO_STEP], np.int64),
        line=np.array([line], np.int64),
        medians=np.array([medians], np.float64),
        averages=np.array([averages], np.float64),
    )
