"""What a training is announced with, and what it ends with: the best of the log and of what was saved."""

import json
import os
from pathlib import Path

import pytest

from opv2v_doctor.cli.epilogue import best
from opv2v_doctor.facts.past.logs import judged_logs
from opv2v_doctor.runs.gate_times import expectation, last_times
from tests.log_text import LogText


def said(log: LogText) -> str:
    target = log.write()
    return str(best(judged_logs(target)[0], target.repo))


@pytest.mark.parametrize(
    ("held", "ends"),
    [
        (34.0, "is 34.000 (average, epoch 8), which checkpoint-best.pth holds"),
        (34.0004, "which checkpoint-best.pth holds"),
        (35.5, "(average, epoch 8); checkpoint-best.pth holds 35.500"),
        (82.0, "; checkpoint-best.pth holds 82.000, the median of epoch 2"),
        (float("inf"), "(average, epoch 8)"),
    ],
)
def test_the_best_is_told_once_where_log_and_checkpoint_agree(tmp_path: Path, held: float, ends: str) -> None:
    torch = pytest.importorskip("torch", reason="no torch: make test")
    log = LogText(tmp_path).healthy()
    log.write()
    torch.save(
        {"model": {"w": torch.zeros(1)}, "epoch": 7, "best_so_far": held},
        tmp_path / "run/checkpoint-best.pth",
    )
    told = said(log)
    assert told.startswith("the lowest loss of the Test Epoch lines is 34.000")
    assert told.endswith(ends)


def test_a_run_that_saved_nothing_tells_its_log(tmp_path: Path) -> None:
    assert said(LogText(tmp_path).healthy()).endswith("lines is 34.000 (average, epoch 8)")
    short = LogText(tmp_path / "short")
    short.launch()
    assert said(short) == "no evaluation in the log"


def test_the_newest_report_tells_how_long_the_checks_took(tmp_path: Path) -> None:
    codes = ["CFG001", "CFG002"]
    assert str(expectation(codes, last_times(tmp_path))) == (
        "the gate, 2 checks; no earlier run tells how long they take"
    )
    for age, (name, seconds) in enumerate([("new", 60.0), ("old", 1.0), ("cut", None)]):
        path = tmp_path / name / "report.json"
        path.parent.mkdir()
        results = [{"code": "CFG001", "seconds": seconds}, {"code": "CFG002", "seconds": 30.0}]
        path.write_text(json.dumps({"results": results}) if seconds else "{")
        when = 1e9 - age if seconds else 2e9
        os.utime(path, (when, when))
    known = last_times(tmp_path)
    assert str(expectation(codes, known)) == "the gate, 2 checks, 90 s the last time"
    assert str(expectation(codes * 2, known)) == "the gate, 4 checks, 3 min the last time"
    assert str(expectation([*codes, "CFG003"], known)) == (
        "the gate, 3 checks, 2 of which took 90 s the last time"
    )
