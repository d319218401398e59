"""Tests that a stall is told from a slow step, and who stalls from who waits."""

from __future__ import annotations

import json
from pathlib import Path

from opv2v_doctor.runs.vitals import EVENTS, Vitals

SILENCE = 10.0


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Training:
    """Two ranks whose events the test writes."""

    def __init__(self, run: Path) -> None:
        self.path, self.clock, self.living = run / EVENTS, Clock(), {0, 1}
        self.vitals = Vitals(run, range(2), SILENCE, lambda: self.living, self.clock)

    def event(self, rank: int, **facts: object) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"rank": rank, "event": "beat", **facts}) + "\n")

    def after(self, seconds: float) -> str | None:
        self.clock.now += seconds
        self.vitals.read()
        return self.vitals.stall()


def test_steps_are_no_stall(tmp_path: Path) -> None:
    training = Training(tmp_path)
    for step in range(5):
        training.event(0, epoch=0, step=step)
        training.event(1, epoch=0, step=step)
        assert training.after(SILENCE - 1) is None


def test_the_silent_rank_is_named_once(tmp_path: Path) -> None:
    training = Training(tmp_path)
    training.event(0, epoch=2, step=7)
    training.event(1, epoch=2, step=6)
    assert training.after(0) is None
    words = training.after(SILENCE + 1)
    assert words is not None and words.startswith("rank 1 gave no sign for 11 s (epoch 2, step 6)")
    assert "rank 0 waits for it" in words
    assert training.after(SILENCE) is None
    training.event(0, epoch=2, step=8)
    training.event(1, epoch=2, step=8)
    assert training.after(1) is None
    assert training.after(SILENCE + 1) is not None  # another stall


def test_a_rank_that_beats_without_a_step_works(tmp_path: Path) -> None:
    training = Training(tmp_path)
    for rank in range(2):
        training.event(rank, epoch=0, step=3, quiet=0.0)
    training.after(0)
    training.clock.now += SILENCE + 2
    for rank in range(2):
        training.event(rank, epoch=0, step=3, quiet=SILENCE + 2)
    words = training.after(0)
    assert words is not None and "works, but made no step" in words


def test_a_rank_that_left_is_named(tmp_path: Path) -> None:
    training = Training(tmp_path)
    training.event(0, epoch=0, step=3)
    training.event(1, epoch=0, step=3)
    training.after(0)
    training.living = {0}
    words = training.after(SILENCE + 1)
    assert words == "rank 1 ended without a failure, and rank 0 would wait for hours"


def test_evaluation_counts_as_progress(tmp_path: Path) -> None:
    training = Training(tmp_path)
    for _ in range(5):
        for rank in range(2):
            training.event(rank, epoch=0, step=None, phase="test", quiet=0.3)
        assert training.after(SILENCE - 1) is None


def test_without_a_watch_nothing_is_said(tmp_path: Path) -> None:
    assert Training(tmp_path).after(1000) is None


def test_events_of_earlier_launches_and_torn_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / EVENTS).write_text('{"rank": 0, "event": "raised", "time": 1}\n')
    training = Training(tmp_path)
    with training.path.open("a") as file:
        file.write('{"rank": 1, "event": "rai\n[1]\n')
    training.event(1, epoch=0, step=0, event="raised", time=2.0)
    training.after(0)
    assert training.vitals.raised == {1: 2.0}
