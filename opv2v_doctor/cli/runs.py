"""Commands about runs: list, show, record, diff, verify, adopt."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from opv2v_doctor.cli import completion, options
from opv2v_doctor.neutral import printable

if TYPE_CHECKING:
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


UNKNOWN = "unknown"
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
) -> None:
    """List all runs below a folder, oldest first, with how far they came."""
    from opv2v_doctor.runs.register import entries

    root = folder or _root(repo, settings)
    found = entries(root)
    if format == "json":
        typer.echo(json.dumps([_row(entry) for entry in found], indent=1))
        return
    if not found:
        typer.echo(f"no runs in {printable(str(root))}")
    else:
        typer.echo(f"runs in {printable(str(root))}")
    for line in _table([_shown(entry, root) for entry in found]):
        typer.echo(line)
    for entry in found:
        if entry.problem:
            typer.echo(f"opv2v-doctor: {printable(entry.problem)}", err=True)


def _root(repo: Path | None, file: Path | None) -> Path:
    """Where new runs go: the setting, else the folder of the config's own run directory."""
    from opv2v_doctor.runs.destination import root_of
    from opv2v_doctor.target import make_target

    return root_of(make_target(repo=repo, settings_file=file))


def _shown(entry: RegisteredRun, root: Path) -> dict[str, Any]:
    """A row for people: epochs are counted, and the path begins where they look."""
    row = _row(entry)
    run = os.path.relpath(entry.path, root)
    return {
        **{"epochs" if name == "epoch" else name: value for name, value in row.items() if name != "planned"},
        **({"epochs": entry.epochs} if row["kind"] == "train" else {}),
        "run": run,
    }


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


def _table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Rows under one another, columns as wide as their widest entry."""
    if not rows:
        return
    texts = [[str(name) for name in rows[0]]]
    texts += [["-" if value is None else printable(str(value)) for value in row.values()] for row in rows]
    widths = [max(len(text[column]) for text in texts) for column in range(len(texts[0]))]
    for text in texts:
        yield "  ".join(word.ljust(width) for word, width in zip(text, widths, strict=True)).rstrip()


@app.command("show")
def show(run: Directory, format: Format = "text") -> None:
    """Show what was stamped, and what became of it."""
    from opv2v_doctor.runs.record import read_run

    found = read_run(run)
    if format == "json":
        typer.echo(json.dumps(found.model_dump(mode="json"), indent=1))
        return
    for line in _description(found):
        typer.echo(printable(line))


def _description(run: Run) -> Iterator[str]:
    from opv2v_doctor.runs.milestones import Milestones

    stamp, reached = run.stamp, Milestones(run.path)
    marked = f"commit {stamp.commit} on {stamp.branch or 'a detached head'}" if stamp.commit else ""
    yield f"{run.path}: {stamp.kind}, {run.state}{'' if run.is_stamped else ', never stamped'}"
    yield f"  code      {marked or f'no commit: {stamp.without_commit}'}"
    if stamp.commit:
        untold = f", {len(stamp.untold)} that may have changed" if stamp.untold else ""
        yield f"            {len(stamp.dirty)} changed files{untold}, {len(stamp.untracked)} untracked"
    yield f"  command   {stamp.command or UNKNOWN}"
    yield f"  config    {stamp.config_hash or UNKNOWN}"
    steps = _known(stamp.steps_per_epoch, "steps per epoch")
    yield f"  size      {_known(stamp.world_size, 'processes')}, {steps}"
    gpus = ", ".join(stamp.gpus) or ("no GPU" if stamp.host else "GPUs unknown")
    yield f"  machine   {_known(stamp.host, of='host')}, {gpus}, python {stamp.python or UNKNOWN}"
    yield from (f"  module    {name}: {file}" for name, file in stamp.modules.items())
    if stamp.dataset:
        known = stamp.dataset.fingerprint or "never audited: its content is not known"
        yield f"  dataset   {', '.join(stamp.dataset.roots)}: {known}"
    if stamp.checkpoint:
        yield f"  checkpoint {stamp.checkpoint.get('file')} (epoch {stamp.checkpoint.get('epoch')})"
    for launch in run.launches:
        yield from _launch(launch)
    newest = reached.newest
    yield f"  reached   {f'{newest.counted} ({newest.path.name})' if newest else 'no checkpoint'}"
    yield f"  best      {UNKNOWN if reached.best is None else f'{reached.best:.5g}'}"


def _known(value: object, after: str = "", of: str = "") -> str:
    """A value with its unit, or that it is not known."""
    if value in (None, ""):
        return f"{of or after} {UNKNOWN}"
    return f"{value} {after}".rstrip()


def _launch(launch: Launch) -> Iterator[str]:
    end = f" to {launch.ended:%Y-%m-%d %H:%M:%S}" if launch.ended else ""
    code = "" if launch.exit_code is None else f", exit code {launch.exit_code}"
    gate = f", gate {launch.stamp.gate}" if launch.stamp.gate else ""
    yield f"  launch {launch.number}  {launch.started:%Y-%m-%d %H:%M:%S}{end}: {launch.state}{code}{gate}"
    if launch.failure is not None:
        from opv2v_doctor.runs.failures import description

        yield from (f"    {line}" for line in description(launch.failure).splitlines())


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
        typer.echo(printable(line))
