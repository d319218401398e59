"""Commands about the checks themselves: list, explain, schema."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opv2v_doctor.cli import completion, options

if TYPE_CHECKING:
    from opv2v_doctor.check import Check
    from opv2v_doctor.threshold import Threshold

Code = Annotated[str, typer.Argument(help="A check's code or name.", autocompletion=completion.codes)]
HEAD = """# Thresholds

What decides a verdict, where it comes from, and the values that were measured next to it.
Bounds that a user may set (`masks.floor`, `poses.farthest`, ...) stand in `opv2v-doctor.toml`.
"""


def list_checks(
    repo: options.Repo = None, settings: options.SettingsFile = None, lang: options.Lang = "en"
) -> None:
    """List the checks in the order of the checklist.

    Each with its code, its tier and what it claims.
    """
    from opv2v_doctor.languages import say

    checks = _checks(repo, settings)
    family = ""
    for check in checks:
        if check.family != family:
            family = check.family
            typer.echo(f"\n{say(family, lang)}")
        typer.echo(f"  {check.code}  {check.tier:<6}  {say(check.claim, lang)}")


def explain(
    code: Code = "",
    everything: Annotated[bool, typer.Option("--all", help="Print the pages of all checks.")] = False,
    thresholds: Annotated[bool, typer.Option("--thresholds", help="Print all numbers that decide.")] = False,
    repo: options.Repo = None,
    settings: options.SettingsFile = None,
    lang: options.Lang = "en",
) -> None:
    """Print the page of a check.

    What it claims, why it matters, and how to fix what it finds.
    """
    from rich.console import Console
    from rich.markdown import Markdown

    from opv2v_doctor.neutral import canvas

    lines = _thresholds() if thresholds else _pages(_checks(repo, settings), code, everything, lang)
    pages = "\n".join(lines)
    console = Console(file=canvas(sys.stdout))
    if console.is_terminal:
        console.print(Markdown(pages))
    else:
        typer.echo(pages, nl=False)


def _pages(checks: Sequence[Check], code: str, everything: bool, language: str) -> Iterator[str]:
    """The pages that were asked for. Raises UsageError for a check that is not there."""
    from opv2v_doctor.user_error import unknown

    chosen = [check for check in checks if everything or code.upper() == check.code or code == check.name]
    if not chosen:
        names = {name for check in checks for name in (check.code, check.name)}
        raise unknown("check", code, names, "opv2v-doctor list")
    yield from (_page(check, language) for check in chosen)


def _page(check: Check, language: str) -> str:
    """A check's page in Markdown, its own headings below its title."""
    from opv2v_doctor.languages import page_of, say

    needs = f", {say('needs', language)} {', '.join(check.requires)}" if check.requires else ""
    kind = f"*{check.family}, {say('tier', language)} {check.tier}{needs}*"
    return f"# {check.code} {check.name}\n\n{kind}\n\n{page_of(check, language)}\n"


def schema() -> None:
    """Print the JSON Schema of the report."""
    from importlib.resources import files

    typer.echo((files("opv2v_doctor") / "report.schema.json").read_text(encoding="utf-8"), nl=False)


def _checks(repo: Path | None, file: Path | None) -> Sequence[Check]:
    """The checks installed, of plugins, of `smoke`, `diagnose` and `audit`. No plugin file is run."""
    from opv2v_doctor.audit.verdicts import VERDICTS
    from opv2v_doctor.diagnosis import CHECKS as DIAGNOSIS
    from opv2v_doctor.plugins import LOADING, loading_check
    from opv2v_doctor.registry import installed_checks
    from opv2v_doctor.smoke import CHECKS
    from opv2v_doctor.target import find_settings
    from opv2v_doctor.user_error import UsageError

    if repo is not None and not repo.is_dir():
        raise UsageError(f"--repo {repo}: no such directory")
    if plugins := find_settings(repo, file).plugins:
        names = ", ".join(plugins)
        typer.echo(f"opv2v-doctor: not loaded here, as plugins run in an examination only: {names}", err=True)
    installed = [check for check in installed_checks() if check.code != LOADING]
    return [*installed, loading_check(), *CHECKS, *DIAGNOSIS, *VERDICTS]


def _thresholds() -> Iterator[str]:
    """All thresholds as a page in Markdown."""
    yield HEAD
    yield "| threshold | value | unit | where it comes from | nearest healthy | nearest faulty |"
    yield "|---|---|---|---|---|---|"
    for place, threshold in _every_threshold():
        measured = ["" if one is None else f"{one:g}" for one in (threshold.healthy, threshold.faulty)]
        cells = (f"`{place}`", f"{float(threshold):g}", threshold.unit, threshold.source, *measured)
        yield f"| {' | '.join(cells)} |"
    yield ""


def _every_threshold() -> Iterator[tuple[str, Threshold]]:
    """(where it is defined, threshold) of all that the product compares with."""
    from opv2v_doctor.registry import installed_checks
    from opv2v_doctor.threshold import Threshold

    installed_checks()
    for package in ("audit", "diagnosis", "facts", "geometry", "runs", "smoke"):
        folder = f"opv2v_doctor.{package}"
        for found in pkgutil.walk_packages(import_module(folder).__path__, f"{folder}."):
            import_module(found.name)
    for name, module in sorted(sys.modules.items()):
        for word, value in list(vars(module).items()) if name.startswith("opv2v_doctor.") else ():
            if isinstance(value, Threshold) and value.module == name:
                yield f"{name.removeprefix('opv2v_doctor.')}.{word}", value
