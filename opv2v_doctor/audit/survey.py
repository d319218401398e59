"""The survey: list the dataset, read what changed, and leave the inventory complete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from opv2v_doctor.audit.inventory import Inventory
from opv2v_doctor.audit.listing import Folder
from opv2v_doctor.audit.reading import Chunk
from opv2v_doctor.audit.workers import Readers

TOGETHER = 32  # files a chunk: a third of a second's work, which is what a kill costs

Advance = Callable[[str, int, int], None]


def survey(inventory: Inventory, readers: Readers, advance: Advance) -> None:
    """Bring the inventory up to date; `advance` is told what is done, how much, and of how much."""
    inventory.begin()
    folders = list(inventory.dataset.folders())
    inventory.unknown = Counter(inventory.dataset.strangers())
    total = _count(inventory, folders, advance)
    done = 0

    def kept(files: int) -> None:
        nonlocal done
        done += files
        advance("reading", done, total)

    for records in readers(_chunks(inventory, folders, kept)):
        inventory.store(records)
        kept(len(records))
    inventory.finish(folders)


def _count(inventory: Inventory, folders: list[Folder], advance: Advance) -> int:
    total = 0
    for index, folder in enumerate(folders):
        total += inventory.dataset.count(folder)
        advance("listing", index + 1, len(folders))
    return total


def _chunks(inventory: Inventory, folders: list[Folder], kept: Callable[[int], None]) -> Iterator[Chunk]:
    """What has to be read, folder by folder: no more than one folder's list is ever held."""
    for folder in folders:
        files = inventory.dataset.files(folder, lambda name: inventory.unknown.update([name]))
        changed = inventory.changed(folder, files)
        kept(len(files) - len(changed))
        for start in range(0, len(changed), TOGETHER):
            yield Chunk(inventory.dataset, changed[start : start + TOGETHER])
