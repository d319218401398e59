"""A verdict is a check whose target is an inventory: its decorator, and findings about many files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, cast

from opv2v_doctor.audit.inventory import Inventory
from opv2v_doctor.check import Check, Finding, Findings, check
from opv2v_doctor.target import Target

Judge = Callable[[Inventory], Findings]


def verdict(code: str, *, requires: Sequence[str] = ("AUD001",)) -> Callable[[Judge], Check]:
    """Make a check of a generator function over an inventory: the runner passes on what it is given."""

    def decorate(function: Judge) -> Check:
        examine = cast("Callable[[Target], Findings]", function)
        return check(code, tier="data", requires=requires)(examine)

    return decorate


class Place(NamedTuple):
    """What many files have in common: a camera of an agent, and what is wrong."""

    split: str
    scenario: str
    agent: str
    camera: str
    kind: str
    problem: str

    @property
    def folder(self) -> str:
        return f"{self.split}/{self.scenario}/{self.agent}"

    @property
    def what(self) -> str:
        """The files in words: `depth of camera2`."""
        words = {"frame": "frame file", "image": "image", "cloud": "point cloud", "depth": "depth"}
        return words[self.kind] + (f" of {self.camera}" if self.camera else "")


Say = Callable[..., Finding]


def gathered(inventory: Inventory, rows: Iterable[tuple[Any, ...]], say: Say, hint: str) -> Iterator[Finding]:
    """One finding for all frames of a place.

    Each row is a Place's fields, then frame and path; rows of one place come one after another.
    """
    for fields, group in groupby(rows, key=lambda row: row[:6]):
        place = Place(*fields)
        found = list(group)
        frames = [row[6] for row in found]
        yield say(
            f"{place.what}: {place.problem}, {spoken(frames)}",
            path=inventory.path(found[0][7], place.kind),
            hint=hint,
            split=place.split,
            scenario=place.scenario,
            agent=place.agent,
            camera=place.camera or None,
            kind=place.kind,
            problem=place.problem,
            frames=frames,
        )


def spoken(frames: Sequence[str]) -> str:
    """Frames in words: the one, or how many from which to which."""
    if len(frames) == 1:
        return f"frame {frames[0]}"
    return f"{len(frames)} frames from {min(frames)} to {max(frames)}"


def agent_folder(inventory: Inventory, *names: str) -> Path:
    """The folder of a split, a scenario or an agent."""
    return inventory.path("/".join(names), "frame")
