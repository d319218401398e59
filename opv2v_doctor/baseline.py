"""A baseline: what is known to be wrong, so that a gate judges what is new."""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Finding, Severity
from opv2v_doctor.foreign_files import bytes_of, from_json
from opv2v_doctor.result import Result, Status, status_of
from opv2v_doctor.text import Text
from opv2v_doctor.user_error import UsageError

SCHEMA = 1
BLOCKED = "blocked"  # the severity of a reason why there is no answer
ANSWERED = (Status.PASSED, Status.WARNED, Status.FAILED)
SPLITS = ("train", "val", "test")
Relative = Callable[[Path], Path]  # a path as seen from the root of the work tree


@dataclass(frozen=True, order=True)
class Key:
    """What a finding is known by: no line, since lines move, and no number, since they vary.

    `said` is its template; `subject` the split, agent or rank that it was found of, if any.
    """

    code: str
    path: str
    subject: str
    severity: str
    said: str


@dataclass
class Baseline:
    """The findings of an earlier examination, and those of this one as they come.

    One of an earlier examination covers one of this: a second one of the same key is new.
    """

    known: Counter[Key]
    relative: Relative
    seen: list[tuple[Result, Counter[Key]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = self.known.copy()
        self._settled: set[str] = set()  # codes that are known not to pass

    def marked(self, results: Iterable[Result]) -> Iterator[Result]:
        """The results, with what is known marked, and those known in which nothing is new."""
        for result in results:
            self.seen.append((result, Counter(self._keys(result))))
            yield self._marked(result)

    def _marked(self, result: Result) -> Result:
        findings = tuple(
            replace(one, known=one.severity > Severity.NOTE and self._take(self._of(result, one)))
            for one in result.findings
        )
        if result.needs:
            covered = self._settled.issuperset(result.needs)
        else:
            reason = self._reason(result)
            covered = self._take(reason) if reason else result.status in ANSWERED
        new = status_of([one for one in findings if not one.known])
        found = any(one.known for one in findings) or (covered and result.status is Status.BLOCKED)
        if not found:
            return result
        status = result.status
        if covered and new is not Status.FAILED and status is not Status.WARNED:
            self._settled.add(result.check.code)
        if covered and new is Status.PASSED:
            status = Status.KNOWN
        elif result.status in ANSWERED:
            status = new if new is not Status.PASSED else Status.BLOCKED
        return replace(result, findings=findings, status=status)

    def _take(self, keys: Sequence[Key]) -> bool:
        """Whether all of these are known; then so many fewer are left."""
        wanted = Counter(keys)
        if not wanted <= self._left:
            return False
        self._left -= wanted
        return True

    def _keys(self, result: Result) -> Iterator[Key]:
        for finding in result.findings:
            if finding.severity > Severity.NOTE:
                yield from self._of(result, finding)
        yield from self._reason(result)

    def _of(self, result: Result, finding: Finding) -> list[Key]:
        """A key for each subject: what was found of several is still known when one of them is mended.

        Where there is a subject and no line, the path is that of a sample, which another one may replace.
        """
        located = finding.at is not None and (finding.at.line or not finding.subjects)
        path = str(self.relative(finding.at.path)) if finding.at and located else ""
        return [
            Key(result.check.code, path, subject, finding.severity.name.lower(), words(finding.text))
            for subject in finding.subjects or ("",)
        ]

    def _reason(self, result: Result) -> list[Key]:
        """The key of why a check gave no answer; none where that is another check, or a crash."""
        if result.needs or result.reason is None or result.status in (Status.SKIPPED, Status.CRASHED):
            return []
        path = str(self.relative(result.at.path)) if result.at else ""
        return [Key(result.check.code, path, "", BLOCKED, words(result.reason))]

    def renewed(self, splits: Collection[str]) -> Counter[Key]:
        """The baseline of this examination: what it found, and what it did not look at.

        What was mended is gone; what belongs to a check that did not answer, or to a split that was not
        examined, stays.
        """
        found: Counter[Key] = Counter()
        answered: set[str] = set()
        for result, keys in self.seen:
            found += keys
            if result.status in ANSWERED and not result.reason:
                answered.add(result.check.code)
        kept = {
            key: count
            for key, count in self.known.items()
            if key.code not in answered or (key.subject in SPLITS and key.subject not in splits)
        }
        return found | Counter(kept)


def words(text: Text) -> str:
    """The template of a text, with those of the texts in it; what somebody else said, as it stands."""
    told, own = "", ""
    for before, name, _, _ in string.Formatter().parse(text.template):
        value = text.values[name] if name is not None else None
        own += before
        told += before
        if isinstance(value, Text):
            told += (said := words(value))
            own += said
        elif name is not None:
            told += f"{{{name}}}"
    return told if any(map(str.isalpha, own)) else str(text)


def read_baseline(path: Path) -> Counter[Key]:
    """The keys of a baseline's file. Raises UsageError where it is none."""
    try:
        found = from_json(bytes_of(path))
        if found["schema"] != SCHEMA:
            raise UsageError(f"--baseline {path}: of another version: write it anew with --write-baseline")
        return sum((_entry(one) for one in found["known"]), Counter())
    except FileNotFoundError:
        raise UsageError(f"--baseline {path}: no such file: --write-baseline writes it") from None
    except OSError as problem:
        raise UsageError(f"--baseline {path}: cannot be read: {problem.strerror}") from None
    except (ValueError, LookupError, TypeError):
        raise UsageError(f"--baseline {path}: it is no baseline of opv2v-doctor") from None


def _entry(one: dict[str, Any]) -> Counter[Key]:
    count = one.pop("count")
    if type(count) is not int or count < 1 or not all(isinstance(value, str) for value in one.values()):
        raise ValueError(one)
    return Counter({Key(**one): count})


def lines(known: Counter[Key]) -> Iterator[str]:
    """A baseline as a document that a diff shows well: an entry a line."""
    entries = [
        json.dumps({**vars(key), "count": count}, ensure_ascii=False) for key, count in sorted(known.items())
    ]
    yield "{"
    yield f'  "schema": {SCHEMA},'
    yield '  "tool": {"name": "opv2v-doctor"},'
    yield '  "known": ['
    yield from (f"    {entry}{',' * (number < len(entries))}" for number, entry in enumerate(entries, 1))
    yield "  ]"
    yield "}"
