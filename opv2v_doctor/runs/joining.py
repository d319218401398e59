"""A node that joins a launch: waits for the first node's stamp, and verifies that it would run the same."""

from __future__ import annotations

import os
import time
from pathlib import Path

from opv2v_doctor.runs.destination import placed
from opv2v_doctor.runs.launcher import Display, launch
from opv2v_doctor.runs.record import Run, State, read_run
from opv2v_doctor.runs.request import Request, command_of, plan_of, stamp_of
from opv2v_doctor.runs.stamp import epochs
from opv2v_doctor.target import Target
from opv2v_doctor.usage import UsageError

JOINING = 600.0  # seconds that a node waits for the first one's stamp


def join(request: Request, target: Target, places: list[Path], display: Display) -> int:
    """Take part in a run that the first node stamps; UsageError where this node would run other code."""
    if len(places) > 1:
        raise UsageError("several nodes share one directory: choose it for all, hydra.run.dir=DIRECTORY")
    run = _stamped_by_first(places[0])
    target = placed(target, run.path)
    made = stamp_of(request, target, run.path, None, None).stamp
    theirs = run.last.stamp
    unlike = [
        name
        for name in ("commit", "config_hash", "world_size", "steps_per_epoch")
        if getattr(theirs, name) != getattr(made, name)
    ]
    unlike += ["diff.patch"] if made.files["diff.patch"] != theirs.files.get("diff.patch") else []
    if unlike and not request.force:
        raise UsageError(f"this node is not as the first one: {', '.join(unlike)} differ")
    words = command_of(request, target, run.path, run.last.number)
    display.begin(epochs(target))
    lock = os.open(os.devnull, os.O_RDONLY)
    ended = launch(plan_of(request, target, run, words), run, lock, display, request.nodes.rank)
    return ended.last.exit_code or 0


def _stamped_by_first(path: Path) -> Run:
    deadline = time.monotonic() + JOINING
    while time.monotonic() < deadline:
        try:
            run = read_run(path)
            if run.last.status is State.RUNNING:
                return run
        except UsageError:
            pass
        time.sleep(1)
    raise UsageError(f"{path}: no first node has stamped a run here within {JOINING:.0f} s")
