"""What a training ends with: its best value, what its log says, and the next command."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import suppress
from math import isfinite
from pathlib import Path

from opv2v_doctor.check import NoAnswer
from opv2v_doctor.cli.log import verdicts
from opv2v_doctor.facts.past.checkpoints import read_checkpoint
from opv2v_doctor.facts.past.checkpoints.unreadable import CheckpointUnreadable
from opv2v_doctor.facts.past.logs import judged_logs
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.loss_curves import curve
from opv2v_doctor.facts.past.logs.summaries import summary
from opv2v_doctor.facts.past.runs import BEST, LOG
from opv2v_doctor.reporters.phrases import first, one_line, tally
from opv2v_doctor.result import exit_code
from opv2v_doctor.runs.milestones import Milestones
from opv2v_doctor.runs.record import Run, RunStatus
from opv2v_doctor.settings import Settings
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text, sentence


def best(log: Log, run: Path) -> Text:
    """The best value of the log's evaluations, and the one that the saved checkpoint holds.

    It is told once where they are the same. They may differ, since a log holds averages and medians.
    """
    told, saved = summary(log).best.values, _saved(run)
    if "value" not in told:
        return saved or Text("no evaluation in the log")
    name, phase, value = str(told["name"]), str(told["phase"]), told["value"]
    said = Text(
        "the {side} {name} of the {phase} Epoch lines is {value:#.5g} (average, epoch {epoch})",
        **{**told, "phase": phase.title()},
    )
    held = saved and saved.values["value"]
    if saved is None or held is None:
        return said
    same = [point for point in curve(log, phase, name) if f"{point.median:#.5g}" == f"{held:#.5g}"]
    if f"{held:#.5g}" == f"{value:#.5g}":
        return Text("{said}, which {file} holds", said=said, **saved.values)
    if same:
        median = Text("{saved}, the median of epoch {epoch}", saved=saved, epoch=same[0].epoch)
        return sentence([said, median])
    return sentence([said, saved])


def _saved(run: Path) -> Text | None:
    """The best value that is written in the best checkpoint, else in the newest one; None without one."""
    with suppress(CheckpointUnreadable):
        found = read_checkpoint(run / BEST) if (run / BEST).is_file() else Milestones(run).newest
        if found is not None and found.best_so_far is not None and isfinite(found.best_so_far):
            return Text("{file} holds {value:#.5g}", file=found.path.name, value=found.best_so_far)
    return None


def epilogue(run: Run, settings: Settings) -> Iterator[str]:
    """A few lines about a training that has just ended; of one that left no log, the next command."""
    target = Target(repo=run.path, python=Path(sys.executable), logs=(run.path / LOG,), settings=settings)
    place = shlex.quote(str(run.path))
    code = 0
    try:
        log = judged_logs(target)[0]
    except NoAnswer as problem:
        yield f"log: {problem}"
    else:
        yield f"trained {summary(log).progress} epochs; {best(log, run.path)}"
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
