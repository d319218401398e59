"""A training as it is asked for: the words, the stamp and the plan that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from opv2v_doctor.check import Blocked
from opv2v_doctor.runs.commands import Nodes, command, without_directory
from opv2v_doctor.runs.launcher import Plan, number_of_launch, output_folder
from opv2v_doctor.runs.record import Run, Verdict
from opv2v_doctor.runs.stamp import Stamped, stamped
from opv2v_doctor.target import Target
from opv2v_doctor.usage import UsageError


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asks for."""

    target: Target
    resume: Path | None = None
    fresh: bool = False
    force: str = ""
    require_clean: bool = False
    plugins: bool | None = None  # run by the gate, or left out; None: as they are trusted
    steps_per_epoch: int | None = None  # that the schedule runs on
    nodes: Nodes = field(default_factory=Nodes)


def stamp_of(
    request: Request, target: Target, run: Path, earlier: Run | None, verdict: Verdict | None
) -> Stamped:
    """The stamp that this launch would get. Writes nothing.

    Raises UsageError where it cannot be told what would run.
    """
    words = command_of(request, target, run, number_of_launch(earlier))
    given = without_directory(target.overrides)
    try:
        return stamped(target, run, words, nodes=request.nodes.count, given=given, gate=verdict)
    except Blocked as problem:
        raise UsageError(f"what would run cannot be stamped: {problem}") from None


def command_of(request: Request, target: Target, run: Path, number: int) -> list[str]:
    return command(target, run, output_folder(run, number, request.nodes.rank), request.nodes)


def plan_of(request: Request, target: Target, run: Run, words: list[str]) -> Plan:
    settings, stamp, nodes = target.settings, run.last.stamp, request.nodes
    each = target.gpus // nodes.count
    return Plan(
        command=words,
        cwd=target.repo,
        env=target.launch_env,
        watch={
            "run": str(run.path),
            "expected_steps": stamp.steps_per_epoch,
            "steps_per_epoch": request.steps_per_epoch or settings.watch.steps_per_epoch,
            "every": settings.watch.every,
            "commit": stamp.commit,
            "config_hash": stamp.config_hash,
        },
        ranks=range(nodes.rank * each, (nodes.rank + 1) * each),
        patience=settings.launch.patience,
        silence=settings.launch.silence,
        end_stalled=settings.launch.end_stalled,
    )
