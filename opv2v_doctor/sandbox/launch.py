"""Training the sandbox for real: its pretrained weights, then torchrun with two ranks on the CPU."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from opv2v_doctor.scratch import scratch

RANKS = 2
OVERRIDES = (
    "machine=demo",
    "model=mapanything",
    "loss=opv2v_pose_loss",
    "train_params=opv2v_cyl_coop",
    "dataset=opv2v_cyl_coop_ft_2gpu",
)
TIME_LIMIT = 240.0  # seconds
LAST_CHARACTERS = 3000


def train_briefly(directory: Path, python: Path | None = None) -> None:
    """Train the repository by real torchrun, two processes on the CPU; nothing keeps running afterwards.

    `python` has torch, numpy, hydra-core, tensorboard, opencv and pyyaml; by default it is this interpreter.
    Raises RuntimeError with the last lines of output where training fails, TimeoutError where it takes longer
    than four minutes.
    """
    directory = directory.resolve()
    interpreter = str(python or sys.executable)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(RANKS)]
    with scratch("demo") as folder:  # torch leaves folders there
        _run([interpreter, "scripts/make_pretrained.py", *OVERRIDES], directory, str(folder))
        _run([interpreter, *torchrun, "scripts/train.py", *OVERRIDES], directory, str(folder))


def _run(command: Sequence[str], directory: Path, temporary: str) -> None:
    """Run a command to its end in a session of its own; whatever happens, its processes are gone then."""
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=_environment(directory, temporary),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        text, _ = process.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{' '.join(command)} took longer than {TIME_LIMIT:.0f} s") from None
    finally:
        _end(process)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{text[-LAST_CHARACTERS:]}")


def _environment(directory: Path, temporary: str) -> Mapping[str, str]:
    """The environment of the launch: no GPU, one thread a rank, nothing of a launch around this one."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"RANK", "WORLD_SIZE"}}
    own = {
        "PYTHONPATH": str(directory),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "TMPDIR": temporary,
    }
    return inherited | own


def _end(process: "subprocess.Popen[str]") -> None:
    """Kill what is left of a command: the process, and the ranks, which lead sessions of their own."""
    if process.poll() is None:
        for number in [process.pid, *_descendants(process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        process.communicate()


def _descendants(parent: int) -> list[int]:
    """Ids of all processes below this one."""
    listing = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    parents = {int(line.split()[0]): int(line.split()[1]) for line in listing.splitlines()}
    children = [number for number, above in parents.items() if above == parent]
    return [*children, *(below for child in children for below in _descendants(child))]
