"""One examination: select the checks, run them, show what runs now, and write the report."""

from __future__ import annotations

import datetime
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from opv2v_doctor import Blocked, Check, Command, Skip, Target, Tier
from opv2v_doctor.cli.live import LiveLine
from opv2v_doctor.cli.options import verify_splits
from opv2v_doctor.cli.reporting import head_in, report_lines, write_report
from opv2v_doctor.facts.interpreter.probe import start_second
from opv2v_doctor.facts.source.commit import git_state
from opv2v_doctor.plugins import LOADING, Plugin, read_plugins
from opv2v_doctor.plugins.trust import is_trusted
from opv2v_doctor.registry import codes_named, ignored_codes, installed_checks, select
from opv2v_doctor.reporters import BY_SUFFIX, Examination, Format, Medium
from opv2v_doctor.result import Result, exit_code
from opv2v_doctor.runner import run
from opv2v_doctor.settings import Ignore
from opv2v_doctor.user_error import UsageError


def examine(
    target: Target,
    words: Sequence[str],
    *,
    ignores: Sequence[str] = (),
    tier: str = "run",
    format: str | None = None,
    output: Path | None = None,
    strict: bool = False,
    language: str = "en",
    plugins: bool | None = None,
) -> int:
    """Examine the target, write the report, and return the exit code.

    `plugins` runs those of the settings, or leaves them out; None runs those that the user trusts.

    Raises UsageError for a check, split, exception or report file that cannot be.
    """
    checks, asked, exceptions = selection(target, words, ignores=ignores, tier=tier, plugins=plugins)
    strict = strict or target.settings.strict
    if any(check.tier is Tier.DATA for check in checks):
        start_second(target)
    head = head_in(head_of(target, strict), target, language)
    results = partial(run, checks, target, ignored=exceptions, asked=asked)
    return write(results, len(checks), head, format=format, output=output)


def write(
    results: Callable[..., Iterable[Result]],
    total: int,
    head: Examination,
    *,
    format: str | None,
    output: Path | None,
) -> int:
    """Write the results of so many checks while they run, and into the report file, and return the exit code.

    `results` makes them, and is given what is to be told of each check that starts.
    """
    with LiveLine(total=total) as display:
        running = _kept(results(starting=display.start), display.finish)
        for line in report_lines("text" if output else format or "text", running, head):
            display.write(line)
    if output is not None:
        chosen = format or BY_SUFFIX.get(output.suffix, Format.TEXT)
        write_report(output, report_lines(chosen, display.results, head))
    return exit_code(display.results, strict=head.strict)


def plugins_of(target: Target, wanted: bool | None) -> tuple[Sequence[Plugin], Blocked | Skip | None]:
    """The plugins of the settings that may run; else none, and why not.

    Raises UsageError for a plugin that is no readable file.
    """
    if not target.settings.plugins:
        return (), None
    if wanted is False:
        return (), Skip("the plugins of the settings were left out")
    plugins = read_plugins(target.settings.plugins)
    if wanted or is_trusted(target.repo, plugins):
        return plugins, None
    return (), Blocked(
        "plugins that are not trusted as they are now did not run: {plugins}",
        hint="read them, then run {command}; or run them once with --plugins",
        plugins=[plugin.name for plugin in plugins],
        command=Command(f"opv2v-doctor trust --repo {shlex.quote(str(target.repo))}"),
    )


def selection(
    target: Target,
    words: Sequence[str],
    *,
    ignores: Sequence[str],
    tier: str,
    plugins: bool | None = None,
) -> tuple[Sequence[Check], Collection[str], Mapping[str, str]]:
    """The checks that will run, those that were asked for by name, and those that will not, with the reasons.

    Raises UsageError for a check, split or exception that cannot be.
    """
    verify_splits(target)
    loaded, without = plugins_of(target, plugins)
    installed = installed_checks(loaded, without=without, timeout=target.timeout)
    given = (*target.settings.ignore, *map(ignore_of, ignores))
    exceptions = ignored_codes(installed, given, datetime.date.today(), others=without is not None)
    try:
        selected, asked = select(installed, words, Tier(tier)), codes_named(installed, words, Tier(tier))
    except UsageError as problem:
        raise UsageError(f"{problem}; {without}: {without.hint}") if without else problem from None
    # Whether a plugin's check was asked for, nobody knows before it is loaded.
    return [c for c in installed if c in selected or c.code == LOADING], asked, exceptions


def _kept(results: Iterable[Result], keep: Callable[[Result], None]) -> Iterator[Result]:
    for result in results:
        keep(result)
        yield result


def ignore_of(word: str) -> Ignore:
    """An exception from the command line: `CODE: reason`."""
    code, _, reason = word.partition(":")
    if not reason.strip():
        raise UsageError(f"--ignore {word!r}: give the reason, as in --ignore '{code}: why'")
    return Ignore(code=code.strip(), reason=reason.strip())


def head_of(target: Target, strict: bool) -> Examination:
    """What every report of an examination begins with."""
    state = git_state(target)
    return Examination(
        repo=target.repo,
        commit=state.commit,
        dirty=state.is_dirty,
        overrides=target.launch_overrides,
        gpus=None if target.logs else target.gpus,  # who gives logs speaks of no launch to come
        strict=strict,
        started=datetime.datetime.now(datetime.UTC),
        medium=Medium.of(sys.stdout),
    )
