"""The supervisor, between us and a process that we start: when either is gone, all that was started goes too.

Run as `python -I supervisor.py LIFE PATIENCE MEMORY PASSED COMMAND...`. LIFE is the read end of a pipe whose
other end only we hold: its end of file means that we are dead, however we died. As a subreaper the
supervisor becomes the parent of every orphan below it, so none escapes. MEMORY is what each process below it
may have for its data, in bytes (0: no bound), PASSED the descriptors that the command gets. Standard library
only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
GRACE = 3.0  # seconds for processes that nobody waits for any more
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SIGNALLED = 128  # what a shell adds to the number of the signal that ended a command


class Supervisor:
    """Starts the command, passes requests to end on to all processes, and returns when none is left."""

    def __init__(self, life: int, patience: float, memory: int, passed: list[int]) -> None:
        self.life = life
        self.patience, self.grace = patience, min(patience, GRACE)
        self.memory = memory
        self.passed = passed
        self.code: int | None = None
        self.steps: list[tuple[int, float]] = []  # (signal, seconds until the next one)
        self.deadline = float("inf")
        self.wake, self.waker = os.pipe()

    def run(self, command: list[str]) -> int:
        """The command's exit code, as a shell would give it."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        # whom the command has stopped would not see that we are dead
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)
        os.set_blocking(self.waker, False)
        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        for number in (*ENDS, signal.SIGCHLD, signal.SIGUSR2):
            signal.signal(number, lambda *_: None)
        try:
            process = subprocess.Popen(
                command, start_new_session=True, pass_fds=self.passed, preexec_fn=self.bind
            )
        except (OSError, subprocess.SubprocessError) as problem:
            sys.stderr.write(f"{command[0]} does not start: {getattr(problem, 'strerror', problem)}\n")
            return 127 if isinstance(problem, FileNotFoundError) else 126
        self.child = process.pid  # kept until the end: a Popen that is forgotten takes the exit code along
        for descriptor in self.passed:
            os.close(descriptor)
        while self.reap():
            self.wait()
        return self.code if self.code is not None else SIGNALLED + signal.SIGKILL

    def bind(self) -> None:
        """In the child: it ends with us, however we end, and takes no more than it may."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if self.memory:
            _, most = resource.getrlimit(resource.RLIMIT_DATA)
            bound = self.memory if most == resource.RLIM_INFINITY else min(self.memory, most)
            resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would lie in the repository

    def reap(self) -> bool:
        """Take note of what ended; whether anything is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid == self.child:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else SIGNALLED - code
                self.end([(signal.SIGTERM, self.grace), (signal.SIGKILL, self.grace)])

    def wait(self) -> None:
        """Until a process ends, a signal comes, the launcher dies, or it is time to be harder."""
        timeout = max(0.0, min(self.deadline - time.monotonic(), 3600.0))
        watched = [self.wake, self.life] if self.life >= 0 else [self.wake]
        ready, _, _ = select.select(watched, [], [], timeout)
        if self.wake in ready:
            received = set(os.read(self.wake, 4096))
            if signal.SIGUSR2 in received and self.code is None:  # where are you?
                os.kill(self.child, signal.SIGUSR2)
            if received.intersection(ENDS) and self.code is None:
                self.asked()
        if self.life in ready and not os.read(self.life, 1):
            self.life = -1
            self.end([(signal.SIGTERM, self.grace), (signal.SIGKILL, self.grace)])
        if time.monotonic() >= self.deadline:
            self.next()

    def asked(self) -> None:
        """The user wants an end: gently first; who asks again does not want to wait."""
        if self.steps:
            self.next()
        else:
            hard = [(signal.SIGTERM, self.patience), (signal.SIGKILL, self.grace)]
            self.end([(signal.SIGINT, self.patience), *hard])

    def end(self, steps: list[tuple[int, float]]) -> None:
        self.steps = steps
        self.next()

    def next(self) -> None:
        """Send the next signal; the last one again and again."""
        number, seconds = self.steps[0]
        self.steps = self.steps[1:] or self.steps
        self.deadline = time.monotonic() + seconds
        if number == signal.SIGINT:  # as a terminal does; torchrun hands it on to its ranks
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child, number)
        else:
            for pid in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
        if number == signal.SIGKILL:
            self.deadline = time.monotonic() + 0.1  # children that were born meanwhile


def descendants(root: int) -> list[int]:
    """All processes below one, from the top down."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 (this file starts often, and alone)
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:  # noqa: PTH123
                parents.setdefault(int(file.read().rpartition(")")[2].split()[1]), []).append(int(name))
    found = list(parents.get(root, []))
    for pid in found:
        found += parents.get(pid, [])
    return found


def supervisor_command(
    command: list[str], *, life: int, patience: float, memory: int = 0, passed: tuple[int, ...] = ()
) -> list[str]:
    """The words that start a command under a supervisor."""
    numbers = ",".join(map(str, passed))
    return [sys.executable, "-I", "-S", __file__, str(life), str(patience), str(memory), numbers, *command]


if __name__ == "__main__":
    life, patience, memory, passed, *command = sys.argv[1:]
    supervisor = Supervisor(int(life), float(patience), int(memory), [int(n) for n in passed.split(",") if n])
    sys.exit(supervisor.run(command))
