"""Signs of life: which rank is silent, which ones wait for it, and which is only slow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.foreign_files import from_json, open_file

EVENTS = "events.jsonl"


@dataclass
class RankPulse:
    """What was last heard of a rank."""

    heard: float  # by our clock: those of other machines may differ
    moved: float  # when it last got further
    epoch: int = -1
    step: int = -1

    @property
    def place(self) -> tuple[int, int]:
        return self.epoch, self.step

    def __str__(self) -> str:
        return f"epoch {self.epoch}, step {self.step}" if self.step >= 0 else "before its first step"


class Vitals:
    """Reads what the ranks' watches write, and says once of each stall who stalls whom."""

    def __init__(
        self,
        run: Path,
        ranks: Iterable[int],
        silence: float,
        living: Callable[[], set[int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = run / EVENTS
        self._at = self._path.stat().st_size if self._path.is_file() else 0
        self._rest = b""
        self._silence, self._clock, self._living = silence, clock, living
        self.ranks = {rank: RankPulse(heard=clock(), moved=clock()) for rank in ranks}
        self.watched = False
        self.raised: dict[int, float] = {}  # rank -> time of its exception
        self._said: set[int] = set()

    def read(self) -> list[dict[str, Any]]:
        """The events since the last call."""
        events = [event for line in self._lines() if (event := _event(line)) is not None]
        for event in events:
            self._take(event)
        return events

    def _lines(self) -> list[bytes]:
        try:
            with open_file(self._path) as file:
                file.seek(self._at)
                text = file.read()
        except OSError:
            return []
        self._at += len(text)
        *lines, self._rest = (self._rest + text).split(b"\n")
        return lines

    def _take(self, event: dict[str, Any]) -> None:
        self.watched = True
        if event.get("event") in ("start", "epoch end"):  # tried once more
            self.raised.pop(int(event.get("rank", 0)), None)
        if event.get("event") in ("raised", "stopped") and isinstance(event.get("time"), int | float):
            self.raised.setdefault(int(event.get("rank", 0)), float(event["time"]))
        rank = self.ranks.get(event.get("rank", -1))
        if rank is None:
            return
        rank.heard = self._clock()
        place = (_whole(event.get("epoch"), rank.epoch), _whole(event.get("step"), -1))
        quiet = event.get("quiet")  # a beat's own word for how long nothing moved
        if isinstance(quiet, int | float):
            rank.moved = max(rank.moved, rank.heard - quiet)
        elif place > rank.place or event.get("event") != "beat":
            rank.moved = rank.heard
        rank.epoch, rank.step = max(place, rank.place)

    def stall(self) -> str | None:
        """What to say about a stall; None where there is none, or it was said already."""
        if not self.watched:  # without a watch nobody speaks
            return None
        now = self._clock()
        still = {number for number, rank in self.ranks.items() if now - rank.moved > self._silence}
        if not still or still == self._said:
            self._said &= still
            return None
        self._said = still
        return self._described(still, now)

    def _described(self, still: set[int], now: float) -> str:
        living = self._living()
        gone = sorted(still - living) if living else []
        if gone and living:
            return f"{_list(gone)} ended without a failure, and {_list(sorted(living))} would wait for hours"
        furthest = max(rank.place for rank in self.ranks.values())
        behind = [n for n in sorted(still) if self.ranks[n].place < furthest] or sorted(still)
        seconds = now - max(self.ranks[number].moved for number in behind)
        silent = all(now - self.ranks[number].heard > self._silence for number in behind)
        how = "gave no sign" if silent else "works, but made no step"
        others = sorted(set(self.ranks) - set(behind))
        wait = f"; {_list(others)} {'waits' if len(others) == 1 else 'wait'} for it" if others else ""
        return f"{_list(behind)} {how} for {seconds:.0f} s ({self.ranks[behind[0]]}){wait}"


def _list(ranks: list[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"


def _whole(value: object, other: int) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else other


def _event(line: bytes) -> dict[str, Any] | None:
    """One event; a line of a rank that was killed while it wrote is none."""
    try:
        event = from_json(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
