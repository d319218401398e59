"""Sensors: each agent's LiDAR against its own depth files, and what explains those that differ.

No loader is asked, and no sample drawn: what is wrong here is wrong in the files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.disk.frames import Disk, Frame, disk, frame_file
from opv2v_doctor.facts.disk.lidar_files import cloud
from opv2v_doctor.facts.disk.statements import are_matrix
from opv2v_doctor.facts.geometry.depth_maps import depth_maps, neighbours
from opv2v_doctor.facts.geometry.meanings import Meaning, meaning_of
from opv2v_doctor.facts.samples.rigs import rig
from opv2v_doctor.geometry.agreement import WITHIN, seen_points
from opv2v_doctor.geometry.cameras import Array
from opv2v_doctor.geometry.lookups import depth_at
from opv2v_doctor.geometry.poses import invert, to_opencv
from opv2v_doctor.geometry.ranges import known_depth
from opv2v_doctor.geometry.rigs import MountedCamera
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text
from opv2v_doctor.threshold import Threshold

FRAMES = 48  # of a split: all of a small one, else one of each agent and some more, spread over the split
POINTS = 4000  # of a frame
FEWEST = 60  # points of a camera, or of a frame, to say anything
THROUGH = Threshold(
    0.06,
    "of the points of a frame that its depth files see through",
    "three times as many as edges and noise of 3 % make",
    healthy=0.031,
    faulty=0.078,
)
THROUGH_CAMERA = Threshold(
    0.15, "of a camera's points", "one camera may see many edges", healthy=0.125, faulty=0.155
)
SHIFTED = Threshold(
    0.03,
    "of the depth, more than most frames",
    "noise of depth files moves no median",
    healthy=0.0,
    faulty=0.041,
)
NOISY = Threshold(
    0.02,
    "of the depth, from pixel to pixel",
    "surfaces are smooth: noise of 3 % makes steps of 2.9 %",
    healthy=0.003,
    faulty=0.029,
)
REGAINED = Threshold(0.5, "of the agreement that other frames have more", "an explanation gives back so much")
COARSE = 6.0  # degrees
COARSEST = 10.0  # numbers a metre: finer ones, as millimetres, may be whole
EXPLAINED = 6  # agents: where more are off, they are for one reason
NOISIEST = 3  # bounds that most frames may be over: beyond that it is no noise
GROUNDS = 8  # frames that tell where the ground is
LOWEST = 0.9  # of the heights, from above: most of what is below a LiDAR is road
FEW_BEYOND = 10  # points beyond the end of the depth


@dataclass(frozen=True, kw_only=True, eq=False)
class Sensor:
    """The LiDAR points of one frame that one camera sees, and what its depth file says there."""

    frame: Frame
    camera: str
    as_z: Array  # (N,) logarithm of the file over distance to the image plane
    as_range: Array  # and over the range along the ray
    depths: Array  # (N,) metres to the image plane
    places: Array  # (N, 2) in the image, of its width and height
    largest: float  # number of the depth file

    @property
    def path(self) -> Path:
        return self.frame.depth(self.camera)


@dataclass(frozen=True, kw_only=True)
class Score:
    """How points and a depth file agree."""

    points: int
    through: float  # the share of those not hidden that the file sees through
    agreeing: float  # the share of all that agree
    median: float  # of the absolute logarithm

    @property
    def says_anything(self) -> bool:
        return self.points >= FEWEST


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """Files of one frame that contradict each other, unlike those of the others, and what explains it."""

    frame: Frame
    cameras: tuple[str, ...]
    before: Score
    after: Score | None  # as the explanation has it
    why: Text | None
    at: Path
    key: tuple[str, ...] = ()  # of a frame file
    frames: tuple[Frame, ...] = ()  # of the same agent, in which it is alike

    @property
    def alike(self) -> object:
        """What it has in common with others that are wrong for one reason: of several agents, or cameras."""
        if self.why is None:
            return self.frame.agent.folder
        inner = self.why.values.get("why")
        return self.at.suffix, self.why.template, inner.template if isinstance(inner, Text) else None


@dataclass(frozen=True, kw_only=True)
class Suspects:
    """All of a split that were found among so many frames and cameras."""

    frames: int
    cameras: int
    points: int
    through: float  # the median of the frames
    all: tuple[Suspect, ...]


def examined_frames(where: Disk) -> tuple[Frame, ...]:
    """All frames of a small split, else one of each agent before any second one, spread over the split."""
    turn: dict[Path, int] = {}
    order = []
    for frame in sorted(where.frames, key=_spread):
        place = turn[frame.agent.folder] = turn.get(frame.agent.folder, -1) + 1
        order.append((place, frame))
    order.sort(key=lambda entry: entry[0])
    return tuple(frame for _, frame in order[:FRAMES])


def _spread(frame: Frame) -> int:
    return crc32(f"{frame.agent.scenario}/{frame.agent.name}/{frame.name}".encode())


@fact
def sensors(target: Target, split: str) -> tuple[Sensor, ...]:
    """Those of some frames of a split, of every agent that there is room for; none without LiDAR or depth."""
    where = disk(target, split)
    return tuple(chain.from_iterable(_of_frame(where, frame) for frame in examined_frames(where)))


def _of_frame(where: Disk, frame: Frame) -> Iterator[Sensor]:
    try:
        points, cameras = _points(frame), rig(where, frame)
        maps = depth_maps(frame, cameras)
    except Blocked:  # a file that cannot be read is another finding
        return
    for (name, camera), depth in zip(cameras.items(), maps, strict=True):
        if points is not None and depth is not None:
            pixels, z, ranges = _seen(camera, points)
            value = depth_at(depth, pixels)
            known = np.isfinite(value)
            yield Sensor(
                frame=frame,
                camera=name,
                as_z=np.log(value[known] / z[known]),
                as_range=np.log(value[known] / ranges[known]),
                depths=z[known],
                places=pixels[known] / [camera.pinhole.width, camera.pinhole.height],
                largest=float(depth[known_depth(depth)].max(initial=0)),
            )


def _points(frame: Frame) -> Array | None:
    points = cloud(frame)
    return None if points is None else points[:: max(1, len(points) // POINTS)]


def _seen(camera: MountedCamera, points: Array) -> tuple[Array, Array, Array]:
    """Pixels (N, 2), z-depth and range (N,) of the points that a camera sees and no nearer one hides."""
    pixels, z, usable = seen_points(camera.pinhole, points, camera.camera_to_lidar)
    moved = np.linalg.norm(points[usable] - camera.camera_to_lidar[:3, 3], axis=-1)
    return pixels[usable], z[usable], moved


def score(errors: Array) -> Score:
    """What logarithms (N,) of file over LiDAR say; NaN where the file says nothing."""
    known = errors[np.isfinite(errors)]
    through, agreeing = int((known > WITHIN).sum()), int((np.abs(known) <= WITHIN).sum())
    return Score(
        points=known.size,
        through=through / max(1, through + agreeing),
        agreeing=agreeing / max(1, known.size),
        median=float(np.median(np.abs(known))) if known.size else 0.0,
    )


@dataclass(frozen=True, kw_only=True)
class Files:
    """What the numbers of depth files are taken for."""

    depth: str  # z or range
    scale: float

    def errors(self, sensor: Sensor) -> Array:
        return np.asarray((sensor.as_z if self.depth == "z" else sensor.as_range) - np.log(self.scale))

    def all_errors(self, found: Iterable[Sensor]) -> Array:
        return np.concatenate([self.errors(sensor) for sensor in found])

    def of(self, camera: MountedCamera, depth: NDArray[Any], points: Array) -> Array:
        """The same of points (N, 3) that may be others, of a camera that may be elsewhere."""
        pixels, z, ranges = _seen(camera, points)
        expected = (z if self.depth == "z" else ranges) * self.scale
        return np.asarray(np.log(depth_at(depth, pixels) / expected))


@fact
def meaning(target: Target, split: str) -> Meaning:
    """What the depth files of a split hold: z or range along the ray, and in which unit."""
    found = sensors(target, split)
    empty = np.empty(0)
    z, ranges = ([each.as_z for each in found], [each.as_range for each in found])
    return meaning_of(np.concatenate([empty, *z]), np.concatenate([empty, *ranges]))


def suspects_of(where: Disk, found: Sequence[Sensor], files: Files) -> Suspects:
    """The frames and cameras that contradict themselves more than the others of the split do.

    Of each agent one frame is explained: the others are counted with it.
    """
    frames: dict[Frame, dict[str, Sensor]] = {}
    for sensor in found:
        frames.setdefault(sensor.frame, {})[sensor.camera] = sensor
    whole = {frame: score(files.all_errors(each.values())) for frame, each in frames.items()}
    told = [each for each in whole.values() if each.says_anything]
    usual = _median(told)
    wrong: dict[Path, list[tuple[Frame, tuple[str, ...]]]] = {}
    for frame, each in frames.items():
        bad = tuple(name for name, sensor in each.items() if _is_bad(score(files.errors(sensor)), usual))
        if bad or (whole[frame].says_anything and is_off(whole[frame], usual, THROUGH)):
            wrong.setdefault(frame.agent.folder, []).append((frame, bad or tuple(each)))
    rig_of_most = _usual_rig(where, [*frames]) if wrong else {}
    right = [frame for frame in frames if frame.agent.folder not in wrong][:GROUNDS] if wrong else []
    ground = float(np.median([ground_of(_points(frame)) for frame in right])) if right else 0.0
    explained = [
        replace(suspect, frames=tuple(frame for frame, _ in sorted(each, key=lambda one: one[0].name)))
        for each in list(wrong.values())[:EXPLAINED]
        for suspect in _explained(
            _Scene(where, each[0][0], files, rig_of_most, ground), each[0][1], usual, frames[each[0][0]]
        )
    ]
    return Suspects(
        frames=len(told),
        cameras=len(found),
        points=sum(sensor.depths.size for sensor in found),
        through=usual.through,
        all=(*explained, *_ceilings(found, files, wrong)),
    )


def _is_bad(own: Score, usual: Score) -> bool:
    return own.says_anything and is_off(own, usual, THROUGH_CAMERA)


def ground_of(points: Array | None) -> float:
    """How far below the LiDAR the ground is, in metres: what all but a few of the points (N, 3) are above."""
    return float(np.quantile(points[:, 1], LOWEST)) if points is not None and len(points) else 0.0


def _usual_rig(where: Disk, frames: Sequence[Frame]) -> dict[str, Array]:
    """Where most frames have each camera (4, 4), by name."""
    seen: dict[str, Counter[bytes]] = {}
    for frame in frames:
        for name, camera in rig(where, frame).items():
            seen.setdefault(name, Counter())[(camera.camera_to_lidar.round(2) + 0.0).tobytes()] += 1
    common = {name: counts.most_common(1)[0] for name, counts in seen.items()}
    return {
        name: np.frombuffer(key).reshape(4, 4)
        for name, (key, count) in common.items()
        if 2 * count > len(frames)
    }


def _ceilings(found: Sequence[Sensor], files: Files, explained: Collection[Path]) -> Iterator[Suspect]:
    """Agents, and cameras of the others, whose depth ends, or begins anew, where their LiDAR sees farther."""
    told: set[Path] = set()
    for of_camera in (False, True):
        groups: dict[tuple[Path, str], list[Sensor]] = {}
        for sensor in found:
            name = sensor.camera if of_camera else ""
            groups.setdefault((sensor.frame.agent.folder, name), []).append(sensor)
        for (agent, camera), each in groups.items():
            why = None if agent in told or (camera and agent in explained) else _ceiling(each, files)
            if why:
                told.add(agent)
                first = max(each, key=lambda sensor: sensor.largest)
                yield Suspect(
                    frame=first.frame,
                    cameras=(first.camera,),
                    before=score(files.all_errors(each)),
                    after=None,
                    why=Text("the depth files are at fault: {why}", why=why),
                    at=first.path,
                    frames=tuple(sorted({sensor.frame for sensor in each}, key=lambda frame: frame.name)),
                )


def _ceiling(sensors: Sequence[Sensor], files: Files) -> Text | None:
    """Where depth ends or begins anew before what the LiDAR sees; None where it does not."""
    largest = max(sensor.largest for sensor in sensors) / files.scale
    expected = np.concatenate([sensor.depths for sensor in sensors])
    values = expected * np.exp(files.all_errors(sensors))
    beyond = (expected > largest * (1 + WITHIN)) & np.isfinite(values)
    if largest <= 0 or beyond.sum() < FEW_BEYOND:
        return None
    expected, values = expected[beyond], values[beyond]
    if (np.abs(np.log(largest / values)) < WITHIN / 2).mean() > 0.5:
        return Text("depth ends at {largest:.1f} m, where the LiDAR sees farther", largest=largest)
    missing = expected - values
    times = np.maximum(1, np.round(missing / largest))
    wrap = float(np.median(missing / times))
    if wrap > largest * (1 - WITHIN) and (np.abs(missing / times - wrap) < WITHIN / 2 * wrap).mean() > 0.5:
        return Text("depth begins anew beyond {wrap:.1f} m", wrap=wrap)
    return None


def _median(scores: Sequence[Score]) -> Score:
    """What most frames are like."""
    if not scores:
        return Score(points=0, through=0.0, agreeing=1.0, median=0.0)
    middle = {
        name: float(np.median([getattr(each, name) for each in scores]))
        for name in ("through", "agreeing", "median")
    }
    return Score(points=sum(each.points for each in scores), **middle)


def is_off(own: Score, usual: Score, bound: float) -> bool:
    """Whether points and depth agree less than those of most frames do, whose noise is allowed for."""
    noise = min(usual.through, NOISIEST * bound)
    chance = 2 * np.sqrt(noise * (1 - noise) / max(1, own.points)) if noise > bound else 0.0
    return own.through > bound + noise + chance or own.median > SHIFTED + min(usual.median, SHIFTED)


Remade = tuple[MountedCamera, NDArray[Any], Array, Files]
Guess = tuple[Text, Path, tuple[str, ...], Callable[[str], Remade]]


def _explained(
    scene: _Scene, wrong: tuple[str, ...], usual: Score, found: Mapping[str, Sensor]
) -> Iterator[Suspect]:
    """The suspects of one frame: its point cloud or frame file for all cameras, else each depth file."""
    every = tuple(name for name, map_ in scene.maps.items() if map_ is not None)
    if not _others_agree(found, wrong, scene.files, usual):
        tried = _best(scene, every, scene.of_all(search=len(wrong) > 1 or len(every) == 1), usual)
        if tried:
            yield tried
            return
    for name in wrong:
        best = _best(scene, (name,), scene.of_camera(name), usual)
        yield best or Suspect(
            frame=scene.frame,
            cameras=(name,),
            before=scene.score((name,)),
            after=None,
            why=_at_fault(found[name], scene),
            at=scene.frame.depth(name),
        )


def _others_agree(found: Mapping[str, Sensor], wrong: tuple[str, ...], files: Files, usual: Score) -> bool:
    """Whether the point cloud and the frame file are right for other cameras: then they are no suspects."""
    others = [score(files.errors(sensor)) for name, sensor in found.items() if name not in wrong]
    told = [each for each in others if each.says_anything]
    return bool(told) and not any(is_off(each, usual, THROUGH) for each in told)


def _at_fault(sensor: Sensor, scene: _Scene) -> Text | None:
    """What a depth file is like that nothing else explains."""
    depth = scene.maps[sensor.camera]
    why = _ceiling([sensor], scene.files) or _noise(depth) or _rounding(depth, scene.files.scale)
    if why:
        return Text("the depth file is at fault: {why}", why=why)
    return _where(sensor, scene.files)


def _rounding(depth: NDArray[Any] | None, scale: float) -> Text | None:
    """That a depth map holds whole metres: `scale` is what its number of a metre is."""
    if depth is None or scale > COARSEST or (depth[known_depth(depth)] % 1).any():
        return None
    return Text("it holds whole numbers only, {metres:.2g} m apart", metres=1 / scale)


def _noise(depth: NDArray[Any] | None) -> Text | None:
    """That the pixels of a depth map differ from their neighbours, as no surface makes them."""
    if depth is None:
        return None
    left, right = depth[:, :-1], depth[:, 1:]
    both = known_depth(left) & known_depth(right)
    steps = np.abs(np.log(right[both] / left[both]))
    step = float(np.median(steps)) if steps.size else 0.0
    if step <= NOISY:
        return None
    return Text("it is noise: half of its pixels differ by more than {step:.0%} from the next one", step=step)


def _where(sensor: Sensor, files: Files) -> Text | None:
    """At which distance, or in which part of its image, a depth file is off; None where it is everywhere."""
    errors, parts = files.errors(sensor), []
    columns, rows = sensor.places.T
    edges = np.linspace(0, 1, 9)
    for values, bounds, words in (
        (sensor.depths, np.array([3, 5, 8, 12, 20, 40, 80, 1e3]), Text("m away")),
        (columns * 100, edges * 100, Text("% of its width")),
        (rows * 100, edges * 100, Text("% of its height")),
    ):
        for low, high in pairwise(bounds.tolist()):
            inside = (values >= low) & (values < high)
            if inside.sum() >= FEWEST / 4:
                lower, middle, upper = np.quantile(errors[inside], [0.25, 0.5, 0.75]).tolist()
                rest = float(np.median(np.abs(errors[~inside]))) if (~inside).any() else 0.0
                parts.append((abs(middle) - rest - (upper - lower), middle, low, high, words))
    if not parts or max(part[0] for part in parts) < SHIFTED:
        return None
    _, middle, low, high, words = max(parts, key=lambda part: part[0])
    return Text(
        "the depth file is at fault: from {low:.0f} to {high:.0f} {what} it says {ratio:.2f} times "
        "what the LiDAR does",
        low=low,
        high=high,
        what=words,
        ratio=np.exp(middle).item(),
    )


def _best(scene: _Scene, wrong: tuple[str, ...], guesses: Iterator[Guess], usual: Score) -> Suspect | None:
    """The first guess that makes files agree as those of other frames do; else the one that helps most."""
    before, best, most = scene.score(wrong), None, 0.0
    wanted = before.agreeing + REGAINED * (usual.agreeing - before.agreeing)
    for why, at, key, remade in guesses:
        after = score(np.concatenate([files.of(c, d, p) for c, d, p, files in map(remade, wrong)]))
        if 2 * after.points > before.points and after.agreeing > max(wanted, most):
            most = after.agreeing
            best = Suspect(
                frame=scene.frame, cameras=wrong, before=before, after=after, why=why, at=at, key=key
            )
            if not is_off(after, usual, THROUGH):
                return best
    return best


class _Scene:
    """One frame's files, and what they may be instead."""

    def __init__(
        self, where: Disk, frame: Frame, files: Files, usual: Mapping[str, Array], ground: float
    ) -> None:
        self.where, self.frame, self.files, self.usual, self.ground = where, frame, files, usual, ground
        self.cameras = rig(where, frame)
        self.maps = dict(zip(self.cameras, depth_maps(frame, self.cameras), strict=True))
        points = _points(frame)
        self.points = np.empty((0, 3)) if points is None else points

    def _as(
        self,
        name: str,
        *,
        points: Array | None = None,
        depth: NDArray[Any] | None = None,
        mount: Array | None = None,
        files: Files | None = None,
    ) -> Remade:
        own, map_ = self.cameras[name], self.maps[name]
        camera = own if mount is None else MountedCamera(own.pinhole, mount)
        given = map_ if depth is None else depth
        assert given is not None
        return camera, given, self.points if points is None else points, files or self.files

    def _with(
        self,
        *,
        mounts: Mapping[str, Array] | None = None,
        maps: Mapping[str, NDArray[Any] | None] | None = None,
    ) -> Callable[[str], Remade]:
        """Each camera with another place or another depth map, where there is one for it."""
        return lambda name: self._as(name, mount=(mounts or {}).get(name), depth=(maps or {}).get(name))

    def score(self, names: Sequence[str], points: Array | None = None) -> Score:
        ready = [self._as(name, points=points) for name in names if self.maps[name] is not None]
        return score(np.concatenate([files.of(c, d, p) for c, d, p, files in ready]))

    def of_all(self, *, search: bool) -> Iterator[Guess]:
        """What may be wrong with all cameras at once: the frame file, the point cloud."""
        layout, yaml = self.frame.agent.layout, self.frame.yaml
        told = self._told_mounts()
        if len(told) > 1:
            yield (
                Text("lidar_pose puts the cameras elsewhere than their extrinsics, which fit"),
                yaml,
                (layout.lidar_pose,),
                self._with(mounts=told),
            )
        for mounts in self._other_rigs():
            yield (
                Text("the cameras of the others are elsewhere in their rigs, and fit"),
                yaml,
                (next(iter(mounts)), layout.cords),
                self._with(mounts=mounts),
            )
        for whose, other in neighbours(self.where, self.frame).items():
            try:
                maps = dict(zip(self.maps, depth_maps(other, self.maps), strict=True))
            except Blocked:  # a file that cannot be read is another finding
                continue
            if all(map_ is not None for map_ in maps.values()):
                yield (
                    Text("the point cloud is at fault: it is that of {other}", other=_whose(whose, other)),
                    self.frame.cloud,
                    (),
                    self._with(maps=maps),
                )
        if search:
            yield from self._moved_clouds()

    def _other_rigs(self) -> Iterator[dict[str, Array]]:
        """Where most frames have the cameras, if this one has two or more of them elsewhere."""
        apart = [
            name
            for name, camera in self.cameras.items()
            if name in self.usual and not np.allclose(self.usual[name], camera.camera_to_lidar, atol=0.02)
        ]
        if len(apart) > 1:
            yield {name: self.usual[name] for name in apart}

    def _moved_clouds(self) -> Iterator[Guess]:
        """The point cloud turned, mirrored, raised or in another unit."""
        up = np.array([0.0, 1.0, 0.0])
        for mirrored in (False, True):
            points = self.points * ([-1.0, 1.0, 1.0] if mirrored else 1.0)
            turn = self._turn(points)
            if mirrored or abs(turn) >= 0.5:
                words = Text(
                    "it is mirrored and turned by {turn:.0f} degrees"
                    if mirrored
                    else "it is turned by {turn:.0f} degrees",
                    turn=turn,
                )
                yield self._cloud(words, points @ _about_up(turn).T)
        for metres in (1.9, -1.9):  # of OPV2V's LiDAR above its car
            yield self._cloud(Text("it is {metres:.1f} m too high", metres=metres), self.points + up * metres)
        if not self._has_usual_ground():
            for factor in self._sizes():
                unit = 10.0 ** round(np.log10(factor))
                why = (
                    Text("its numbers are {factor:g} m", factor=unit)
                    if unit != 1 and abs(np.log(factor / unit)) < SHIFTED
                    else Text("it is {ratio:.3f} times too large", ratio=1 / factor)
                )
                yield self._cloud(why, self.points * factor)
        if ratio := self._ratio():
            maps = {name: None if map_ is None else map_ / ratio for name, map_ in self.maps.items()}
            why = Text("its numbers are {ratio:.3g} times too large", ratio=ratio)
            text = Text("the depth files are at fault: {why}", why=why)
            yield text, self.frame.depth(next(iter(self.maps))), (), self._with(maps=maps)

    def _sizes(self) -> Iterator[float]:
        """Factors that give the points their size: that of the ground, brought to what the depth says."""
        own = ground_of(self.points)
        for factor in (self.ground / own,) if self.ground > 0 and own > 0 else (0.01, 0.001, 100.0, 1000.0):
            yield factor * (self._ratio(points=self.points * factor) or 1.0)

    def _has_usual_ground(self) -> bool:
        """Whether the ground is as far below the LiDAR as in most frames: then its points have their size."""
        own = ground_of(self.points)
        return self.ground > 0 and abs(np.log(max(own, 1e-3) / self.ground)) < SHIFTED

    def _cloud(self, why: Text, points: Array) -> Guess:
        text = Text("the point cloud is at fault: {why}", why=why)
        return text, self.frame.cloud, (), lambda name: self._as(name, points=points)

    def of_camera(self, name: str) -> Iterator[Guess]:
        """What may be wrong with one depth file, or with what the frame file says of its camera."""
        own, path = self.maps[name], self.frame.depth(name)
        assert own is not None
        at_fault = "the depth file is at fault: {why}"

        def depth(why: Text, map_: NDArray[Any], files: Files | None = None) -> Guess:
            text = Text(at_fault, why=why)
            return text, path, (), lambda each: self._as(each, depth=map_, files=files)

        if ratio := self._ratio((name,)):
            yield depth(Text("its numbers are {ratio:.3g} times too large", ratio=ratio), own / ratio)
        for other, map_ in self.maps.items():
            if other != name and map_ is not None and map_.shape == own.shape:
                yield depth(Text("what {other} holds fits here", other=self.frame.depth(other).name), map_)
        for whose, frame in neighbours(self.where, self.frame).items():
            try:
                (map_,) = depth_maps(frame, [name])
            except Blocked:
                continue
            if map_ is not None:
                yield depth(Text("that of {other} fits here", other=_whose(whose, frame)), map_)
        yield depth(Text("left is right"), own[:, ::-1])
        yield depth(Text("up is down"), own[::-1])
        kind = "range" if self.files.depth == "z" else "z"
        words = {
            "z": Text("it holds distance to the image plane"),
            "range": Text("it holds the range along the ray"),
        }
        yield depth(words[kind], own, Files(depth=kind, scale=self.files.scale))
        told = self._told_mounts()
        layout = self.frame.agent.layout
        if name in told:
            yield (
                Text("cords put {camera} elsewhere than its extrinsic, which fits", camera=name),
                self.frame.yaml,
                (name, layout.cords),
                lambda each: self._as(each, mount=told[each]),
            )

    def _told_mounts(self) -> dict[str, Array]:
        """Where the extrinsics put the cameras, where that is another place."""
        content, found = frame_file(self.frame), {}
        for name, camera in self.cameras.items():
            given = content[name].get("extrinsic")
            if are_matrix(given):
                mount = to_opencv(invert(given))
                if not np.allclose(mount, camera.camera_to_lidar, atol=1e-3):
                    found[name] = mount
        return found

    def _turn(self, points: Array) -> float:
        """By how many degrees points are turned to the right, as the depth files have it."""
        names, some = [*self.cameras], points[::4]

        def agreeing(turn: float, of: Array) -> float:
            return self.score(names, of @ _about_up(turn).T).agreeing

        best = max(np.arange(-180.0, 180.0, COARSE).tolist(), key=lambda turn: agreeing(turn, some))
        for step in (COARSE / 4, COARSE / 16):
            best = max(
                (best + step * place for place in range(-4, 5)), key=lambda turn: agreeing(turn, points)
            )
        return float(best)

    def _ratio(self, names: Sequence[str] = (), points: Array | None = None) -> float:
        """How many times what the LiDAR says depth files say, where all points say the same; else 0."""
        ready = [
            self._as(name, points=points) for name in names or self.cameras if self.maps[name] is not None
        ]
        errors = np.concatenate([files.of(c, d, p) for c, d, p, files in ready])
        errors = errors[np.isfinite(errors)]
        if errors.size < FEWEST:
            return 0.0
        low, middle, high = np.quantile(errors, [0.25, 0.5, 0.75])
        return float(np.exp(middle)) if high - low < WITHIN and abs(middle) > SHIFTED else 0.0


def _whose(name: str, frame: Frame) -> Text:
    """A neighbour in words."""
    if name.startswith("agent"):
        return Text("agent {agent}", agent=frame.agent.name)
    return Text("frame {frame}", frame=frame.name)


def _about_up(degrees: float) -> Array:
    """Rotation (3, 3) that turns to the left, OpenCV axes: what takes a turn to the right back."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])


@fact
def suspects(target: Target, split: str) -> Suspects:
    """The agents of a split whose files contradict each other. Raises Skip where it is not OPV2V."""
    found, files = sensors(target, split), meaning(target, split)
    return suspects_of(disk(target, split), found, Files(depth=files.depth, scale=files.scale))
