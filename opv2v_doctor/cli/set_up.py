"""Commands that set something up: the settings of a repository, and the embedded training repository."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opv2v_doctor.cli import completion, options

if TYPE_CHECKING:
    from opv2v_doctor.settings_draft import Candidate

Faults = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        help="Put this fault in; repeatable.",
        show_default=False,
        autocompletion=completion.faults,
    ),
]
UNSPEAKABLE = ("'", ":", "${", "\n")  # in a quoted path of an expression, in PYTHONPATH, in a config
RUNS_ON = ("torch", "hydra", "tensorboard")  # modules of the extra `demo`
ListFaults = Annotated[bool, typer.Option("--list-faults", help="List the faults, one a line, and end.")]


def init(
    directory: Annotated[
        Path | None, typer.Argument(help="The training repository, as --repo.", show_default=False)
    ] = None,
    repo: options.Repo = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Where to write.  [default: REPO/opv2v-doctor.toml]",
            show_default=False,
            callback=options.reachable,
        ),
    ] = None,
    launch: Annotated[
        int | None,
        typer.Option(
            min=1, help="Which of the launches that it shows.  [default: asked]", show_default=False
        ),
    ] = None,
) -> None:
    """Write commented settings for a training repository.

    The launch is one that its documents, scripts or earlier runs show; the interpreter, one of the active
    environment or that they name. Where several fit, it asks, and without a terminal takes the first.
    """
    from opv2v_doctor.atomic import whole
    from opv2v_doctor.facts.launch.documented_commands import launches
    from opv2v_doctor.settings import FILE_NAME, read_settings
    from opv2v_doctor.settings_draft import candidates, draft, trainings
    from opv2v_doctor.user_error import UsageError

    if directory is not None and repo is not None:
        raise UsageError(f"init {directory} --repo {repo}: name the repository once")
    named = directory or repo or Path()
    repo = named.resolve()
    path = output or repo / FILE_NAME
    if not repo.is_dir():
        raise UsageError(f"{named}: no such directory")
    if os.path.lexists(path):
        raise UsageError(f"{path} exists: edit it, or remove it first")
    shown = tuple(launches(repo))
    found = candidates(repo, shown)
    chosen = _chosen(trainings(found), launch)
    with whole(path) as partial:
        partial.write_text(draft(repo, chosen, found, shown), encoding="utf-8", errors="backslashreplace")
    python = read_settings(path).python  # what we write must be what we read
    elsewhere = f" --settings {path}" if output else ""
    typer.echo(f"wrote {path}; now: opv2v-doctor run-all --repo {repo}{elsewhere} --tier static")
    if python is None:
        typer.echo("no training interpreter found: give it there as `python`, or the doctor asks its own")
    else:
        typer.echo(f"the training interpreter: {python}")


def _chosen(found: Sequence[Candidate], number: int | None) -> Candidate | None:
    """The launch to draft: the one that is asked for, else the user's choice, else the first."""
    from opv2v_doctor.neutral import printable
    from opv2v_doctor.settings_draft import SHOWN
    from opv2v_doctor.user_error import UsageError

    if number is not None and number > len(found):
        raise UsageError(f"--launch {number}: {len(found)} launches were found")
    if len(found) < 2:
        return found[0] if found else None
    for at, candidate in enumerate(found[: max(SHOWN, number or 0)], 1):
        typer.echo(f"{at:>3}  {printable(candidate.text)}", err=True)
    if len(found) > SHOWN:
        typer.echo(f"     and {len(found) - SHOWN} more: --launch N drafts one of them", err=True)
    asks = number is None
    if asks and sys.stdin.isatty() and sys.stderr.isatty():
        while number is None or not 1 <= number <= len(found):
            number = typer.prompt("which launch", type=int, default=1, err=True)
    elif asks:
        typer.echo("several launches fit, the first is drafted: --launch N drafts another one", err=True)
    return found[(number or 1) - 1]


def demo(
    directory: Annotated[Path, typer.Argument(help="Where to write it; must not exist.")] = Path("demo"),
    fault: Faults = None,
    list_faults: ListFaults = False,
    seed: Annotated[int, typer.Option(help="Seed of its scene.")] = 0,
    train: Annotated[
        bool, typer.Option(help="Train it a few steps, so that a run is there to examine.")
    ] = True,
    python: Annotated[
        str | None,
        typer.Option(help="The interpreter that trains it.  [default: this one]", show_default=False),
    ] = None,
) -> None:
    """Write a small training repository with an OPV2V scene.

    It is healthy but for the faults that are asked for, so that the doctor can be seen at work.
    """
    from opv2v_doctor.sandbox import FAULTS, train_briefly, write_repository
    from opv2v_doctor.target import interpreter_named

    if list_faults:
        width = max(map(len, FAULTS))
        for name, entry in FAULTS.items():
            typer.echo(f"{name:<{width}}  {entry.code}  {entry.summary}")
        return
    trainer = interpreter_named(python)
    _verify_demo(directory, fault or [], python)
    typer.echo(f"writing a training repository and its scene to {directory}: a few seconds", err=True)
    write_repository(directory.resolve(), seed=seed)
    if train:
        typer.echo("training it for three epochs, two ranks on the CPU: half a minute on two cores", err=True)
        try:
            train_briefly(directory.resolve(), trainer)
        except (RuntimeError, TimeoutError) as problem:
            typer.echo(f"opv2v-doctor: {problem}", err=True)
            raise typer.Exit(3) from None
    _put_in(directory.resolve(), fault or [])
    launch = " ".join(dict.fromkeys(word for name in fault or [] for word in FAULTS[name].overrides))
    words = [f"--repo {shlex.quote(str(directory))}", f"--python {trainer}" if python else "", launch]
    typer.echo(" ".join(["opv2v-doctor run-all", *filter(None, words)]))


def _verify_demo(directory: Path, faults: Sequence[str], python: str | None) -> None:
    """Refuse what could not be written, or not be trained, before anything is written."""
    from opv2v_doctor.git import executable
    from opv2v_doctor.sandbox import FAULTS
    from opv2v_doctor.user_error import UsageError, unknown

    for name in faults:
        if name not in FAULTS:
            raise unknown("fault", name, FAULTS, "opv2v-doctor demo --list-faults")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory} exists and is not empty: name another directory")
    if refused := next((sign for sign in UNSPEAKABLE if sign in str(directory.resolve())), None):
        raise UsageError(f"{directory.resolve()}: no training finds its data below a folder with {refused!r}")
    if executable() is None:
        raise UsageError("demo needs git: the training repository is one of git's")
    if python is None and (missing := [name for name in RUNS_ON if importlib.util.find_spec(name) is None]):
        needs = f"what demo writes needs {', '.join(missing)}"
        raise UsageError(f"{needs}: name an interpreter with --python, or pip install 'opv2v-doctor[demo]'")


def _put_in(directory: Path, faults: Sequence[str]) -> None:
    from opv2v_doctor.sandbox import put
    from opv2v_doctor.user_error import UsageError

    for name in dict.fromkeys(faults):
        try:
            put(name, directory)
        except (ValueError, OSError) as problem:
            raise UsageError(f"--fault {name} cannot be put in beside the others: {problem}") from None
