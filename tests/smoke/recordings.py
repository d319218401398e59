"""Recordings of a healthy smoke test of two ranks: traces to judge, or to tamper with, without a launch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from opv2v_doctor.result import Result
from opv2v_doctor.runner import run
from opv2v_doctor.smoke import CHECKS
from opv2v_doctor.smoke.launches import (
    Outcome,
    resumed_training,
    training_alone,
    uninterrupted_training,
)
from opv2v_doctor.smoke.traces import EVENTS, TrainingTrace, read_trace
from opv2v_doctor.state import State
from opv2v_doctor.target import Target, make_target

RECORDED = Path(__file__).parent / "recorded"
Events = list[dict[str, Any]]
Tamper = Callable[[Events], object]


def judged(code: str, folder: Path, **tampered: Tamper) -> Result:
    """What one check says of the recorded trainings, some of whose events were changed."""
    target = recorded(folder, **tampered)
    (check,) = [check for check in CHECKS if check.code == code]
    (result,) = run([check], target, ignored=dict.fromkeys(check.requires, "tested alone"))
    return result


def recorded(folder: Path, **tampered: Tamper) -> Target:
    """A target whose trainings were made already; `tampered` names traces, and what changes them."""
    (folder / "scripts").mkdir(parents=True, exist_ok=True)
    (folder / "scripts" / "train.py").touch()
    names = {uninterrupted_training: "uninterrupted", resumed_training: "resumed", training_alone: "alone"}
    given = {fact: Outcome(trace=_trace(folder, name, tampered)) for fact, name in names.items()}
    return replace(make_target(repo=folder, gpus=2), state=State(given))


def _trace(folder: Path, name: str, tampered: dict[str, Tamper]) -> TrainingTrace:
    events = [json.loads(line) for line in (RECORDED / f"{name}.jsonl").read_text().splitlines()]
    if name in tampered:
        tampered[name](events)
    (folder / name).mkdir(exist_ok=True)
    (folder / name / EVENTS).write_text("".join(json.dumps(event) + "\n" for event in events))
    return read_trace(folder / name)


def told(what: str, message: str) -> Tamper:
    """A warning of the watch."""
    event = {"event": "warning", "what": what, "message": message, "rank": 0, "epoch": 0, "step": 1}
    return lambda events: events.append(event)


def every(kind: str = "step", **facts: Any) -> Tamper:
    """Every step, or event of another kind, with other facts."""
    return lambda events: [event.update(facts) for event in of_kind(events, kind)]


def last(kind: str = "step", **facts: Any) -> Tamper:
    """The last step with other facts."""
    return lambda events: of_kind(events, kind)[-1].update(facts)


def without(kind: str) -> Tamper:
    """No event of a kind."""

    def leave_out(events: Events) -> None:
        events[:] = [event for event in events if event["event"] != kind]

    return leave_out


def of_kind(events: Events, kind: str) -> Events:
    """The events of a kind."""
    return [event for event in events if event["event"] == kind]


def lost(events: Events) -> None:
    """No step at all."""
    events.clear()
