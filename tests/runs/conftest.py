"""The stub training under the real launcher, in processes that can be killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opv2v_doctor.runs import processes
from opv2v_doctor.runs.record import Run, read_run

DOCTOR = Path(__file__).parent / "stub" / "doctor.py"
LIMIT = 30.0  # seconds


def heeds_interrupts() -> None:
    """What a shell starts in the background, or `nohup` starts, inherits that it ignores them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Stub:
    """One run directory, and the launches into it."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def start(
        self,
        ranks: int = 2,
        epochs: int = 3,
        seconds: float = 0.01,
        fault: str = "none",
        resume: bool = False,
        notify: str = "",
    ) -> subprocess.Popen[str]:
        """Start a launch; standard output is the launcher's."""
        words = [str(self.run), str(ranks), str(epochs), str(seconds), fault, *(["resume"] if resume else [])]
        words += ["notify", notify] if notify else []
        return subprocess.Popen(
            [sys.executable, str(DOCTOR), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=heeds_interrupts,
        )

    def train(self, **given: object) -> tuple[int, str]:
        """A launch to its end: exit code, and all that the launcher said."""
        process = self.start(**given)  # type: ignore[arg-type]
        said, _ = process.communicate(timeout=LIMIT)
        return process.returncode, said

    def record(self) -> Run:
        return read_run(self.run)

    def wait_for(self, what: Callable[[], object]) -> None:
        """Until something is so."""
        deadline = time.monotonic() + LIMIT
        while not what():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)

    def wait_for_steps(self) -> None:
        """Until the last rank trains."""
        self.wait_for(lambda: (self.run / "steps-1.jsonl").exists())

    def living(self) -> dict[int, dict[str, str]]:
        """The processes of all launches into this directory."""
        try:
            tokens = [launch.token for launch in self.record().launches]
        except Exception:
            return {}
        return {pid: env for token in tokens for pid, env in processes.of_launch(token).items()}

    def rank(self, number: int) -> int:
        """The process of a rank."""
        found = [pid for pid, env in self.living().items() if env.get("RANK") == str(number)]
        return found[0]


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Stub]:
    found = Stub(tmp_path / "runs 训练" / "one")
    yield found
    for pid in found.living():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
