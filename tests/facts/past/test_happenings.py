"""What happened in a training that went on."""

from math import nan
from pathlib import Path

import pytest

from opv2v_doctor.facts.past.logs import read_log
from opv2v_doctor.facts.past.logs.happenings import STALLED, happenings
from opv2v_doctor.facts.past.logs.log_files import Log
from tests.log_text import LogText


def happened(text: LogText) -> list[tuple[str, int]]:
    return [(str(one.told), one.line) for one in happenings(log_of(text))]


def log_of(text: LogText) -> Log:
    return read_log(text.write().logs[0])


def test_nothing_happened_in_a_healthy_training(tmp_path: Path) -> None:
    assert happened(LogText(tmp_path).healthy()) == []


def test_gradients_that_are_not_finite_have_their_lines(tmp_path: Path) -> None:
    text = LogText(tmp_path)
    text.launch()
    text.epoch(0, metrics={"grad_norm": 1.0})
    begin = len(text.lines)
    end = text.epoch(1, metrics={"grad_norm": nan, "mask": nan})
    text.epoch(2, metrics={"grad_norm": 1.0})
    (one,) = happenings(log_of(text))
    assert str(one.told) == "not finite: mask, grad_norm" or str(one.told) == "not finite: grad_norm, mask"
    assert begin < one.line < one.last_line < end


def test_slow_steps_are_a_stall(tmp_path: Path) -> None:
    def told(time: float) -> list[tuple[str, int]]:
        text = LogText(tmp_path)
        text.launch()
        for epoch in range(4):
            text.epoch(epoch, time=time if epoch == 2 else 1.0)
        return happened(text)

    assert told(STALLED * 0.99) == []
    ((said, _),) = told(STALLED * 1.01)
    assert said == "steps of 3.03 s, 3.0 times the usual"


@pytest.mark.parametrize("stopped", [False, True])
def test_memory_that_was_full_is_told_where_a_later_launch_went_on(tmp_path: Path, stopped: bool) -> None:
    text = LogText(tmp_path)
    text.launch()
    text.epoch(0)
    line = text.say("CUDA out of memory. Tried to allocate 2 GiB")
    if not stopped:
        text.launch()
        text.epoch(1)
    found = happened(text)
    assert found == ([] if stopped else [("out of memory; a later launch went on", line)])
