"""The point cloud's page: 200 000 coloured points against what one writes first with Plotly."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import Ratio, compared
from opv2v_doctor.figures.plotly_page import plotly_tags
from opv2v_doctor.figures.point_cloud import PREDICTION, AgentCloud, Cloud, Scene, write_page
from opv2v_doctor.geometry.cameras import Cylinder

AGENTS, POINTS = 4, 50_000  # points of each
LARGEST = 5_000_000  # bytes
SLOWEST = 2.0  # seconds
TURNS = 3
SMALLEST = {"AGENTS": 1, "POINTS": 1000, "TURNS": 1}


def ratios() -> Iterator[Ratio]:
    """One page of 200 000 points, Plotly in it, each time with the library packed anew."""
    agents = [_agent(number) for number in range(AGENTS)]
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours.html"), Path(folder, "theirs.html")
        mine, plain = compared(lambda: _packed(ours, agents), lambda: _straightforward(theirs, agents), TURNS)
        sizes = f"{ours.stat().st_size / 1e6:.2f} MB / {theirs.stat().st_size / 1e6:.2f} MB"
        yield Ratio(
            name="Scatter3d with a word a colour / page of 200 000 points",
            measured=plain / mine,
            bound=8,
            at_least=True,
            details=f"{plain:.2f} s / {mine:.2f} s",
        )
        yield Ratio(name="seconds for that page", measured=mine, bound=SLOWEST)
        yield Ratio(name="its bytes / 5 MB", measured=ours.stat().st_size / LARGEST, bound=1.0, details=sizes)


def _agent(number: int) -> AgentCloud:
    """A grained room around an agent, coloured as a noisy image: it packs as badly as a real one."""
    random = np.random.default_rng(number)
    cylinder = Cylinder(448, 112)
    rays = cylinder.rays().reshape(-1, 3)[:POINTS]
    rays = np.concatenate([rays, rays])[:POINTS]
    room = np.minimum(18 / np.abs(rays[:, 0]).clip(0.01), 1.9 / np.abs(rays[:, 1]).clip(0.02)).clip(2, 80)
    ranges = room * random.normal(1, 0.02, POINTS)
    colours = 128 + 60 * rays + random.normal(0, 12, (POINTS, 3))
    cloud = Cloud(
        points=rays * ranges[:, None],
        colours=colours.clip(0, 255).astype(np.uint8),
        masks=random.integers(0, 4, POINTS).astype(np.uint8),
    )
    pose = np.eye(4)
    pose[2, 3] = 15.0 * number
    return AgentCloud(name=str(number), poses={PREDICTION: pose}, clouds={PREDICTION: cloud})


def _packed(path: Path, agents: list[AgentCloud]) -> None:
    plotly_tags.cache_clear()
    write_page(path, Scene(title="benchmark", agents=agents))


def _straightforward(path: Path, agents: list[AgentCloud]) -> None:
    """What one writes first: all points as numbers, each colour as a word."""
    go = importlib.import_module("plotly.graph_objects")
    figure = go.Figure()
    for agent in agents:
        cloud = agent.clouds[PREDICTION]
        assert cloud.colours is not None
        x, y, z = (cloud.points + agent.poses[PREDICTION][:3, 3]).T
        words = [f"rgb({red},{green},{blue})" for red, green, blue in cloud.colours]
        figure.add_trace(
            go.Scatter3d(
                x=x, y=z, z=-y, mode="markers", name=agent.name, marker={"size": 1.5, "color": words}
            )
        )
    figure.write_html(path, include_plotlyjs=True)
