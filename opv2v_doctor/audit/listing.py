"""Listing: the splits, scenarios, agents and files of an OPV2V dataset, one folder at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from opv2v_doctor.audit.file_record import File, FileKind
from opv2v_doctor.audit.storage import Storage, absolute, storage
from opv2v_doctor.layout import FileName, Layout, unknown_name
from opv2v_doctor.user_error import UsageError

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
    layout: Layout = field(default_factory=Layout)

    @property
    def storage(self) -> Storage:
        """The way to its files."""
        return storage(self.root)

    def storage_of(self, kind: str) -> Storage:
        """The way to the files of one kind."""
        return storage(self.depth) if kind == FileKind.DEPTH and self.depth else self.storage

    def folders(self) -> Iterator[Folder]:
        """Every agent's folder, sorted; a scenario without any, where it might have lost them."""
        for split, found in self._splits():
            if not _is_stranger(found):
                for scenario, names in found.items():
                    for agent in [name for name in names if AGENT.fullmatch(name)] or [""]:
                        yield Folder(split, scenario, agent)

    def strangers(self) -> Iterator[str]:
        """Folders that are no split, and those of scenarios that are no agent's."""
        for split, found in self._splits():
            if _is_stranger(found):
                yield f"{split}/"
            else:
                names = (name for each in found.values() for name in each)
                yield from (f"SCENARIO/{name}/" for name in names if not AGENT.fullmatch(name))

    def _splits(self) -> Iterator[tuple[str, dict[str, list[str]]]]:
        """Every folder that may be a split, with the folders of its scenarios."""
        for split in self.storage.folders():
            _verify(split)
            found = {}
            for scenario in self.storage.folders(split):
                _verify(scenario)
                found[scenario] = self.storage.folders(f"{split}/{scenario}")
            yield split, found

    def count(self, folder: Folder) -> int:
        """How many files of the dataset an agent's folder holds; faster than listing them."""
        names = ((place, name) for place in self._places(folder) for name in place.names(folder.path))
        return sum(self._named(place, name) is not None for place, name in names)

    def files(self, folder: Folder, unknown: Callable[[str], object] = lambda _: None) -> list[File]:
        """The files of one agent; `unknown` is told the names of those that are nothing that is read."""
        return [file for place in self._places(folder) for file in self._files(folder, place, unknown)]

    def _places(self, folder: Folder) -> list[Storage]:
        """Where the files of a folder lie; nowhere for a scenario without agents."""
        places = [self.storage, *([storage(self.depth)] if self.depth else [])]
        return places if folder.agent else []

    def _files(self, folder: Folder, place: Storage, unknown: Callable[[str], object]) -> Iterator[File]:
        for name, size, stamp in place.entries(folder.path):
            if found := self._named(place, name):
                kind, frame, camera = found
                yield File(f"{folder.path}/{name}", *folder, frame, kind, camera, size, stamp)
            elif not self.layout.parse(name):
                unknown(unknown_name(name))

    def _named(self, place: Storage, name: str) -> FileName | None:
        """What a file of this name is, None for nothing; depth counts where it is looked for."""
        found = self.layout.parse(name)
        if found is None or self.depth is None:
            return found
        return found if (found.kind is FileKind.DEPTH) == (place is not self.storage) else None


def _is_stranger(scenarios: Mapping[str, Sequence[str]]) -> bool:
    """Whether folders hold folders, and none of an agent: another tree than SCENARIO/AGENT."""
    names = [name for found in scenarios.values() for name in found]
    return bool(names) and not any(map(AGENT.fullmatch, names))


def _verify(name: str) -> None:
    """A UsageError for a folder whose name is not text: no record could name it."""
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise UsageError(f"folder {name!r}: its name is not UTF-8")


def dataset_at(root: str, depth: str | None = None, layout: Layout | None = None) -> Dataset:
    """The dataset with these roots, paths or URLs; depth that lies with the images is no second root."""
    found = Dataset(absolute(root), absolute(depth) if depth else None, layout or Layout())
    return replace(found, depth=None) if found.depth == found.root else found
