"""The stamp of a launch: what will run, taken before step 0, and the files for what is too long for it."""

from __future__ import annotations

import os
import shlex
import socket
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from opv2v_doctor.atomic import NotWritten, write, write_all
from opv2v_doctor.audit.last_audit import last_audit
from opv2v_doctor.audit.listing import dataset_at
from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.launch.config import config
from opv2v_doctor.facts.launch.datasets import data_roots
from opv2v_doctor.facts.launch.loaders import computed_length
from opv2v_doctor.facts.machine.environment import interpreter
from opv2v_doctor.facts.machine.gpus import gpus
from opv2v_doctor.facts.source.commit import git_state
from opv2v_doctor.facts.source.copies import resolutions
from opv2v_doctor.runs import configuration, digests, patch, processes, secrets, snapshot
from opv2v_doctor.runs.directory import RESERVE, Claim, number_of_launch
from opv2v_doctor.runs.record import Launch, Run, Stamp, StampedDataset, Verdict, now
from opv2v_doctor.runs.snapshot import Snapshot
from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError

Files = Mapping[str, bytes]  # that belong to a stamp, by their names
STAMPS = "stamps"
RESERVED = 1 << 16  # bytes: room for the end of the record on a disk that is full then


class Job(Protocol):
    """What of a job its stamp tells."""

    @property
    def kind(self) -> str: ...
    @property
    def target(self) -> Target: ...
    @property
    def home(self) -> Path:
        """The directory that its config speaks of."""

    @property
    def command(self) -> Sequence[str]: ...
    @property
    def cwd(self) -> Path:
        """Where that starts."""

    @property
    def given(self) -> Sequence[str]:
        """Its overrides, without the directory's."""

    @property
    def nodes(self) -> int: ...
    @property
    def checkpoint(self) -> Mapping[str, Any] | None: ...


def stamp_of(job: Job, before: Snapshot, gate: Verdict | None) -> tuple[Stamp, Files]:
    """The stamp of a job in its directory, and the files that belong to it. Writes nothing.

    Raises UsageError where it cannot be told what would run.
    """
    try:
        return _stamp_of(job, before, gate)
    except Blocked as problem:
        way_out = f" ({problem.hint})" if problem.hint else ""
        raise UsageError(f"what would run cannot be stamped: {problem}{way_out}") from None


def _stamp_of(job: Job, before: Snapshot, gate: Verdict | None) -> tuple[Stamp, Files]:
    target = job.target
    state, values = git_state(target), configuration.values_of(target, job.home)
    words = [secrets.without_secret(word) for word in job.command]
    packages = _packages(target)
    files = {
        "diff.patch": patch.diff_patch(target),
        "untracked.txt": patch.untracked_text(target).encode("utf-8", "surrogateescape"),
        configuration.FILE: configuration.text(values),
        snapshot.FILE: snapshot.sources_text(before),
        "packages.txt": "".join(f"{line}\n" for line in packages).encode(),
    }
    here = interpreter(target)
    stamp = Stamp(
        kind=job.kind,
        command=shlex.join(words),
        argv=tuple(words),
        cwd=str(job.cwd),
        repo=str(target.repo),
        environment=secrets.environment({**os.environ, **target.launch_env}),
        commit=state.commit,
        branch=state.branch,
        remote=patch.remote(target),
        without_commit=str(state.reason),
        dirty=state.dirty,
        untracked=state.untracked,
        untold=state.untold,
        submodules=patch.submodules(target),
        overrides=tuple(map(secrets.without_secret, target.launch_overrides)),
        given=tuple(map(secrets.without_secret, job.given)),
        config_hash=configuration.digest(values),
        world_size=target.gpus,
        nodes=job.nodes,
        steps_per_epoch=expected_steps(target),
        host=socket.gethostname(),
        gpus=_gpu_names(target),
        python=here.version,
        executable=here.executable,
        packages=dict(here.versions),
        modules=_modules(target),
        dataset=_dataset(target),
        checkpoint=dict(job.checkpoint) if job.checkpoint else None,
        gate=gate,
        files={name: digests.of_bytes(content) for name, content in files.items()},
    )
    return stamp, files


def write_stamp(place: Claim, stamp: Stamp, files: Files, earlier: Run | None = None) -> Run:
    """Write the stamp, its files first and the record last; from then on the directory is a run.

    Raises NotWritten, and then an earlier record and everything else is as it was.
    """
    number = number_of_launch(earlier)
    folder = place.path if number == 1 else place.path / STAMPS / str(number)
    launch = Launch(
        number=number,
        folder=os.path.relpath(folder, place.path),
        stamp=stamp,
        digest=stamp.digest,
        token=uuid.uuid4().hex,
        process=processes.this_process(),
        started=now(),
    )
    run = Run(path=place.path, launches=(*(earlier.launches if earlier else ()), launch))
    _write(run, folder, files)
    place.keep()
    return run


def _write(run: Run, folder: Path, files: Files) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_all(folder, files)
        try:
            write(run.path / RESERVE, bytes(RESERVED))
            run.save()
        except NotWritten:
            for name in files:
                (folder / name).unlink(missing_ok=True)
            (run.path / RESERVE).unlink(missing_ok=True)
            raise
    except OSError as problem:
        raise NotWritten(f"{folder} cannot be made: {problem.strerror}") from None


def expected_steps(target: Target) -> int | None:
    """Steps an epoch as the config implies them; None where only the data can tell."""
    try:
        length = computed_length(target, target.gpus)
    except Blocked:
        return None
    return length.steps if length else None


def epochs(target: Target) -> int | None:
    """How many epochs the config asks for."""
    try:
        return int(config(target).get("train_params.epochs"))
    except (TypeError, ValueError):
        return None


def _packages(target: Target) -> list[str]:
    """What is installed for the training interpreter, as pip writes it, with what was not from an index."""
    found = questions.installed(target)
    return [
        f"{name}=={version}" + (f"  # {secrets.without_credentials(origin)}" if origin else "")
        for name, version, origin in found
    ]


def _gpu_names(target: Target) -> tuple[str, ...]:
    try:
        found = gpus(target)
    except Blocked as problem:
        return (f"unknown: {problem}",)
    return tuple(gpu.name for gpu in found.visible) if found else ()


def _dataset(target: Target) -> StampedDataset | None:
    """Where the training's dataset lies, and its fingerprint by the last audit; null where there is none."""
    try:
        roots = data_roots(target)
    except (Blocked, Skip):
        return None
    if not roots:
        return None
    depth = str(roots[1]) if len(roots) > 1 else None
    known = last_audit(dataset_at(str(roots[0]), depth, target.settings.layout))
    return StampedDataset(
        roots=tuple(map(str, roots)),
        fingerprint=known.fingerprint if known else None,
        files=known.files if known else None,
        audited=known.audited.isoformat() if known else None,
    )


def _modules(target: Target) -> dict[str, str]:
    """The file of each first-party module that the launch will import."""
    try:
        found = resolutions(target)
    except Blocked as problem:
        return {"unknown": str(problem)}
    return {each.module.name: each.winner.shown if each.winner else "nowhere" for each in found}
