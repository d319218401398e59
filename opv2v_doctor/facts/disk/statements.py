"""Statements: what frame files say more than once: of cameras, LiDARs, each other's agents, and speed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.disk.damage import opened_frames
from opv2v_doctor.facts.disk.frames import Disk, Frame, disks, frame_file
from opv2v_doctor.geometry.conventions import DISTANCE, pose_errors
from opv2v_doctor.geometry.poses import invert, pose_matrix, relative
from opv2v_doctor.layout import NAMEABLE
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text
from opv2v_doctor.threshold import Threshold

APART = Threshold(
    0.05,
    "m at 50 m",
    "numbers of three decimals that are multiplied differ by less",
    healthy=7e-4,
    faulty=0.7,
)
ELSEWHERE = Threshold(
    0.2,
    "m",
    "an agent's place as others know it; in a real frame it is the same number",
    healthy=0.0,
    faulty=0.4,
)
TURNED = Threshold(
    1.0, "degrees", "an agent's heading as others know it; the same number in a real frame", healthy=0.0
)
MOST = 0.5  # of the frames that say something in the same way: it is the usual one then
OTHERWISE = Threshold(
    0.005, "of focal lengths and middle", "one camera of a simulator is every camera", healthy=0.0, faulty=0.1
)
FEW = 0.25  # of the frame files may be the ones that are wrong
VOTERS = 200  # frames that are asked what is usual
SECONDS_A_NUMBER = 0.05  # CARLA ticks at 20 Hz, frames are numbered by tick, and OPV2V keeps every second
MOVED = Threshold(0.1, "m between two frames", "less is an agent that stands, and shakes", healthy=0.02)
UNSTEADY = Threshold(
    0.35,
    "of the way that the speed gives",
    "braking at 1 g changes 15 km/h by a quarter in 0.1 s",
    faulty=1.0,
)
FASTEST = Threshold(70.0, "m/s", "no car of OPV2V, motorway scenarios included, comes near")

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A statement of a frame file that the others contradict."""

    frame: Frame
    key: str  # in OPV2V's words: camera2.cords
    against: Text  # what says otherwise
    metres: float
    degrees: float = 0.0
    guessed: bool = False  # by the other agents, whose rig may be another one

    @property
    def words(self) -> tuple[str, ...]:
        """The key in the file's own words, one a level."""
        layout, parts = self.frame.agent.layout, self.key.split(".")
        told = {"lidar_pose": layout.lidar_pose, "cords": layout.cords, "intrinsic": layout.intrinsic}
        told |= dict(zip(NAMEABLE, layout.cameras, strict=False))
        return tuple(told.get(part, part) for part in parts)


@dataclass(frozen=True, kw_only=True)
class Statements:
    """What the frame files of a split say twice, and where that differs."""

    frames: int  # that say anything twice
    doubts: tuple[Doubt, ...]
    extrinsics: int  # of cameras, that were compared with cords and lidar_pose
    unlike: bool  # no known way of writing extrinsics gives what most of them are
    witnesses: int  # statements of one agent about the place of another one


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How an agent came from one frame to the next."""

    before: Frame
    after: Frame
    moved: float  # metres
    seconds: float
    speed: float  # m/s, as both files say; NaN where they do not
    same: bool  # the poses are the same numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class _Said:
    """The numbers of some frame files; NaN for what one of them does not say."""

    frames: tuple[Frame, ...]
    lidar: Array  # (N, 4, 4), to the world, UE axes, as all of these
    ego: Array  # (N, 4, 4)
    cameras: Array  # (N, C, 4, 4)
    extrinsics: Array  # (N, C, 4, 4), from the LiDAR to the camera
    intrinsics: Array  # (N, C, 4): fx, fy, cx, cy
    names: tuple[str, ...]  # (C,)
    fixed: NDArray[np.bool_]  # (N,): roadside units, whose LiDAR is no car's

    def mount(self, camera: int) -> Array:
        """From a camera to its LiDAR (N, 4, 4), by cords and lidar_pose."""
        return relative(self.cameras[:, camera], self.lidar)


@fact
def statements(target: Target, split: str) -> Statements:
    """What the opened frame files of a split say more than once."""
    doubts: list[Doubt] = []
    frames, extrinsics, witnesses, unlike = 0, 0, 0, False
    for where in disks(target, split):
        said = _said(where, opened_frames(target, split, where))
        if not said.frames:
            continue
        own, compared, is_unlike = _own_doubts(said)
        others, about = _witnesses(said, {doubt.frame for doubt in own})
        doubts += [*own, *others, *_other_intrinsics(said)]
        frames += len(said.frames)
        extrinsics, witnesses, unlike = extrinsics + compared, witnesses + about, unlike or is_unlike
    return Statements(
        frames=frames if extrinsics or witnesses else 0,
        doubts=tuple(doubts),
        extrinsics=extrinsics,
        unlike=unlike,
        witnesses=witnesses,
    )


def _said(where: Disk, frames: Sequence[Frame]) -> _Said:
    read = [(frame, content) for frame in frames if (content := _content(frame))]
    names = where.cameras
    numbers = [content.get("lidar_pose") for _, content in read]
    entries = [[_entry(content, name) for name in names] for _, content in read]
    return _Said(
        frames=tuple(frame for frame, _ in read),
        lidar=_poses(numbers),
        ego=_poses([content.get("true_ego_pos") for _, content in read]),
        cameras=_poses([entry.get("cords") for row in entries for entry in row]).reshape(
            len(read), len(names), 4, 4
        ),
        extrinsics=_matrices([entry.get("extrinsic") for row in entries for entry in row]).reshape(
            len(read), len(names), 4, 4
        ),
        intrinsics=np.array(
            [_focal(entry.get("intrinsic")) for row in entries for entry in row], np.float64
        ).reshape(len(read), len(names), 4),
        names=names,
        fixed=np.array(
            [bool(content.get("RSU")) or frame.agent.name.startswith("-") for frame, content in read]
        ),
    )


def _content(frame: Frame) -> Mapping[str, Any] | None:
    try:
        return frame_file(frame)
    except Blocked:  # a broken frame file is another finding
        return None


def _entry(content: Mapping[str, Any], camera: str) -> Mapping[str, Any]:
    entry = content.get(camera)
    return entry if isinstance(entry, Mapping) else {}


def _poses(numbers: Sequence[object]) -> Array:
    """Poses (N, 4, 4) of six numbers each, NaN where they are none."""
    given = np.array([each if _are_numbers(each, 6) else [np.nan] * 6 for each in numbers], np.float64)
    return pose_matrix(given.reshape(-1, 6))


def _matrices(given: Sequence[object]) -> Array:
    """Matrices (N, 4, 4), NaN where they are none."""
    empty = [[np.nan] * 4] * 4
    whole = [each if are_matrix(each) else empty for each in given]
    return np.array(whole, np.float64).reshape(-1, 4, 4)


def _focal(given: Any) -> list[float]:
    """fx, fy, cx and cy of intrinsics, NaN where they are none."""
    whole = isinstance(given, list) and len(given) == 3 and all(_are_numbers(row, 3) for row in given)
    return [given[0][0], given[1][1], given[0][2], given[1][2]] if whole else [np.nan] * 4


def _are_known(poses: Array) -> NDArray[np.bool_]:
    """Which poses (..., 4, 4) are given."""
    return np.asarray(np.isfinite(poses).all((-2, -1)))


def are_matrix(given: Any) -> TypeGuard[list[list[float]]]:
    """Whether a frame file says a matrix (4, 4)."""
    return isinstance(given, list) and len(given) == 4 and all(_are_numbers(row, 4) for row in given)


def _are_numbers(given: Any, count: int) -> TypeGuard[list[float]]:
    if not isinstance(given, list) or len(given) != count:
        return False
    return all(isinstance(each, int | float) and isfinite(each) for each in given)


def _usual(poses: Array) -> tuple[Array | None, float]:
    """The pose (4, 4) that most of these (N, 4, 4) are, None where there is no such one; and their share."""
    known = poses[_are_known(poses)]
    some = known[:: max(1, len(known) // VOTERS)]
    if not len(some):
        return None, 0.0
    alike = pose_errors(some[:, None], some[None])[1] < APART
    share = float(alike.mean(1).max())
    return (some[int(alike.sum(1).argmax())] if share > MOST else None), share


def _apart(poses: Array, others: Array | None) -> Array:
    """Metres at 50 m (N,) between poses (N, 4, 4) and others; 0 where one is not known."""
    if others is None:
        return np.zeros(len(poses))
    return np.nan_to_num(pose_errors(poses, others)[1])


def _own_doubts(said: _Said) -> tuple[list[Doubt], int, bool]:
    """Where frame files contradict themselves; how many extrinsics were compared, and if they are unlike."""
    mounts = np.stack([said.mount(camera) for camera in range(len(said.names))], 1)  # (N, C, 4, 4)
    told, unlike = _told_mounts(said, mounts)
    known = _are_known(mounts) & _are_known(told)
    twice = np.stack([_apart(mounts[:, c], told[:, c]) for c in range(len(said.names))], 1)  # (N, C)
    rig = [_usual(mounts[:, camera])[0] for camera in range(len(said.names))]
    moved = np.stack([_apart(mounts[:, c], rig[c]) for c in range(len(said.names))], 1)
    kept = np.stack([_apart(told[:, c], rig[c]) for c in range(len(said.names))], 1)
    anothers = _of_another(mounts, rig)
    of_car = np.where(said.fixed[:, None, None], np.nan, relative(said.lidar, said.ego))
    ego = _apart(of_car, _usual(of_car)[0])
    found = []
    for row, frame in enumerate(said.frames):
        wrong = [c for c in range(len(said.names)) if twice[row, c] > APART]
        there = int(known[row].sum())
        if len(wrong) > 1 and len(wrong) == there:
            found.append(
                _doubt(frame, "lidar_pose", twice[row, wrong], Text("the extrinsics of its cameras"))
            )
        elif not there and ego[row] > APART and (moved[row] > APART).sum() > 1:
            found.append(_doubt(frame, "lidar_pose", [ego[row]], Text("true_ego_pos and the cameras' cords")))
        else:
            for c in np.flatnonzero(anothers[row] >= 0).tolist():
                found.append(
                    Doubt(
                        frame=frame,
                        key=f"{said.names[c]}.cords",
                        against=Text(
                            "the rig of the others, where {camera} is there",
                            camera=said.names[anothers[row, c]],
                        ),
                        metres=float(moved[row, c]),
                        guessed=True,
                    )
                )
            for c in wrong:
                is_cords = moved[row, c] > APART and kept[row, c] <= APART
                name = said.names[c]
                against = Text("the extrinsic") if is_cords else Text("cords and lidar_pose")
                key = f"{name}.cords" if is_cords else f"{name}.extrinsic"
                found.append(_doubt(frame, key, [twice[row, c]], against))
            if ego[row] > APART:
                found.append(_doubt(frame, "true_ego_pos", [ego[row]], Text("lidar_pose")))
    return found, int(known.sum()), unlike


def _other_intrinsics(said: _Said) -> Iterator[Doubt]:
    """Cameras whose intrinsics are others than the same camera has in nearly all other frame files."""
    for camera, name in enumerate(said.names):
        given = said.intrinsics[:, camera]
        usual = np.median(given, axis=0)  # NaN where one file has none
        off = np.asarray((np.abs(given - usual) > OTHERWISE * np.abs(usual)).any(1))
        if np.isfinite(usual).all() and 0 < off.sum() <= FEW * len(off):
            for row in np.flatnonzero(off).tolist():
                against = Text(
                    "those of the other frame files: fx is {usual:.2f} there", usual=usual[0].item()
                )
                focal = float(np.abs(given[row] - usual).max() / max(usual[0], 1.0) * DISTANCE)
                key = f"{name}.intrinsic"
                yield Doubt(frame=said.frames[row], key=key, against=against, metres=focal, guessed=True)


def _of_another(mounts: Array, rig: Sequence[Array | None]) -> NDArray[np.int64]:
    """In which other camera's place of the usual rig each camera is (N, C); -1 where in its own, or none."""
    count = len(rig)
    apart = np.full((len(mounts), count, count), np.inf)
    for own in range(count):
        for other, usual in enumerate(rig):
            if usual is not None and rig[own] is not None:
                known = _are_known(mounts[:, own])
                apart[known, own, other] = _apart(mounts[known, own], usual)
    best = apart.argmin(2)
    is_other = (apart.min(2) <= APART) & (best != np.arange(count))
    return np.where(is_other, best, -1)


def _told_mounts(said: _Said, mounts: Array) -> tuple[Array, bool]:
    """From each camera to its LiDAR (N, C, 4, 4) by the extrinsics, in the direction in which most are given.

    NaN where neither direction is what most of them are, and that is no fault of the poses: where the
    extrinsics give the same rig in every frame, and cords and lidar_pose do not, those are what is wrong.
    """
    ways = [invert(said.extrinsics), said.extrinsics]
    known = _are_known(mounts) & _are_known(said.extrinsics)
    if not known.any():
        return np.full_like(mounts, np.nan), False
    errors = [float(np.median(pose_errors(mounts[known], way[known])[1])) for way in ways]
    best = int(np.argmin(errors))
    if errors[best] <= APART:
        return ways[best], False
    pairs = [(_usual(ways[0][:, c])[1], _usual(mounts[:, c])[1]) for c in range(mounts.shape[1])]
    if all(told > MOST > made for told, made in pairs) and len(said.frames) > 2:
        return ways[0], False
    return np.full_like(mounts, np.nan), True


def _doubt(frame: Frame, key: str, metres: Sequence[float] | Array, against: Text) -> Doubt:
    return Doubt(frame=frame, key=key, against=against, metres=float(np.max(metres)))


def _witnesses(said: _Said, doubted: set[Frame]) -> tuple[list[Doubt], int]:
    """Agents that are elsewhere than the others of the moment say, and how often one spoke of another."""
    moments: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, frame in enumerate(said.frames):
        moments[frame.agent.scenario, frame.name].append(row)
    found: list[Doubt] = []
    spoken = 0
    for rows in moments.values():
        apart: dict[int, dict[int, tuple[float, float]]] = defaultdict(dict)  # about whom -> by whom
        for by in rows:
            listed = _vehicles(said.frames[by])
            for about in rows:
                place = listed.get(said.frames[about].agent.name)
                if about != by and place is not None and np.isfinite(said.ego[about]).all():
                    apart[about][by] = _difference(said.ego[about], place)
        spoken += sum(map(len, apart.values()))
        found += _accused(said, apart, doubted)
    return found, spoken


def _accused(
    said: _Said, apart: Mapping[int, Mapping[int, tuple[float, float]]], doubted: set[Frame]
) -> Iterator[Doubt]:
    """Whoever is elsewhere for all who speak of him, but for witnesses who are wrong about all."""
    wrong = {
        about: {by for by, (metres, degrees) in told.items() if metres > ELSEWHERE or degrees > TURNED}
        for about, told in apart.items()
    }
    alone = {about for about, by in wrong.items() if by and len(by) == len(apart[about])}
    liars = {by for told in wrong.values() for by in told} if len(alone) > 1 else set()
    liars = {by for by in liars if all(by in wrong[about] for about in apart if by in apart[about])}
    if len(alone) > 1 and len(liars & alone) == 1:  # one file of another moment contradicts all, and all it
        alone = liars & alone
    for about in alone:
        frame, told = said.frames[about], apart[about]
        if frame not in doubted:
            metres, degrees = max(told.values())
            names = [said.frames[by].agent.name for by in told]
            against = Text("what {agents} say of where it is (vehicles)", agents=names)
            yield Doubt(frame=frame, key="lidar_pose", against=against, metres=metres, degrees=degrees)


def _vehicles(frame: Frame) -> dict[str, Array]:
    """Where an agent says that the others are: name -> [x, y, z, yaw]."""
    listed = (_content(frame) or {}).get("vehicles")
    found = {}
    for name, each in listed.items() if isinstance(listed, Mapping) else ():
        place, angle = (
            (each.get("location"), each.get("angle")) if isinstance(each, Mapping) else (None, None)
        )
        if _are_numbers(place, 3) and _are_numbers(angle, 3):
            found[str(name)] = np.array([*place, angle[1]], np.float64)
    return found


def _difference(ego: Array, place: Array) -> tuple[float, float]:
    """Metres and degrees of heading between an agent's own pose (4, 4) and what another one says."""
    yaw = np.rad2deg(np.arctan2(ego[1, 0], ego[0, 0])) - place[3]
    return float(np.linalg.norm(ego[:3, 3] - place[:3])), float(abs((yaw + 180) % 360 - 180))


@fact
def motions(target: Target, split: str) -> tuple[Motion, ...]:
    """How the agents of a split moved between frames that follow one another and were opened."""
    return tuple(
        motion for where in disks(target, split) for motion in _motions(opened_frames(target, split, where))
    )


def _motions(frames: Sequence[Frame]) -> Iterator[Motion]:
    agents: dict[tuple[str, str], list[Frame]] = defaultdict(list)
    for frame in frames:
        agents[frame.agent.scenario, frame.agent.name].append(frame)
    for each in agents.values():
        for before, after in pairwise(sorted(each, key=lambda frame: int(frame.name))):
            one, two = _content(before) or {}, _content(after) or {}
            start, end = one.get("lidar_pose"), two.get("lidar_pose")
            if _are_numbers(start, 6) and _are_numbers(end, 6):
                speeds = [content.get("ego_speed") for content in (one, two)]
                known = [abs(speed) / 3.6 for speed in speeds if isinstance(speed, int | float)]
                yield Motion(
                    before=before,
                    after=after,
                    moved=float(np.linalg.norm(np.subtract(end[:3], start[:3]))),
                    seconds=(int(after.name) - int(before.name)) * SECONDS_A_NUMBER,
                    speed=float(np.mean(known)) if known else float("nan"),
                    same=start == end,
                )


def ways_expected(found: Sequence[Motion]) -> list[float]:
    """The metres that each motion should have by its speed; NaN where that is not known.

    How long a frame is, is measured: the median of all that move. Where they do not agree on it, none is.
    """
    given = np.array([motion.speed * motion.seconds for motion in found])
    moved = np.array([motion.moved for motion in found])
    moving = (given > MOVED) & (moved > MOVED)
    if not moving.any():
        return list(given)
    ratio = moved[moving] / given[moving]
    usual = float(np.median(ratio))
    steady = float((np.abs(ratio / usual - 1) < UNSTEADY).mean()) > MOST
    return list(given * usual if steady else np.full_like(given, np.nan))
