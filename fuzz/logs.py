"""Logs under fuzz: every line is accounted for, every check has a verdict, however the bytes arrive."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from fuzz import ROOT, SHARED, Subject
from fuzz.execution import nothing_runs
from fuzz.mutations import mutated, piece
from opv2v_doctor.facts.past import logs
from opv2v_doctor.facts.past.logs.log_readers import LogReader
from opv2v_doctor.facts.past.logs.metric_rows import metric_line
from opv2v_doctor.facts.past.logs.records import records
from opv2v_doctor.figures.curves import page
from opv2v_doctor.registry import installed_checks, select
from opv2v_doctor.reporters import Examination, text
from opv2v_doctor.result import Status
from opv2v_doctor.runner import run
from opv2v_doctor.state import State
from opv2v_doctor.target import Target

LONGEST_PIECE = 30_000  # bytes
CHUNKS = (1 << 20, 4096, 777)  # bytes that arrive at once
PAGES = 200  # one input in so many is drawn, too
WORDS = (
    *(
        b"\0" * 50,
        b"\n",
        b"\r\n",
        b"\t",
        b"  ",
        b"nan",
        b"inf",
        b"-",
        b".",
        b":",
        b"(",
        b")",
        b"[[[[",
        b"\xff\xfe",
    ),
    *(b"99999999999999999999", b"1e400", b"Epoch: [", b"eta: ", b"[0/0]", b"[2026-11-22 13:23:42,016]"),
    *(b'{"epoch": 1, "train_loss": 1e999}\n', b'{"epoch": 99999999999999999999999}\n', b'{"a": ' * 2000),
    *(b"{'train_params': {'epochs': 1}}\n", b"output_dir: x\n", b"Loss is nan, stopping training\n"),
    b"Traceback (most recent call last):\n",
    b'  File "/a", line 1, in f\n',
    b"ValueError: x\n",
    b"torch.OutOfMemoryError: CUDA out of memory.\n",
    b"Epoch: [999999999]  [999999999/1]  eta: 0:00:00  loss: 1.0 (1.0)\n",
    b"Epoch: [0]  [0/0]  eta: 0:00:00  loss: -1.0 (nan)\n",
    b"Test:  [0/1]  eta: 0:00:00  loss: 1.0 (1.0)\n",
    b"NonAmbiguousMaskLoss_mask_avg: 0.0000 (inf)  ",
)


def seeds() -> Sequence[bytes]:
    """The corpus, the mission's log, and the real logs where they are."""
    places = [ROOT / "tests" / "corpus" / "logs", ROOT / "examples" / "mission", SHARED]
    found = {
        path
        for place in places
        for form in ("*.log", "*log.txt", "*snapshot.txt")
        for path in place.rglob(form)
    }
    return [path.read_bytes() for path in sorted(found)]


def mutation(seeds: Sequence[bytes], random: Random) -> bytes:
    """Pieces of some logs behind one another, changed."""
    pieces = [piece(random.choice(seeds), LONGEST_PIECE, random) for _ in range(random.randrange(1, 4))]
    return mutated(b"".join(pieces), seeds, WORDS, random)


def examine(content: bytes, folder: Path) -> None:
    """Read it, judge it, write the report; read it again in pieces, and with one expression a line."""
    path = folder / "train.log"
    path.write_bytes(content)
    target = Target(repo=folder, python=Path(sys.executable), logs=(path,), state=State())
    random = Random(content)
    with nothing_runs():
        results = list(run(select(installed_checks(), ["LOG"]), target))
        for line in text.report(results, Examination(repo=folder)):
            line.encode()
        read = logs.log_table(target)
        assert len(read.table.columns) == 10
        _agree(content, random.choice(CHUNKS))
    if random.randrange(PAGES) == 0:
        # not watched: plotly evaluates the names of its own validators
        page(read.logs, results, Examination(repo=folder))
    crashed = [result for result in results if result.status is Status.CRASHED]
    assert not crashed, (crashed[0].check.code, crashed[0].reason)


def _agree(content: bytes, size: int) -> None:
    """The fast way reads what one expression a line reads, in whatever pieces the bytes arrive."""
    content = content.replace(b"\0", b"").replace(b"\r\n", b"\n") + b"\n"
    reader = LogReader(Path("train.log"), keep=100)
    fast: list[tuple[Any, ...]] = []
    for found in records(content[at : at + size] for at in range(0, len(content), size)):
        fast += _rows(found.runs)
        reader.feed(found)
    if b"\r" not in content:
        assert sorted(fast) == list(_slow_rows(content)), "the fast way reads otherwise"
    reader.log()


def _rows(runs: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    for run_ in runs:
        columns = (run_.line, run_.epoch, run_.step, run_.medians, run_.averages)
        for line, epoch, step, medians, averages in zip(*(c.tolist() for c in columns), strict=True):
            shown = [repr(y) if has else None for y, has in zip(averages, run_.averaged, strict=True)]
            yield line, run_.phase, epoch, step, run_.steps, run_.names, list(map(repr, medians)), shown


def _slow_rows(content: bytes) -> Iterator[tuple[Any, ...]]:
    for number, line in enumerate(content.split(b"\n"), 1):
        found = metric_line(line)
        if found is not None:
            epoch = -1 if found.epoch is None else found.epoch
            shown = [None if average is None else repr(average) for average in found.averages]
            medians = list(map(repr, found.medians))
            yield number, found.phase, epoch, found.step, found.steps, found.names, medians, shown


SUBJECT = Subject(name="logs", suffix=".log", seeds=seeds, mutated=mutation, examine=examine)
