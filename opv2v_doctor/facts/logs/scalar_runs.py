"""The scalars of an event file as runs: one line a record and value, in the table's own terms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from opv2v_doctor.facts.logs.blocks import PAD, Block
from opv2v_doctor.facts.logs.event_files import Scalar, scalars
from opv2v_doctor.facts.logs.metric_runs import NO_EPOCH, Run
from opv2v_doctor.facts.logs.records import Records

TOGETHER = 20_000  # scalars


def scalar_records(path: Path) -> Iterator[Records]:
    """An event file as records, some thousand scalars each; a line is a record of the file."""
    gathered: list[Scalar] = []
    thousandths = False
    for scalar in scalars(path):
        gathered.append(scalar)
        thousandths |= scalar.tag == "train_iter" and abs(scalar.value - scalar.step) <= 1 and scalar.step > 0
        if len(gathered) >= TOGETHER:
            yield _records(gathered, thousandths)
            gathered = []
    if gathered:
        yield _records(gathered, thousandths)


def _records(found: list[Scalar], thousandths: bool) -> Records:
    """`thousandths`: the training writes at 1000 times the epoch, and says so in `train_iter`."""
    by_tag: dict[str, list[Scalar]] = {}
    for scalar in found:
        by_tag.setdefault(scalar.tag, []).append(scalar)
    runs = [_run(tag, ours, thousandths) for tag, ours in by_tag.items()]
    block = Block(data=PAD, line=found[0].record)
    return Records(block=block, runs=runs, source="events")


def _run(tag: str, found: list[Scalar], thousandths: bool) -> Run:
    steps = np.array([scalar.step for scalar in found], np.int64).clip(-1, 2**31 - 1)
    values = np.array([[scalar.value] for scalar in found], np.float64)
    return Run(
        phase="train" if tag.startswith("train_") else "test",
        steps=0,
        names=(tag.removeprefix("train_"),),
        averaged=np.zeros(1, np.bool_),
        epoch=steps // 1000 if thousandths else np.full(len(found), NO_EPOCH, np.int64),
        step=np.full(len(found), -1, np.int64) if thousandths else steps,
        line=np.array([scalar.record for scalar in found], np.int64),
        medians=values,
        averages=np.full_like(values, np.nan),
    )
