"""Checkpoint files as what they are, zip archives: changing a part without running or needing torch."""

import zipfile
from collections.abc import Callable
from pathlib import Path


def rewrite_pickle(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Replace the pickle in a checkpoint by what `change` makes of it; all other records stay."""
    with zipfile.ZipFile(path) as archive:
        records = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in records:
            written = change(content) if name.endswith("/data.pkl") else content
            archive.writestr(zipfile.ZipInfo(name), written)
