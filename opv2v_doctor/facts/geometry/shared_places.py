"""Shared places: what two images of a split show of the same point in the world, by files alone.

No loader is asked: each point of a depth file is looked up in every other image of its scenario at two
moments whose own depth file confirms it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.disk.frames import Disk, Frame, disk, frame_file
from opv2v_doctor.facts.geometry.depth_maps import depth_of, picture_at
from opv2v_doctor.facts.geometry.meanings import Meaning
from opv2v_doctor.facts.geometry.sensors import meaning
from opv2v_doctor.facts.samples.rigs import rig
from opv2v_doctor.geometry.cameras import Array, Pinhole
from opv2v_doctor.geometry.poses import invert, pose_matrix, to_opencv, transform
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text
from opv2v_doctor.threshold import Threshold

MOST_PIXELS = 60_000_000  # of images that are decoded: 125 of OPV2V's, in two seconds
WIDTH = 200  # pixels to which images are reduced: a point need not lie on the very pixel
STEP = 6  # pixels between the points of an image
NEAREST, FARTHEST = 3.0, 60.0  # metres
CONFIRMED = 0.03  # of the distance
FEWEST = 25  # points that two images share
SURE = 0.7  # of the points in sight are confirmed: else it is not known that both show one place
DARK = 10.0  # of 255: below, brightness says nothing
COLOURED = 0.02  # of the brightness: what has less is grey, and in any order of channels the same
MOST = 0.6  # of the images that share places with one that is to blame contradict it
EXCHANGED = Threshold(
    -0.3,
    "of likeness",
    "red less blue in twelve real images: no two are below 0.07",
    healthy=0.07,
    faulty=-0.9,
)
INVERTED = Threshold(
    -0.4,
    "of likeness",
    "brightness in twelve real images: no two are below -0.09",
    healthy=-0.09,
    faulty=-0.9,
)
GREY = Threshold(0.15, "of the others' colour", "haze and shadow leave a third", healthy=0.34, faulty=0.0)
BRIGHTER = Threshold(
    0.5,
    "of a logarithm",
    "and twice what nine of ten others differ: each camera exposes for itself",
    faulty=0.69,
)
UNLIKE = Threshold(
    0.1, "of a logarithm", "and twice what nine of ten others differ: edges", healthy=0.079, faulty=0.16
)
TURNED_BACK = 0.5  # of likeness
TURNED: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "turned by 180 degrees": lambda image: image[::-1, ::-1],
}


class Shot(NamedTuple):
    """One image with its camera, both reduced."""

    frame: Frame
    camera: str
    picture: NDArray[np.float32]  # (h, w, 3), blue first
    depth: NDArray[Any]  # (H, W) metres along z; of the file's size
    pinhole: Pinhole
    pose: Array  # (4, 4) to the world, OpenCV axes


class Likeness(NamedTuple):
    """How one image shows what another one shows, at the points (N, 2) that both see, row first."""

    one: int
    other: int
    places: NDArray[np.intp]
    others: NDArray[np.intp]
    brightness: float  # correlation
    colour: float  # of red less blue, around grey
    coloured: float  # how much of it the one has, for 1 of the other; NaN where that has none
    gain: float  # logarithm of how much brighter the one is; NaN where depth files contradict each other
    rough: float  # mean of its differences from that, each 1 at most


@dataclass(frozen=True, kw_only=True)
class Odd:
    """Images of one agent that contradict the others: all, those of one camera, or one."""

    frames: tuple[Frame, ...]
    cameras: tuple[str, ...]
    paths: tuple[Path, ...]
    why: Text


@dataclass(frozen=True, kw_only=True)
class SharedPlaces:
    """How many images and pairs were compared, and what is odd among them."""

    images: int
    pairs: int
    all: tuple[Odd, ...]


@fact
def shared_places(target: Target, split: str) -> SharedPlaces:
    """What the images of two moments of each scenario show twice, of as many as there is room for."""
    where, images, pairs, room = disk(target, split), 0, 0, MOST_PIXELS
    odd: list[Odd] = []
    files = meaning(target, split)
    for frames in _scenarios(where):
        shots = [*chain.from_iterable(_shots(where, frame, files) for frame in frames)]
        found = [*_likenesses(shots)]
        odd += odd_ones(shots, found)
        images, pairs = images + len(shots), pairs + len(found)
        room -= sum(shot.depth.size for shot in shots)
        if room < 0:
            break
    return SharedPlaces(images=images, pairs=pairs, all=tuple(odd))


def _scenarios(where: Disk) -> Iterator[list[Frame]]:
    """The frames of two moments of each scenario that follow each other."""
    found: dict[str, list[tuple[Frame, ...]]] = {}
    for scene in where.scenes:
        found.setdefault(scene[0].agent.scenario, []).append(scene)
    for scenes in found.values():
        first = max(0, len(scenes) // 2 - 1)
        yield [*chain.from_iterable(scenes[first : first + 2])]


def _shots(where: Disk, frame: Frame, files: Meaning) -> Iterator[Shot]:
    """The images of a frame that have a depth file; none of one that cannot be read: another finding."""
    import cv2

    with contextlib.suppress(Blocked):
        try:
            own = to_opencv(pose_matrix(frame_file(frame)["lidar_pose"]))
        except (KeyError, TypeError, ValueError):  # it says no pose: another finding, too
            return
        for name, camera in rig(where, frame).items():
            picture, depth = picture_at(frame.image(name)), depth_of(frame, name)
            if depth is None or depth.shape != picture.shape[:2]:
                continue
            size = (
                min(WIDTH, picture.shape[1]),
                max(1, picture.shape[0] * min(WIDTH, picture.shape[1]) // picture.shape[1]),
            )
            small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
            metres = depth / files.scale
            if files.depth == "range":
                metres = metres / camera.pinhole.range_per_depth()
            yield Shot(frame, name, small, metres, camera.pinhole, own @ camera.camera_to_lidar)


def _likenesses(shots: Sequence[Shot]) -> Iterator[Likeness]:
    for one, shot in enumerate(shots):
        pixels, points = _points(shot)
        for other, seen in enumerate(shots):
            if one != other and len(points):
                yield from _likeness(shots, one, other, pixels, transform(invert(seen.pose), points))


def _points(shot: Shot) -> tuple[Array, Array]:
    """Pixels (N, 2) of a grid, and the points (N, 3) of the world that lie there."""
    step = STEP * shot.pinhole.width // shot.picture.shape[1]
    rows, columns = (
        each.ravel()
        for each in np.mgrid[step // 2 : shot.depth.shape[0] : step, step // 2 : shot.depth.shape[1] : step]
    )
    depth = shot.depth[rows, columns]
    with np.errstate(invalid="ignore"):
        usable = (depth > NEAREST) & (depth < FARTHEST)
    pixels = np.stack([columns[usable], rows[usable]], -1) + 0.5
    return pixels, transform(shot.pose, shot.pinhole.back_project(pixels, depth[usable]))


def _likeness(
    shots: Sequence[Shot], one: int, other: int, pixels: Array, points: Array
) -> Iterator[Likeness]:
    """That of two images, where they show enough of the same; points (N, 3) are in the other's camera."""
    seen = shots[other]
    there, distance = seen.pinhole.project(points)
    usable = seen.pinhole.inside(there, 1.0) & (distance > NEAREST)
    if usable.sum() < FEWEST:
        return
    columns, rows = there[usable].astype(int).T
    ratio = seen.depth[rows, columns] / distance[usable]
    shown = np.abs(ratio - 1) < CONFIRMED
    with np.errstate(invalid="ignore"):
        through = ratio > 1 + CONFIRMED
    places = _small(shots[one], pixels[usable][shown])
    others = _small(seen, there[usable][shown])
    if shown.sum() < SURE * (shown | through).sum() and (shown | through).sum() >= FEWEST:
        yield Likeness(one, other, places, others, *[np.nan] * 5)
    elif shown.sum() >= FEWEST:
        alike = _alike(at(shots[one].picture, places), at(seen.picture, others))
        yield Likeness(one, other, places, others, *alike)


def _small(shot: Shot, pixels: Array) -> NDArray[np.intp]:
    """Row and column (N, 2) of the reduced picture."""
    height, width = shot.picture.shape[:2]
    return np.asarray(
        (pixels * [width / shot.pinhole.width, height / shot.pinhole.height]).astype(int)[:, ::-1]
    )


def at(picture: NDArray[Any], places: NDArray[np.intp]) -> NDArray[np.float32]:
    """The colours (N, 3) at places (N, 2), row first."""
    return np.asarray(picture[places[:, 0], places[:, 1]])


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[float, float, float, float, float]:
    """The numbers of a likeness, from brightness to rough, of colours (N, 3), blue first."""
    bright = one.mean(-1), other.mean(-1)
    reds = [(each[:, 2] - each[:, 0]) / (each.sum(-1) + 30) for each in (one, other)]
    sizes = [float(np.sqrt(np.square(red).mean())) for red in reds]
    told = sizes[1] > COLOURED
    both = told and sizes[0] > COLOURED
    colour = float((reds[0] * reds[1]).mean()) / (sizes[0] * sizes[1]) if both else np.nan
    ratios = np.log((bright[0] + DARK) / (bright[1] + DARK))
    gain = float(np.median(ratios))
    rough = float(np.minimum(np.abs(ratios - gain), 1).mean())
    return correlation(*bright), colour, sizes[0] / sizes[1] if told else np.nan, gain, rough


def correlation(one: Array, other: Array) -> float:
    """Of two series (N,); NaN where one does not vary."""
    deviations = float(one.std()), float(other.std())
    if min(deviations) < 1.0:
        return np.nan
    return float(((one - one.mean()) * (other - other.mean())).mean()) / (deviations[0] * deviations[1])


def odd_ones(shots: Sequence[Shot], found: Sequence[Likeness]) -> Iterator[Odd]:
    """What contradicts the others: agents first, then cameras of an agent, then single images."""
    left = list(found)
    for level in (1, 2, 3):
        keys = [(shot.frame.agent.name, shot.camera, shot.frame.name)[:level] for shot in shots]
        while worst := _worst(shots, keys, left):
            key, why = worst
            mine = [number for number, each in enumerate(keys) if each == key]
            left = [each for each in left if each.one not in mine and each.other not in mine]
            yield Odd(
                frames=tuple(dict.fromkeys(shots[number].frame for number in mine)),
                cameras=tuple(dict.fromkeys(shots[number].camera for number in mine)),
                paths=tuple(shots[number].frame.image(shots[number].camera) for number in mine),
                why=why,
            )


def _worst(
    shots: Sequence[Shot], keys: Sequence[tuple[str, ...]], found: Sequence[Likeness]
) -> tuple[tuple[str, ...], Text] | None:
    """The group of images that contradicts most of the others that it shares places with, and how."""
    foreign: dict[tuple[str, ...], list[Likeness]] = {}
    for each in found:
        if keys[each.one] != keys[each.other]:
            foreign.setdefault(keys[each.one], []).append(each)
    best: tuple[float, tuple[str, ...], Text] | None = None
    for key, mine in foreign.items():
        rest = [
            each
            for other, some in foreign.items()
            if other != key
            for each in some
            if keys[each.other] != key
        ]
        sure = [each for each in mine if not np.isnan(each.gain)]
        if 2 * len(sure) > len(mine) and len({keys[each.other] for each in sure}) > 1 and rest:
            share, why = _contradiction(shots, sure, rest)
            if share > (best[0] if best else MOST):
                best = share, key, why
    return best[1:] if best else None


def _contradiction(
    shots: Sequence[Shot], mine: Sequence[Likeness], rest: Sequence[Likeness]
) -> tuple[float, Text]:
    """The share of likenesses that contradict, in the way in which most do."""

    def column(name: str, of: Sequence[Likeness]) -> Array:
        return np.array([getattr(each, name) for each in of], dtype=np.float64)

    points, rough = np.array([len(each.places) for each in mine]), column("rough", mine)

    def share(name: str, judge: Callable[[Array], NDArray[np.bool_]]) -> float:
        values = column(name, mine)
        known = np.isfinite(values)
        if name in ("colour", "coloured"):  # noise has colours of its own
            known &= rough <= unlike
        weights = points[known]
        return float(weights[judge(values[known])].sum() / weights.sum()) if known.sum() > 1 else 0.0

    def usual(values: Array) -> float:
        return float(np.quantile(values[np.isfinite(values)], 0.9)) if np.isfinite(values).any() else 0.0

    brighter = max(BRIGHTER, 2 * usual(np.abs(column("gain", rest))))
    unlike = max(UNLIKE, 2 * usual(column("rough", rest)))
    gain = float(np.median(column("gain", mine)))
    for name, judge, why in (
        ("brightness", lambda value: value < INVERTED, Text("are inverted: what is bright is dark")),
        (
            "gain",
            lambda value: np.abs(value) > brighter,
            Text("are {times:.2f} times as bright as the others", times=float(np.exp(gain))),
        ),
        ("rough", lambda value: value > unlike, None),
        ("colour", lambda value: value < EXCHANGED, Text("have red and blue exchanged")),
        ("coloured", lambda value: value < GREY, Text("are grey, where the others have colours")),
    ):
        if (found := share(name, judge)) > MOST:
            return found, why or _content(shots, mine)
    return 0.0, Text("")


def _content(shots: Sequence[Shot], mine: Sequence[Likeness]) -> Text:
    """Why images are unlike the others: turned over, or another picture."""
    for name, turn in TURNED.items():
        likeness = [
            correlation(
                at(turn(shots[each.one].picture), each.places).mean(-1),
                at(shots[each.other].picture, each.others).mean(-1),
            )
            for each in mine
        ]
        if np.nanmedian(likeness) > TURNED_BACK:
            return Text("are {turned}", turned=Text(name))
    likeness = [each.brightness for each in mine]
    return Text(
        "do not show what is there: noise, or another picture ({likeness:.2f} alike)",
        likeness=float(np.nanmedian(likeness)),
    )
