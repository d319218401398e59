"""Scenarios: the folders of a split, with their agents and the names of the agents' files."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from opv2v_doctor.layout import CAMERAS, DIGITS, FileKind, Layout, unknown_name
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target


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
        return tuple(camera for camera in CAMERAS if self.agent.has(self.image(camera)))

    def image(self, camera: str) -> Path:
        return self.agent.folder / self.agent.layout.file(FileKind.IMAGE, self.name, camera)

    def depth(self, camera: str) -> Path:
        return self.agent.depth_folder / self.agent.layout.file(FileKind.DEPTH, self.name, camera)

    @property
    def cloud(self) -> Path:
        return self.agent.folder / self.agent.layout.file(FileKind.CLOUD, self.name)


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One agent of a scenario, with the names of its files."""

    scenario: str
    name: str
    folder: Path
    depth_folder: Path
    files: frozenset[str]
    depth_files: frozenset[str]
    layout: Layout = field(default_factory=Layout)  # of its split

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """Its frames, as its yaml files say."""
        stems = sorted(name[:-5] for name in self.files if name.endswith(".yaml") and name[:-5].isdigit())
        return tuple(Frame(agent=self, name=stem) for stem in stems)

    @cached_property
    def endings(self) -> frozenset[str]:
        """What follows the frame in the names of its files."""
        return frozenset(name.lstrip(DIGITS) for name in self.files if name[:1].isdigit())

    @property
    def has_any(self) -> bool:
        """Whether it has any file of a frame: an editor's folder of copies, or one of notes, is no agent."""
        return any(map(self.layout.known, self.endings))

    @cached_property
    def cameras(self) -> frozenset[str]:
        """The cameras of which it has any image."""
        known = filter(None, map(self.layout.known, self.endings))
        return frozenset(camera for kind, camera in known if kind is FileKind.IMAGE)

    def has(self, path: Path) -> bool:
        """Whether a file of one of its two folders is there."""
        return path.name in (self.depth_files if path.parent == self.depth_folder else self.files)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One scenario of a split."""

    name: str
    folder: Path
    agents: tuple[Agent, ...]

    @cached_property
    def moments(self) -> tuple[tuple[Frame, ...], ...]:
        """The frames of all agents at each moment."""
        found: dict[str, list[Frame]] = {}
        for agent in self.agents:
            for frame in agent.frames:
                found.setdefault(frame.name, []).append(frame)
        return tuple(tuple(found[name]) for name in sorted(found))

    @property
    def each_alone(self) -> tuple[tuple[Frame, ...], ...]:
        """Each frame of each agent for itself."""
        return tuple((frame,) for agent in self.agents for frame in agent.frames)

    @cached_property
    def cameras(self) -> frozenset[str]:
        """The cameras of which it has any image."""
        return frozenset().union(*(agent.cameras for agent in self.agents))

    @cached_property
    def unknown(self) -> Counter[str]:
        """Names of the agents' files that are nothing that is read, with FRAME for its number."""
        return Counter(
            unknown_name(name)
            for agent in self.agents
            for name in agent.files
            if not agent.layout.known(name.lstrip(DIGITS))
        )


@fact
def scenarios(
    target: Target, folder: Path, depth_folder: Path, code: frozenset[str] = frozenset()
) -> tuple[Scenario, ...]:
    """All scenarios of a split that have an agent; none where the folder is not there.

    Their files are named as the settings say; of several names for one file the split has the one that words
    of its loader's `code` name, else the one that most of its files have.
    """
    layout = target.settings.layout
    found = [
        Scenario(
            name=name,
            folder=folder / name,
            agents=tuple(
                agent
                for each in _folders(folder / name)
                if (agent := _agent(name, folder / name / each, depth_folder / name / each, layout)).has_any
            ),
        )
        for name in _folders(folder)
    ]
    agents = [agent for scenario in found for agent in scenario.agents]
    names = (name for agent in agents for name in (*agent.files, *agent.depth_files))
    settled = layout.settled(Counter(name.lstrip(DIGITS) for name in names), code)
    return tuple(
        replace(scenario, agents=tuple(replace(agent, layout=settled) for agent in scenario.agents))
        for scenario in found
        if scenario.agents
    )


def _agent(scenario: str, folder: Path, depth_folder: Path, layout: Layout) -> Agent:
    return Agent(
        scenario=scenario,
        name=folder.name,
        folder=folder,
        depth_folder=depth_folder,
        files=_files(folder),
        depth_files=_files(depth_folder),
        layout=layout,
    )


def _folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted; none where it is not there."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def _files(folder: Path) -> frozenset[str]:
    return frozenset(os.listdir(folder)) if folder.is_dir() else frozenset()  # noqa: PTH208 (names only: fast)
