"""What a training ends with: its best value, what its log says, and the next command."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from opv2v_doctor.check import NoAnswer
from opv2v_doctor.cli.log import verdicts
from opv2v_doctor.facts.past.logs import judged_logs
from opv2v_doctor.facts.past.logs.summaries import summary
from opv2v_doctor.facts.past.runs import LOG
from opv2v_doctor.reporters.phrases import first, one_line, tally
from opv2v_doctor.result import exit_code
from opv2v_doctor.runs.milestones import Milestones
from opv2v_doctor.runs.record import Run, RunStatus
from opv2v_doctor.settings import Settings
from opv2v_doctor.target import Target


def epilogue(run: Run, settings: Settings) -> Iterator[str]:
    """A few lines about a training that has just ended; of one that left no log, the next command."""
    target = Target(repo=run.path, python=Path(sys.executable), logs=(run.path / LOG,), settings=settings)
    place = shlex.quote(str(run.path))
    code = 0
    try:
        row = summary(judged_logs(target)[0])
    except NoAnswer as problem:
        yield f"log: {problem}"
    else:
        best = Milestones(run.path).best
        kept = f"; the training keeps {best:.5g} as its best" if best is not None else ""
        yield f"trained {row.progress} epochs; best {row.best}{kept}"
        results = verdicts(target, ())
        code = exit_code(results)
        chosen = first(results)
        worst = f"; first {chosen[0].code} {one_line(chosen[1].message)}" if chosen else ""
        yield f"log: {tally(results)}{worst}"
    if run.state is RunStatus.INTERRUPTED:
        yield f"next: opv2v-doctor train --resume {place}"
    elif run.state is RunStatus.FAILED or code:
        yield f"next: opv2v-doctor log {place}"
    elif settings.infer.script:
        yield f"next: opv2v-doctor infer --run {place}"
    else:
        yield f"next: opv2v-doctor pointcloud --run {place} --compare"
