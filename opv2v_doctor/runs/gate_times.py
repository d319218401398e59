"""How long the gate took the last time: the reports of it that runs keep."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path

from opv2v_doctor.foreign_files import bytes_of, from_json
from opv2v_doctor.text import Text

REPORT = "report.json"
LARGEST = 16 << 20  # bytes of a report


def last_times(root: Path) -> Mapping[str, float]:
    """Seconds that each check took, by code, in the newest report of a run below a folder."""
    written = {}
    for path in (*root.glob(f"*/{REPORT}"), *root.glob(f"*/*/{REPORT}")):
        with contextlib.suppress(OSError):
            written[path] = path.stat().st_mtime
    for path in sorted(written, key=lambda path: written[path], reverse=True):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            results = from_json(bytes_of(path, LARGEST))["results"]
            return {str(one["code"]): float(one["seconds"]) for one in results}
    return {}


def expectation(codes: Collection[str], known: Mapping[str, float]) -> Text:
    """What the gate will do, and how long these checks took the last time."""
    seen = [code for code in codes if code in known]
    if not seen:
        return Text("the gate, {n:check|checks}; no earlier run tells how long they take", n=len(codes))
    seconds = sum(known[code] for code in seen)
    took = Text("{n:.0f} s", n=seconds) if seconds < 120 else Text("{n:.0f} min", n=seconds / 60)
    if len(seen) == len(codes):
        return Text("the gate, {n:check|checks}, {took} the last time", n=len(codes), took=took)
    said = "the gate, {n:check|checks}, {seen} of which took {took} the last time"
    return Text(said, n=len(codes), seen=len(seen), took=took)
