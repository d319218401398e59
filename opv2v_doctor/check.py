"""A check examines a target and yields findings: these nouns, and the decorator that makes a check."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opv2v_doctor.target import Target

JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]


class Severity(IntEnum):
    """How much a finding weighs. A NOTE is the evidence on a pass."""

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
    """One thing that a check saw: what is, where, what to do about it, and the numbers for programs."""

    severity: Severity
    message: str
    path: Path | None = None
    line: int | None = None
    hint: str = ""
    evidence: Mapping[str, JSON] = field(default_factory=dict)


Findings = Iterator[Finding]


def note(
    message: str, *, path: Path | None = None, line: int | None = None, hint: str = "", **evidence: JSON
) -> Finding:
    """Worth knowing, nothing to do."""
    return Finding(
        severity=Severity.NOTE, message=message, path=path, line=line, hint=hint, evidence=evidence
    )


def warning(
    message: str, *, hint: str, path: Path | None = None, line: int | None = None, **evidence: JSON
) -> Finding:
    """A hazard: the training would run, perhaps not as meant."""
    return Finding(
        severity=Severity.WARNING, message=message, path=path, line=line, hint=hint, evidence=evidence
    )


def error(
    message: str, *, hint: str, path: Path | None = None, line: int | None = None, **evidence: JSON
) -> Finding:
    """A fault: the training would stop, or train something else than it says."""
    return Finding(
        severity=Severity.ERROR, message=message, path=path, line=line, hint=hint, evidence=evidence
    )


class Skip(Exception):
    """Raised by a check that does not apply here, with the reason."""


class Blocked(Exception):
    """Raised where something applies but could not be measured, with the reason."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One examination; name, family, claim and page are its function's: nothing is written twice."""

    code: str
    function: Callable[[Target], Findings]
    tier: Tier
    requires: tuple[str, ...] = ()
    ahead: Callable[[Target], object] | None = None

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def family(self) -> str:
        """Its module's name; a family too large for one module has several: dataset, dataset_files."""
        return self.function.__module__.rpartition(".")[2].partition("_")[0]

    @property
    def claim(self) -> str:
        """The docstring's first line: a sentence that is true when the check passes."""
        return self.page.partition("\n")[0]

    @property
    def page(self) -> str:
        """The whole docstring, which `explain` prints."""
        return inspect.cleandoc(self.function.__doc__ or "")


def check(
    code: str, *, tier: str, requires: Sequence[str] = (), ahead: Callable[[Target], object] | None = None
) -> Callable[[Callable[[Target], Findings]], Check]:
    """Make a check of a generator function.

    `ahead` gets under way what takes the training interpreter long: it is called as soon as what the check
    requires has passed, however many others come before the check itself, in the order of the checklist.

    Raises ValueError at import for a code that is not FAM123 or a function without a docstring, since
    neither could be selected or explained.
    """
    if not re.fullmatch(r"[A-Z]{3}\d{3}", code):
        raise ValueError(f"check code {code!r} is not three capitals and three digits")

    def decorate(function: Callable[[Target], Findings]) -> Check:
        if not function.__doc__:
            raise ValueError(f"check {code} ({function.__name__}) has no docstring to claim and explain")
        return Check(code=code, function=function, tier=Tier(tier), requires=tuple(requires), ahead=ahead)

    return decorate


class Crashed(Exception):
    """Raised for a check that crashed in a process of its own; the message says how, and where."""
