"""Logs: one table of everything, in memory that does not grow when told so."""

import json
import math
import os
import sys
from pathlib import Path

import pytest

from opv2v_doctor.facts.past.logs import logs_in, read_log, read_logs
from opv2v_doctor.registry import installed_checks, select
from opv2v_doctor.result import Status
from opv2v_doctor.runner import run as run_checks
from opv2v_doctor.target import Target

SHARED = Path(os.environ.get("OPV2V_DOCTOR_SHARED", Path(__file__).parents[4] / "shared")) / "data"
CORPUS = sorted((Path(__file__).parents[2] / "corpus" / "logs").glob("*"))
LINE = "Epoch: [{}]  [{:3d}/100]  eta: 0:00:01  lr: 0.000013  loss: {:.4f} ({:.4f})  time: 1.2  data: 0.1\n"


def write(path: Path, epochs: int, every: int = 10) -> Path:
    lines = [LINE.format(e, s, e + s / 100, e) for e in range(epochs) for s in range(0, 100, every)]
    path.write_text("".join(lines))
    return path


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip("no real logs outside the clone: export OPV2V_DOCTOR_SHARED=FOLDER")
    return path


def test_the_table_has_a_row_for_each_value(tmp_path: Path) -> None:
    table = read_logs([write(tmp_path / "train.log", 3)]).table
    assert list(table.columns) == (
        [
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
        ]
    )
    assert len(table) == 3 * 10 * 4
    row = table[(table["line"] == 12) & (table["metric"] == "loss")].iloc[0]
    assert (row["epoch"], row["step"], row["steps_per_epoch"]) == (1, 10, 100)
    assert (row["median"], row["average"]) == (1.1, 1.0)
    rates = table[table["metric"] == "lr"]
    assert rates["average"].isna().all()


def test_the_real_run_is_read_whole() -> None:
    log = read_log(shared("real_run/train.log"))
    assert (log.unparsed_count, len(log.parts), len(log.segments)) == (0, 6, 1)
    span = log.phase("train")[-1].span("loss")
    assert span is not None
    assert (span.last, span.last_median, span.last_line) == (143.1122, 141.97, 2286)
    assert log.config["train_params"]["epochs"] == 3
    assert [incident.value for incident in log.of("length")] == ["4"]


def test_log_txt_says_what_the_log_says() -> None:
    text, statistics = (read_log(shared(f"real_run/{name}")) for name in ("train.log", "log.txt"))
    assert statistics.source == "json"
    for one, other in zip(text.parts, statistics.parts, strict=True):
        assert (one.phase, one.epoch) == (other.phase, other.epoch)
        ours, theirs = one.span("loss"), other.span("loss")
        assert ours is not None
        assert theirs is not None
        assert ours.last == pytest.approx(theirs.last, abs=1e-4)


def test_no_public_log_has_a_line_that_cannot_be_read() -> None:
    logs = read_logs(logs_in(shared("public_logs"))).logs
    assert sum(log.unparsed_count for log in logs) == 0
    assert sum(bool(log.parts) for log in logs) >= 9


def test_json_lines_may_hold_nan_and_infinity(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    lines = [
        {"epoch": 0},
        {"epoch": 1, "train_loss": math.nan},
        {"epoch": 2, "train_loss": math.inf, "x": "y"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    log = read_log(path)
    assert [(part.epoch, part.segment) for part in log.parts] == [(0, 0), (1, 0)]
    span = log.parts[0].span("loss")
    assert span is not None
    assert span.broken_line == 2


def test_statistics_count_epochs_as_their_file_does(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text('{"train_loss": 1.5, "test_loss": 2.5, "epoch": 0}\n{"train_loss": 1.0, "epoch": 1}\n')
    assert [(part.phase, part.epoch) for part in read_log(path).parts] == [
        ("train", 0),
        ("test", 0),
        ("train", 1),
    ]


def test_a_bound_on_lines_keeps_the_sums_exact(tmp_path: Path) -> None:
    path = write(tmp_path / "train.log", 200, every=1)
    bounded, whole = read_log(path, keep=1000), read_log(path)
    assert sum(len(run) for _, run in bounded.pieces) <= 1001
    assert bounded.stride > 1
    assert [part.span("loss") for part in bounded.parts] == [part.span("loss") for part in whole.parts]


def test_logs_of_a_folder_of_runs_are_found(tmp_path: Path) -> None:
    for run in ("one", "two", ".hidden", "wandb"):
        (tmp_path / run).mkdir()
        write(tmp_path / run / "train.log", 1)
    assert [path.parent.name for path in logs_in(tmp_path)] == ["one", "two"]


def test_several_test_sets_of_an_epoch_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    test = "Test Epoch: [1]  [ {}/10]  eta: 0:00:01  loss: {}.0000 ({}.0000)\n"
    path.write_text("".join(test.format(step, loss, loss) for loss in (1, 5) for step in (0, 9)))
    assert [(part.number, part.span("loss").last) for part in read_log(path).parts] == [(0, 1.0), (1, 5.0)]  # type: ignore[union-attr]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_corpus_is_read_and_judged(path: Path) -> None:
    target = Target(repo=path.parent, python=Path(sys.executable), logs=(path,))
    log = read_log(path)
    assert len(read_logs([path]).table) == sum(run.medians.size for _, run in log.pieces)
    results = list(run_checks(select(installed_checks(), ["LOG"]), target))
    assert [result for result in results if result.status is Status.CRASHED] == []
