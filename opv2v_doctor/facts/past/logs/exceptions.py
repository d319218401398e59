"""Exceptions of a log: tracebacks that say the same and came to the same, together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor import Place, Text, quoted
from opv2v_doctor.facts.past.logs.log_files import Fate, Log
from opv2v_doctor.facts.past.logs.tracebacks import Frame, Traceback

AFTERMATH: dict[Fate, Text] = {
    "survived": Text("the training went on"),
    "overcome": Text("a later launch went on"),
}


@dataclass(frozen=True, kw_only=True)
class Raised:
    """One exception, by every rank and launch that raised it, and what became of the training."""

    fate: Fate
    tracebacks: tuple[Traceback, ...]

    @property
    def first(self) -> Traceback:
        return self.tracebacks[0]

    @property
    def consequences(self) -> list[Text]:
        """How often it was raised, and what became of the training, as far as there is something to say."""
        count = len(self.tracebacks)
        said = [Text("{n} tracebacks", n=count)] if count > 1 else []
        return [*said, AFTERMATH[self.fate]] if self.fate in AFTERMATH else said


def raised(log: Log, tracebacks: Iterable[Traceback]) -> tuple[Raised, ...]:
    """The exceptions that tracebacks of a log tell of, in their order."""
    groups: dict[tuple[Fate, str], list[Traceback]] = {}
    for one in tracebacks:
        fate = log.fate(one.line, one.exception_line)
        groups.setdefault((fate, one.summary[:300]), []).append(one)
    return tuple(Raised(fate=fate, tracebacks=tuple(alike)) for (fate, _), alike in groups.items())


def told(exception: Traceback, frame: Frame | None) -> Text:
    """An exception, and the place where it was raised."""
    if frame is None:
        return quoted(exception.told)
    return Text(
        "{exception}, in {place}", exception=exception.told, place=Place(Path(frame.path), frame.line)
    )
