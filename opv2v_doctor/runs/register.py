"""The register: all runs below a folder, stamped or not, the newest last."""

from __future__ import annotations

import datetime
import fnmatch
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from opv2v_doctor.facts.past.runs import CHECKPOINTS, LOG
from opv2v_doctor.runs import configuration
from opv2v_doctor.runs.directory import RECORD
from opv2v_doctor.runs.milestones import Milestones
from opv2v_doctor.runs.record import Run, RunStatus, read_run
from opv2v_doctor.runs.resume import stamped_config
from opv2v_doctor.text import Text
from opv2v_doctor.user_error import UsageError

UNREADABLE = Text("unreadable")
DEEPEST = 4  # folders below the one that is searched


@dataclass(frozen=True)
class RegisteredRun:
    """One directory of the register."""

    path: Path
    run: Run | None
    problem: str = ""

    @cached_property
    def reached(self) -> Milestones:
        return Milestones(self.path)

    @property
    def epochs(self) -> Text:
        """How many epochs it has trained, of how many its config asks for."""
        done = 0 if self.reached.epoch is None else self.reached.epoch + 1
        return Text("{n} of {planned}", n=done, planned=self.planned or Text("unknown"))

    @cached_property
    def planned(self) -> int | None:
        """The epochs of its config; None where there is none that tells."""
        file = stamped_config(self.run) if self.run else self.path / ".hydra" / configuration.FILE
        try:
            values = configuration.read_config(file) if file else {}
            return int(values["train_params"]["epochs"])
        except (UsageError, LookupError, TypeError, ValueError):
            return None

    @property
    def state(self) -> str:
        if self.run is None:
            return str(UNREADABLE) if self.problem else RunStatus.UNSTAMPED.value
        return self.run.state.value

    @property
    def started(self) -> datetime.datetime:
        """When it was started; for an unstamped one, when its oldest file was written last."""
        if self.run is not None:
            return self.run.first.started
        try:
            times = [path.stat().st_mtime for path in self.path.iterdir() if path.is_file()]
            return datetime.datetime.fromtimestamp(min(times, default=0.0), datetime.UTC)
        except (ValueError, OverflowError, OSError):  # no calendar has such a year, or it is gone
            return datetime.datetime.fromtimestamp(0, datetime.UTC)

    @property
    def verdict(self) -> str:
        gate = self.run.last.stamp.gate if self.run else None
        return str(gate) if gate else "-"

    @property
    def commit(self) -> str:
        stamp = self.run.stamp if self.run else None
        if stamp is None or stamp.commit is None:
            return "-"
        return stamp.commit[:8] + "+" * bool(stamp.dirty or any(n.endswith(".py") for n in stamp.untracked))


def entries(root: Path) -> list[RegisteredRun]:
    """Every run below a folder, and the folder itself if it is one."""
    found = [_entry(path) for path in _directories(root, DEEPEST)]
    return sorted(found, key=lambda entry: (entry.started, str(entry.path)))


def _directories(folder: Path, depth: int) -> Iterator[Path]:
    try:
        names = {entry.name: entry.is_dir(follow_symlinks=False) for entry in os.scandir(folder)}
    except OSError:
        return
    if RECORD in names or LOG in names or fnmatch.filter(names, CHECKPOINTS):
        yield folder
    for name in sorted(names):
        if depth and names[name] and not name.startswith("."):
            yield from _directories(folder / name, depth - 1)


def _entry(path: Path) -> RegisteredRun:
    if not os.path.lexists(path / RECORD):
        return RegisteredRun(path, None)
    try:
        return RegisteredRun(path, read_run(path))
    except UsageError as problem:
        return RegisteredRun(path, None, str(problem))
