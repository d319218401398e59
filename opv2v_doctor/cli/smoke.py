"""The command that trains for a few steps, kills, resumes and compares: smoke."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from opv2v_doctor.cli import options
from opv2v_doctor.cli.examination import write
from opv2v_doctor.cli.live import announce
from opv2v_doctor.runner import run
from opv2v_doctor.smoke import CHECKS
from opv2v_doctor.target import Target

Ranks = Annotated[int, typer.Option(min=2, help="Processes that train together.")]


def smoked(
    repo: options.Repo = None,
    python: options.Python = None,
    settings: options.SettingsFile = None,
    gpus: options.Gpus = None,
    timeout: options.Timeout = None,
) -> Target:
    """The target: no split or run is chosen, since the trainings are new ones on the launch's own."""
    return options.target_of(repo, python, settings, gpus, timeout=timeout)


@options.taking(smoked, "target", options.verify_script)
@options.takes_presentation
def smoke(
    target: Target,
    presentation: options.Presentation,
    overrides: options.Overrides = None,
    ranks: Ranks = 2,
) -> None:
    """Train a few steps for real, kill, resume and compare.

    Several ranks, one process, killed and resumed: what differs is named. The trainings go into a temporary
    folder (TMPDIR chooses where), the repository stays as it is. Each takes as long as the launch's own start
    and a few steps: half a minute in all on the repository of `demo`, minutes for a large model.
    """
    announce(
        f"about six short trainings on {ranks} ranks and on one, killed and resumed: half a minute for a "
        "small model, minutes for a large one"
    )
    planned = with_ranks(replace(target, overrides=tuple(overrides or ())), ranks)
    raise typer.Exit(write(partial(run, CHECKS, planned), len(CHECKS), planned, presentation))


def with_ranks(target: Target, ranks: int) -> Target:
    """The launch of so many ranks; where the settings have none of that size, the planned one with fewer."""
    variants = dict(target.settings.launch.variants)
    if ranks in variants or target.gpus not in variants:
        return replace(target, gpus=ranks)
    return replace(target, gpus=ranks, overrides=(*variants[target.gpus].overrides, *target.overrides))
