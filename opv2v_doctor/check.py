"""A check examines a target and yields findings and what it examined: these nouns, and the decorator."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from opv2v_doctor.text import JSON, Place, Text, Value, text_of

if TYPE_CHECKING:
    from opv2v_doctor.target import Target


class Severity(IntEnum):
    """How much a finding weighs. A NOTE is worth knowing; it neither passes nor fails a check."""

    NOTE = 0
    WARNING = 1
    ERROR = 2


class Tier(StrEnum):
    """What a check needs: only source and config, samples of the data, or what a run left behind."""

    STATIC = "static"
    DATA = "data"
    RUN = "run"

    def reaches(self, other: Tier) -> bool:
        """Whether examining up to this tier includes the other."""
        order = list(Tier)
        return order.index(other) <= order.index(self)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a check saw: what is, of whom, where, and what to do about it.

    `subjects` are the splits, agents or ranks that it was found of: the runner makes one finding of those
    that differ in their subject and its numbers only. `event` is the line of a log at which it happened: of
    the findings about one log the earliest is the cause, and those of one line are one event.
    """

    severity: Severity
    text: Text
    at: Place | None = None
    hint: Text | None = None
    subjects: tuple[str, ...] = ()
    event: int | None = None
    known: bool = False  # it stands in the baseline

    @property
    def whole(self) -> Text:
        """The text behind its subjects, which a text whose values tell them apart does not need."""
        if not self.subjects or self.text.tells_apart:
            return self.text
        return Text("{subjects}: {text}", subjects=self.subjects, text=self.text)

    @property
    def message(self) -> str:
        """The whole text in English."""
        return str(self.whole)

    @property
    def path(self) -> Path | None:
        return self.at.path if self.at else None

    @property
    def line(self) -> int | None:
        return self.at.line if self.at else None


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What a check looked at: so many of a kind, and of which split or the like."""

    count: int
    unit: str  # a singular noun
    where: Mapping[str, JSON] = field(default_factory=dict)


Part = TypeVar("Part")
Findings = Iterator[Finding | Examined]


def examined(count: int, unit: str, **where: JSON) -> Examined:
    """The evidence of a pass: `examined(12, "view", split="val")`.

    A check that found nothing passes on this alone: nothing examined at all makes it skipped, and no word
    about it crashed. Raises ValueError for a negative or broken number, and for a unit that is no noun.
    """
    if count != int(count) or count < 0:
        raise ValueError(f"examined({count!r}, {unit!r}): no number of things")
    for noun in (unit, *where):
        if not noun.replace(" ", "").replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"examined({count!r}, {unit!r}): {noun!r} is no noun")
    return Examined(count=int(count), unit=unit, where=where)


def note(
    text: str | Text,
    *,
    hint: str | Text = "",
    at: Place | Path | None = None,
    of: str | Sequence[str] = (),
    event: int | None = None,
    **values: Value,
) -> Finding:
    """Worth knowing, nothing to do. Arguments as those of `error`."""
    return _finding(Severity.NOTE, text, hint, at, of, event, values)


def warning(
    text: str | Text,
    *,
    hint: str | Text,
    at: Place | Path | None = None,
    of: str | Sequence[str] = (),
    event: int | None = None,
    **values: Value,
) -> Finding:
    """A hazard: the training would run, perhaps not as meant. Arguments as those of `error`."""
    return _finding(Severity.WARNING, text, hint, at, of, event, values)


def error(
    text: str | Text,
    *,
    hint: str | Text,
    at: Place | Path | None = None,
    of: str | Sequence[str] = (),
    event: int | None = None,
    **values: Value,
) -> Finding:
    """A fault: the training would stop, or train something else than it says.

    `text` and `hint` are templates that the values fill, or ready Texts; values that no template names are
    for programs. `at` is where it is, `of` its subject (a split, an agent, a rank), `event` the line of the
    log at which it happened.
    """
    return _finding(Severity.ERROR, text, hint, at, of, event, values)


def _finding(
    severity: Severity,
    text: str | Text,
    hint: str | Text,
    at: Place | Path | None,
    of: str | Sequence[str],
    event: int | None,
    values: Mapping[str, Value],
) -> Finding:
    return Finding(
        severity=severity,
        text=text_of(text, values),
        at=Place(at) if isinstance(at, Path) else at,
        hint=text_of(hint, values) if hint else None,
        subjects=(of,) if isinstance(of, str) else tuple(of),
        event=event,
    )


class NoAnswer(Exception):
    """Why a check ends without an answer, where that is decided, and what would give the answer."""

    def __init__(
        self,
        reason: str | Text,
        /,
        *,
        at: Place | Path | None = None,
        hint: str | Text = "",
        **values: Value,
    ) -> None:
        self.reason = text_of(reason, values)
        self.at = Place(at) if isinstance(at, Path) else at
        self.hint = text_of(hint, values) if hint else None
        super().__init__(str(self.reason))


class Skip(NoAnswer):
    """Raised by a check that does not apply here, with the reason."""


class Blocked(NoAnswer):
    """Raised where something applies but could not be measured, with the reason and the way out."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One examination; name, family, claim and page are its function's: nothing is written twice."""

    code: str
    function: Callable[[Target], Findings]
    tier: Tier
    requires: tuple[str, ...] = ()
    ahead: Callable[[Target], object] | None = None
    by_split: bool = False

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def family(self) -> str:
        """Its module's name; a family of several ideas has several: dataset, dataset_samples."""
        return self.function.__module__.rpartition(".")[2].partition("_")[0]

    @property
    def claim(self) -> str:
        """The docstring's first line: a sentence that is true when the check passes."""
        return self.page.partition("\n")[0]

    @property
    def page(self) -> str:
        """The whole docstring, which `explain` prints."""
        return inspect.cleandoc(self.function.__doc__ or "")

    @property
    def place(self) -> Place:
        """Where its function is written."""
        code = inspect.unwrap(self.function).__code__
        return Place(Path(code.co_filename), code.co_firstlineno)


def check(
    code: str,
    *,
    tier: str,
    requires: Sequence[str] = (),
    ahead: Callable[[Target], object] | None = None,
    by_split: bool = False,
) -> Callable[[Callable[[Target], Findings]], Check]:
    """Make a check of a generator function.

    `ahead` gets under way what takes the training interpreter long: it is called as soon as what the check
    requires has passed, however many others come before the check itself, in the order of the checklist.
    `by_split` says that it goes through `each_split`: where what it requires failed of some splits, the check
    examines the others.

    Raises ValueError at import for a code that is not FAM123 or a function without a docstring, since
    neither could be selected or explained.
    """
    if not re.fullmatch(r"[A-Z]{3}\d{3}", code):
        raise ValueError(f"check code {code!r} is not three capitals and three digits")

    def decorate(function: Callable[[Target], Findings]) -> Check:
        if not function.__doc__:
            raise ValueError(f"check {code} ({function.__name__}) has no docstring to claim and explain")
        return Check(
            code=code,
            function=function,
            tier=Tier(tier),
            requires=tuple(requires),
            ahead=ahead,
            by_split=by_split,
        )

    return decorate


# Splits that a check shall leave out, since what it requires failed of them: split -> the codes
withheld: ContextVar[Mapping[str, Sequence[str]]] = ContextVar("withheld")


def require_not_withheld(split: str) -> None:
    """Raises Blocked for a split of which something failed that the running check requires."""
    if codes := withheld.get({}).get(split):
        raise Blocked("{split} needs {codes}", split=split, codes=list(codes))


class Crashed(Exception):
    """Raised for a check that crashed in a process of its own; the message says how, and where."""


def for_each(parts: Iterable[Part], judge: Callable[[Part], Findings]) -> Findings:
    """What a judgement says of every part (split, agent, ...): each is judged, also where another cannot be.

    Raises at the end the first Blocked of a part. A Skip of one is a note where there was something to say
    of another one, else it is raised.
    """
    blocked: Blocked | None = None
    skipped: list[Skip] = []
    answered = False
    for part in parts:
        try:
            for one in judge(part):
                answered |= one.count > 0 if isinstance(one, Examined) else one.severity > Severity.NOTE
                yield one
        except Blocked as problem:
            blocked = blocked or problem
        except Skip as problem:
            skipped.append(problem)
    if blocked:
        raise blocked
    if skipped and not answered:
        raise skipped[0]
    for reason in (skip.reason for skip in skipped):
        yield note("not examined: {reason}", reason=reason)
