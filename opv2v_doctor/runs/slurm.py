"""Training as a SLURM job, through submitit: one task a node, which launches the ranks of its node."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from opv2v_doctor.isolation import isolated_command
from opv2v_doctor.runs.command_line import Nodes
from opv2v_doctor.runs.request import TrainingRequest, earlier_of, read_request, request_text
from opv2v_doctor.runs.snapshot import snapshot
from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError

LOGS = "slurm"
FIRST = "first_node"  # its name in a plan: SLURM chooses the machine
PROGRAM = "opv2v_doctor.cli.node"  # takes a request from standard input


@dataclass(frozen=True)
class OnNode:
    """What each node runs: the request as it was submitted, told which node this is and where to meet."""

    request: str  # JSON
    folder: str  # the working directory that its relative paths start from

    def __call__(self) -> int:
        import submitit

        here = submitit.JobEnvironment()
        request = on_node(read_request(self.request), here.hostnames, here.node)
        done = subprocess.run(
            [*isolated_command("-m"), PROGRAM],
            input=request_text(request),
            text=True,
            cwd=self.folder,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"opv2v-doctor train ended with exit code {done.returncode}")
        return 0


def on_node(request: TrainingRequest, hosts: Sequence[str], node: int) -> TrainingRequest:
    """The request for one of these nodes, no job any more."""
    endpoint = f"{hosts[0]}:{request.target.settings.slurm.port}" if len(hosts) > 1 else None
    return replace(request, nodes=Nodes(count=len(hosts), rank=node, endpoint=endpoint), slurm=False)


def for_first(request: TrainingRequest) -> TrainingRequest:
    """The request as the first node will have it, before it is known which machine that is."""
    return on_node(request, [FIRST] * request.nodes.count, 0)


def resources(request: TrainingRequest) -> dict[str, Any]:
    """What the job asks for, by submitit's names."""
    settings, nodes = request.target.settings.slurm, request.nodes.count
    asked: dict[str, Any] = {"nodes": nodes, "tasks_per_node": 1, "timeout_min": settings.minutes}
    asked["gpus_per_node"] = request.target.gpus // nodes
    if settings.partition:
        asked["slurm_partition"] = settings.partition
    return asked | {f"slurm_{name}": value for name, value in settings.parameters}


def submit(request: TrainingRequest) -> str:
    """Submit the request as a job; returns its number.

    Raises UsageError where submitit or SLURM is missing, or where SLURM refuses the job.
    """
    try:
        import submitit
        from submitit.core.utils import FailedJobError
    except ImportError:
        raise UsageError("--slurm needs submitit: pip install 'opv2v-doctor[slurm]'") from None
    if missing := [name for name in ("sbatch", "srun") if shutil.which(name) is None]:
        raise UsageError(f"--slurm needs {' and '.join(missing)} on PATH, as a login node of a cluster has")
    earlier_of(request)  # what a job would find out after hours in the queue
    request = replace(request, submitted=snapshot(request.target))  # what shall run, whenever it does
    try:
        executor = submitit.AutoExecutor(folder=_logs(request.target), cluster="slurm")
        executor.update_parameters(**resources(request))
        return str(executor.submit(OnNode(request_text(request), os.getcwd())).job_id)  # noqa: PTH109 (as text)
    except FailedJobError as problem:
        raise UsageError(f"--slurm: not submitted: {' '.join(str(problem).split())}") from None


def _logs(target: Target) -> Path:
    return Path(target.settings.runs.folder or target.repo / "experiments") / LOGS
