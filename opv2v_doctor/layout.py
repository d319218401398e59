"""Layout: how a dataset names the files of a frame, and the words of its frame files; OPV2V's unless told."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

DIGITS = "0123456789"
FRAME = "[0-9]*.yaml"
SPLITS = ("train", "validate", "test")  # by which a folder of a dataset is known
NAMEABLE = tuple(f"camera{number}" for number in range(10))  # more than any rig has
CAMERAS = NAMEABLE[:4]  # of OPV2V's rig


class FileKind(StrEnum):
    """What a file holds."""

    FRAME = "frame"  # poses and cameras
    IMAGE = "image"
    CLOUD = "cloud"
    DEPTH = "depth"


class FileName(NamedTuple):
    """What a file's name says; the camera is ours, camera0 and so on, empty for what has none."""

    kind: FileKind
    frame: str
    camera: str


@dataclass(frozen=True)
class Layout:
    """Patterns of file names, the first one being that of a file that is missing, and words of frame files.

    A pattern holds {frame} and, of images and depth, {camera} or its {number}.
    """

    image: tuple[str, ...] = tuple(f"{{frame}}_{{camera}}.{end}" for end in ("png", "jpg", "jpeg"))
    depth: tuple[str, ...] = (
        *(f"{{frame}}_{{camera}}_depth.{end}" for end in ("npy", "npz", "exr", "png")),
        "{frame}_depth{number}.png",  # of OPV2V-H
    )
    cloud: tuple[str, ...] = tuple(f"{{frame}}.{end}" for end in ("pcd", "bin", "npy"))
    depth_scale: float | None = None  # metres that a step of depth in whole numbers is
    cameras: tuple[str, ...] = CAMERAS
    lidar_pose: str = "lidar_pose"
    cords: str = "cords"
    intrinsic: str = "intrinsic"

    def file(self, kind: FileKind, frame: str, camera: str = "") -> str:
        """The name of a file that is or should be there."""
        return frame + self._ending(getattr(self, kind)[0], camera)

    def parse(self, name: str) -> FileName | None:
        """What a file is by its name, None where it is nothing that is read."""
        ending = name.lstrip(DIGITS)
        found = _endings(self).get(ending) if len(ending) < len(name) else None
        return FileName(found[0], name[: len(name) - len(ending)], found[1]) if found else None

    def known(self, ending: str) -> tuple[FileKind, str] | None:
        """Kind and camera of the files whose names end so behind their frame."""
        return _endings(self).get(ending)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """How the names of its files may end."""
        patterns = (*self.image, *self.depth, *self.cloud)
        return tuple(dict.fromkeys(pattern[pattern.rindex(".") :] for pattern in patterns if "." in pattern))

    def settled(self, endings: Mapping[str, int], code: Collection[str] = ()) -> Layout:
        """The layout with one pattern of each kind: the one that most of the files have.

        Of those that files have, the ones that end as words of the loader's `code` do come first.
        """
        chosen: dict[str, Any] = {}
        for kind in (FileKind.IMAGE, FileKind.DEPTH, FileKind.CLOUD):
            patterns: tuple[str, ...] = getattr(self, kind)
            counts = {p: sum(endings.get(self._ending(p, own), 0) for own in NAMEABLE) for p in patterns}
            told = [p for p in patterns if counts[p] and any(_reads(word, kind, p) for word in code)]
            chosen[kind.value] = (max(told or patterns, key=counts.__getitem__),)
        return replace(self, **chosen)

    def canonical(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """What a frame file says, under OPV2V's own words."""
        if not _renamed(self):
            return dict(document)
        top = {self.lidar_pose: "lidar_pose", **dict(zip(self.cameras, NAMEABLE, strict=False))}
        inner = {self.cords: "cords", self.intrinsic: "intrinsic"}
        found = _with_words(document, top)
        for camera in NAMEABLE:
            if isinstance(entry := found.get(camera), Mapping):
                found[camera] = _with_words(entry, inner)
        return found

    def camera(self, word: str) -> str | None:
        """Our name of the camera that a word names."""
        told = dict(zip(self.cameras, NAMEABLE, strict=False))
        return told.get(word, word if word in NAMEABLE else None)

    def _ending(self, pattern: str, camera: str) -> str:
        place = NAMEABLE.index(camera) if camera in NAMEABLE else -1
        theirs = self.cameras[place] if 0 <= place < len(self.cameras) else camera
        return pattern.removeprefix("{frame}").replace("{camera}", theirs).replace("{number}", camera[6:])


def _reads(word: str, kind: FileKind, pattern: str) -> bool:
    """Whether a word of a loader names files of this kind: a picture is depth only where it says so."""
    of_depth = "depth" in word or (kind is FileKind.DEPTH and not pattern.endswith(".png"))
    return (kind is FileKind.DEPTH) == of_depth and word.endswith(pattern[pattern.rindex(".") :])


def _with_words(document: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, Any]:
    """The document with each of these words in place of what it has under that name."""
    ours = {mine for theirs, mine in words.items() if theirs in document}
    kept = {key: value for key, value in document.items() if key not in ours and key not in words}
    return kept | {mine: document[theirs] for theirs, mine in words.items() if theirs in document}


@lru_cache(maxsize=16)
def _renamed(layout: Layout) -> bool:
    """Whether its frame files have other words than OPV2V's."""
    plain = Layout()
    words = (layout.cameras, layout.lidar_pose, layout.cords, layout.intrinsic)
    return words != (plain.cameras, plain.lidar_pose, plain.cords, plain.intrinsic)


@lru_cache(maxsize=256)
def _endings(layout: Layout) -> Mapping[str, tuple[FileKind, str]]:
    """What follows the frame in a file's name -> its kind, and its camera."""
    found = {".yaml": (FileKind.FRAME, "")}
    for kind in (FileKind.CLOUD, FileKind.DEPTH, FileKind.IMAGE):
        for pattern in reversed(getattr(layout, kind)):
            of_camera = "{camera}" in pattern or "{number}" in pattern
            for camera in reversed(NAMEABLE) if of_camera else ("",):
                found[layout._ending(pattern, camera)] = (kind, camera)
    return found


def unknown_name(name: str) -> str:
    """A name that says nothing to us, with FRAME for a frame's number: many files, one name."""
    return re.sub(r"^[0-9]+", "FRAME", name)


def dataset_root(folder: Path) -> Path | None:
    """The root of SPLIT/SCENARIO/AGENT/FRAME.yaml that a folder is, holds, or lies in; None for none."""
    for level in range(3):
        if next(folder.glob("*/" * level + FRAME), None):
            return folder.resolve().parents[2 - level]
    for beyond in ("", "*/", "*/*/"):
        for split in SPLITS:
            if found := next(folder.glob(f"{beyond}{split}/*/*/{FRAME}"), None):
                return found.parents[3]
    return None
