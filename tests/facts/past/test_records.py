"""Records: the fast way says what the regular expression says, for any bytes, cut anywhere."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opv2v_doctor.facts.past.logs.blocks import LONGEST_LINE, blocks
from opv2v_doctor.facts.past.logs.metric_rows import metric_line, resembles_metrics
from opv2v_doctor.facts.past.logs.records import records

CORPUS = sorted((Path(__file__).parents[2] / "corpus" / "logs").glob("*"))
Row = tuple[int, str, int | None, int, int, tuple[str, ...], tuple[float, ...], tuple[float | None, ...]]

numbers = st.one_of(
    st.floats(-1e9, 1e9).map(lambda x: f"{x:.4f}"),
    st.floats(0, 1e3).map(lambda x: f"{x:.6f}"),
    st.sampled_from(
        ["nan", "inf", "-inf", "0", "20514", "1e-05", "-0.0000", "12345678.1234", "99999999999.5"]
    ),
)
names = st.sampled_from(
    ["loss", "lr", "depth_bot95%_avg", "max mem", "a_much_longer_name_of_a_loss_avg", "é"]
)
fields = st.tuples(names, numbers, st.none() | numbers)
heads = st.sampled_from(["", "[13:02:11.667583] ", "[2026-11-22 13:23:42,016][__main__][INFO] - ", "0: "])
phases = st.sampled_from(
    ["Epoch: [0]", "Epoch: [17]", "Test Epoch: [1]", "Epoch: [3/302]", "Test:", "Nest Epoch: [1]"]
)


@st.composite
def metric_text(draw: st.DrawFn) -> str:
    steps = draw(st.sampled_from([1, 40, 5000]))
    step = draw(st.integers(0, steps))
    parts = [f"{name}: {x}" + (f" ({y})" if y else "") for name, x, y in draw(st.lists(fields, max_size=5))]
    head = f"{draw(heads)}{draw(phases)}  [{step:{len(str(steps))}d}/{steps}]  eta: 0:00:{step % 60:02d}"
    return "  ".join([head, *parts])


lines = st.one_of(
    metric_text(),
    metric_text(),
    st.sampled_from(["", "[13:23:42.015673]", "Traceback (most recent call last):", "x" * 300, "eta: 3"]),
)


def rows_of(data: bytes, size: int = 1 << 20) -> list[Row]:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return sorted(row for found in records(pieces) for run in found.runs for row in _rows(run))


def _rows(run: object) -> Iterator[Row]:
    phase, steps, names_, averaged = (getattr(run, name) for name in ("phase", "steps", "names", "averaged"))
    columns = (getattr(run, name) for name in ("epoch", "step", "line", "medians", "averages"))
    for epoch, step, line, medians, averages in zip(*columns, strict=True):
        shown = tuple(repr(float(y)) if has else None for y, has in zip(averages, averaged, strict=True))
        values = tuple(repr(float(x)) for x in medians)
        yield (int(line), phase, None if epoch < 0 else int(epoch), int(step), steps, names_, values, shown)  # type: ignore[misc]


def slow_rows_of(data: bytes) -> list[Row]:
    found = []
    for number, text in enumerate(data.split(b"\n")[:-1], 1):
        line = metric_line(text)
        if line is not None:
            averages = tuple(None if average is None else repr(average) for average in line.averages)
            values = tuple(repr(float(x)) for x in line.medians)
            row = (number, line.phase, line.epoch, line.step, line.steps, line.names, values, averages)
            found.append(row)
    return found  # type: ignore[return-value]


@settings(max_examples=150)
@given(st.lists(lines, max_size=40))
def test_the_fast_way_reads_what_the_slow_one_reads(texts: Sequence[str]) -> None:
    data = "".join(f"{text}\n" for text in texts).encode()
    assert rows_of(data) == slow_rows_of(data)


@settings(max_examples=100)
@given(metric_text(), st.integers(2, 30), st.data())
def test_one_changed_byte_never_misleads(text: str, count: int, data: st.DataObject) -> None:
    changed = bytearray("".join(f"{text}\n" for _ in range(count)).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        changed[data.draw(st.integers(0, len(changed) - 2))] = data.draw(
            st.integers(1, 255).filter(lambda b: b != 13)
        )
    assert rows_of(bytes(changed + b"\n")) == slow_rows_of(bytes(changed + b"\n"))


@settings(max_examples=60)
@given(st.lists(lines, max_size=20), st.integers(1, 300))
def test_where_the_stream_is_cut_does_not_matter(texts: Sequence[str], size: int) -> None:
    data = "".join(f"{text}\n" for text in texts).encode()
    assert rows_of(data, size) == rows_of(data)


@settings(max_examples=100)
@given(st.binary(max_size=3000))
def test_any_bytes_are_read(data: bytes) -> None:
    rows_of(data)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_corpus_is_read_alike(path: Path) -> None:
    data = path.read_bytes().replace(b"\0", b"").replace(b"\r\n", b"\n") + b"\n"
    assert rows_of(data) == slow_rows_of(data)


def test_every_line_is_accounted_for() -> None:
    good = "Epoch: [0]  [ 0/40]  eta: 0:00:01  loss: 1.0000 (1.0000)"
    data = f"{good}\nhello\n{good[:-1]}\n[13:23:42.015673]\n".encode()
    (found,) = records([data])
    assert [line for line, _ in found.others] == [2]
    assert [line for line, _ in found.unparsed] == [3]
    assert resembles_metrics(found.unparsed[0][1])


def test_a_last_line_without_its_end_is_not_trusted() -> None:
    good = b"Epoch: [0]  [ 0/40]  eta: 0:00:01  loss: 1.0000 (1.0000)  time: 1.2"
    *_, found = records([good + b"345\n" + good])
    assert not found.runs
    assert found.cut is not None
    assert found.cut[0] == 2


def test_a_line_without_end_takes_bounded_memory() -> None:
    chunk = b"x" * (1 << 19)
    longest = max(len(block.data) for block in blocks([*[chunk] * 40, b"\nEpoch"]))
    assert longest < 2 * LONGEST_LINE


def test_nul_bytes_are_taken_out_and_told() -> None:
    good = b"Epoch: [0]  [ 0/40]  eta: 0:00:01  loss: 1.0000 (1.0000)\n"
    (block,) = blocks([bytes(1000) + good + good])
    assert (block.nulls, block.nulls_at, block.nulls_last) == (1000, 1, False)
    *_, block = blocks([good, bytes(70)])
    assert block.nulls_last


def test_long_numbers_are_those_of_float() -> None:
    line = "Epoch: [0]  [ 0/40]  eta: 0:00:01  loss: {0} (-{0})  lr: 0.000013"
    values = ["12345678.1234567", "0.1", "99999999.9999999", "7.0000001"]
    data = "".join(line.format(value) + "\n" for value in values).encode()
    medians = np.concatenate([run.medians[:, 0] for found in records([data]) for run in found.runs])
    assert sorted(medians) == sorted(map(float, values))
    assert all(math.isfinite(value) for value in medians)
