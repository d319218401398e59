"""The guards of the smoke test: recorded trainings, and what is changed in them."""

from __future__ import annotations

from typing import Any

from ..smoke import rehearsed
from ..smoke.recordings import Events, Tamper, every, judged, last, of_kind, told, without
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
    steps = of_kind(events, "step")
    first = {(event["rank"], event["step"]): event["samples"] for event in steps if event["epoch"] == 0}
    for event in steps:
        event["samples"] = first[event["rank"], event["step"]]


def rates_doubled(events: Events) -> None:
    for event in of_kind(events, "step"):
        event["lr"] = {group: 2 * rate for group, rate in event["lr"].items()}


def scaled(factor: float, *kinds: str) -> Tamper:
    """Gradients of the given kinds of events, each of another length."""

    def change(events: Events) -> None:
        for kind in kinds:
            for event in of_kind(events, kind):
                rows = event["gradients"].items()
                event["gradients"] = {name: [factor * value for value in row] for name, row in rows}

    return change


def of_one_rank(events: Events) -> None:
    """Each rank uses what it computed by itself."""
    passes = {(event["rank"], event["step"]): event["gradients"] for event in of_kind(events, "backward")}
    for event in of_kind(events, "update"):
        event.update(gradients=passes[event["rank"], event["step"]], clips=[])


def config(**said: object) -> Tamper:
    """A config that says this of the training's parameters."""
    return every("parameters", config={f"train_params.{key}": value for key, value in said.items()})


def clipped(**facts: object) -> Tamper:
    """Clippings that were otherwise."""
    return lambda events: [event["clips"][0].update(facts) for event in of_kind(events, "update")]


def accumulated(events: Events) -> None:
    """Three steps an epoch, of which the first two make an update; the third one waits."""
    events[:] = [e for e in events if not (e["event"] == "update" and e["step"] != 1)]
    first = {e["rank"]: e["gradients"] for e in of_kind(events, "backward") if e["step"] == 0}
    for event in of_kind(events, "backward"):
        event["gradients"] = first[event["rank"]]
    later = []
    for event in of_kind(events, "update"):
        rows = {
            name: [sum(first[rank][name][n] for rank in first) for n in range(5)] for name in first[0]
        }  # the mean over two ranks of two equal batches
        event.update(gradients=rows, clips=[])
        later.append({**event, "epoch": 1})
    events += [{**e, "epoch": 1} for e in of_kind(events, "backward") if e["step"] < 2] + later
    every("parameters", steps=7)(events)


def accumulated_evenly(events: Events) -> None:
    """The same, in epochs that are a multiple of an update."""
    accumulated(events)
    every("parameters", steps=8)(events)


def tried(**sets: object) -> Tamper:
    """Trials with other results of some lists of batches."""

    def change(events: Events) -> None:
        for event in of_kind(events, "trials"):
            for name, value in sets.items():
                event["sets"][name.replace("_", " ").strip()]["loss_avg"] = value

    return change


def alone_moved(events: Events) -> None:
    """A prediction that is another in another batch."""
    for event in of_kind(events, "trials"):
        event["alone"].update(moved={"0.pts3d": [0.5, 1e-4]}, parts=["scale_head", "/repository/model.py:7"])


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
    "SMK026": Guard(
        bad=trace(uninterrupted=every("loaded", fitting=0, missing=16, names=["module.a", "a"])),
        good=trace(),
        empty=trace(uninterrupted=without("loaded")),
    ),
    "SMK004": Guard(
        bad=trace(uninterrupted=epoch_repeated),
        good=trace(),
        empty=trace(uninterrupted=every(samples=[])),
    ),
    "SMK005": Guard(bad=trace(alone=rates_doubled), good=trace(), empty=trace(uninterrupted=every(lr={}))),
    "SMK006": Guard(
        bad=trace(alone=scaled(0.5, "update")),
        good=trace(),
        empty=trace(uninterrupted=every(samples=[]), alone=every(samples=[])),
    ),
    "SMK014": Guard(
        bad=trace(uninterrupted=every("parameters", strange=2)),
        good=trace(),
        empty=trace(uninterrupted=without("parameters")),
    ),
    "SMK015": Guard(
        bad=trace(uninterrupted=of_one_rank), good=trace(), empty=trace(uninterrupted=without("backward"))
    ),
    "SMK016": Guard(
        bad=trace(alone=every("backward", weight=0.5)),
        good=trace(),
        empty=trace(uninterrupted=every("backward", weight=None)),
    ),
    "SMK017": Guard(
        bad=trace(uninterrupted=config(clip_grad=0.5)),
        good=trace(uninterrupted=config(clip_grad=1.0)),
        empty=trace(uninterrupted=every("update", clips=[])),
    ),
    "SMK018": Guard(
        bad=trace(uninterrupted=accumulated),
        good=trace(uninterrupted=accumulated_evenly),
        empty=trace(),
    ),
    "SMK019": Guard(
        bad=trace(uninterrupted=config(freeze_modules=["encoder", "dense_heads"])),
        good=trace(uninterrupted=config(freeze_modules=["encoder", r"dense_head\..*"], freeze_bn=True)),
        empty=trace(),
    ),
    "SMK020": Guard(
        bad=trace(uninterrupted=config(amp=1, amp_dtype="bf16")),
        good=trace(uninterrupted=config(amp=0, amp_dtype="bf16")),
        empty=trace(uninterrupted=config()),
    ),
    "SMK021": Guard(
        bad=trace(uninterrupted=without("largest step")),
        good=trace(),
        empty=trace(uninterrupted=without("largest")),
    ),
    "SMK022": Guard(
        bad=trace(uninterrupted=every("modes", numbers=[1, 11])),
        good=trace(),
        empty=trace(uninterrupted=without("modes")),
    ),
    "SMK023": Guard(
        bad=trace(uninterrupted=every("trials", again="other")),
        good=trace(),
        empty=trace(uninterrupted=without("evaluated")),
    ),
    "SMK024": Guard(
        bad=trace(uninterrupted=alone_moved), good=trace(), empty=trace(uninterrupted=without("trials"))
    ),
    "SMK025": Guard(
        bad=trace(uninterrupted=tried(**{"0_0_1": 500.0})),
        good=trace(),
        empty=trace(uninterrupted=without("trials")),
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
