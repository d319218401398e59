"""The command that trains for a few steps, kills, resumes and compares: smoke."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from opv2v_doctor.cli import options

if TYPE_CHECKING:
    from opv2v_doctor.target import Target

Ranks = Annotated[int, typer.Option(min=2, help="Processes that train together.")]


@options.takes_target
def smoke(
    target: Target,
    overrides: options.Overrides = None,
    ranks: Ranks = 2,
    format: options.ReportFormat = None,
    output: options.Output = None,
    strict: options.Strict = False,
) -> None:
    """Train a few steps for real: several ranks, one process, killed and resumed; what differs is named.

    The trainings go into a temporary folder (TMPDIR chooses where), the repository stays as it is.
    """
    from opv2v_doctor.cli.smoking import smoked

    target = replace(target, overrides=tuple(overrides or ()))
    raise typer.Exit(smoked(target, ranks, format=format, output=output, strict=strict))
