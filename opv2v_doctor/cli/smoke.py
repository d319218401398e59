"""The command that trains for a few steps, kills, resumes and compares: smoke."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from opv2v_doctor.cli import options
from opv2v_doctor.cli.examination import write
from opv2v_doctor.runner import run
from opv2v_doctor.smoke import CHECKS
from opv2v_doctor.target import Target

Ranks = Annotated[int, typer.Option(min=2, help="Processes that train together.")]


@options.takes_target
@options.takes_presentation
def smoke(
    target: Target,
    presentation: options.Presentation,
    overrides: options.Overrides = None,
    ranks: Ranks = 2,
) -> None:
    """Train a few steps for real, kill, resume and compare.

    Several ranks, one process, killed and resumed: what differs is named. The trainings go into a temporary
    folder (TMPDIR chooses where), the repository stays as it is.
    """
    planned = with_ranks(replace(target, overrides=tuple(overrides or ())), ranks)
    raise typer.Exit(write(partial(run, CHECKS, planned), len(CHECKS), planned, presentation))


def with_ranks(target: Target, ranks: int) -> Target:
    """The launch of so many ranks; where the settings have none of that size, the planned one with fewer."""
    variants = dict(target.settings.launch.variants)
    if ranks in variants or target.gpus not in variants:
        return replace(target, gpus=ranks)
    return replace(target, gpus=ranks, overrides=(*variants[target.gpus].overrides, *target.overrides))
