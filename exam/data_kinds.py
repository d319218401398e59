"""Kinds of faults in data files: those of another frame, agent, camera or split, or with other numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from exam.mutation import Mutation

IMAGES, DEPTHS = Path("data/OPV2V"), Path("data/opv2v_depth")
Array = NDArray[Any]
Change = Callable[[Array, Random], Array]

DEPTH_CHANGES: Mapping[str, Change] = {
    "depth_scaled": lambda depth, random: depth * np.float32(random.choice((0.01, 0.5, 1.1, 1000))),
    "depth_shifted_in_range": lambda depth, random: np.where(
        depth > 0, depth + np.float32(random.choice((-1, 2))), 0
    ).clip(0),
    "depth_clipped": lambda depth, random: np.minimum(depth, np.float32(random.choice((10, 20, 40)))),
    "depth_mirrored": lambda depth, _: depth[:, ::-1],
    "depth_upside_down": lambda depth, _: depth[::-1],
    "depth_moved": lambda depth, random: np.roll(depth, random.choice((8, -15)), axis=random.choice((0, 1))),
    "depth_noisy": lambda depth, random: (
        depth * np.random.default_rng(random.randrange(999)).normal(1, 0.1, depth.shape)
    ),
    "depth_wraps": lambda depth, random: depth % np.float32(random.choice((25.5, 65.536))),
    "depth_in_whole_metres": lambda depth, _: np.floor(depth),
    "depth_lost": lambda depth, _: depth * 0,
}
IMAGE_CHANGES: Mapping[str, Change] = {
    "image_mirrored": lambda image, _: image[:, ::-1],
    "image_upside_down": lambda image, _: image[::-1],
    "image_moved": lambda image, random: np.roll(image, random.choice((10, -20)), axis=random.choice((0, 1))),
    "image_channels_exchanged": lambda image, _: image[..., ::-1],
    "image_grey": lambda image, _: image.mean(-1, keepdims=True).repeat(3, -1),
    "image_dark": lambda image, random: image * random.choice((0.2, 0.5)),
    "image_inverted": lambda image, _: 255 - image,
    "image_noisy": lambda image, random: (
        image + np.random.default_rng(random.randrange(999)).normal(0, 40, image.shape)
    ),
    "image_black": lambda image, _: image * 0,
}
ALL = {**DEPTH_CHANGES, **IMAGE_CHANGES}
SCOPES = ("file", "camera", "agent")  # one file, one camera of an agent in all frames, all its cameras


def _pose(change: Callable[[list[float], Random], list[float]], key: str) -> Callable[[Any, Random], None]:
    """A change of six numbers: of the LiDAR's pose, or of one camera's."""

    def apply(frame: Any, random: Random) -> None:
        name = random.choice([each for each in frame if each.startswith("camera")])
        if key == "lidar_pose":
            frame[key] = change(list(frame[key]), random)
        else:
            frame[name][key] = change(list(frame[name][key]), random)

    return apply


def _turned(cords: list[float], random: Random) -> list[float]:
    return [*cords[:4], cords[4] + random.choice((5.0, 90.0, 180.0)), cords[5]]


def _moved(cords: list[float], random: Random) -> list[float]:
    axis = random.randrange(3)
    return [value + (number == axis) * random.choice((1.0, -2.0)) for number, value in enumerate(cords)]


def _exchange_cameras(frame: Any, random: Random) -> None:
    one, other = random.sample([each for each in frame if each.startswith("camera")], 2)
    frame[one], frame[other] = frame[other], frame[one]


def _focal(frame: Any, random: Random) -> None:
    name, by = random.choice([each for each in frame if each.startswith("camera")]), random.choice((0.5, 1.2))
    for row in (0, 1):
        frame[name]["intrinsic"][row][row] *= by


def _middle(frame: Any, random: Random) -> None:
    name = random.choice([each for each in frame if each.startswith("camera")])
    frame[name]["intrinsic"][random.choice((0, 1))][2] += random.choice((12.0, -25.0))


FRAME_CHANGES: Mapping[str, Callable[[Any, Random], None]] = {
    "lidar_turned": _pose(_turned, "lidar_pose"),
    "lidar_moved": _pose(_moved, "lidar_pose"),
    "lidar_axes_exchanged": _pose(lambda c, _: [c[1], c[0], *c[2:]], "lidar_pose"),
    "lidar_tilt_negated": _pose(lambda c, _: [*c[:3], -c[3], c[4], -c[5]], "lidar_pose"),
    "lidar_angles_in_radians": _pose(lambda c, _: [*c[:3], *np.deg2rad(c[3:]).tolist()], "lidar_pose"),
    "lidar_angles_exchanged": _pose(lambda c, _: [*c[:3], c[3], c[5], c[4]], "lidar_pose"),
    "lidar_is_the_vehicle": lambda frame, _: frame.update(lidar_pose=frame["true_ego_pos"]),
    "camera_turned": _pose(_turned, "cords"),
    "camera_moved": _pose(_moved, "cords"),
    "cameras_exchanged": _exchange_cameras,
    "focal_length": _focal,
    "principal_point": _middle,
}
EXCHANGES = ("frame", "agent", "camera", "split")  # whose file it is instead
SUFFIXES = {".png": IMAGES, ".npy": DEPTHS, ".yaml": IMAGES}
KINDS = (
    *ALL,
    *FRAME_CHANGES,
    *(f"{suffix[1:]}_of_another_{whose}" for suffix in SUFFIXES for whose in EXCHANGES),
)
KINDS = tuple(kind for kind in KINDS if kind != "yaml_of_another_camera")


@functools.cache
def agents(repo: Path) -> tuple[str, ...]:
    """Every agent's folder, as SPLIT/SCENARIO/AGENT, of the scenarios that training takes: four agents."""
    root = repo / IMAGES
    scenarios = [path for path in sorted(root.glob("*/*")) if path.is_dir()]
    folders = {path: sorted(each for each in path.iterdir() if each.is_dir()) for path in scenarios}
    return tuple(
        str(agent.relative_to(root))
        for path in scenarios
        for agent in folders[path]
        if len(folders[path]) >= 4
    )


def data_mutation(kind: str, repo: Path, random: Random) -> Mutation:
    """One mutation of this kind: of one file, of one camera of an agent, or of one agent."""
    agent = random.choice(agents(repo))
    stems = sorted(path.stem for path in (repo / IMAGES / agent).glob("*.yaml"))
    camera, stem = f"camera{random.randrange(4)}", random.choice(stems)
    seed = random.randrange(2**31)
    scope = random.choice(SCOPES[::2] if kind in FRAME_CHANGES or kind.startswith("yaml") else SCOPES)
    cameras = [f"camera{number}" for number in range(4)] if scope == "agent" else [camera]
    chosen = [stem] if scope == "file" else stems
    if kind in FRAME_CHANGES:
        paths = [IMAGES / agent / f"{each}.yaml" for each in chosen]
        return _mutation(kind, paths, scope, functools.partial(_frames, FRAME_CHANGES[kind], seed))
    if kind in ALL:
        suffix = ".npy" if kind in DEPTH_CHANGES else ".png"
        paths = [_file(suffix, agent, each, name) for each in chosen for name in cameras]
        return _mutation(kind, paths, scope, functools.partial(_arrays, ALL[kind], seed))
    suffix, whose = f".{kind.split('_')[0]}", kind.rsplit("_", 1)[1]
    names = cameras if suffix != ".yaml" else [""]
    pairs = [
        (_file(suffix, agent, each, name), _other(repo, suffix, agent, each, name, whose, seed))
        for each in chosen
        for name in names
    ]
    return _mutation(
        kind, [one for one, _ in pairs], scope, functools.partial(_copied, [other for _, other in pairs])
    )


def _file(suffix: str, agent: str, stem: str, camera: str) -> Path:
    end = {".png": f"_{camera}.png", ".npy": f"_{camera}_depth.npy", ".yaml": ".yaml"}[suffix]
    return SUFFIXES[suffix] / agent / (stem + end)


def _other(repo: Path, suffix: str, agent: str, stem: str, camera: str, whose: str, seed: int) -> Path:
    """The file of another frame, agent, camera or split."""
    random = Random(seed)
    if whose == "frame":
        stem = random.choice(
            [p.stem for p in sorted((repo / IMAGES / agent).glob("*.yaml")) if p.stem != stem]
        )
    elif whose == "agent":
        scenario = agent.rsplit("/", 1)[0]
        agent = random.choice(
            [each for each in agents(repo) if each.startswith(scenario + "/") and each != agent]
        )
    elif whose == "camera":
        camera = random.choice([f"camera{number}" for number in range(4) if f"camera{number}" != camera])
    else:
        split = agent.split("/")[0]
        agent = random.choice([each for each in agents(repo) if each.split("/")[0] != split])
    return _file(suffix, agent, stem, camera)


def _mutation(
    kind: str, paths: Iterable[Path], scope: str, change: Callable[[Path, list[Path]], None]
) -> Mutation:
    files = [str(path) for path in paths]
    what = {"file": "one file", "camera": "one camera of an agent", "agent": "one agent"}[scope]
    return Mutation(
        kind=kind,
        path=files[0],
        about=f"{what}: {kind} ({len(files)} files)",
        apply=lambda repo: change(repo, [repo / path for path in files]),
        files=tuple(files),
    )


def _frames(change: Callable[[Any, Random], None], seed: int, _repo: Path, paths: list[Path]) -> None:
    """A frame file's numbers changed, the same in all of them."""
    for path in paths:
        frame = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        change(frame, Random(seed))
        path.write_text(yaml.dump(frame, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))


def _arrays(change: Change, seed: int, _repo: Path, paths: list[Path]) -> None:
    """An image's or a depth map's numbers changed, the same in all of them."""
    import cv2

    for path in paths:
        if path.suffix == ".npy":
            np.save(path, np.ascontiguousarray(change(np.load(path), Random(seed))).astype(np.float32))
        else:
            picture = change(np.asarray(cv2.imread(str(path)), np.float32), Random(seed))
            cv2.imwrite(str(path), np.ascontiguousarray(picture.round().clip(0, 255).astype(np.uint8)))


def _copied(others: list[Path], repo: Path, paths: list[Path]) -> None:
    """Other files in the place of these: read before any is written."""
    contents = [(repo / other).read_bytes() for other in others]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
