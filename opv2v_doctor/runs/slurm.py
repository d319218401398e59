"""Training as a SLURM job, through submitit: one task a node, which launches the ranks of its node."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opv2v_doctor.runs.commands import chosen_directory
from opv2v_doctor.settings import FILE_NAME
from opv2v_doctor.target import Target
from opv2v_doctor.usage import UsageError

if TYPE_CHECKING:
    from opv2v_doctor.runs.request import Request

LOGS = "slurm"


@dataclass(frozen=True)
class OnNode:
    """What each node runs: our own `train`, told which node it is and where to meet."""

    words: tuple[str, ...]
    port: int

    def __call__(self) -> int:
        import submitit

        here = submitit.JobEnvironment()
        done = subprocess.run(self.command(here.hostnames, here.node), check=False)
        if done.returncode:
            raise RuntimeError(f"opv2v-doctor train ended with exit code {done.returncode}")
        return 0

    def command(self, hosts: Sequence[str], node: int) -> list[str]:
        """The words for one of these nodes."""
        several = ["--nnodes", str(len(hosts)), "--node-rank", str(node)]
        meeting = [*several, "--rdzv-endpoint", f"{hosts[0]}:{self.port}"] if len(hosts) > 1 else []
        return [sys.executable, "-m", "opv2v_doctor", "train", *meeting, *self.words]


def submit(request: Request) -> str:
    """Submit the request as a job; returns its number.

    Raises UsageError where submitit is not installed, or where the request cannot be a job.
    """
    executor, task = prepared(request)
    return str(executor.submit(task).job_id)


def prepared(request: Request, cluster: str | None = None) -> tuple[Any, OnNode]:
    """The executor, with what the job asks for, and the task of each node."""
    try:
        import submitit
    except ImportError:
        raise UsageError("--slurm needs submitit: pip install 'opv2v-doctor[slurm]'") from None
    target, settings = request.target, request.target.settings.slurm
    nodes = request.nodes.count
    if nodes > 1 and chosen_directory(target.launch_overrides) is None and request.resume is None:
        raise UsageError("several nodes share one directory: choose it for all, hydra.run.dir=DIRECTORY")
    executor = submitit.AutoExecutor(folder=_logs(target), cluster=cluster)
    asked = {"nodes": nodes, "tasks_per_node": 1, "gpus_per_node": target.gpus // nodes}
    executor.update_parameters(timeout_min=settings.minutes, **asked)
    if settings.partition:
        executor.update_parameters(slurm_partition=settings.partition)
    executor.update_parameters(**{f"slurm_{name}": value for name, value in settings.parameters})
    return executor, OnNode(words=_words(request), port=settings.port)


def _logs(target: Target) -> Path:
    return Path(target.settings.runs or target.repo / "experiments") / LOGS


def _words(request: Request) -> tuple[str, ...]:
    """The request as words of the command line."""
    target = request.target
    words = ["--repo", str(target.repo), "--python", str(target.python), "--gpus", str(target.gpus)]
    if (target.repo / FILE_NAME).is_file():
        words += ["--settings", str(target.repo / FILE_NAME)]
    words += ["--resume", os.path.abspath(request.resume)] if request.resume else []  # noqa: PTH100 (links stay)
    words += ["--force", request.force] if request.force else []
    words += ["--steps-per-epoch", str(request.steps_per_epoch)] if request.steps_per_epoch else []
    words += ["--fresh"] * request.fresh + ["--require-clean"] * request.require_clean
    if request.plugins is not None:
        words.append("--plugins" if request.plugins else "--no-plugins")
    return (*words, *target.overrides)
