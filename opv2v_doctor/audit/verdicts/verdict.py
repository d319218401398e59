"""A verdict is a check whose target is an inventory: its decorator, and findings about many files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, cast

from opv2v_doctor.audit.inventory import Inventory
from opv2v_doctor.check import Check, Finding, Findings, check
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text, quoted

Judge = Callable[[Inventory], Findings]


def verdict(code: str, *, requires: Sequence[str] = ("AUD001",)) -> Callable[[Judge], Check]:
    """Make a check of a generator function over an inventory: the runner passes on what it is given."""

    def decorate(function: Judge) -> Check:
        examine = cast("Callable[[Target], Findings]", function)
        return check(code, tier="data", requires=requires)(examine)

    return decorate


class Shelf(NamedTuple):
    """What many files have in common: a camera of an agent, and what is wrong."""

    split: str
    scenario: str
    agent: str
    camera: str
    kind: str
    problem: Any

    @property
    def what(self) -> Text:
        """The files in words: `depth of camera2`."""
        return (
            Text("{kind} of {camera}", kind=KINDS[self.kind], camera=self.camera)
            if self.camera
            else KINDS[self.kind]
        )


KINDS = {
    "frame": Text("frame file"),
    "image": Text("image"),
    "cloud": Text("point cloud"),
    "depth": Text("depth"),
}
Tell = Callable[..., Finding]


def of_each_shelf(
    inventory: Inventory,
    rows: Iterable[tuple[Any, ...]],
    tell: Tell,
    hint: str | Text,
    told: Callable[[Any], Text] = quoted,
) -> Iterator[Finding]:
    """One finding for all frames of a shelf; `told` puts its problem into words.

    Each row is a Shelf's fields, then frame and path; rows of one shelf come one after another.
    """
    for fields, group in groupby(rows, key=lambda row: row[:6]):
        shelf = Shelf(*fields)
        found = list(group)
        yield tell(
            "{what}: {problem}, {frames}",
            at=inventory.path(found[0][7], shelf.kind),
            hint=hint,
            what=shelf.what,
            problem=told(shelf.problem),
            frames=spoken([row[6] for row in found]),
            split=shelf.split,
            scenario=shelf.scenario,
            agent=shelf.agent,
            camera=shelf.camera or None,
            kind=shelf.kind,
            names=[row[6] for row in found],
        )


def spoken(frames: Sequence[str]) -> Text:
    """Frames in words: the one, or how many from which to which."""
    if len(frames) == 1:
        return Text("frame {frame}", frame=frames[0])
    return Text("{n} frames from {first} to {last}", n=len(frames), first=min(frames), last=max(frames))


def agent_folder(inventory: Inventory, *names: str) -> Path:
    """The folder of a split, a scenario or an agent."""
    return inventory.path("/".join(names), "frame")
