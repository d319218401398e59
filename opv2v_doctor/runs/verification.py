"""Verifying a run directory: whether it still is what was stamped, and what was saved."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.past.checkpoints import read_checkpoint
from opv2v_doctor.facts.past.checkpoints.unreadable import CheckpointUnreadable
from opv2v_doctor.facts.past.runs import CHECKPOINTS, LEFTOVERS
from opv2v_doctor.foreign_files import open_file
from opv2v_doctor.runs import configuration, digests
from opv2v_doctor.runs.milestones import Milestones, json_lines
from opv2v_doctor.runs.record import Launch, Run, RunStatus
from opv2v_doctor.runs.secrets import without_secrets
from opv2v_doctor.runs.snapshot import ABSENT, sources_of
from opv2v_doctor.runs.vitals import EVENTS
from opv2v_doctor.user_error import UsageError

ENDS = 1 << 16  # bytes that the watch hashes at either end of a checkpoint


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One thing that was looked at: whether it is as it should be, and what is."""

    good: bool
    text: str


def evidence(run: Run) -> Iterator[Evidence]:
    """Everything that can be told about the directory, good or not."""
    if not run.is_stamped:
        yield Evidence(good=True, text="adopted, never stamped: nothing to compare its beginning with")
    for launch in run.launches:
        yield from _stamp(run, launch)
    yield Evidence(good=True, text=f"the last launch: {run.state}")
    yield from _checkpoints(run)


def departures_of(run: Run, launch: Launch | None = None) -> tuple[str, ...]:
    """In what a launch (the last one) was not what was stamped: sources as its ranks imported them, config.

    Nothing where the stamp or the watch does not tell.
    """
    launch = launch or run.last
    found: dict[str, None] = {}
    sources = sources_of(run, launch)
    folders = {Path(name).parent for name in sources}  # what is new in one of them was not stamped
    for event in json_lines(run.path / EVENTS) if sources else ():
        if event.get("event") == "start" and _is_of(event, launch):
            imported = event.get("sources")
            for file, digest in imported.items() if isinstance(imported, dict) else ():
                name = os.path.relpath(file, launch.stamp.repo or launch.stamp.cwd)
                stamped = sources.get(name, sources.get(file, ABSENT if Path(name).parent in folders else ""))
                if stamped and not stamped.startswith(str(digest)):
                    found[name] = None
    if launch is run.last:
        found |= dict.fromkeys(_config_departures(run))
    return tuple(found)


def _is_of(event: Mapping[str, Any], launch: Launch) -> bool:
    """Whether it happened in this launch."""
    time = event.get("time")
    if not isinstance(time, int | float) or time < launch.started.timestamp():
        return False
    return launch.ended is None or time < launch.ended.timestamp() + 1


def _config_departures(run: Run) -> Iterator[str]:
    """What Hydra composed for the launch, where it says so, against what was stamped."""
    stamped, composed = run.path / run.last.folder / configuration.FILE, run.path / ".hydra" / "config.yaml"
    try:
        if composed.stat().st_mtime < run.last.started.timestamp():
            return
        before, after = configuration.read_config(stamped), configuration.read_config(composed)
    except (OSError, UsageError):
        return
    for difference in configuration.differences(before, without_secrets(after)):
        yield f"config {difference}"


def _stamp(run: Run, launch: Launch) -> Iterator[Evidence]:
    if launch.status is RunStatus.UNSTAMPED:
        return
    good = launch.digest == launch.stamp.digest
    words = "as it was written" if good else "was edited after it was written"
    yield Evidence(good=good, text=f"stamp of launch {launch.number}: {words}")
    gate = launch.stamp.gate
    report = {"report.json": gate.report} if gate and gate.report else {}
    for name, digest in {**launch.stamp.files, **report}.items():
        problem = _change(run.path / launch.folder / name, digest)
        where = name if launch.folder == "." else f"{launch.folder}/{name}"
        yield Evidence(good=not problem, text=f"{where}: {problem or 'unchanged'}")
    for departure in launch.departures if launch.ended else departures_of(run, launch):
        yield Evidence(good=False, text=f"launch {launch.number} ran something else: {departure}")


def _change(path: Path, digest: str) -> str:
    try:
        return "" if digests.of_file(path) == digest else "is not what was stamped"
    except OSError as problem:
        return problem.strerror or str(problem)


def _checkpoints(run: Run) -> Iterator[Evidence]:
    """Every checkpoint can be read, and is what the watch saw saved last under its name."""
    saved = {Path(str(line.get("file", ""))).name: line for line in Milestones(run.path).saved}
    there = {path.name: path for path in sorted(run.path.glob(CHECKPOINTS))}
    for name, path in there.items():
        problem = _unlike(path, saved.get(name), watched=bool(saved))
        yield Evidence(good=not problem, text=f"{name}: {problem or _count(path)}")
    for name in sorted(set(saved) - set(there)):
        yield Evidence(good=False, text=f"{name}: was saved, and is not there")
    for path in sorted(run.path.glob(LEFTOVERS)):
        yield Evidence(good=True, text=f"{path.name}: left by a save that was killed; it may be removed")


def _unlike(path: Path, line: dict[str, Any] | None, *, watched: bool) -> str:
    try:
        checkpoint = read_checkpoint(path)
    except CheckpointUnreadable as problem:
        return str(problem)
    if not _is_whole(path):
        return "damaged: a part has not the sum that was stored with it"
    if line is None:
        return "the watch did not see it saved" if watched else ""
    if line.get("size") not in (None, checkpoint.size):
        return f"{checkpoint.size} bytes, {line['size']} were saved"
    if line.get("epoch") not in (None, checkpoint.epoch):
        return f"epoch {checkpoint.epoch}, saved as epoch {line['epoch']}"
    head, tail = _ends(path)
    if line.get("sha256", head) != head or line.get("tail", tail) != tail:
        return "its content is not what was saved"
    return ""


def _ends(path: Path) -> tuple[str, str]:
    """Hashes of the first and the last bytes; the last hold the sums of all parts."""
    with open_file(path) as file:
        head = digests.of_bytes(file.read(ENDS))
        file.seek(max(0, path.stat().st_size - ENDS))
        return head, digests.of_bytes(file.read(ENDS))


def _is_whole(path: Path) -> bool:
    """Whether every part has the sum that was stored with it; reads all, runs nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def _count(path: Path) -> str:
    return str(read_checkpoint(path).counted)
