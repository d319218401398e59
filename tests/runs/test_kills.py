"""Kills at random moments: the record stays readable and true, no checkpoint is lost, no process is left.

KILLS says how many of each kind; a few here, more where there is time.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from opv2v_doctor.runs.directory import RECORD
from opv2v_doctor.runs.record import RunStatus

if TYPE_CHECKING:
    from .conftest import Stub

KILLS = int(os.environ.get("KILLS", "2"))
LATEST = 1.0  # seconds after the start


@pytest.mark.parametrize("victim", ["rank", "launcher", "everything"])
def test_a_kill_at_any_moment_leaves_a_run_that_goes_on(stub: Stub, victim: str) -> None:
    chance = random.Random(victim)
    for _ in range(KILLS):
        resume = (stub.run / RECORD).exists()
        before = checkpoint(stub)
        process = stub.start(epochs=100_000, seconds=0.003, resume=resume)
        time.sleep(chance.uniform(0.1, LATEST))
        if victim == "rank" and not wait_for_ranks(stub, process):
            raise AssertionError("the ranks did not start")
        kill(stub, victim, process, chance)
        process.communicate(timeout=20)
        stub.wait_for(lambda: not stub.living())
        verify(stub, victim, before)
    verify_resume(stub)


def wait_for_ranks(stub: Stub, process: subprocess.Popen[str]) -> bool:
    """Until both ranks are there; a rank cannot be killed before."""
    stub.wait_for(lambda: {"0", "1"} <= {env.get("RANK") for env in stub.living().values()})
    return process.poll() is None


def kill(stub: Stub, victim: str, process: subprocess.Popen[str], chance: random.Random) -> None:
    """SIGKILL for the victim."""
    living = stub.living()
    ranks = [pid for pid, env in living.items() if "RANK" in env]
    chosen = {
        "rank": [chance.choice(ranks)] if ranks else [],
        "launcher": [process.pid],
        "everything": [process.pid, *living],
    }
    for pid in chosen[victim]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def checkpoint(stub: Stub) -> dict[str, Any]:
    """The last checkpoint, which can always be read."""
    last = stub.run / "checkpoint-last.pth"
    found: dict[str, Any] = json.loads(last.read_text()) if last.exists() else {"epoch": -1, "step": 0}
    return found


def verify(stub: Stub, victim: str, before: dict[str, Any]) -> None:
    """After a kill: no checkpoint went back, and the record says what happened."""
    assert checkpoint(stub)["step"] >= before["step"]
    saved = stub.run / "checkpoints.jsonl"
    if saved.exists():
        told = json.loads(saved.read_text().splitlines()[-1])
        assert checkpoint(stub)["epoch"] - told["epoch"] in (0, 1)  # killed between the save and its line
    if (stub.run / RECORD).exists():
        state = stub.record().state
        assert state is (RunStatus.FAILED if victim == "rank" else RunStatus.INTERRUPTED)


def verify_resume(stub: Stub) -> None:
    """A resume goes on with the step after the last checkpoint."""
    last, resume = checkpoint(stub), (stub.run / RECORD).exists()
    seen = steps(stub)
    code, said = stub.train(epochs=last["epoch"] + 2, seconds=0.001, resume=resume)
    assert code == 0, said
    assert steps(stub)[len(seen)] == last["step"] + 1
    assert checkpoint(stub) == {**checkpoint(stub), "epoch": last["epoch"] + 1, "step": last["step"] + 5}
    assert stub.record().state is RunStatus.FINISHED


def steps(stub: Stub) -> list[int]:
    """Every step that the first rank made, over all launches; a torn line is none."""
    path = stub.run / "steps-0.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["step"] for line in lines if line.endswith("}")]
