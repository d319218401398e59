"""The fingerprint of a dataset: a word that changes with any byte of any file, wherever the dataset lies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from opv2v_doctor.audit.inventory import Inventory


def fingerprint(records: Iterable[tuple[str, str | None]]) -> str:
    """The fingerprint of (path in the dataset, digest of its bytes), in whatever order they come.

    A file that could not be read has no digest, and counts as unread.
    """
    total = 0
    for path, digest in records:
        line = f"{path}\0{digest or 'unread'}".encode("utf-8", "surrogateescape")
        total += int.from_bytes(hashlib.sha256(line).digest(), "big")
    return f"{total % (1 << 256):064x}"[:32]


def inventory_fingerprint(inventory: Inventory) -> str:
    """The fingerprint of a surveyed dataset."""
    return fingerprint((path, digest) for path, digest in inventory.rows("SELECT path, digest FROM files"))
