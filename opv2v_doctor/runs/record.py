"""The record of a run, `run.json`: what was stamped at each launch, and what became of it."""

from __future__ import annotations

import datetime
import json
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from opv2v_doctor import __version__
from opv2v_doctor.atomic import write
from opv2v_doctor.foreign_files import bytes_of, from_json
from opv2v_doctor.runs import digests
from opv2v_doctor.runs.directory import RECORD
from opv2v_doctor.runs.processes import Process
from opv2v_doctor.text import Text, quoted
from opv2v_doctor.user_error import UsageError

SCHEMA = 1
LARGEST = 16 << 20  # bytes of a record


class RunStatus(StrEnum):
    """What became of a launch."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    UNSTAMPED = "unstamped"  # made by hand, adopted later

    @property
    def told(self) -> Text:
        """The word, as a reader is told it."""
        return _TOLD[self]


_TOLD = {
    RunStatus.RUNNING: Text("running"),
    RunStatus.FINISHED: Text("finished"),
    RunStatus.FAILED: Text("failed"),
    RunStatus.INTERRUPTED: Text("interrupted"),
    RunStatus.UNSTAMPED: Text("unstamped"),
}


class Verdict(BaseModel):
    """What the gate said, and the reason of a start in spite of it."""

    model_config = ConfigDict(frozen=True)

    exit_code: int
    report: str | None = None  # the file's digest
    forced: str = ""

    @property
    def told(self) -> Text:
        """What it said, in words."""
        words = {0: Text("passed"), 1: Text("failed"), 3: Text("no answer")}
        verdict = words.get(self.exit_code) or quoted(self.exit_code)
        return (
            Text("{verdict}, forced: {reason}", verdict=verdict, reason=self.forced)
            if self.forced
            else verdict
        )

    def __str__(self) -> str:
        return str(self.told)


class StampedDataset(BaseModel):
    """What the training read, as the last audit saw it; no fingerprint where it was never audited."""

    model_config = ConfigDict(frozen=True, extra="allow")

    roots: tuple[str, ...]
    fingerprint: str | None
    files: int | None = None
    audited: str | None = None


class Stamp(BaseModel):
    """Everything that decides what a launch computes, taken before its first step."""

    model_config = ConfigDict(frozen=True)

    kind: str = "train"
    command: str = ""
    argv: tuple[str, ...] = ()
    cwd: str = ""
    repo: str = ""  # of the sources' names; older records have none, and started there
    environment: dict[str, str] = {}
    commit: str | None = None
    branch: str | None = None
    remote: str | None = None
    without_commit: str = ""  # why no commit is known
    dirty: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()  # whether they changed, only a program that the repository names could tell
    submodules: dict[str, str] = {}
    overrides: tuple[str, ...] = ()
    given: tuple[str, ...] = ()  # the overrides of the command line among them
    config_hash: str | None = None
    world_size: int | None = None
    nodes: int = 1
    steps_per_epoch: int | None = None
    host: str = ""
    gpus: tuple[str, ...] = ()
    python: str = ""
    executable: str = ""
    packages: dict[str, str | None] = {}
    modules: dict[str, str] = {}
    dataset: StampedDataset | None = None
    checkpoint: dict[str, Any] | None = None
    gate: Verdict | None = None
    files: dict[str, str] = {}  # written beside: name -> digest

    @property
    def digest(self) -> str:
        """What tells whether the stamp itself was edited later."""
        later = {name for name in ("untold", "repo") if not getattr(self, name)}  # older records know none
        return digests.of_values(self.model_dump(mode="json", exclude=later))


class RankFailure(BaseModel):
    """The first rank that failed, how, and its last lines."""

    model_config = ConfigDict(frozen=True)

    rank: int | None = None
    exit_code: int | None = None
    signal: str | None = None
    log: str | None = None
    last_lines: tuple[str, ...] = ()
    disk_full: bool = False  # then the last lines could not be written either


class Launch(BaseModel):
    """One launch of a run: the first one, or one that resumed it."""

    model_config = ConfigDict(frozen=True)

    number: int = 1
    folder: str = "."  # where its stamped files are, from the run directory
    stamp: Stamp
    digest: str
    token: str = ""
    process: Process | None = None
    started: AwareDatetime
    ended: AwareDatetime | None = None
    status: RunStatus = RunStatus.RUNNING
    exit_code: int | None = None
    failure: RankFailure | None = None
    departures: tuple[str, ...] = ()  # in which it was not what was stamped

    @property
    def state(self) -> RunStatus:
        """What became of it; without a word of its end, a launch whose process is gone was interrupted."""
        gone = self.process is None or (self.process.is_here and not self.process.lives)
        return RunStatus.INTERRUPTED if self.status is RunStatus.RUNNING and gone else self.status


class Run(BaseModel):
    """A run: one directory, and the launches that wrote into it."""

    model_config = ConfigDict(frozen=True)

    path: Path
    launches: tuple[Launch, ...] = Field(min_length=1)

    @property
    def first(self) -> Launch:
        return self.launches[0]

    @property
    def last(self) -> Launch:
        return self.launches[-1]

    @property
    def stamp(self) -> Stamp:
        """The first launch's: what the run is."""
        return self.first.stamp

    @property
    def state(self) -> RunStatus:
        return self.last.state

    @property
    def is_stamped(self) -> bool:
        return self.first.status is not RunStatus.UNSTAMPED

    def with_last(self, **changes: Any) -> Run:
        """The run, its last launch changed."""
        last = self.last.model_copy(update=changes)
        return self.model_copy(update={"launches": (*self.launches[:-1], last)})

    def save(self) -> None:
        """Write run.json. Raises NotWritten, and then the old one is still there."""
        document = {
            "schema": SCHEMA,
            "tool": {"name": "opv2v-doctor", "version": __version__},
            **self.stamp.model_dump(mode="json"),
            "stamped": self.is_stamped,
            "status": self.last.status,
            "started": self.first.started.isoformat(),
            "ended": self.last.ended.isoformat() if self.last.ended else None,
            "exit_code": self.last.exit_code,
            "launches": [launch.model_dump(mode="json") for launch in self.launches],
        }
        write(self.path / RECORD, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def now() -> datetime.datetime:
    """The time, as it is written down."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def read_run(path: Path) -> Run:
    """Read a run directory's record. Raises UsageError where there is none that can be read."""
    place = path.resolve()
    try:
        document = from_json(bytes_of(place / RECORD, LARGEST))
        if not isinstance(document, dict) or not isinstance(document.get("schema"), int):
            raise ValueError("it names no schema")
        if document["schema"] > SCHEMA:
            raise UsageError(f"{place / RECORD} was written by a newer opv2v-doctor")
        return Run(path=place, launches=document["launches"])
    except FileNotFoundError:
        hint = f"`opv2v-doctor runs adopt {path}` makes one of a directory that was trained by hand"
        raise UsageError(f"{path} holds no stamped run (no {RECORD}): {hint}") from None
    except OSError as problem:
        raise UsageError(f"{place / RECORD} cannot be read: {problem.strerror}") from None
    except (ValueError, KeyError, TypeError) as problem:  # pydantic's are values, too
        raise UsageError(f"{place / RECORD} is not a run's record: {_first_line(problem)}") from None


def _first_line(problem: Exception) -> str:
    """What is wrong, and where: pydantic tells one thing a paragraph."""
    if isinstance(problem, ValidationError):
        first = problem.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"no {problem}" if isinstance(problem, KeyError) else str(problem).splitlines()[0]
