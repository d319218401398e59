"""The command that says why a validation is high: diagnose."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.cli import options
from opv2v_doctor.cli.examination import write
from opv2v_doctor.diagnosis import CHECKS
from opv2v_doctor.diagnosis.measurements import DiagnosisRequest, asked, every_checkpoint
from opv2v_doctor.facts.past.runs import last_run
from opv2v_doctor.runner import run
from opv2v_doctor.runs.earlier import chosen_checkpoint, reopened
from opv2v_doctor.state import State
from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError

SAMPLES = 8  # of each set, where nobody asks for another number

Checkpoint = Annotated[
    Path | None,
    typer.Option(help="The checkpoint.  [default: the run's best, else its last]", show_default=False),
]
Curves = Annotated[
    Path | None,
    typer.Option(
        help="A directory for the curves of --all-checkpoints: page, table, picture.  [default: none]",
        show_default=False,
    ),
]
Steps = Annotated[int, typer.Option("--overfit-steps", min=0, help="Steps on one batch; 0 leaves that out.")]


def diagnosed(
    repo: options.Repo = None,
    python: options.Python = None,
    settings: options.SettingsFile = None,
    gpus: options.Gpus = None,
    split: options.Split = None,
    run: options.Run = None,
    num_samples: Annotated[int, typer.Option(min=1, help="Samples to draw of each set.")] = SAMPLES,
    timeout: options.Timeout = None,
) -> Target:
    """The target, with more samples than other commands draw."""
    return options.target_of(repo, python, settings, gpus, split, run, num_samples, timeout)


@options.taking(diagnosed, "target", options.verify_script)
@options.takes_presentation
def diagnose(
    target: Target,
    presentation: options.Presentation,
    overrides: options.Overrides = None,
    checkpoint: Checkpoint = None,
    overfit_steps: Steps = 30,
    all_checkpoints: Annotated[
        bool,
        typer.Option("--all-checkpoints", help="Evaluate every checkpoint of the run on the same samples."),
    ] = False,
    curves: Curves = None,
) -> None:
    """Say why the validation loss of a checkpoint is high.

    The launch's own model, loaders, criteria and epochs are run on a few samples of training and validation,
    on the GPU where there is one. What contributes is told in order, and what to do first.
    """
    target = replace(target, overrides=tuple(overrides or ()))
    options.verify_splits(target)
    if target.splits_asked and (len(target.splits) != 1 or target.splits == ("train",)):
        raise UsageError("--split: name one evaluation split, such as --split val")
    if curves is not None and (not all_checkpoints or (curves.exists() and not curves.is_dir())):
        raise UsageError(f"--curves {curves}: needs --all-checkpoints, and a directory")
    folder = target.run if target.run or checkpoint else _last_run(target)
    file = chosen_checkpoint(folder, checkpoint)
    request = DiagnosisRequest(
        checkpoint=file,
        split=target.splits[0] if target.splits_asked else "val",
        count=target.num_samples,
        steps=overfit_steps,
        every=all_checkpoints,
    )
    examined = replace(reopened(target, folder or file.parent), state=State({asked: request}))
    code = write(partial(run, CHECKS, examined), len(CHECKS), examined, presentation)
    if curves is not None:
        _write(examined, curves)
    raise typer.Exit(code)


def _write(target: Target, folder: Path) -> None:
    from opv2v_doctor.diagnosis.checkpoint_curves import write_curves

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in write_curves(folder, every_checkpoint(target)):
            typer.echo(f"wrote {path}", err=True)
    except OSError as problem:
        raise UsageError(f"--curves {folder}: cannot be written: {problem.strerror}") from None


def _last_run(target: Target) -> Path | None:
    try:
        return last_run(target)
    except (Blocked, Skip):
        return None
