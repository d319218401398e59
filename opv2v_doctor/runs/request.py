"""Requests: a training or an inference as it is asked for, all of it in one object."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from opv2v_doctor.facts.past.runs import LAST
from opv2v_doctor.reporters import Detail
from opv2v_doctor.runs.command_line import Nodes, chosen_directory
from opv2v_doctor.runs.earlier import chosen_checkpoint
from opv2v_doctor.runs.own_launch import OwnLaunch, own_launch
from opv2v_doctor.runs.record import Run, read_run
from opv2v_doctor.runs.snapshot import Snapshot
from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asks for, complete: the same whether it is printed, submitted or started."""

    target: Target
    force: str = ""
    require_clean: bool = False
    plugins: bool | None = None  # run by the gate, or left out; None: as they are trusted
    ignores: tuple[str, ...] = ()  # checks that the gate shall not run, with the reasons
    dry_run: bool = False
    detail: Detail = Detail.FAMILIES  # of what the gate tells

    @property
    def examined(self) -> Target:
        """The target that what runs is judged by."""
        return self.target

    @property
    def files(self) -> tuple[Path, ...]:
        """Which files decide what runs, beside the repository's own."""
        return ()


@dataclass(frozen=True, kw_only=True)
class InferenceRequest(Request):
    """An inference; the target's run is the one whose checkpoint is run."""

    checkpoint: Path | None = None
    split: str = "val"
    index: int = 0

    @property
    def file(self) -> Path:
        """The checkpoint. Raises UsageError where there is none."""
        return chosen_checkpoint(self.target.run, self.checkpoint)

    @property
    def files(self) -> tuple[Path, ...]:
        script = self.target.settings.infer.script
        return (*([self.target.repo / script] if script else []), self.file)


@dataclass(frozen=True, kw_only=True)
class TrainingRequest(Request):
    """A training, on one node or on each of several."""

    resume: Path | None = None
    fresh: bool = False
    steps_per_epoch: int | None = None  # that the schedule runs on
    nodes: Nodes = field(default_factory=Nodes)
    slurm: bool = False
    submitted: Snapshot | None = None  # the files as they were when a job was submitted
    command: tuple[str, ...] = ()  # the user's own, in the place of ours
    folder: Path = field(default_factory=Path.cwd)  # where that starts
    gpus: int | None = None  # that `--gpus` says, beside a command of the user's own
    keeps_python: bool = False  # `--python` says which one that runs on

    @property
    def own(self) -> OwnLaunch | None:
        """What the user's own command starts, None without one. Raises UsageError where it is no training."""
        return own_launch(self.command, self.folder, self.target.repo) if self.command else None

    @property
    def examined(self) -> Target:
        own = self.own
        return own.target(self.target, keeps_python=self.keeps_python) if own else self.target

    @property
    def files(self) -> tuple[Path, ...]:
        own = self.own
        resumed = (self.resume.resolve() / LAST,) if self.resume else ()
        return (*resumed, *(own.files if own else ()))


def request_text(request: TrainingRequest) -> str:
    """The request as JSON: every field of it, and of what it holds."""
    return TypeAdapter(TrainingRequest).dump_json(request).decode()


def read_request(text: str) -> TrainingRequest:
    """The request that was written."""
    return TypeAdapter(TrainingRequest).validate_json(text)


def verify_request(request: TrainingRequest) -> None:
    """Raises UsageError where what was asked for does not go together, with both words."""
    target, nodes = request.target, request.nodes
    chosen = chosen_directory(target.overrides)
    if request.fresh and request.resume:
        raise UsageError("--fresh begins anew and --resume goes on: give one of them")
    if request.resume and chosen is not None and _real(target.cwd / chosen) != _real(request.resume):
        raise UsageError(f"--resume {request.resume} goes on in its own directory: leave hydra.run.dir out")
    if target.gpus % nodes.count:
        raise UsageError(
            f"--gpus {target.gpus} counts all nodes: --nnodes {nodes.count} cannot share them evenly"
        )
    if not 0 <= nodes.rank < nodes.count:
        raise UsageError(
            f"--node-rank {nodes.rank}: --nnodes {nodes.count} count from 0 to {nodes.count - 1}"
        )
    if nodes.count == 1:
        return
    if request.fresh:
        raise UsageError("--fresh makes a directory of its own on each of --nnodes: leave it out")
    if nodes.endpoint is None and not request.slurm:
        raise UsageError("--nnodes: they need a place to meet: --rdzv-endpoint HOST:PORT of one of them")
    if chosen_directory(target.launch_overrides) is None and request.resume is None:
        raise UsageError("--nnodes: several nodes share one directory: choose it, hydra.run.dir=DIRECTORY")


def _real(path: Path) -> str:
    return os.path.realpath(path)


def earlier_of(request: TrainingRequest) -> Run | None:
    """The training that is gone on with. Raises UsageError where there is none in its directory."""
    earlier = read_run(request.resume) if request.resume else None
    if earlier is not None and earlier.stamp.kind != "train":
        raise UsageError(f"--resume {request.resume}: not a training")
    return earlier
