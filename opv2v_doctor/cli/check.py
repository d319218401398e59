"""Commands that examine a target: run-all, and check for a part of it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from opv2v_doctor.check import Tier
from opv2v_doctor.cli import completion, options

if TYPE_CHECKING:
    from opv2v_doctor.target import Target

THREADS = "OPENBLAS_NUM_THREADS"
Words = Annotated[
    list[str],
    typer.Argument(
        help="Families, codes or names of checks, then Hydra overrides.",
        show_default=False,
        autocompletion=completion.checks_and_overrides,
    ),
]
PrintRates = Annotated[
    bool, typer.Option("--print-lr", help="Print the learning rate at the start of each epoch.")
]


@options.takes_target
@options.takes_presentation
def run_all(
    target: Target,
    presentation: options.Presentation,
    overrides: options.Overrides = None,
    tier: options.UpTo = Tier.RUN,
    select: options.Select = None,
    ignore: options.Ignore = None,
    plugins: options.Plugins = None,
) -> None:
    """Run the whole checklist on a training repository.

    Trailing words are Hydra overrides: `run-all --gpus 5 dataset=opv2v_cyl_coop_ft`.
    """
    target = _begun(replace(target, overrides=tuple(overrides or ())))
    from opv2v_doctor.cli.examination import examine

    words = select or target.settings.select
    raise typer.Exit(
        examine(
            target,
            words,
            ignores=ignore or (),
            tier=tier,
            presentation=presentation,
            plugins=plugins,
        )
    )


@options.takes_target
@options.takes_presentation
def check(
    target: Target,
    presentation: options.Presentation,
    words: Words,
    ignore: options.Ignore = None,
    plugins: options.Plugins = None,
    print_lr: PrintRates = False,
) -> None:
    """Run some checks, and what they need.

    `check masks --split val`, `check CFG006 loader --gpus 4`; trailing words with `=` are Hydra overrides.
    """
    from opv2v_doctor.user_error import UsageError

    overrides = tuple(word for word in words if "=" in word or word.startswith("~"))
    selected = [word for word in words if word not in overrides]
    if not selected:
        raise UsageError("check what? Name families, codes or names (`opv2v-doctor list` shows them)")
    target = _begun(replace(target, overrides=overrides))
    from opv2v_doctor.cli.examination import examine

    code = examine(
        target,
        selected,
        ignores=ignore or (),
        presentation=presentation,
        plugins=plugins,
    )
    if print_lr:
        _print_rates(target, beside=presentation.format not in (None, "text") and not presentation.files)
    raise typer.Exit(code)


def _begun(target: Target) -> Target:
    """The target, its config being composed while we import what an examination needs."""
    from opv2v_doctor.check import Blocked
    from opv2v_doctor.facts.launch.config import composing

    with contextlib.suppress(Blocked):  # whoever needs the config will say so
        composing(target)
    _import_numpy()
    return target


def _import_numpy() -> None:
    """Import numpy with one thread of its own: our products are small, and others need the cores.

    The variable is read at the import, and gone before any process that we start could inherit it.
    """
    if THREADS in os.environ:
        return
    os.environ[THREADS] = "1"
    try:
        import numpy  # noqa: F401
    finally:
        del os.environ[THREADS]


def _print_rates(target: Target, *, beside: bool) -> None:
    """The learning rate of every parameter group at the start of each epoch; beside a report for programs."""
    from opv2v_doctor.check import Blocked, Skip
    from opv2v_doctor.facts.launch.schedule import epoch_starts

    try:
        starts = epoch_starts(target)
    except (Blocked, Skip) as problem:
        typer.echo(f"opv2v-doctor: --print-lr: {problem}", err=True)
        return
    for group, rates in starts.items():
        for epoch, rate in rates:
            typer.echo(f"epoch {epoch:>4}  {group}  lr {rate:.6g}", err=beside)
