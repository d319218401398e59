"""Processes of a launch: which of them live, told apart from later ones that got the same number."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TOKEN = "OPV2V_DOCTOR_LAUNCH"  # in the environment of every process of a launch
ZOMBIE = "Z"
PAUSE = 0.1  # seconds


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of one machine, since it was started; another one may have its number later."""

    pid: int
    started: int  # clock ticks after boot
    boot: str
    host: str

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine, so that its life can be told."""
        return self.host == socket.gethostname()

    @property
    def lives(self) -> bool:
        """Whether it still runs; False for one of an earlier boot, or whose number another process has."""
        return self.boot == boot() and start_of(self.pid) == self.started


def this_process() -> Process:
    """The process that asks."""
    pid = os.getpid()
    return Process(pid=pid, started=start_of(pid) or 0, boot=boot(), host=socket.gethostname())


def boot() -> str:
    """What tells one start of the machine from another."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def start_of(pid: int) -> int | None:
    """When a process was started; None where there is none, or only the remains of one."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == ZOMBIE else int(fields[19])


def of_launch(token: str) -> dict[int, dict[str, str]]:
    """The living processes that a launch started, wherever they hang now: pid -> environment."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal() and start_of(int(folder.name)) is not None:
            environment = _environment(folder)
            if environment.get(TOKEN) == token:
                found[int(folder.name)] = environment
    return found


def end_all(token: str) -> None:
    """Kill the processes of a launch, until none is left."""
    while living := of_launch(token):
        for pid in living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(PAUSE)


def _environment(folder: Path) -> dict[str, str]:
    """The environment that a process was started with; an empty one where it may not be seen."""
    try:
        words = (folder / "environ").read_bytes().decode("utf-8", "surrogateescape").split("\0")
    except OSError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)
