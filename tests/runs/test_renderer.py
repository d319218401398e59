"""Best checkpoints that come one upon another: none is rendered beside another, and the last one is."""

from __future__ import annotations

import json
from pathlib import Path

from opv2v_doctor.runs.companions import Renderer
from opv2v_doctor.runs.directory import claim
from opv2v_doctor.runs.record import Run, RunStatus, Stamp, Verdict, now
from opv2v_doctor.runs.stamp import write_stamp
from opv2v_doctor.target import Target

EPOCH = {"event": "epoch", "rank": 0}


def run_of(folder: Path) -> Run:
    stamp = Stamp(commit="a" * 40, branch="main", command="train.py", gate=Verdict(exit_code=0))
    with claim([folder], resume=False) as place:
        return write_stamp(place, stamp, {})


def save(run: Run, epoch: int) -> None:
    """A new best checkpoint; it cannot be read, so that its rendering says which one it was."""
    with (run.path / "checkpoints.jsonl").open("a") as lines:
        lines.write(json.dumps({"file": f"checkpoint-best-{epoch}.pth", "epoch": epoch}) + "\n")


def rendered(tmp_path: Path, status: RunStatus, *epochs: int) -> list[str]:
    """What is said of renderings, where all but the first checkpoint come while that one is rendered."""
    for name in ("scripts/train.py", "configs/train.yaml", "mapanything/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    run, said = run_of(tmp_path / status.value), list[str]()
    renderer = Renderer(run, Target(repo=tmp_path, python=Path("/none")), said.append, said.clear)
    for epoch in epochs:
        save(run, epoch)
        renderer.event(EPOCH)
        renderer.event({**EPOCH, "rank": 1})
    renderer.ended(run.with_last(status=status, exit_code=0, ended=now()))
    return said


def test_of_two_that_come_while_another_is_rendered_the_last_is_shown_after_it(tmp_path: Path) -> None:
    still, first, last = rendered(tmp_path, RunStatus.FINISHED, 1, 2, 3)
    assert still.startswith("the best checkpoint is still being rendered")
    assert "checkpoint-best-1.pth" in first and "checkpoint-best-3.pth" in last


def test_a_training_that_failed_waits_for_no_rendering(tmp_path: Path) -> None:
    assert rendered(tmp_path, RunStatus.FAILED, 1, 2) == [
        "watch.render: the point cloud was ended with the training"
    ]
