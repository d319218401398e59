"""The program: parsing and wiring. Each command's module is imported when the command runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from opv2v_doctor.cli.commands import Commands
from opv2v_doctor.cli.streams import exit_code_of, prepare, verify_room

app = typer.Typer(
    name="opv2v-doctor",
    cls=Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: drawing it with rich costs four times the start-up
    help="Examine a MapAnything training on OPV2V before it costs days.",
    epilog="Exit codes: 0 all good, 1 a check failed, 2 wrong usage or settings, 3 no answer.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from opv2v_doctor import __version__

        typer.echo(f"opv2v-doctor {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Run the program."""
    if sys.argv[1:2] in (["--install-completion"], ["--show-completion"]):
        from opv2v_doctor.cli.completion import mend_zsh

        mend_zsh()
    run_guarded(lambda: app(prog_name="opv2v-doctor"))


def run_guarded(program: Callable[[], object]) -> None:
    """Run a program of ours; a wrong word of the user ends with exit code 2 and no traceback."""
    from opv2v_doctor.user_error import UsageError

    prepare()
    try:
        try:
            if sys.flags.optimize > 1:
                raise UsageError("python -OO takes away the checks' pages: leave it, or PYTHONOPTIMIZE, out")
            verify_room()
            program()
        finally:
            if not sys.stdout.closed:
                sys.stdout.flush()
    except UsageError as problem:
        typer.echo(f"opv2v-doctor: {problem}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, OSError, MemoryError) as problem:
        sys.exit(exit_code_of(problem))
