"""A training as a job of the pipeline: its directory, command and watch; what a resume and a node need."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.source.commit import git_state
from opv2v_doctor.facts.source.first_party import first_party
from opv2v_doctor.facts.source.names import watched
from opv2v_doctor.runs.command_line import RUN_DIRECTORY, command, directory_override, without_directory
from opv2v_doctor.runs.companions import companions_of
from opv2v_doctor.runs.destination import composed_directory, is_timed, places_of, root_of, with_dataset
from opv2v_doctor.runs.directory import new_directories, number_of_launch, output_folder
from opv2v_doctor.runs.earlier import secrets_of, with_given
from opv2v_doctor.runs.launcher import Display, Plan
from opv2v_doctor.runs.own_launch import OwnLaunch
from opv2v_doctor.runs.record import Run, RunStatus, Stamp, read_run
from opv2v_doctor.runs.request import TrainingRequest, earlier_of
from opv2v_doctor.runs.resume import remarks
from opv2v_doctor.runs.snapshot import FILE, Snapshot, read_sources, sources_of
from opv2v_doctor.runs.stamp import Files, stamp_of
from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError

JOINING = 600.0  # seconds that a node waits for the first one's stamp


@dataclass(frozen=True, kw_only=True)
class Training:
    """What was asked for, with all that follows from it before its directory is claimed."""

    request: TrainingRequest
    target: Target
    earlier: Run | None  # that it goes on with
    places: Sequence[Path]  # directories that it may take: the first that is free
    own: OwnLaunch | None = None  # the user's own command

    kind = "train"
    checkpoint: Mapping[str, Any] | None = None

    def at(self, run: Path) -> Training:
        """The training in this directory, which its own command has chosen already."""
        if self.own is not None:
            return replace(self, places=[run])
        overrides = (*without_directory(self.target.overrides), directory_override(run))
        return replace(self, target=replace(self.target, overrides=overrides), places=[run])

    @property
    def cwd(self) -> Path:
        return self.own.cwd if self.own else self.target.cwd

    @property
    def home(self) -> Path:
        """The directory that the config speaks of."""
        return self.places[0]

    @property
    def given(self) -> Sequence[str]:
        return without_directory(self.target.overrides)

    @property
    def nodes(self) -> int:
        return self.request.nodes.count

    @property
    def command(self) -> list[str]:
        return self._command(number_of_launch(self.earlier))

    def _command(self, number: int) -> list[str]:
        if self.own is not None:
            return list(self.own.command)
        nodes = self.request.nodes
        return command(self.target, self.home, output_folder(self.home, number, nodes.rank), nodes)

    def verify_resume(self, display: Display, before: Snapshot) -> None:
        """Say what differs from the run. Raises UsageError for what stands in the way of going on with it."""
        if self.earlier is None:
            return
        stamp, _ = stamp_of(self, before, None)
        words = list(remarks(self.target, self.earlier, stamp))
        for word in words:
            display.say(str(word))
        if any(word.is_obstacle for word in words) and not self.request.force:
            raise UsageError(
                f"--resume {self.home}: not as it was, see above (--force REASON goes on all the same)"
            )

    def verify_like(self, run: Run, ours: Stamp, files: Files) -> None:
        """Raises UsageError where the first node stamped something else than this one would run."""
        theirs = run.last.stamp
        names = ("commit", "config_hash", "world_size", "steps_per_epoch")
        unlike = [name for name in names if getattr(theirs, name) != getattr(ours, name)]
        unlike += [name for name in ("diff.patch",) if theirs.files.get(name) != ours.files[name]]
        there, here = sources_of(run, run.last), read_sources(files[FILE])
        unlike += [
            name
            for name in sorted({*there, *here})
            if there.get(name) != here.get(name) and not Path(name).is_absolute()  # of another machine
        ]
        if unlike and not self.request.force:
            raise UsageError(f"this node is not as the first one: {', '.join(unlike)} differ")

    def plan(self, run: Run) -> Plan:
        """What starts, once the run is stamped."""
        settings, stamp, nodes = self.target.settings, run.last.stamp, self.request.nodes
        each = self.target.gpus // nodes.count
        own = self.own
        return Plan(
            command=self._command(run.last.number),
            cwd=self.cwd,
            env=dict(own.env) if own else self.target.launch_env,
            watch={
                **self.target.watched,
                "run": str(run.path),
                "expected_steps": None if own and own.launch.untold else stamp.steps_per_epoch,
                "steps_per_epoch": self.request.steps_per_epoch or settings.watch.steps_per_epoch,
                "every": settings.watch.every,
                "commit": stamp.commit,
                "config_hash": stamp.config_hash,
                "names": watched(self.target),
                "views": dict(settings.names.views),
                "packages": first_party(self.target),
            },
            ranks=range(nodes.rank * each, (nodes.rank + 1) * each),
            patience=settings.launch.patience,
            silence=settings.launch.silence,
            end_stalled=settings.launch.end_stalled,
            accompany=partial(companions_of, self.target) if nodes.is_first else None,
        )


def training(request: TrainingRequest, display: Display) -> Training:
    """The training that was asked for. Raises UsageError where there is none to go on with."""
    earlier, target, own = earlier_of(request), request.examined, request.own
    if own is not None:
        return _own_training(request, target, own, earlier, display)
    if earlier is not None:
        for key in secrets_of(earlier):
            display.say(f"{key} was not stamped, being secret: give it again if it is needed")
        target = with_given(target, earlier)
    target = with_dataset(target, display)
    places = [earlier.path] if earlier else places_of(target, request.fresh)
    return Training(request=request, target=target, earlier=earlier, places=places)


def _own_training(
    request: TrainingRequest, target: Target, own: OwnLaunch, earlier: Run | None, display: Display
) -> Training:
    """The training that the user's own command starts, in the directory that this names.

    Where the command names a new one at each start, the record stands apart, beside them.
    """
    for words in own.remarks:
        display.say(words)
    if own.launch.gpus is None and request.gpus is None:
        raise UsageError(
            "how many ranks the command starts is not written in it: say it, --gpus N before `--`"
        )
    if own.launch.gpus and request.gpus and own.launch.gpus != request.gpus:
        raise UsageError(f"--gpus {request.gpus}, but the command starts {own.launch.gpus}: leave it out")
    place = composed_directory(target)
    if is_timed(place) or RUN_DIRECTORY in own.launch.untold:
        if earlier is not None:
            raise UsageError(f"--resume {request.resume}: the command names a new directory at each start")
        places = new_directories(root_of(target), git_state(target).commit)
        display.say(f"the training names its directory as it starts ({place.name}): the record stands apart")
    elif earlier is not None and os.path.realpath(place) != os.path.realpath(earlier.path):
        raise UsageError(f"--resume {request.resume}: the command trains in {place}")
    else:
        places = [place]
    return Training(request=request, target=target, earlier=earlier, places=places, own=own)


def first_stamp(places: Sequence[Path]) -> tuple[Run, int]:
    """The run that the first node has stamped, once it has, and what stands for its lock on this node."""
    if len(places) > 1:
        raise UsageError("several nodes share one directory: choose it for all, hydra.run.dir=DIRECTORY")
    deadline = time.monotonic() + JOINING
    while time.monotonic() < deadline:
        try:
            run = read_run(places[0])
            if run.last.status is RunStatus.RUNNING:
                return run, os.open(os.devnull, os.O_RDONLY)
        except UsageError:
            pass
        time.sleep(1)
    raise UsageError(f"{places[0]}: no first node has stamped a run here within {JOINING:.0f} s")
