"""Commands about runs: list, show, record, diff, verify, adopt."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from opv2v_doctor.cli import completion, options
from opv2v_doctor.languages import say as said_in
from opv2v_doctor.neutral import aligned, printable
from opv2v_doctor.text import Text, counted, quoted, sentence

if TYPE_CHECKING:
    from opv2v_doctor.reporters import Say
    from opv2v_doctor.runs.record import Launch, Run
    from opv2v_doctor.runs.register import RegisteredRun

app = typer.Typer(
    name="runs",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def runs() -> None:
    """List, compare and verify runs."""


MOMENT = "%Y-%m-%d %H:%M:%S"
Form = Literal["text", "json"]  # how an answer is written
Directory = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run directory.", autocompletion=completion.runs)
]
Format = Annotated[Form, typer.Option("--format", help="For people, or for programs.")]


@app.command("list")
def list_runs(
    folder: Annotated[
        Path | None, typer.Argument(help="Where to look.  [default: where runs go]", show_default=False)
    ] = None,
    repo: options.Repo = None,
    settings: options.SettingsFile = None,
    format: Format = "text",
    lang: options.Lang = "en",
) -> None:
    """List all runs below a folder, oldest first, with how far they came."""
    from opv2v_doctor.runs.register import entries

    root = folder or _root(repo, settings)
    found = entries(root)
    if format == "json":
        typer.echo(json.dumps([_row(entry) for entry in found], indent=1))
        return
    say = partial(said_in, language=lang)
    typer.echo(say(Text("runs in {folder}" if found else "no runs in {folder}", folder=printable(str(root)))))
    heads = [
        *(say("started"), say("state"), say("gate"), say("commit"), say("GPUs"), say("epochs")),
        *(say("steps"), say("best"), say("kind"), say("run")),
    ]
    for line in aligned([heads, *(_shown(entry, root, say) for entry in found)] if found else []):
        typer.echo(line)
    for entry in found:
        if entry.problem:
            typer.echo(f"opv2v-doctor: {printable(entry.problem)}", err=True)


def _root(repo: Path | None, file: Path | None) -> Path:
    """Where new runs go: the setting, else the folder of the config's own run directory."""
    from opv2v_doctor.runs.destination import root_of
    from opv2v_doctor.target import make_target

    return root_of(make_target(repo=repo, settings_file=file))


def _shown(entry: RegisteredRun, root: Path, say: Say) -> list[str]:
    """A row for people: epochs are counted, and the path begins where they look."""
    row = _row(entry)
    gate = entry.run.last.stamp.gate if entry.run else None
    epochs = entry.epochs if row["kind"] == "train" else row["epoch"]
    values = (
        *(row["started"], say(entry.state), gate and say(gate.told), row["commit"], row["gpus"]),
        *(say(epochs) if isinstance(epochs, Text) else epochs, row["steps"], row["best"], row["kind"]),
        os.path.relpath(entry.path, root),
    )
    return ["-" if value is None else printable(str(value)) for value in values]


def _row(entry: RegisteredRun) -> dict[str, Any]:
    stamp = entry.run.stamp if entry.run else None
    reached = entry.reached
    return {
        "started": entry.started.strftime("%Y-%m-%d %H:%M"),
        "state": entry.state,
        "gate": entry.verdict,
        "commit": entry.commit,
        "gpus": stamp.world_size if stamp else None,
        "epoch": reached.epoch,
        "planned": entry.planned,
        "steps": reached.steps,
        "best": None if reached.best is None else float(f"{reached.best:.5g}"),
        "kind": stamp.kind if stamp else "train",
        "run": str(entry.path),
    }


@app.command("show")
def show(run: Directory, format: Format = "text", lang: options.Lang = "en") -> None:
    """Show what was stamped, and what became of it."""
    from opv2v_doctor.runs.record import read_run

    found = read_run(run)
    if format == "json":
        typer.echo(json.dumps(found.model_dump(mode="json"), indent=1))
        return
    for line in _description(found, partial(said_in, language=lang)):
        typer.echo(line)


def _description(run: Run, say: Say = str) -> Iterator[str]:
    """The run in lines: a head, rows of a name and what is known of it, and the launches."""
    marks = [] if run.is_stamped else [Text("never stamped")]
    kind = (quoted(run.stamp.kind), run.state.told, *marks)
    yield printable(say(Text("{run}: {told}", run=run.path, told=sentence(kind, ", "))))
    stamped, reached = list(_stamped(run)), list(_reached(run))
    rows = [(f"  {say(name)}", printable(say(told))) for name, told in (*stamped, *reached)]
    lines = list(aligned(rows))
    yield from lines[: len(stamped)]
    for launch in run.launches:
        yield printable(f"  {say(_launch(launch))}")
        if launch.failure is not None:
            from opv2v_doctor.runs.failures import description

            yield from (printable(f"    {line}") for line in description(launch.failure).splitlines())
    yield from lines[len(stamped) :]


def _stamped(run: Run) -> Iterator[tuple[str | Text, Text]]:
    """What was stamped."""
    stamp = run.stamp
    if stamp.commit:
        branch = quoted(stamp.branch) if stamp.branch else Text("a detached head")
        yield Text("code"), Text("commit {commit} on {branch}", commit=stamp.commit, branch=branch)
        files = [Text("{n:changed file|changed files}", n=len(stamp.dirty))]
        if stamp.untold:
            files.append(Text("{n} that may have changed", n=len(stamp.untold)))
        yield "", sentence([*files, Text("{n} untracked", n=len(stamp.untracked))], ", ")
    else:
        yield Text("code"), Text("no commit: {reason}", reason=stamp.without_commit)
    yield Text("command"), _known(stamp.command)
    yield Text("config"), _known(stamp.config_hash)
    size, steps = stamp.world_size, stamp.steps_per_epoch
    processes = counted(size, "process") if size else Text("processes unknown")
    epoch = Text("{n:step|steps} per epoch", n=steps) if steps else Text("steps per epoch unknown")
    yield Text("size"), sentence([processes, epoch], ", ")
    host = quoted(stamp.host) if stamp.host else Text("host unknown")
    gpus = [quoted(gpu) for gpu in stamp.gpus] or [Text("no GPU" if stamp.host else "GPUs unknown")]
    yield (
        Text("machine"),
        sentence([host, *gpus, Text("python {version}", version=_known(stamp.python))], ", "),
    )
    for name, file in stamp.modules.items():
        yield Text("module"), quoted(f"{name}: {file}")
    if stamp.dataset:
        content = stamp.dataset.fingerprint
        known = quoted(content) if content else Text("never audited: its content is not known")
        yield Text("dataset"), Text("{roots}: {known}", roots=list(stamp.dataset.roots), known=known)
    if stamp.checkpoint:
        held, reached = stamp.checkpoint.get("file"), stamp.checkpoint.get("epoch")
        yield Text("checkpoint"), Text("{file} (epoch {epoch})", file=str(held), epoch=reached)


def _reached(run: Run) -> Iterator[tuple[Text, Text]]:
    """How far it came."""
    from opv2v_doctor.runs.milestones import Milestones

    reached = Milestones(run.path)
    newest = reached.newest
    yield (
        Text("reached"),
        quoted(f"{newest.counted} ({newest.path.name})") if newest else Text("no checkpoint"),
    )
    yield Text("best"), _known(None if reached.best is None else f"{reached.best:.5g}")


def _known(value: object) -> Text:
    """A value, or that it is not known."""
    return Text("unknown") if value in (None, "") else quoted(value)


def _launch(launch: Launch) -> Text:
    told = [launch.state.told]
    if launch.exit_code is not None:
        told.append(Text("exit code {code}", code=launch.exit_code))
    if launch.stamp.gate:
        told.append(Text("gate {verdict}", verdict=launch.stamp.gate.told))
    started, ended = (f"{moment:{MOMENT}}" if moment else "" for moment in (launch.started, launch.ended))
    return Text(
        "launch {number}  {started} to {ended}: {told}" if ended else "launch {number}  {started}: {told}",
        number=launch.number,
        started=started,
        ended=ended,
        told=sentence(told, ", "),
    )


@app.command("record")
def record(run: Directory, repo: options.Repo = None, settings: options.SettingsFile = None) -> None:
    """Write the run's record.md anew; what a person wrote in it stays."""
    from opv2v_doctor.atomic import NotWritten
    from opv2v_doctor.runs.notebook import NAME, keep
    from opv2v_doctor.runs.record import read_run
    from opv2v_doctor.target import find_settings

    found = read_run(run)
    place = repo or Path(found.stamp.repo or ".")
    try:
        keep(found, find_settings(place, settings))
    except NotWritten as problem:
        typer.echo(f"opv2v-doctor: {problem}", err=True)
        raise typer.Exit(3) from None
    typer.echo(f"wrote {printable(str(found.path / NAME))}")


@app.command("diff")
def diff(one: Directory, other: Directory, format: Format = "text") -> None:
    """Show in what two runs differ: code, config, launch, packages, loaders, metrics."""
    from opv2v_doctor.runs.comparison import sections_of
    from opv2v_doctor.runs.record import read_run

    sections = list(sections_of(read_run(one), read_run(other)))
    if format == "json":
        typer.echo(
            json.dumps(
                {s.title: {d.key: [d.before, d.after] for d in s.differences} for s in sections},
                indent=1,
                default=str,
            )
        )
        return
    for section in sections:
        typer.echo(f"{section.title}: {'the same' if not section.differences else ''}".rstrip())
        for difference in section.differences:
            typer.echo(f"  {printable(str(difference))}")


@app.command("verify")
def verify(run: Directory) -> None:
    """Tell whether a directory still is what was stamped; exit code 1 where it is not."""
    from opv2v_doctor.runs.record import read_run
    from opv2v_doctor.runs.verification import evidence

    found = list(evidence(read_run(run)))
    for each in found:
        typer.echo(f"{'ok ' if each.good else 'BAD'} {printable(each.text)}")
    raise typer.Exit(0 if all(each.good for each in found) else 1)


@app.command("adopt")
def adopt(run: Directory) -> None:
    """Make a record of a run that was made by hand; it stays marked as unstamped."""
    from opv2v_doctor.atomic import NotWritten
    from opv2v_doctor.runs.earlier import adoption

    found = adoption(run)
    try:
        found.save()
    except NotWritten as problem:
        typer.echo(f"opv2v-doctor: {problem}", err=True)
        raise typer.Exit(3) from None
    for line in _description(found):
        typer.echo(line)
