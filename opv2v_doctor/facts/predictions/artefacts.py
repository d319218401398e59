"""Artefacts: the arrays in the files that an inference script wrote, and what of its views each one holds."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor import clouds, rasters
from opv2v_doctor.facts.predictions.comparisons import AnsweredView, Scripted, WrittenFile
from opv2v_doctor.foreign_files import bytes_of, from_json
from opv2v_doctor.geometry.poses import invert
from opv2v_doctor.settings import OUTPUT, Infer
from opv2v_doctor.text import Place, Text

Array = NDArray[Any]
WORDS = {  # in the name of an array -> what it is, in either reading where the name leaves it open
    "pts3d": ("points",), "points": ("points",), "pointcloud": ("points",), "cloud": ("points",),
    "pcd": ("points",), "xyz": ("points",), "pts3d_cam": ("camera points",),
    "depth_along_ray": ("depth",), "depth_z": ("z depth",), "depth": ("depth", "z depth"),
    "depthmap": ("depth", "z depth"), "mask": ("mask",), "non_ambiguous_mask": ("mask",),
    "camera_poses": ("pose",), "camera_pose": ("pose",), "cam2world": ("pose",), "c2w": ("pose",),
    "pose": ("pose", "world to camera"), "poses": ("pose", "world to camera"), "w2c": ("world to camera",),
    "extrinsics": ("pose", "world to camera"), "extrinsic": ("pose", "world to camera"),
    "metric_scaling_factor": ("scale",), "metric_scale": ("scale",),
}  # fmt: skip
NEUTRAL = re.compile(
    r"\d+|pred|predicted|prediction|predictions|view|agent|frame|sample|cam|camera|final|world|map|maps"
)
OTHERS = re.compile(  # a word of what is no prediction, or no such thing
    r"gt|true|truth|target|label|input|given|errors?|err|mean|valid|sparse|conf|loss|diff|lidar"
)
CLOUDS = (".ply", ".pcd")
MOST = 400  # arrays that are looked at
KEYS = {  # what is written -> the model's or infer's key, in this order
    "points": ("pts3d",), "sampled points": ("pts3d",), "camera points": ("pts3d_cam",),
    "depth": ("depth_along_ray",), "scale": ("metric_scaling_factor",),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Artefact:
    """One array of a file that the script wrote."""

    file: WrittenFile
    name: str  # of the file, below the script's folder
    key: str  # in the file, empty where it holds one array
    array: Array

    @property
    def label(self) -> str:
        """As a setting would name it."""
        return f"{self.name}:{self.key}" if self.key else self.name

    @property
    def place(self) -> Place | None:
        return self.file.place


@dataclass(frozen=True, kw_only=True)
class OutputKind:
    """What an array shall be: a quantity, in axes of its own (columns and signs), times a factor."""

    quantity: str
    axes: tuple[tuple[int, int], ...] = ((0, 1), (1, 1), (2, 1))
    factor: float = 1.0

    def undone(self, array: Array) -> Array:
        """The array as the model would say it."""
        found = np.asarray(array, np.float64) / self.factor
        if "points" not in self.quantity or self.axes == OutputKind.axes or found.shape[-1] < 3:
            return found
        back = np.empty_like(found[..., :3])
        for here, (column, sign) in enumerate(self.axes):
            back[..., column] = sign * found[..., here]
        return back


def kind_of(words: str) -> OutputKind:
    """What a setting says that an array is."""
    found = OUTPUT.fullmatch(words)
    assert found is not None  # the settings were validated
    signed = re.findall(r"([+-]?)([xyz])", found["axes"] or "x,y,z")
    axes = tuple(("xyz".index(axis), -1 if sign == "-" else 1) for sign, axis in signed)
    return OutputKind(quantity=found["kind"], axes=axes, factor=float(found["factor"] or 1))


def kinds_of(artefact: Artefact, infer: Infer) -> tuple[OutputKind, ...]:
    """What an array may be, as the settings say, else as its name does; nothing where neither says it."""
    for pattern, words in infer.outputs:
        files, _, key = pattern.partition(":")
        names = (artefact.name, artefact.name.rpartition("/")[2])
        is_file = any(fnmatch.fnmatchcase(name, files) for name in names)
        if is_file and fnmatch.fnmatchcase(artefact.key, key or "*"):
            return (kind_of(words),)
    named = _named(artefact.key, Path(artefact.name).stem)
    if not named and artefact.name.endswith(CLOUDS) and not artefact.key:
        named = ("points",)
    return tuple(OutputKind(quantity=quantity) for quantity in named)


def _named(key: str, stem: str) -> tuple[str, ...]:
    """What an array is: all words of its key say it, or the last of a file's name, behind the sample's."""
    if (name := key.rpartition(".")[2].lower()) in WORDS:
        return WORDS[name]
    words = re.split(r"[_\-. ]+", (name if key else stem).lower())
    rest = [word for word in words if not NEUTRAL.fullmatch(word)]
    if any(OTHERS.fullmatch(word) for word in rest):
        return ()
    ends = range(1 if key or not rest else len(rest))
    return next((WORDS[end] for at in ends if (end := "_".join(rest[at:])) in WORDS), ())


def artefacts_of(script: Scripted, folder: Path) -> tuple[tuple[Artefact, ...], tuple[tuple[str, Text], ...]]:
    """The arrays that the script wrote, and the files that are not read, each with the reason."""
    found: list[Artefact] = []
    unread: list[tuple[str, Text]] = []
    for file in script.written:
        name = _below(file.path, folder)
        try:
            arrays = _arrays(file.path)
        except (OSError, ValueError, KeyError) as problem:
            reason = problem.args[0] if problem.args and isinstance(problem.args[0], Text) else str(problem)
            unread.append((name, reason if isinstance(reason, Text) else Text("{said}", said=reason)))
            continue
        found += [Artefact(file=file, name=name, key=key, array=array) for key, array in arrays.items()]
    return tuple(found[:MOST]), tuple(unread)


def _below(path: Path, folder: Path) -> str:
    for top in (folder / "output", folder / "cwd", folder):
        if path.is_relative_to(top.resolve()):
            return str(path.relative_to(top.resolve()))
    return path.name


def _arrays(path: Path) -> Mapping[str, Array]:
    """The arrays of a file by key. Raises OSError, and ValueError for another format or a broken file."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        return dict(_in_json(from_json(bytes_of(path)), ""))
    if suffix == ".npy":
        return {"": rasters.array(bytes_of(path, rasters.LARGEST))}
    if suffix == ".npz":
        return rasters.arrays(bytes_of(path, rasters.LARGEST))
    if suffix in CLOUDS:
        return {"": clouds.points(bytes_of(path, rasters.LARGEST), path.name)}
    if suffix == ".png":
        return {"": rasters.image_of(path, colour=False)}
    raise ValueError(Text("files of this form are not read: npy, npz, ply, pcd, png and json are"))


def _in_json(node: Any, key: str) -> Iterator[tuple[str, Array]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _in_json(value, f"{key}.{name}" if key else str(name))
        return
    try:
        array = np.asarray(node, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.size:
        yield key, array
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _in_json(value, f"{key}.{number}" if key else str(number))


class TrueView:
    """What the model answered for one view, without dimensions of one; and what `infer` kept of it."""

    def __init__(self, view: AnsweredView) -> None:
        self.view = view
        self._files = {**view.returned, **view.answered}

    def array(self, key: str) -> Array | None:
        """What the model answered under a key, else what `infer` returned."""
        return np.asarray(np.squeeze(np.load(self._files[key])), np.float64) if key in self._files else None

    def returned(self, key: str) -> Array | None:
        """What `infer` returned under a key."""
        file = self.view.returned.get(key)
        return np.asarray(np.squeeze(np.load(file)), np.float64) if file else None

    @cached_property
    def kept(self) -> Array | None:
        """The pixels (H, W) that `infer` kept; None where it told none."""
        for key in ("mask", "non_ambiguous_mask"):
            file = self.view.returned.get(key) or self.view.answered.get(key)
            if file:
                return np.asarray(np.squeeze(np.load(file)), bool)
        return None

    def truth(self, quantity: str) -> Array | None:
        """What an array of that kind should be; None where the model answered no such thing."""
        if quantity == "mask":
            return None if self.kept is None else self.kept.astype(np.float64)
        if quantity == "z depth":
            points = self.array("pts3d_cam")
            return self.array("depth_z") if points is None else points[..., 2]
        if quantity in ("pose", "world to camera"):
            pose = self.array("camera_poses")
            return invert(pose) if pose is not None and quantity == "world to camera" else pose
        return next((found for key in KEYS[quantity] if (found := self.array(key)) is not None), None)


def view_by_name(label: str, views: Sequence[TrueView]) -> int | None:
    """The one view whose agent or instance a name holds; None where it holds none, or several."""
    for names in ([one.view.instance for one in views], [one.view.agent for one in views]):
        if len({name for name in names if name}) < len(views):
            continue  # a name for several views tells none
        held = [number for number, name in enumerate(names) if name and _holds(label, name)]
        if len(held) == 1:
            return held[0]
    return None


def _holds(label: str, name: str) -> bool:
    plain = re.escape(re.sub(r"\W+", "_", name.strip("-")))
    return re.search(rf"(?<![0-9A-Za-z]){plain}(?![0-9A-Za-z])", re.sub(r"[^\w]+", "_", label)) is not None
