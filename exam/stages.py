"""The doctor's examinations of a repository, cheapest first, each within its time: what every check said."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opv2v_doctor.sandbox.launch import OVERRIDES, RANKS

ROOT = Path(__file__).parents[1]
STAGES: Mapping[str, float] = {
    "data": 240.0,
    "smoke": 420.0,
    "run": 420.0,
}  # seconds each may take on an idle machine
LAUNCH = OVERRIDES[:-1]  # without a dataset
Results = list[dict[str, Any]]


class TooLate(Exception):
    """A stage took longer than it may."""


def patience() -> float:
    """By how much a time limit grows on a machine that has more to do than it has cores."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def examined(stage: str, repo: Path, overrides: Sequence[str], scratch: Path) -> Results:
    """What the checks of a stage said, as the JSON report has it; of "run" after a brief real training.

    Raises TooLate; a doctor that says nothing makes a result of the code "EXIT".
    """
    deadline = time.monotonic() + STAGES[stage] * patience()
    if stage == "run":
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(RANKS)]
        words = [*torchrun, "scripts/train.py", *LAUNCH, *overrides]
        _run(words, repo, scratch, deadline, PYTHONPATH=str(repo), CUDA_VISIBLE_DEVICES="")
    tier = [] if stage == "smoke" else ["--tier", stage]
    command = "smoke" if stage == "smoke" else "run-all"
    words = ["-m", "opv2v_doctor", command, "--repo", str(repo), "--format", "json", *tier, *overrides]
    code, said, errors = _run(words, ROOT, scratch, deadline)
    try:
        results: Results = json.loads(said)["results"]
    except (ValueError, KeyError):
        results = [_silent(code, errors[-600:])]
    text = json.dumps(results).replace(str(repo), "REPO")  # the healthy one lies elsewhere
    return list(json.loads(text))


def _silent(code: int, errors: str) -> dict[str, Any]:
    """The doctor itself gave no report: that is a crash of its own."""
    place = {"reason": f"exit code {code}: {errors}", "path": None, "line": None}
    return {"code": "EXIT", "tier": "static", "status": "crashed", "findings": [], **place}


def _run(
    words: Sequence[str], cwd: Path, scratch: Path, deadline: float, **variables: str
) -> tuple[int, str, str]:
    """A Python command, with everything that it started gone at its end."""
    own = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(scratch), **variables}
    scratch.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=cwd,
        env={**os.environ, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        said, errors = process.communicate(timeout=max(1.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TooLate from None
    finally:
        if (
            process.poll() is None
        ):  # the doctor's supervisors, and torchrun, end what they started when asked to
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return process.returncode, said, errors
