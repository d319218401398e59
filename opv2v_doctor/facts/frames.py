"""OPV2V on disk: splits, scenarios, agents and frames, read by listing folders; one frame file at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.datasets import Part
from opv2v_doctor.facts.samples import examined_splits, parts
from opv2v_doctor.facts.views import View
from opv2v_doctor.target import Target

ALL_CAMERAS = ("camera0", "camera1", "camera2", "camera3")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One moment of one agent: the common beginning of its files."""

    agent: Agent
    name: str

    @property
    def yaml(self) -> Path:
        return self.agent.folder / f"{self.name}.yaml"

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras of which it has an image."""
        return tuple(camera for camera in ALL_CAMERAS if self.agent.has(self.image(camera)))

    def image(self, camera: str) -> Path:
        return self.agent.folder / f"{self.name}_{camera}.png"

    def depth(self, camera: str) -> Path:
        return self.agent.depth_folder / f"{self.name}_{camera}_depth.npy"


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One agent of a scenario, with the names of its files."""

    scenario: str
    name: str
    folder: Path
    depth_folder: Path
    files: frozenset[str]
    depth_files: frozenset[str]

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """Its frames, as its yaml files say."""
        stems = sorted(name[:-5] for name in self.files if name.endswith(".yaml") and name[:-5].isdigit())
        return tuple(Frame(agent=self, name=stem) for stem in stems)

    def has_camera(self, camera: str) -> bool:
        """Whether any frame has an image of the camera."""
        return any(name.endswith(f"_{camera}.png") for name in self.files)

    def has(self, path: Path) -> bool:
        """Whether a file of one of its two folders is there."""
        return path.name in (self.depth_files if path.name.endswith(".npy") else self.files)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One scenario of a split."""

    name: str
    folder: Path
    agents: tuple[Agent, ...]

    @cached_property
    def frames(self) -> Mapping[str, int]:
        """Frame -> how many agents have it."""
        counts: dict[str, int] = {}
        for agent in self.agents:
            for frame in agent.frames:
                counts[frame.name] = counts.get(frame.name, 0) + 1
        return counts

    @cached_property
    def cameras(self) -> frozenset[str]:
        """The cameras of which it has any image."""
        names = (name for agent in self.agents for name in agent.files if name.endswith(".png"))
        return frozenset(name.rpartition("_")[2][:-4] for name in names)

    def usable_frames(self, least_agents: int) -> int:
        """How many frames enough agents have."""
        return sum(count >= least_agents for count in self.frames.values())


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
        return tuple(f"camera{number}" for number in ids) if isinstance(ids, list | tuple) else ALL_CAMERAS

    @property
    def least_agents(self) -> int:
        """Scenarios and frames with fewer agents are left out."""
        return int(self.part.keywords.get("min_agents") or 1)

    @cached_property
    def by_name(self) -> Mapping[str, Scenario]:
        """Name -> scenario."""
        return {scenario.name: scenario for scenario in self.scenarios}

    @cached_property
    def agents(self) -> Mapping[tuple[str, str], Agent]:
        """(scenario, agent) -> agent."""
        return {(agent.scenario, agent.name): agent for each in self.scenarios for agent in each.agents}

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """Every frame of every agent."""
        return tuple(frame for agent in self.agents.values() for frame in agent.frames)

    def frame_of(self, view: View) -> Frame | None:
        """The frame that a view shows, by its label, agent and instance; None where they name none."""
        agent = self.agents.get((view.scenario or "", view.agent or ""))
        words = (view.instance or "").split("/")
        return next((frame for frame in agent.frames if frame.name in words), None) if agent else None


def each_disk(target: Target) -> Iterator[tuple[str, Disk]]:
    """Every examined split with its folder."""
    for split in examined_splits(target):
        yield split, disk(target, split)


@cache
def disk(target: Target, split: str) -> Disk:
    """The folder that a split reads, empty where it is not there. Raises Skip where it is not OPV2V."""
    part = parts(target, split)[0]
    root, depth_root = part.keywords.get("ROOT"), part.keywords.get("depth_root")
    if root is None or depth_root is None or part.split is None:
        raise Skip(f"{part.class_name} is not told ROOT, depth_root and split: not OPV2V")
    return Disk(
        part=part,
        folder=target.repo / root / part.split,
        depth_folder=target.repo / depth_root / part.split,
        scenarios=_scenarios(target.repo / root / part.split, target.repo / depth_root / part.split),
    )


def is_opv2v(target: Target, split: str) -> bool:
    """Whether the split's dataset is told which folders of OPV2V to read."""
    try:
        return bool(disk(target, split))
    except Skip:
        return False


def frame_shown(target: Target, split: str, view: View) -> Frame | None:
    """The frame on disk that a view shows, None where it names none or the dataset is not OPV2V."""
    return disk(target, split).frame_of(view) if is_opv2v(target, split) else None


@cache
def _scenarios(folder: Path, depth_folder: Path) -> tuple[Scenario, ...]:
    """All scenarios of a split; none where the folder is not there."""
    return tuple(
        Scenario(
            name=name,
            folder=folder / name,
            agents=tuple(
                _agent(name, folder / name / agent, depth_folder / name / agent)
                for agent in _folders(folder / name)
            ),
        )
        for name in _folders(folder)
    )


def _agent(scenario: str, folder: Path, depth_folder: Path) -> Agent:
    return Agent(
        scenario=scenario,
        name=folder.name,
        folder=folder,
        depth_folder=depth_folder,
        files=_files(folder),
        depth_files=_files(depth_folder),
    )


def _folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted; none where it is not there."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def _files(folder: Path) -> frozenset[str]:
    return frozenset(os.listdir(folder)) if folder.is_dir() else frozenset()  # noqa: PTH208 (names only: fast)


@cache
def frame_file(path: Path) -> Mapping[str, Any]:
    """What a frame file says, by the C safe loader: no tag in it builds an object.

    Raises Blocked where it cannot be read.
    """
    import yaml

    try:
        content = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as problem:
        raise Blocked(f"{path}: {' '.join(str(problem).split())}") from None
    if not isinstance(content, dict):
        raise Blocked(f"{path}: not a frame file")
    return content
