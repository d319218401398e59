"""The page of a point cloud: agents and their points by source of depth and pose, in one file for offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor import pages
from opv2v_doctor.atomic import whole
from opv2v_doctor.figures.packing import Grid, differences, on_grid, pack
from opv2v_doctor.figures.plotly_page import plotly_tags
from opv2v_doctor.reporters import Say
from opv2v_doctor.text import Text

PREDICTION, TRUTH, INPUT, LIDAR = "prediction", "truth", "input", "lidar"
IN_PREDICTED_MASK, IN_TRUE_MASK, HAS_TRUTH = 1, 2, 4  # bits of `Cloud.masks`
MOST_POINTS = 200_000  # of all clouds of a page
ERROR_STEP, ERROR_CODES = 0.02, 14.23  # metres, and codes: the last one is 150 m, as in the page's script
SCRIPTS = ("figures/point_cloud.js",)
SHARES = (0.55, 0.25, 0.2)  # of the points: those of the source that is shown first, and of the others
Array = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cloud:
    """Points of one agent by one source of depth, in its own frame: x right, y down, z ahead, metres."""

    points: Array  # (N, 3)
    colours: NDArray[np.uint8] | None = None  # (N, 3), red, green, blue
    masks: NDArray[np.uint8] | None = None  # (N,), bits; None where no mask concerns it
    pixels: NDArray[np.integer] | None = None  # (N,), row * width + column, rising
    errors: Array | None = None  # (N,), metres by which the depth is too large; NaN where nobody knows

    def only(self, kept: NDArray[np.bool_]) -> Cloud:
        """Some of the points."""
        arrays: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(self, **{name: array[kept] for name, array in arrays.items() if array is not None})


@dataclass(frozen=True, kw_only=True, eq=False)
class SeenImage:
    """What an agent's camera saw, small: colours on the rays that they came along."""

    rays: Array  # (rows, columns, 3), unit vectors in the agent's own frame
    colours: NDArray[np.uint8]  # (rows, columns, 3)
    is_round: bool  # a panorama; else one camera, with a frustum


@dataclass(frozen=True, kw_only=True, eq=False)
class AgentCloud:
    """One agent: where each source says that it is, and what each source says that it sees."""

    name: str
    poses: Mapping[str, NDArray[np.floating]]  # source -> (4, 4), to the first agent's frame
    clouds: Mapping[str, Cloud]  # source -> points
    width: int = 1  # pixels of a row of its image
    seen: SeenImage | None = None


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
    answer: Sequence[Text] = ()  # what is wrong and what to fix first, the shortest first
    notes: Sequence[str | Text] = ()
    columns: Sequence[str | Text] = ()
    rows: Sequence[Sequence[str | Text]] = ()
    scale: float | None = None  # that would put the predicted lengths right; the page offers it


def page(scene: Scene, opening: InitialChoice | None = None, say: Say = str, language: str = "en") -> str:
    """The page as HTML."""
    from markupsafe import Markup

    told, parts, step = _packed_agents(scene.agents)
    exact = Text("Positions in this page are exact to {step:.2g} mm.", step=1000 * step / 2)
    first, *more = [say(line) for line in scene.answer] or [scene.title]
    return pages.render(
        "figures/point_cloud.html",
        styles=("figures/point_cloud.css",),
        scripts=SCRIPTS,
        policy=pages.DRAWING,
        say=say,
        language=language,
        title=first,
        answer=more,
        head=[(say("sample"), scene.title)] if scene.answer else (),
        notes=[say(note) for note in (*scene.notes, exact)],
        columns=[say(column) for column in scene.columns],
        rows=[[say(cell) for cell in row] for row in scene.rows],
        scene={
            "agents": told,
            "opening": asdict(opening or InitialChoice()),
            "scale": scene.scale,
            "worst": _worst(scene.agents),
            "words": pages.words(SCRIPTS, say),
        },
        points=pack(parts),
        plotly=Markup(plotly_tags()),
    )


def write_page(
    path: Path, scene: Scene, opening: InitialChoice | None = None, say: Say = str, language: str = "en"
) -> None:
    """Write the page as a whole or not at all."""
    with whole(path) as partial:
        partial.write_text(page(scene, opening, say, language), encoding="utf-8", errors="backslashreplace")


def _worst(agents: Sequence[AgentCloud]) -> float:
    """The error, in metres, that is fully coloured: of nine in ten points it is smaller."""
    known = [cloud.errors for agent in agents for cloud in agent.clouds.values() if cloud.errors is not None]
    errors = np.abs(np.concatenate(known)) if known else np.zeros(0)
    finite = errors[np.isfinite(errors)]
    return float(f"{max(0.1, np.quantile(finite, 0.9)):.2g}") if len(finite) else 1.0


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
        replace(
            agent,
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
        seen = _seen(agent.seen) if agent.seen else None
        told.append(
            {"name": agent.name, "poses": poses, "clouds": clouds, "width": agent.width, "seen": seen}
        )
    return told, parts, max(steps)


def _description(cloud: Cloud, grid: Grid) -> dict[str, Any]:
    return {
        "count": len(cloud.points),
        "corner": grid.corner,
        "step": grid.step,
        "coloured": cloud.colours is not None,
        "masked": cloud.masks is not None,
        "located": cloud.pixels is not None,
        "judged": cloud.errors is not None,
    }


def _seen(seen: SeenImage) -> dict[str, Any]:
    rows, columns = seen.colours.shape[:2]
    return {
        "rows": rows,
        "columns": columns,
        "rays": np.rint(1000 * np.nan_to_num(seen.rays)).astype(int).ravel().tolist(),
        "colours": [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in seen.colours.reshape(-1, 3)],
        "round": seen.is_round,
    }


def _bytes(cloud: Cloud, grid: Grid) -> list[bytes]:
    """Positions, then colours, masks, pixels and errors where there are some, column by column."""
    columns = [] if cloud.colours is None else [np.ascontiguousarray(cloud.colours.T, np.uint8)]
    columns += [] if cloud.masks is None else [np.asarray(cloud.masks, np.uint8)]
    if cloud.pixels is not None:
        pixels = np.asarray(cloud.pixels, np.int64)
        steps = pixels - np.append(0, pixels[:-1])
        columns += [((steps >> shift) & 255).astype(np.uint8) for shift in (0, 8, 16)]
    columns += [] if cloud.errors is None else [error_codes(cloud.errors)]
    return [differences(grid.numbers), *(column.tobytes() for column in columns)]


def error_codes(errors: Array) -> NDArray[np.uint8]:
    """Errors (N,) in metres as bytes: 0 is not known, 128 none; farther from it they grow by 7 % a step."""
    codes = np.rint(ERROR_CODES * np.log1p(np.abs(np.nan_to_num(errors)) / ERROR_STEP))
    signed = 128 + np.sign(np.nan_to_num(errors)) * np.minimum(codes, 127)
    return np.where(np.isfinite(errors), signed, 0).astype(np.uint8)
