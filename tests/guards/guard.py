"""A check's guard: what makes it fire, what keeps it silent, what leaves it nothing to examine; all run."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor.check import Severity
from opv2v_doctor.result import Result, Status
from opv2v_doctor.target import Target, make_target
from opv2v_doctor.testing import run_check as run_installed_check
from opv2v_doctor.text import Command, Each, Override, Text, Value

BAD = (Status.FAILED, Status.WARNED)
NO_ANSWER = (Status.SKIPPED, Status.BLOCKED)


EXAMINED: list[Target] = []  # the target that was examined last


def run_check(code: str, target: Target) -> Result:
    """Run one check on a target, and remember the target."""
    EXAMINED[:] = [target]
    return run_installed_check(code, target)


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What fixtures are made of: a healthy trained repository, copies of it with faults, and a folder."""

    healthy: Path
    broken: Callable[..., Path]
    folder: Path

    def edited(self, *edits: tuple[str, str, str], faults: tuple[str, ...] = ()) -> Path:
        """A copy of the repository, with faults and (file, old text, new text) put in."""
        repo = self.broken(*faults)
        for name, old, new in edits:
            text = (repo / name).read_text()
            assert old in text, f"{old!r} is not in {name}"
            (repo / name).write_text(text.replace(old, new))
        return repo


Case = Callable[[Workshop, str], Result]  # (workshop, code) -> what the check says


@dataclass(frozen=True, kw_only=True)
class Guard:
    """One check's three fixtures: each is run, and its status looked at.

    `bad` must fail or warn (or block with a warning), `good` must pass, `empty` (prerequisites met, nothing
    of its own subject there) must give no answer, never a pass.
    """

    bad: Case
    good: Case
    empty: Case


def healthy(**words: Any) -> Case:
    """The healthy repository; `words` are make_target's."""
    return lambda shop, code: run_check(code, make_target(repo=shop.healthy, **words))


def fault(*names: str, **words: Any) -> Case:
    """A copy with faults of `opv2v-doctor demo --list-faults`."""
    return lambda shop, code: run_check(code, make_target(repo=shop.broken(*names), **words))


def edited(*edits: tuple[str, str, str], **words: Any) -> Case:
    """A copy with edits: (file, old text, new text)."""
    return lambda shop, code: run_check(code, make_target(repo=shop.edited(*edits), **words))


def assert_hint_works(hint: Text | None) -> None:
    """A command of ours in a hint can be run where the check ran, an override of a hint composes."""
    target = EXAMINED[0] if EXAMINED else None
    for word in _words(hint):
        if isinstance(word, Command) and word.startswith("opv2v-doctor ") and target:
            command = [sys.executable, "-m", "opv2v_doctor", *shlex.split(word)[1:]]
            ended = subprocess.run(
                command, cwd=target.repo, capture_output=True, text=True, timeout=300, check=False
            )
            assert ended.returncode in (0, 1, 3), f"{word}: {ended.stderr}"
        elif isinstance(word, Override) and target and not target.logs:
            composed = run_installed_check("CFG001", replace(target, overrides=(*target.overrides, word)))
            assert composed.status is Status.PASSED, f"{word}: {composed.findings}"


def _words(value: Value) -> Iterator[Value]:
    """The values of a text, and of the texts in it."""
    if isinstance(value, Text):
        for one in value.shown.values():
            yield from _words(one)
    elif isinstance(value, Each):
        for _, one in value.values:
            yield from _words(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _words(one)
    else:
        yield value


def guarded(guards: Mapping[str, Guard]) -> Any:
    """The test of a family: every fixture of every guard, run."""
    cases = [(code, name) for code in guards for name in ("bad", "good", "empty")]

    @pytest.mark.parametrize(("code", "name"), cases)
    def test(code: str, name: str, healthy: Path, broken: Callable[..., Path], tmp_path: Path) -> None:
        EXAMINED.clear()
        shop = Workshop(healthy=healthy, broken=broken, folder=tmp_path)
        result = getattr(guards[code], name)(shop, code)
        told = f"{result.status}: {result.reason}; {[finding.message for finding in result.findings]}"
        assert result.check.code == code
        if name == "good":
            assert result.status is Status.PASSED, told
            assert sum(one.count for one in result.examined) > 0, told
        elif name == "bad":
            hazards = [finding for finding in result.findings if finding.severity > Severity.NOTE]
            assert result.status in BAD or (result.status is Status.BLOCKED and hazards), told
            for finding in hazards:
                assert_hint_works(finding.hint)
        else:
            assert result.status in NO_ANSWER, told

    return test
