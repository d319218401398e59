"""Commands that start the repository's own scripts, behind the gate, into a stamped run directory."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from opv2v_doctor.cli import completion, options
from opv2v_doctor.reporters import Detail

if TYPE_CHECKING:
    from opv2v_doctor.runs.launcher import Display
    from opv2v_doctor.runs.record import Run, Stamp
    from opv2v_doctor.runs.request import Request, TrainingRequest
    from opv2v_doctor.target import Target
    from opv2v_doctor.text import Text

NOT_WRITTEN = 3
GATE = "data"  # the tier that the gate examines up to
# of an inference: what it runs on, and what it makes of a checkpoint; its script runs anyway, so not INF009
INFERENCE = ("environment", *(f"INF00{number}" for number in range(1, 8)))
Fresh = Annotated[
    bool, typer.Option("--fresh", help="A new directory, also beside one that hydra.run.dir names.")
]
Resume = Annotated[
    Path | None,
    typer.Option(
        help="Go on with this run, in its directory.", show_default=False, autocompletion=completion.runs
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        "-n",
        help="Ask the gate, print what would start, and end as the gate does; -v: the stamp.",
    ),
]


def _reason(force: str | None) -> str | None:
    """The reason of `--force`, which is one."""
    from opv2v_doctor.user_error import UsageError

    if force is not None and not force.strip():
        raise UsageError("--force needs the reason, which is stamped")
    return force


Force = Annotated[
    str | None,
    typer.Option(
        metavar="REASON",
        help="Start although the gate fails; stamped.",
        show_default=False,
        callback=_reason,
    ),
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
Own = Annotated[list[str] | None, typer.Option("--own", hidden=True)]  # each word behind `--`
Index = Annotated[int, typer.Option(min=0, help="Sample of the split.")]


class WithCommand(TyperCommand):
    """A command that takes another one behind `--`, unless what stands there are overrides."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Hand the words on as a hidden option."""
        from opv2v_doctor.facts.launch.launch_commands import OVERRIDE

        before, after = (
            (args[: args.index("--")], args[args.index("--") + 1 :]) if "--" in args else (args, [])
        )
        if not all(map(OVERRIDE.match, after)):
            args = [*before, *(f"--own={word}" for word in after)]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND ...]"]


CLASSES = {"train": WithCommand}


@options.taking(options.target_of, "target")
def request_of(
    target: Target,
    ctx: typer.Context,
    overrides: options.Overrides = None,
    own: Own = None,
    nnodes: Nnodes = 1,
    node_rank: NodeRank = 0,
    rdzv_endpoint: Endpoint = None,
    fresh: Fresh = False,
    resume: Resume = None,
    dry_run: DryRun = False,
    force: Force = None,
    require_clean: RequireClean = False,
    steps_per_epoch: StepsPerEpoch = None,
    ignore: options.Ignore = None,
    plugins: options.Plugins = None,
    slurm: OnSlurm = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> TrainingRequest:
    """The request that all these options make. Raises UsageError for what does not go together."""
    from opv2v_doctor.cli.examination import selection
    from opv2v_doctor.runs.command_line import Nodes
    from opv2v_doctor.runs.request import TrainingRequest, verify_request
    from opv2v_doctor.user_error import UsageError

    typed = {name for name in ctx.params if str(ctx.get_parameter_source(name)).endswith("COMMANDLINE")}
    if own:
        _verify_alone(typed)
    else:
        options.verify_script(target)
    for name, given in (("--node-rank", "node_rank" in typed), ("--rdzv-endpoint", rdzv_endpoint)):
        if slurm and given:
            raise UsageError(f"--slurm tells each node where it stands and where to meet: leave {name} out")
    if resume and "run" in typed and target.run != resume.resolve():
        raise UsageError(f"--resume {resume} has the gate examine that run: leave --run out")
    alone = nnodes == 1 and "node_rank" not in typed  # srun of several trainings numbers them, too
    request = TrainingRequest(
        target=replace(target, overrides=tuple(overrides or ())),
        resume=resume,
        fresh=fresh,
        force=force or "",
        require_clean=require_clean,
        steps_per_epoch=steps_per_epoch,
        plugins=plugins,
        ignores=tuple(ignore or ()),
        nodes=Nodes(count=nnodes, rank=0 if alone or slurm else node_rank, endpoint=rdzv_endpoint),
        slurm=slurm,
        dry_run=dry_run,
        command=tuple(own or ()),
        gpus=target.gpus if "gpus" in typed else None,
        keeps_python="python" in typed,
        detail=options.detail_of(verbose, quiet),
    )
    verify_request(request)
    selection(request.examined, target.settings.select, ignores=request.ignores, tier=GATE, plugins=plugins)
    return request


def _verify_alone(typed: Collection[str]) -> None:
    """Raises UsageError where an option speaks of a launch of ours beside a command of the user's own."""
    from opv2v_doctor.user_error import UsageError

    if "overrides" in typed:
        raise UsageError("overrides belong to the command behind `--`: it runs as it is written")
    for name in ("nnodes", "node_rank", "rdzv_endpoint", "fresh", "slurm"):
        if name in typed:
            option = name.replace("_", "-")
            raise UsageError(
                f"--{option} is for launches of ours: the command behind `--` says where it runs"
            )


takes_request = options.taking(request_of, "request")


@takes_request
def train(request: TrainingRequest) -> None:
    """Train: the gate, a stamped run directory, the repository's own script, and a watch.

    `train -- COMMAND ...` runs a launch of your own as it is, torchrun or a script: the gate judges what it
    starts, and the watch goes along. Ends with the script's exit code, or the gate's where it refuses. A dry
    run starts and submits nothing.
    """
    if request.slurm and not request.dry_run:
        from opv2v_doctor.runs.slurm import submit

        typer.echo(f"submitted as job {submit(request)}")
        return
    raise typer.Exit(start(request))


def start(request: Request) -> int:
    """Start what was asked for on this machine, or print the plan of it; the exit code."""
    from opv2v_doctor.atomic import NotWritten
    from opv2v_doctor.cli.epilogue import epilogue
    from opv2v_doctor.cli.examination import examine
    from opv2v_doctor.cli.following import Following
    from opv2v_doctor.cli.live import announce
    from opv2v_doctor.runs import pipeline
    from opv2v_doctor.runs.request import InferenceRequest, TrainingRequest

    def gate(target: Target, report: Path) -> int:
        """Everything that can be known before a launch."""
        detail = (
            request.detail if request.detail is Detail.EVERYTHING or not request.dry_run else Detail.FAILURES
        )
        told = options.Presentation(files=((report, "json"),), announces=False, detail=detail)
        words, tier = target.settings.select, GATE
        if isinstance(request, InferenceRequest) and not words:
            words, tier = INFERENCE, "run"
        ignores, plugins = request.ignores, request.plugins
        announce(str(_beforehand(request, target, words, tier)))
        return examine(target, words, ignores=ignores, tier=tier, presentation=told, plugins=plugins)

    def ended(run: Run) -> None:
        if isinstance(request, TrainingRequest):
            for line in epilogue(run, request.target.settings):
                display.say(line)

    display = Following()
    try:
        if request.dry_run:
            planned = pipeline.plan(_on_first_node(request, display), gate, display)
            return _print_plan(*planned, in_full=request.detail is Detail.EVERYTHING) if planned else 0
        with display:
            return pipeline.start(request, gate, display, ended)
    except NotWritten as problem:
        display.say(f"not started: {problem}")
        return NOT_WRITTEN


def _beforehand(request: Request, target: Target, words: Sequence[str], tier: str) -> Text:
    """What will be done, and how long the gate took the last time."""
    from opv2v_doctor.check import NoAnswer
    from opv2v_doctor.cli.examination import selection
    from opv2v_doctor.runs.destination import root_of
    from opv2v_doctor.runs.gate_times import expectation, last_times
    from opv2v_doctor.runs.inference import FOLDER
    from opv2v_doctor.runs.request import InferenceRequest
    from opv2v_doctor.runs.stamp import epochs
    from opv2v_doctor.text import Text, counted

    checks, _, ignored = selection(target, words, ignores=request.ignores, tier=tier, plugins=request.plugins)
    if isinstance(request, InferenceRequest):
        root = (target.run or target.repo) / FOLDER
        then = Text("{script} on {file}", script=target.settings.infer.script, file=request.file.name)
    else:
        root = root_of(target)
        length = Text("an unknown number of epochs")
        with suppress(NoAnswer):  # the gate tells why
            length = counted(planned, "epoch") if (planned := epochs(target)) is not None else length
        then = Text(
            "the training, {length} on {processes}", length=length, processes=counted(target.gpus, "process")
        )
    gate = expectation([check.code for check in checks if check.code not in ignored], last_times(root))
    if request.dry_run:
        return Text("{gate}; nothing starts behind it (--dry-run)", gate=gate)
    return Text("first {gate}; then, if that passes, {then}", gate=gate, then=then)


def _print_plan(stamp: Stamp, place: Path, *, in_full: bool) -> int:
    """What would start, and whether it would; the exit code of that."""
    from opv2v_doctor.neutral import printable
    from opv2v_doctor.text import counted

    assert stamp.gate is not None
    code = 0 if stamp.gate.forced else stamp.gate.exit_code
    commit = f"commit {stamp.commit[:10]}" if stamp.commit else "no commit"
    processes = counted(stamp.world_size, "process") if stamp.world_size else "unknown processes"
    size = f"{processes}, {stamp.steps_per_epoch or 'unknown'} steps per epoch"
    for line in (
        stamp.command,
        f"  directory  {place}",
        f"  code       {commit}, {len(stamp.dirty)} changed files, {len(stamp.untracked)} untracked",
        f"  size       {size}",
        f"  gate       {stamp.gate}",
        f"nothing was started (--dry-run): it would {'not start' if code else 'start'}",
    ):
        typer.echo(printable(line))
    if in_full:
        typer.echo(json.dumps(stamp.model_dump(mode="json"), indent=1))
    return code


def _on_first_node(request: Request, display: Display) -> Request:
    """The request as it would be on the first node of a job, which is said."""
    from opv2v_doctor.runs.request import TrainingRequest

    if not isinstance(request, TrainingRequest) or not request.slurm:
        return request
    from opv2v_doctor.runs.slurm import for_first, resources

    asked = ", ".join(f"{name} {value}" for name, value in resources(request).items())
    display.say(f"a SLURM job with {asked}; on its first node:")
    return for_first(request)


@options.takes_target
def infer(
    target: Target,
    overrides: options.Overrides = None,
    checkpoint: CheckpointFile = None,
    index: Index = 0,
    dry_run: DryRun = False,
    force: Force = None,
    require_clean: RequireClean = False,
    ignore: options.Ignore = None,
    plugins: options.Plugins = None,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Run the repository's inference on a checkpoint, stamped, into the run's `eval_runs/`.

    The script and its arguments are those of `[infer]` in the settings. The gate asks what concerns
    inference: the environment, and what the model makes of the checkpoint. The config is compared with the
    one that was stamped when the checkpoint was trained.
    """

    from opv2v_doctor.runs.request import InferenceRequest

    request = InferenceRequest(
        target=replace(target, overrides=tuple(overrides or ())),
        checkpoint=checkpoint,
        split=target.splits[0] if len(target.splits) == 1 else "val",
        index=index,
        force=force or "",
        require_clean=require_clean,
        plugins=plugins,
        ignores=tuple(ignore or ()),
        dry_run=dry_run,
        detail=options.detail_of(verbose, quiet),
    )
    raise typer.Exit(start(request))
