"""Judging logs for the command `log`: all checks of the family at once, or what is new as a log grows."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from opv2v_doctor.check import Finding, Severity
from opv2v_doctor.cli.examination import ignore_of
from opv2v_doctor.registry import ignored, installed_checks, select
from opv2v_doctor.reporters.wording import one_line
from opv2v_doctor.result import Result
from opv2v_doctor.runner import run
from opv2v_doctor.target import Target

FAMILY = ["LOG"]
Stamp = tuple[int, int, int]  # file, size, time
SHARE = 0.05  # of the time that may go into judging a log that grows


def verdicts(target: Target, ignores: Sequence[str]) -> list[Result]:
    """The results of the log family, with the exceptions of the settings and of the command line."""
    installed = installed_checks()
    given = (*target.settings.ignore, *map(ignore_of, ignores))
    others = bool(target.settings.plugins)  # no plugin's check is about logs alone
    exceptions = ignored(installed, given, datetime.date.today(), others=others)
    return list(run(select(installed, FAMILY), target, ignored=exceptions))


class Judge:
    """Told when a growing log is quiet, it says the findings that were not there before.

    It reads the log again from its beginning, so that every verdict is that of `log` itself; seldom enough
    that this takes a twentieth of the time.
    """

    def __init__(self, target: Target, ignores: Sequence[str]) -> None:
        self._target, self._ignores = target, ignores
        self._told: dict[str, int] = {}
        self._next = 0.0
        self._seen: Stamp | None = None  # what was judged last

    def news(self) -> Iterator[str]:
        """What is wrong now and was not said yet; nothing where it is too early to look again."""
        begun, now = time.monotonic(), _stamp(self._target.logs[0])
        if begun < self._next or now in (None, self._seen):
            return
        if self._seen and now and (now[0] != self._seen[0] or now[1] < self._seen[1]):  # another log
            self._told.clear()
        self._seen = now
        self._target.state.forget()
        results = verdicts(self._target, self._ignores)
        taken = time.monotonic() - begun
        self._next = begun + taken / SHARE
        for result in results:
            found = [finding for finding in result.findings if finding.severity > Severity.NOTE]
            for finding in found[self._told.get(result.check.code, 0) :]:
                yield _line(result.check.code, finding)
            self._told[result.check.code] = max(len(found), self._told.get(result.check.code, 0))


def _stamp(path: Path) -> Stamp | None:
    """What changes when a file does; None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _line(code: str, finding: Finding) -> str:
    place = f"{finding.path.name if finding.path else ''}{f':{finding.line}' if finding.line else ''}"
    fix = f" (fix: {one_line(str(finding.hint))})" if finding.hint else ""
    return f"{place}: {finding.severity.name} {code} {one_line(finding.message)}{fix}"
