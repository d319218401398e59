"""Commands that start the repository's own scripts, behind the gate, into a stamped run directory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opv2v_doctor.cli import options

if TYPE_CHECKING:
    from opv2v_doctor.runs.launcher import Display
    from opv2v_doctor.runs.request import Request
    from opv2v_doctor.target import Target

NOT_WRITTEN = 3
Fresh = Annotated[
    bool, typer.Option("--fresh", help="A new directory, also beside one that hydra.run.dir names.")
]
Resume = Annotated[
    Path | None, typer.Option(help="Go on with this run, in its directory.", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the command and the stamp, and end.")]
Force = Annotated[
    str, typer.Option(metavar="REASON", help="Start although the gate fails; stamped.", show_default=False)
]
RequireClean = Annotated[bool, typer.Option("--require-clean", help="Refuse files that are not committed.")]
Nnodes = Annotated[int, typer.Option(min=1, help="Machines that train together; --gpus counts all GPUs.")]
NodeRank = Annotated[
    int, typer.Option(min=0, envvar="SLURM_NODEID", show_envvar=True, help="Which of the machines this is.")
]
Endpoint = Annotated[
    str | None, typer.Option(help="HOST:PORT where several machines meet.", show_default=False)
]
StepsPerEpoch = Annotated[
    int | None,
    typer.Option(
        min=1, help="Steps an epoch that the schedule runs on, whatever the loader's.", show_default=False
    ),
]
OnSlurm = Annotated[bool, typer.Option("--slurm", help="Submit it as a SLURM job (extra: slurm).")]
CheckpointFile = Annotated[
    Path | None, typer.Option("--checkpoint", help="The checkpoint to run.", show_default=False)
]
Index = Annotated[int, typer.Option(min=0, help="Sample of the split.")]


@options.takes_target
def train(
    target: Target,
    overrides: options.Overrides = None,
    nnodes: Nnodes = 1,
    node_rank: NodeRank = 0,
    rdzv_endpoint: Endpoint = None,
    fresh: Fresh = False,
    resume: Resume = None,
    dry_run: DryRun = False,
    force: Force = "",
    require_clean: RequireClean = False,
    steps_per_epoch: StepsPerEpoch = None,
    ignore: options.Ignore = None,
    plugins: options.Plugins = None,
    slurm: OnSlurm = False,
) -> None:
    """Train: the gate, a stamped run directory, the repository's own script, and a watch.

    Ends with the script's exit code, or the gate's where it refuses.
    """
    from opv2v_doctor.runs.commands import Nodes
    from opv2v_doctor.runs.request import Request
    from opv2v_doctor.usage import UsageError

    if fresh and resume:
        raise UsageError("--fresh begins anew and --resume goes on: give one of them")
    request = Request(
        target=replace(target, overrides=tuple(overrides or ())),
        resume=resume,
        fresh=fresh,
        force=force,
        require_clean=require_clean,
        steps_per_epoch=steps_per_epoch,
        plugins=plugins,
        nodes=Nodes(count=nnodes, rank=node_rank if nnodes > 1 else 0, endpoint=rdzv_endpoint),
    )
    if slurm:
        _submit(request)
    else:
        raise typer.Exit(_shown(request, dry_run, ignore or ()))


def _shown(request: Request, dry_run: bool, ignores: list[str] | tuple[()]) -> int:
    from opv2v_doctor.cli.following import Following
    from opv2v_doctor.runs import training
    from opv2v_doctor.runs.writing import NotWritten

    display = Following()
    try:
        if dry_run:
            return _print_plan(request, display)
        with display:
            return training.train(request, _gate(ignores, request.plugins), display)
    except NotWritten as problem:
        display.say(f"not started: {problem}")
        return NOT_WRITTEN


def _gate(ignores: list[str] | tuple[()], plugins: bool | None) -> Callable[[Target, Path], int]:
    """The gate: everything that can be known before a launch."""
    from opv2v_doctor.cli.examination import examine

    def gate(target: Target, report: Path) -> int:
        words = target.settings.select
        return examine(target, words, ignores=ignores, tier="data", output=report, plugins=plugins)

    return gate


def _print_plan(request: Request, display: Display) -> int:
    """What would be started and stamped."""
    from opv2v_doctor.runs.destination import placed
    from opv2v_doctor.runs.request import stamp_of
    from opv2v_doctor.runs.training import prepared

    target, earlier, places = prepared(request, display)
    run = next((place for place in places if not place.exists()), places[-1])
    stamp = stamp_of(request, placed(target, run), run, earlier, None).stamp
    typer.echo(f"{stamp.command}\n{stamp.model_dump_json(indent=1)}")
    return 0


def _submit(request: Request) -> None:
    from opv2v_doctor.runs.slurm import submit

    typer.echo(f"submitted as job {submit(request)}")


@options.takes_target
def infer(
    target: Target,
    overrides: options.Overrides = None,
    checkpoint: CheckpointFile = None,
    index: Index = 0,
    dry_run: DryRun = False,
    force: Force = "",
    require_clean: RequireClean = False,
    ignore: options.Ignore = None,
    plugins: options.Plugins = None,
) -> None:
    """Run the repository's inference on a checkpoint, stamped, into the run's `eval_runs/`.

    The script and its arguments are those of `[infer]` in the settings. The config is compared with the one
    that was stamped when the checkpoint was trained.
    """
    from opv2v_doctor.cli.following import Following
    from opv2v_doctor.runs.evaluation import Inquiry, infer, planned
    from opv2v_doctor.runs.writing import NotWritten

    display = Following()
    split = target.splits[0] if len(target.splits) == 1 else "val"
    inquiry = Inquiry(
        target=replace(target, overrides=tuple(overrides or ())),
        checkpoint=checkpoint,
        split=split,
        index=index,
        force=force,
        require_clean=require_clean,
    )
    try:
        if dry_run:
            stamp = planned(inquiry, display)
            typer.echo(f"{stamp.command}\n{stamp.model_dump_json(indent=1)}")
            return
        with display:
            code = infer(inquiry, _gate(ignore or (), plugins), display)
    except NotWritten as problem:
        display.say(f"not started: {problem}")
        code = NOT_WRITTEN
    raise typer.Exit(code)
