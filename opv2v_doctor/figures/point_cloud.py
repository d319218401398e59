"""The page of a point cloud: agents and their points by source of depth and pose, in one file for offline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.atomic import whole
from opv2v_doctor.figures.packing import Grid, differences, on_grid, pack
from opv2v_doctor.figures.plotly_page import plotly_tags

PREDICTION, TRUTH, INPUT, LIDAR = "prediction", "truth", "input", "lidar"
IN_PREDICTED_MASK, IN_TRUE_MASK = 1, 2  # bits of `Cloud.masks`
MOST_POINTS = 200_000  # of all clouds of a page
SHARES = (0.55, 0.25, 0.2)  # of the points: those of the source that is shown first, and of the others
Array = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cloud:
    """Points of one agent by one source of depth, in its own frame: x right, y down, z ahead, metres."""

    points: Array  # (N, 3)
    colours: NDArray[np.uint8] | None = None  # (N, 3), red, green, blue
    masks: NDArray[np.uint8] | None = None  # (N,), bits; None where no mask concerns it

    def only(self, kept: NDArray[np.bool_]) -> Cloud:
        """Some of the points."""
        return Cloud(
            points=self.points[kept],
            colours=None if self.colours is None else self.colours[kept],
            masks=None if self.masks is None else self.masks[kept],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class AgentCloud:
    """One agent: where each source says that it is, and what each source says that it sees."""

    name: str
    poses: Mapping[str, NDArray[np.floating]]  # source -> (4, 4), to the first agent's frame
    clouds: Mapping[str, Cloud]  # source -> points


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Metres in the first agent's frame as the page shows it: x right, y ahead, z up."""

    eye: tuple[float, float, float]
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class InitialChoice:
    """What the page shows first; its controls change all of it."""

    pose: str = PREDICTION
    depth: str = PREDICTION
    mask: str = PREDICTION  # or TRUTH, or "none"
    colour: str = "rgb"
    size: float = 1.5  # pixels
    compare: bool = False
    camera: Camera | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """Everything that the page tells."""

    title: str
    agents: Sequence[AgentCloud]
    notes: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = field(default_factory=tuple)
    scale: float | None = None  # that would put the predicted lengths right; the page offers it


def page(scene: Scene, opening: InitialChoice | None = None) -> str:
    """The page as HTML."""
    told, parts, step = _packed_agents(scene.agents)
    exact = f"Positions in this page are exact to {1000 * step / 2:.2g} mm."
    data = {"agents": told, "opening": asdict(opening or InitialChoice()), "scale": scene.scale}
    return _template("point_cloud.html").substitute(
        title=escape(scene.title),
        notes="".join(f"<p>{escape(note)}</p>" for note in (*scene.notes, exact)),
        table=_table(scene),
        plotly=plotly_tags(),
        scene=json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
        points=pack(parts),
        script=_text("point_cloud.js"),
    )


def write_page(path: Path, scene: Scene, opening: InitialChoice | None = None) -> None:
    """Write the page as a whole or not at all."""
    with whole(path) as partial:
        partial.write_text(page(scene, opening), encoding="utf-8", errors="backslashreplace")


def thin(agents: Sequence[AgentCloud], most: int = MOST_POINTS, main: str = PREDICTION) -> list[AgentCloud]:
    """The agents with at most so many points in all, drawn evenly and the same each time.

    The source of depth that the page opens with gets about half of them, or what the others leave.
    """
    others = [source for source in (PREDICTION, TRUTH, LIDAR) if source != main]
    shares = dict(zip((main, *others), SHARES, strict=True))
    counts = {source: _count(agents, source) for source in shares}
    limits = {source: int(most * share) for source, share in shares.items()}
    limits[main] += most - sum(min(counts[source], limit) for source, limit in limits.items())
    return [
        AgentCloud(
            name=agent.name,
            poses=agent.poses,
            clouds={
                source: _thin(cloud, limits[source], counts[source]) for source, cloud in agent.clouds.items()
            },
        )
        for agent in agents
    ]


def _count(agents: Sequence[AgentCloud], source: str) -> int:
    return sum(len(agent.clouds[source].points) for agent in agents if source in agent.clouds)


def _thin(cloud: Cloud, limit: int, count: int) -> Cloud:
    """Points at random: what is drawn row by row would show stripes if every nth were taken."""
    if count <= limit:
        return cloud
    wanted = len(cloud.points) * limit // count
    kept = np.zeros(len(cloud.points), bool)
    kept[np.random.default_rng(0).permutation(len(cloud.points))[:wanted]] = True
    return cloud.only(kept)


def _packed_agents(agents: Sequence[AgentCloud]) -> tuple[list[dict[str, Any]], list[bytes], float]:
    """What the page's script is told of the agents, the bytes that go with it, and the coarsest step."""
    told, parts, steps = [], [], [0.0]
    for agent in agents:
        clouds = {}
        for source, cloud in agent.clouds.items():
            grid = on_grid(cloud.points)
            clouds[source] = _description(cloud, grid)
            parts += _bytes(cloud, grid)
            steps.append(grid.step)
        poses = {
            source: np.asarray(pose, np.float64).ravel().tolist()
            for source, pose in agent.poses.items()
            if np.isfinite(pose).all()
        }
        told.append({"name": agent.name, "poses": poses, "clouds": clouds})
    return told, parts, max(steps)


def _description(cloud: Cloud, grid: Grid) -> dict[str, Any]:
    return {
        "count": len(cloud.points),
        "corner": grid.corner,
        "step": grid.step,
        "coloured": cloud.colours is not None,
        "masked": cloud.masks is not None,
    }


def _bytes(cloud: Cloud, grid: Grid) -> list[bytes]:
    """Positions, then colours and masks where there are some, column by column."""
    columns = [] if cloud.colours is None else [np.ascontiguousarray(cloud.colours.T, np.uint8)]
    columns += [] if cloud.masks is None else [np.asarray(cloud.masks, np.uint8)]
    return [differences(grid.numbers), *(column.tobytes() for column in columns)]


def _table(scene: Scene) -> str:
    if not scene.rows:
        return ""
    head = "".join(f"<th>{escape(word)}</th>" for word in scene.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in scene.rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


@cache
def _text(name: str) -> str:
    return files("opv2v_doctor.figures").joinpath(name).read_text(encoding="utf-8")


def _template(name: str) -> Template:
    return Template(_text(name))
