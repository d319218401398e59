"""Listing: the splits, scenarios, agents and files of an OPV2V dataset, one folder at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from opv2v_doctor.audit.file_record import File, FileKind
from opv2v_doctor.audit.storage import Storage, absolute, storage
from opv2v_doctor.user_error import UsageError

FILE = re.compile(
    r"(?P<frame>[0-9]+)(?:_(?P<camera>camera[0-9]+)(?P<depth>_depth)?)?\.(?P<suffix>yaml|pcd|png|npy)"
)
AGENT = re.compile(r"-?[0-9]+")  # roadside agents have negative numbers


class Folder(NamedTuple):
    """An agent's folder; `agent` is empty for a scenario that has none."""

    split: str
    scenario: str
    agent: str

    @property
    def path(self) -> str:
        return "/".join(part for part in self if part)


@dataclass(frozen=True)
class Dataset:
    """A dataset: the URL of its root, and that of its depth, which may lie elsewhere."""

    root: str
    depth: str | None = None

    @property
    def storage(self) -> Storage:
        """The way to its files."""
        return storage(self.root)

    def storage_of(self, kind: str) -> Storage:
        """The way to the files of one kind."""
        return storage(self.depth) if kind == FileKind.DEPTH and self.depth else self.storage

    def folders(self) -> Iterator[Folder]:
        """Every agent's folder, sorted."""
        for split in self.storage.folders():
            _verify(split)
            for scenario in self.storage.folders(split):
                _verify(scenario)
                names = self.storage.folders(f"{split}/{scenario}")
                agents = [name for name in names if AGENT.fullmatch(name)]
                for agent in agents or [""]:
                    yield Folder(split, scenario, agent)

    def count(self, folder: Folder) -> int:
        """How many files of the dataset an agent's folder holds; faster than listing them."""
        names = ((place, name) for place in self._places(folder) for name in place.names(folder.path))
        return sum(self._kind(place, name) is not None for place, name in names)

    def files(self, folder: Folder) -> list[File]:
        """The files of one agent."""
        return [file for place in self._places(folder) for file in self._files(folder, place)]

    def _places(self, folder: Folder) -> list[Storage]:
        """Where the files of a folder lie; nowhere for a scenario without agents."""
        places = [self.storage, *([storage(self.depth)] if self.depth else [])]
        return places if folder.agent else []

    def _files(self, folder: Folder, place: Storage) -> Iterator[File]:
        for name, size, stamp in place.entries(folder.path):
            kind, match = self._kind(place, name), FILE.fullmatch(name)
            if kind and match:
                path, camera = f"{folder.path}/{name}", match["camera"] or ""
                yield File(path, *folder, match["frame"], kind, camera, size, stamp)

    def _kind(self, place: Storage, name: str) -> FileKind | None:
        """What a file of this name is, None for nothing; depth counts where it is looked for."""
        match = FILE.fullmatch(name)
        kind = _kind_of(match) if match else None
        if self.depth is None:
            return kind
        return kind if (kind is FileKind.DEPTH) == (place is not self.storage) else None


def _kind_of(match: re.Match[str]) -> FileKind | None:
    suffix, camera, depth = match["suffix"], match["camera"], match["depth"]
    if depth:
        return FileKind.DEPTH if suffix in ("npy", "png") else None
    if camera:
        return FileKind.IMAGE if suffix == "png" else None
    return {"yaml": FileKind.FRAME, "pcd": FileKind.CLOUD}.get(suffix)


def _verify(name: str) -> None:
    """A UsageError for a folder whose name is not text: no record could name it."""
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise UsageError(f"folder {name!r}: its name is not UTF-8")


def dataset_at(root: str, depth: str | None = None) -> Dataset:
    """The dataset with these roots, paths or URLs; depth that lies with the images is no second root."""
    found = Dataset(absolute(root), absolute(depth) if depth else None)
    return Dataset(found.root) if found.depth == found.root else found
