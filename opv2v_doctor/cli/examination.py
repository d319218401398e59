"""One examination: select the checks, run them, show what runs now, and write the report."""

from __future__ import annotations

import datetime
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import typer

from opv2v_doctor import Blocked, Check, Command, Skip, Target, Tier
from opv2v_doctor.baseline import Baseline, Key, lines, read_baseline
from opv2v_doctor.cli.live import LiveLine
from opv2v_doctor.cli.options import Presentation, verify_reachable, verify_splits
from opv2v_doctor.cli.reporting import head_in, report_lines, write_files, write_report
from opv2v_doctor.facts.interpreter.probe import start_second
from opv2v_doctor.facts.source.commit import git_state
from opv2v_doctor.plugins import LOADING, Plugin, read_plugins
from opv2v_doctor.plugins.trust import is_trusted
from opv2v_doctor.registry import codes_named, ignored_codes, installed_checks, select
from opv2v_doctor.reporters import Examination, Medium
from opv2v_doctor.result import Result, exit_code
from opv2v_doctor.runner import run
from opv2v_doctor.runs.secrets import without_secret
from opv2v_doctor.settings import Ignore
from opv2v_doctor.text import counted
from opv2v_doctor.user_error import UsageError

Writer = Callable[[Sequence[Result], Examination, Path], None]  # of a file that is no lines of a report


def examine(
    target: Target,
    words: Sequence[str],
    *,
    ignores: Sequence[str] = (),
    tier: str = "run",
    presentation: Presentation,
    plugins: bool | None = None,
    subject: str = "",
    own: Mapping[str, Writer] | None = None,
) -> int:
    """Examine the target, write the report, and return the exit code.

    `subject` says in a line what is examined, where that is no launch; `own` writes files of a format in
    another way than a report's.

    `plugins` runs those of the settings, or leaves them out; None runs those that the user trusts.

    Raises UsageError for a check, split, exception or report file that cannot be.
    """
    checks, asked, exceptions = selection(target, words, ignores=ignores, tier=tier, plugins=plugins)
    if any(check.tier is Tier.DATA for check in checks):
        start_second(target)
    results = partial(run, checks, target, ignored=exceptions, asked=asked)
    return write(results, len(checks), target, presentation, subject, own)


def write(
    results: Callable[..., Iterable[Result]],
    total: int,
    target: Target,
    presentation: Presentation,
    subject: str = "",
    own: Mapping[str, Writer] | None = None,
) -> int:
    """Write the results of so many checks while they run, and into the report files; return the exit code.

    `results` makes them, and is given what is to be told of each check that starts.
    """
    head = replace(head_of(target, presentation), subject=subject)
    files, baseline = presentation.files, _baseline(presentation, head)
    with LiveLine(total=total) as display:
        running = _kept(baseline.marked(results(starting=display.start)), display.finish)
        for line in report_lines("text" if files else presentation.format or "text", running, head):
            display.write(line)
    whole = replace(head, medium=Medium(folder=head.medium.folder))  # a file takes no colour, and holds all
    write_files(
        files,
        lambda format: report_lines(format, display.results, whole),
        {format: partial(writer, display.results, whole) for format, writer in (own or {}).items()},
        announces=presentation.announces,
    )
    if presentation.writes_baseline and presentation.baseline:
        return _renew(presentation.baseline, baseline, target, head)
    return exit_code(display.results, strict=head.strict)


def _baseline(presentation: Presentation, head: Examination) -> Baseline:
    """What is known: nothing without a baseline. Raises UsageError for a file that cannot be one."""
    path = presentation.baseline
    if path is None:
        return Baseline(known=Counter(), relative=head.relative)
    writes = presentation.writes_baseline
    known = Counter[Key]() if writes and not path.exists() else read_baseline(path)
    if writes:
        verify_reachable(path, "--baseline")
    return Baseline(known=known, relative=head.relative)


def _renew(path: Path, baseline: Baseline, target: Target, head: Examination) -> int:
    """Write what is known now, say what changed, and return the exit code of an examination beside it."""
    known = baseline.renewed(target.splits)
    write_report(path, lines(known), "--baseline")
    added, gone = (known - baseline.known).total(), (baseline.known - known).total()
    told = counted(known.total(), "known finding")
    typer.echo(f"opv2v-doctor: wrote {path}: {told}, {added} new, {gone} gone", err=True)
    after = Baseline(known=known, relative=head.relative)
    return exit_code(after.marked(result for result, _ in baseline.seen), strict=head.strict)


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


def head_of(target: Target, presentation: Presentation) -> Examination:
    """What every report of an examination begins with."""
    state = git_state(target)
    head = Examination(
        repo=target.repo,
        commit=state.commit,
        dirty=state.is_dirty,
        overrides=tuple(map(without_secret, target.launch_overrides)),
        gpus=None if target.logs else target.gpus,  # who gives logs speaks of no launch to come
        strict=presentation.strict or target.settings.strict,
        compared=presentation.baseline is not None,
        started=datetime.datetime.now(datetime.UTC),
        medium=Medium.of(sys.stdout, presentation.detail),
    )
    return head_in(head, target, presentation.language)
