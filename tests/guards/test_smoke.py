"""The guards of the smoke test: recorded trainings, and what is changed in them."""

from __future__ import annotations

from typing import Any

from ..smoke import rehearsed
from ..smoke.recordings import Events, Tamper, every, judged, last, told
from .guard import Case, Guard, guarded


def trace(**tampered: Tamper) -> Case:
    return lambda shop, code: judged(code, shop.folder, **tampered)


def rehearsal(**changed: Any) -> Case:
    return lambda shop, code: rehearsed.judged(code, shop.folder, **changed)


def saved(*ranks: int) -> Tamper:
    """A checkpoint that ranks write."""
    event = {"event": "saved", "file": "/run/checkpoint-last.pth", "says": 0, "completed": 0, "frames": []}
    return lambda events: events.extend({**event, "rank": rank} for rank in ranks)


def epoch_repeated(events: Events) -> None:
    """The second epoch with the samples of the first."""
    first = {(event["rank"], event["step"]): event["samples"] for event in events if event["epoch"] == 0}
    for event in events:
        event["samples"] = first[event["rank"], event["step"]]


def rates_doubled(events: Events) -> None:
    for event in events:
        event["lr"] = {group: 2 * rate for group, rate in event["lr"].items()}


def gradients_halved(events: Events) -> None:
    for event in events:
        event["gradients"] = {name: norm / 2 for name, norm in (event["gradients"] or {}).items()}


GUARDS = {
    "SMK001": Guard(
        bad=trace(uninterrupted=last(weights="other")),
        good=trace(),
        empty=trace(uninterrupted=every(weights=None)),
    ),
    "SMK002": Guard(
        bad=trace(uninterrupted=told("gradients not cleared", "default[0] still holds the gradients")),
        good=trace(),
        empty=trace(uninterrupted=every(gradients=None)),
    ),
    "SMK003": Guard(
        bad=trace(uninterrupted=told("gradients are zero", "default[0]: no parameter has a gradient")),
        good=trace(),
        empty=trace(uninterrupted=every(gradients=None)),
    ),
    "SMK004": Guard(
        bad=trace(uninterrupted=epoch_repeated),
        good=trace(),
        empty=trace(uninterrupted=every(samples=[])),
    ),
    "SMK005": Guard(bad=trace(alone=rates_doubled), good=trace(), empty=trace(uninterrupted=every(lr={}))),
    "SMK006": Guard(
        bad=trace(alone=gradients_halved),
        good=trace(),
        empty=trace(uninterrupted=every(samples=[]), alone=every(samples=[])),
    ),
    "SMK007": Guard(
        bad=trace(resumed=every(epoch=0)), good=trace(), empty=trace(uninterrupted=every(epoch=0))
    ),
    "SMK008": Guard(
        bad=trace(resumed=every(before="other")),
        good=trace(),
        empty=trace(uninterrupted=every(before=""), resumed=every(before="")),
    ),
    "SMK009": Guard(
        bad=trace(resumed=every(optimizer_steps=0)),
        good=trace(),
        empty=trace(uninterrupted=every(optimizer=None), resumed=every(optimizer=None)),
    ),
    "SMK010": Guard(bad=trace(resumed=rates_doubled), good=trace(), empty=trace(uninterrupted=every(lr={}))),
    "SMK011": Guard(
        bad=trace(resumed=last(samples=["other"])), good=trace(), empty=trace(uninterrupted=every(samples=[]))
    ),
    "SMK012": Guard(
        bad=trace(resumed=every(random="other", weights="other")),
        good=trace(),
        empty=trace(uninterrupted=every(random=None)),
    ),
    "SMK013": Guard(
        bad=trace(resumed=last(weights="other")), good=trace(), empty=trace(uninterrupted=every(weights=None))
    ),
    "SMK030": Guard(bad=rehearsal(resumes=False), good=rehearsal(), empty=rehearsal(stop=-1, resumes=False)),
    "SMK031": Guard(bad=rehearsal(shift=2), good=rehearsal(), empty=rehearsal(keep=0)),
    "SMK032": Guard(bad=rehearsal(remembers_best=False), good=rehearsal(), empty=rehearsal(evaluates=False)),
    "SMK033": Guard(bad=trace(uninterrupted=saved(0, 1)), good=trace(uninterrupted=saved(0)), empty=trace()),
    "SMK034": Guard(
        bad=rehearsal(renames=False),
        good=rehearsal(),
        empty=rehearsal(saves_last=False, evaluates=False, keep=0),
    ),
    "SMK035": Guard(bad=rehearsal(updates_back=False), good=rehearsal(), empty=rehearsal(resumes=False)),
    "SMK036": Guard(bad=rehearsal(lost=("log.txt",)), good=rehearsal(), empty=rehearsal(resumes=False)),
}

test_smoke = guarded(GUARDS)
