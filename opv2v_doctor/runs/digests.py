"""Digests: what tells whether a text, a file or a record is still the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from opv2v_doctor.foreign_files import open_file


def of_bytes(content: bytes) -> str:
    """SHA-256 of a content."""
    return hashlib.sha256(content).hexdigest()


def of_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_values(values: Any) -> str:
    """SHA-256 of plain values, whatever the order of their keys."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return of_bytes(text.encode())
