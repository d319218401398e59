"""OPV2V on disk: what a split holds, what of it the dataset reads, and one frame file at a time."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.disk.scenarios import Agent, Frame, Scenario, scenarios
from opv2v_doctor.facts.interpreter.views import Identity
from opv2v_doctor.facts.launch.datasets import Part
from opv2v_doctor.facts.launch.origins import words_of_files
from opv2v_doctor.facts.launch.splits import examined_splits, parts
from opv2v_doctor.foreign_files import bytes_of, from_yaml
from opv2v_doctor.layout import CAMERAS, Layout, unknown_name
from opv2v_doctor.state import fact, of_file
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text

CAMERA = re.compile(r"(?<![a-z])cam(?:era)?[-_ ]?([0-3])(?!\d)", re.IGNORECASE)

__all__ = [
    "Agent",
    "Disk",
    "Frame",
    "Scenario",
    "disk",
    "disks",
    "document",
    "each_disk",
    "frame_file",
    "frame_of",
    "is_opv2v",
    "opv2v_splits",
    "unknown_name",
]


@dataclass(frozen=True, kw_only=True)
class Disk:
    """One split on disk, and what the config reads of it."""

    part: Part
    folder: Path
    depth_folder: Path
    scenarios: tuple[Scenario, ...]

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras that the dataset is told to use."""
        ids = self.part.keywords.get("camera_ids")
        return tuple(f"camera{number}" for number in ids) if isinstance(ids, list | tuple) else CAMERAS

    @property
    def least_agents(self) -> int:
        """Scenarios and frames with fewer agents are left out."""
        return int(self.part.keywords.get("min_agents") or 1)

    @cached_property
    def selection(self) -> tuple[Scenario, ...]:
        """All scenarios, each with those of its agents that the dataset is told to include."""
        wanted = self.part.keywords.get("include_agents")
        if not wanted or not isinstance(wanted, list | tuple | set):
            return self.scenarios
        return tuple(
            replace(one, agents=tuple(agent for agent in one.agents if agent.name in wanted))
            for one in self.scenarios
        )

    @cached_property
    def scenes(self) -> tuple[tuple[Frame, ...], ...]:
        """The samples that the dataset knows: the frames of all agents at one moment, in its own order.

        A dataset that is told no `min_agents` takes each agent's frames for themselves.
        """
        alone = "min_agents" not in self.part.keywords
        grouped = chain.from_iterable(one.each_alone if alone else one.moments for one in self.selection)
        found = [scene for scene in grouped if len(scene) >= self.least_agents]
        return tuple(found[: self.part.keywords.get("max_scenes") or None])

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """Every frame of every agent that the dataset may read."""
        return tuple(chain.from_iterable(self.scenes))

    @cached_property
    def scenarios_in_use(self) -> tuple[Scenario, ...]:
        """The scenarios that the dataset reads any frame of, with the agents that it includes."""
        names = {frame.agent.scenario for frame in self.frames}
        return tuple(scenario for scenario in self.selection if scenario.name in names)

    @property
    def layout(self) -> Layout:
        """How its files are named."""
        return next((agent.layout for agent in self.agents.values()), Layout())

    @cached_property
    def by_name(self) -> Mapping[str, Scenario]:
        """Name -> scenario."""
        return {scenario.name: scenario for scenario in self.scenarios}

    @cached_property
    def agents(self) -> Mapping[tuple[str, str], Agent]:
        """(scenario, agent) -> agent."""
        return {(agent.scenario, agent.name): agent for each in self.scenarios for agent in each.agents}

    def frame_of(self, view: Identity) -> Frame | None:
        """The frame that a view shows, by the names on disk that it says; None where they name none.

        Label and instance are free text, "000069/camera0_650" or the path of an image: agents and frames are
        looked for word by word, in the instance first.
        """
        texts = view.instance or "", view.label or ""
        said = [name for name in self.by_name if any(_says(text, name) for text in texts)]
        if not said:
            return None
        scenario = self.by_name[max(said, key=len)]
        instance, label = (_words(text.replace(scenario.name, "/")) for text in texts)
        names = [view.agent_id] if view.agent_id else [*instance, *reversed(label)]
        agent = next((agent for name in names for agent in scenario.agents if agent.name == name), None)
        words = {*instance, *label}
        return next((frame for frame in agent.frames if frame.name in words), None) if agent else None

    def camera_of(self, view: Identity) -> str | None:
        """The camera that a view of one camera names; None where it names none, as a panorama does."""
        if found := next(filter(None, map(self.layout.camera, _words(view.instance or ""))), None):
            return found
        for text in (view.instance or "", view.label or ""):
            if said := CAMERA.search(text):
                return f"camera{said[1]}"
        return None


def each_disk(target: Target) -> Iterator[tuple[str, Disk]]:
    """Every examined split with each folder that it reads. Raises Skip where one reads nothing of OPV2V."""
    for split in examined_splits(target):
        for where in disks(target, split) or (disk(target, split),):
            yield split, where


@fact
def disks(target: Target, split: str) -> tuple[Disk, ...]:
    """The folders that the datasets of a split read, each once; none where they are not of OPV2V."""
    found: dict[Path, Disk] = {}
    for part in parts(target, split):
        with contextlib.suppress(Skip):
            where = _disk(target, part)
            found.setdefault(where.folder, where)
    return tuple(found.values())


@fact
def disk(target: Target, split: str) -> Disk:
    """The folder that a split's first dataset reads, empty where it is not there.

    Raises Skip where that is not OPV2V.
    """
    return _disk(target, parts(target, split)[0])


def _disk(target: Target, part: Part) -> Disk:
    root, depth_root = part.keywords.get("ROOT"), part.keywords.get("depth_root")
    if root is None or depth_root is None or part.split is None:
        raise Skip(
            "{name} is given no ROOT, depth_root and split: not a dataset of OPV2V", name=part.class_name
        )
    folder, depth_folder = target.cwd / root / part.split, target.cwd / depth_root / part.split
    code = words_of_files(target, part, target.settings.layout.suffixes)
    return Disk(
        part=part,
        folder=folder,
        depth_folder=depth_folder,
        scenarios=scenarios(target, folder, depth_folder, code),
    )


def is_opv2v(target: Target, split: str) -> bool:
    """Whether a dataset of the split is told which folders of OPV2V to read."""
    return bool(disks(target, split))


def opv2v_splits(target: Target) -> tuple[str, ...]:
    """The examined splits whose files are those of OPV2V. Raises Skip where there are none."""
    found = tuple(split for split in examined_splits(target) if is_opv2v(target, split))
    if not found:
        raise Skip("no dataset of this launch reads the frame files of OPV2V")
    return found


def _says(text: str, name: str) -> bool:
    """Whether a text holds a name that is no part of a longer word."""
    return name in text and bool(re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", text))


def _words(text: str) -> list[str]:
    return re.split(r"[/\\_.:,\s]", text)


def frame_of(target: Target, split: str, view: Identity) -> Frame | None:
    """The frame on disk that a view shows, None where it names none or the dataset is not OPV2V."""
    found = (where.frame_of(view) for where in disks(target, split))
    return next((frame for frame in found if frame), None)


def frame_file(frame: Frame) -> Mapping[str, Any]:
    """What a frame's file says, under OPV2V's own words; no tag in it builds an object.

    Raises Blocked where it cannot be read.
    """
    return frame.agent.layout.canonical(document(frame.yaml))


@of_file()
def document(path: Path) -> Mapping[str, Any]:
    """What a frame file says in its own words. Raises Blocked where it cannot be read."""
    try:
        content = from_yaml(bytes_of(path))
    except OSError as problem:
        said = Text("cannot be read: {problem}", problem=problem.strerror or str(problem))
        raise Blocked("{path}: {problem}", at=path, path=path, problem=said) from None
    except ValueError as problem:
        said = Text("not YAML: {problem}", problem=" ".join(str(problem).split()))
        raise Blocked("{path}: {problem}", at=path, path=path, problem=said) from None
    if not isinstance(content, dict):
        raise Blocked("{path}: {problem}", at=path, path=path, problem=Text("not a frame file"))
    return content
