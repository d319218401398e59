"""The table of logs: one row for each value of each line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.past.logs.kept_lines import Piece

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "segment",
    "phase",
    "epoch",
    "step",
    "steps_per_epoch",
    "metric",
    "median",
    "average",
    "file",
    "line",
)
PHASES = ("train", "test")


def frame_of(logs: Sequence[tuple[str, Sequence[Piece]]]) -> pd.DataFrame:
    """The table of these (file, pieces), in the order of the lines; what a log does not say is missing."""
    import pandas as pd

    filled = _Columns(logs)
    columns: dict[str, Any] = {
        "segment": filled.numbers["segment"],
        "phase": _named(filled.numbers["phase"], PHASES),
        "epoch": _optional(filled.numbers["epoch"], 0),
        "step": _optional(filled.numbers["step"], 0),
        "steps_per_epoch": _optional(filled.numbers["steps_per_epoch"], 1),
        "metric": _named(filled.numbers["metric"], list(filled.metrics)),
        "median": filled.values[0],
        "average": filled.values[1],
        "file": _named(filled.numbers["file"], list(dict.fromkeys(name for name, _ in logs))),
        "line": filled.numbers["line"],
    }
    return pd.DataFrame(columns, copy=False)


def _named(codes: NDArray[np.int32], names: Sequence[str]) -> Any:
    import pandas as pd

    return pd.Categorical.from_codes(codes, pd.Index(list(names), dtype="str"))


def _optional(numbers: NDArray[np.int32], least: int) -> Any:
    """Integers of which those below the least are missing."""
    import pandas as pd

    return pd.arrays.IntegerArray(numbers, numbers < least)


class _Columns:
    """The columns as arrays, filled run by run: nothing is sorted or copied twice."""

    def __init__(self, logs: Sequence[tuple[str, Sequence[Piece]]]) -> None:
        pieces = [(file, piece) for file, found in logs for piece in found]
        count = sum(run.medians.size for _, (_, run) in pieces)
        names = ("segment", "epoch", "step", "steps_per_epoch", "line", "metric", "phase", "file")
        self.numbers = {name: np.empty(count, np.int32) for name in names}
        self.values = np.empty((2, count), np.float64)
        self.metrics: dict[str, int] = {}
        files = {file: code for code, file in enumerate(dict.fromkeys(file for file, _ in logs))}
        at = 0
        for file, piece in pieces:
            at = self._fill(at, files[file], piece)

    def _fill(self, at: int, file: int, piece: Piece) -> int:
        segment, run = piece
        end = at + run.medians.size
        shape = run.medians.shape
        self.values[0, at:end] = run.medians.ravel()
        self.values[1, at:end] = run.averages.ravel()
        codes = [self.metrics.setdefault(name, len(self.metrics)) for name in run.names]
        self.numbers["metric"][at:end].reshape(shape)[:] = codes
        for name, column in (("epoch", run.epoch), ("step", run.step), ("line", run.line)):
            self.numbers[name][at:end].reshape(shape)[:] = column[:, None]
        constants = {
            "segment": segment,
            "steps_per_epoch": run.steps,
            "file": file,
            "phase": PHASES.index(run.phase),
        }
        for name, constant in constants.items():
            self.numbers[name][at:end] = constant
        return end
