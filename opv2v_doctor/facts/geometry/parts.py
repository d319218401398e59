"""Parts: what views say where their own depth files say something: by agent, camera, distance, direction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.disk.frames import Disk
from opv2v_doctor.facts.geometry.depth_maps import depth_maps, without_depth
from opv2v_doctor.facts.geometry.meanings import Meaning
from opv2v_doctor.facts.geometry.sensors import meaning, suspects
from opv2v_doctor.facts.samples.moments import PinholeView, TracedView, moments
from opv2v_doctor.geometry.agreement import NEAREST
from opv2v_doctor.geometry.cameras import Array, Cylinder, Pinhole
from opv2v_doctor.geometry.lookups import depth_at
from opv2v_doctor.geometry.poses import transform
from opv2v_doctor.geometry.probing import camera_of_size
from opv2v_doctor.geometry.ranges import known_depth
from opv2v_doctor.geometry.rigs import MountedCamera
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text

SAMPLED = 700  # pixels of a depth file
LEAST = 60  # pixels, to say anything of a part
COLUMNS, ROWS = 24, 16  # parts of a view
DISTANCES = (NEAREST, 6.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 80.0, 100.0, np.inf)
FAR = 60.0  # metres: what is beyond is little of an image, and more of it is looked at
SKY = 500.0  # metres: what is farther than any street, which loaders may leave out


@dataclass(frozen=True, kw_only=True)
class PartError:
    """How the views of a split differ from their own depth files in one part of them."""

    kind: str  # agent, scenario, camera, distance, column or row
    name: Text
    pixels: int  # of depth files that the view should show
    lost: float  # the share that has no depth in the view
    median: float  # of the absolute logarithm of view over file
    ratio: float  # median of view over file
    rest: float  # the median of all other parts of its kind
    view: TracedView  # one that it is of
    lost_elsewhere: float  # the median of lost of all other parts of its kind
    far: float = np.inf  # where a distance ends, metres


@fact
def parts(target: Target, split: str) -> tuple[PartError, ...]:
    """Of all handed-over views whose files are sound. Raises Skip where their frames have no depth files."""
    found = moments(target, split)
    wrong = {frame.yaml for each in suspects(target, split).all for frame in each.frames}
    views = [view for view in found.views if view.frame.yaml not in wrong]
    held = meaning(target, split)
    seen = [_Seen(view, *each) for view in views for each in _of_view(found.where, view, held)]
    if not seen:
        raise without_depth(found.where, split, found.views[0].frame)
    return tuple(_parts(seen))


class _Seen:
    """Pixels of one depth file in a view: what the view says there, what it should, and where."""

    def __init__(self, view: TracedView, camera: str, given: Array, expected: Array, places: Array) -> None:
        self.view, self.camera = view, camera
        self.given, self.expected, self.places = given, expected, places  # (N,), (N,), (N, 2) of the view

    @property
    def agent(self) -> str:
        return f"{self.view.frame.agent.scenario}/{self.view.frame.agent.name}"


def _of_view(where: Disk, view: TracedView, held: Meaning) -> Iterator[tuple[str, Array, Array, Array]]:
    """For each camera of a view: its name, and what the view gives and should give at pixels of its file."""
    rig = view.rig(where)
    for (name, mounted), depth in zip(rig.items(), depth_maps(view.frame, rig), strict=True):
        if depth is not None:
            points = _points(mounted, depth, held)
            if not isinstance(view, PinholeView):
                points = transform(mounted.camera_to_lidar, points)
            pixels, expected = view.camera.project(points)
            inside = view.camera.inside(pixels) & (expected > NEAREST)
            around = isinstance(view.camera, Cylinder)
            given = depth_at(view.depth, pixels[inside], around=around)
            places = pixels[inside] / [view.camera.width, view.camera.height]
            yield name, given, expected[inside], places


def _points(mounted: MountedCamera, depth: NDArray[Any], held: Meaning) -> Array:
    """Points (N, 3) around the camera of some pixels of its depth file."""
    height, width = depth.shape
    camera: Pinhole = camera_of_size(mounted, width, height).pinhole
    known = np.flatnonzero(known_depth(depth) & (depth < SKY * held.scale))
    far = known[depth.ravel()[known] > FAR * held.scale]
    chosen = np.concatenate([some[:: max(1, -(-some.size // SAMPLED))] for some in (known, far)])
    rows, columns = np.divmod(chosen, width)
    places = np.stack([columns + 0.5, rows + 0.5], -1)
    values = depth.ravel()[chosen].astype(np.float64) / held.scale
    if held.depth == "range":
        values = values / camera.range_per_depth().ravel()[chosen]
    return camera.back_project(places, values)


def _parts(seen: list[_Seen]) -> Iterator[PartError]:
    """Every part of every kind that has pixels enough."""
    errors = np.concatenate([np.log(each.given / each.expected) for each in seen])
    expected = np.concatenate([each.expected for each in seen])
    columns, rows = np.concatenate([each.places for each in seen]).T
    sizes = [each.given.size for each in seen]
    of = np.repeat(np.arange(len(seen)), sizes)
    agents = _labels([each.agent for each in seen])
    scenarios = _labels([each.view.frame.agent.scenario for each in seen])
    cameras = _labels([each.camera for each in seen])
    agents_cameras = _labels([f"{each.camera} of {each.agent}" for each in seen])
    frames = _labels([f"{each.agent}/{each.view.frame.name}" for each in seen])
    labels: dict[str, tuple[list[Text], NDArray[np.int64]]] = {
        "camera": (cameras[0], cameras[1][of]),
        "scenario": (scenarios[0], scenarios[1][of]),
        "agent": (agents[0], agents[1][of]),
        "frame": (frames[0], frames[1][of]),
        "camera of an agent": (agents_cameras[0], agents_cameras[1][of]),
        "distance": (
            [_between(low, high) for low, high in pairwise(DISTANCES)],
            np.digitize(expected, DISTANCES) - 1,
        ),
        "column": (_shares(COLUMNS, Text("of its width")), (columns * COLUMNS).astype(int)),
        "row": (_shares(ROWS, Text("of its height")), (rows * ROWS).astype(int)),
    }
    for kind, (names, label) in labels.items():
        medians = {}
        for number in range(len(names)):
            inside = label == number
            known = errors[inside & np.isfinite(errors)]
            if inside.sum() >= LEAST:
                medians[number] = (
                    float(np.median(np.abs(known))) if known.size >= LEAST else 0.0,
                    known,
                    inside,
                )
        for number, (median, known, inside) in medians.items():
            others = [other for each, (other, _, _) in medians.items() if each != number]
            gaps = [1 - own.size / part.sum() for each, (_, own, part) in medians.items() if each != number]
            yield PartError(
                kind=kind,
                name=names[number],
                pixels=int(inside.sum()),
                lost=float(1 - known.size / inside.sum()),
                median=median,
                ratio=float(np.exp(np.median(known))) if known.size else 0.0,
                rest=float(np.median(others)) if others else 0.0,
                view=seen[int(of[inside][0])].view,
                lost_elsewhere=float(np.median(gaps)) if gaps else 1.0,
                far=DISTANCES[number + 1] if kind == "distance" else np.inf,
            )


def _labels(names: list[str]) -> tuple[list[Text], NDArray[np.int64]]:
    """The different names, and which of them each is."""
    different = list(dict.fromkeys(names))
    return [Text("{name}", name=name) for name in different], np.array(
        [different.index(name) for name in names]
    )


def _between(low: float, high: float) -> Text:
    if high == np.inf:
        return Text("beyond {low:.0f} m", low=low)
    return Text("{low:.0f} to {high:.0f} m", low=low, high=high)


def _shares(count: int, what: Text) -> list[Text]:
    return [
        Text("{low:.0%} to {high:.0%} {what}", low=n / count, high=(n + 1) / count, what=what)
        for n in range(count)
    ]
