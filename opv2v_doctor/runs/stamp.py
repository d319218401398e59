"""The stamp of a launch: what will run, taken before step 0, and the files for what is too long for it."""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.audit.listing import dataset_at
from opv2v_doctor.audit.remembered import remembered
from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.config import config
from opv2v_doctor.facts.copies import resolutions
from opv2v_doctor.facts.datasets import data_roots
from opv2v_doctor.facts.environment import interpreter
from opv2v_doctor.facts.git import git_state
from opv2v_doctor.facts.gpus import gpus
from opv2v_doctor.facts.loaders import computed_length
from opv2v_doctor.facts.probe import ask
from opv2v_doctor.runs import configuration, digests, patch, secrets
from opv2v_doctor.runs.record import Dataset, Stamp, Verdict
from opv2v_doctor.target import Target


@dataclass(frozen=True, kw_only=True)
class Stamped:
    """A stamp, and the files that belong to it."""

    stamp: Stamp
    files: dict[str, bytes]


def stamped(
    target: Target,
    run: Path,
    command: Sequence[str],
    *,
    kind: str = "train",
    nodes: int = 1,
    given: Sequence[str] = (),
    gate: Verdict | None = None,
    checkpoint: dict[str, Any] | None = None,
) -> Stamped:
    """The stamp of a launch that will run this command into this directory. Writes nothing."""
    state, values = git_state(target), configuration.resolved(target, run)
    words = [secrets.without_secret(word) for word in command]
    packages = _packages(target)
    files = {
        "diff.patch": patch.diff_patch(target),
        "untracked.txt": patch.untracked_text(target).encode("utf-8", "surrogateescape"),
        configuration.FILE: configuration.text(values),
        "packages.txt": "".join(f"{line}\n" for line in packages).encode(),
    }
    here = interpreter(target)
    stamp = Stamp(
        kind=kind,
        command=shlex.join(words),
        argv=tuple(words),
        cwd=str(target.repo),
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
        given=tuple(map(secrets.without_secret, given)),
        config_hash=configuration.digest(values),
        world_size=target.gpus,
        nodes=nodes,
        steps_per_epoch=expected_steps(target),
        host=socket.gethostname(),
        gpus=_gpu_names(target),
        python=here.version,
        executable=here.executable,
        packages=dict(here.versions),
        modules=_modules(target),
        dataset=_dataset(target),
        checkpoint=checkpoint,
        gate=gate,
        files={name: digests.of_bytes(content) for name, content in files.items()},
    )
    return Stamped(stamp=stamp, files=files)


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
    found = ask(target, "packages", "installed")
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


def _dataset(target: Target) -> Dataset | None:
    """Where the training's dataset lies, and its fingerprint by the last audit; null where there is none."""
    try:
        roots = data_roots(target)
    except (Blocked, Skip):
        return None
    if not roots:
        return None
    known = remembered(dataset_at(*map(str, roots)))
    return Dataset(
        roots=[str(root) for root in roots],
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
