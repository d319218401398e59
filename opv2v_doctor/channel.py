"""A channel: a process that is asked over one pipe and answers in lines over another, whatever it does.

It is started under a supervisor, which is its parent in our place, and ends all that it started, detached or
not. Its memory has a bound, each wait a deadline, a line a largest length; of what it prints the end is kept.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.supervisor import SIGNALLED, descendants, supervisor_command

LONGEST = 64 << 20  # bytes of a line: the longest known answer has a hundredth of it
KEPT = 1 << 16  # bytes of what it printed
SHARE = 0.75  # of this machine's memory, for each of its processes
MOMENT = 0.05  # seconds between two looks at whether it lives: a child of its own may hold its pipe open
PATIENT = 1.0  # seconds: for a process that has closed its answers, or is to say where it is
LAST = 5.0  # seconds in which a supervisor has ended all; else we do


class NoLine(Exception):
    """Why no line comes from the process."""


class Silent(NoLine):
    """Nothing came in time."""


class Closed(NoLine):
    """The process has ended, or closed its answers."""


class TooLong(NoLine):
    """More than LONGEST bytes, and no end of the line."""


class Channel:
    """A process that answers; the descriptors for that are words of its command, before the last ones."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *last: str | Path,
        passed: Sequence[int] = (),
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        output: int | None = None,
        memory: int = 0,
    ) -> None:
        """Start it. What it prints goes to the descriptor `output`, else its end is kept; raises OSError.

        `passed` are more descriptors that it gets, `memory` is in bytes (0: the machine's share).
        """
        self._received = bytearray()
        self._searched = 0  # bytes of it that hold no end of a line
        self._printed = bytearray()
        self._printed_bytes = 0
        self._is_closed = False
        self._reader: threading.Thread | None = None
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            requests, self._requests = _pipe(theirs, ours)
            self._answers, answers = _pipe(ours, theirs)
            life, self._life = _pipe(theirs, ours)
            printed = self._kept(theirs) if output is None else output
            descriptors = (requests, answers, *passed)
            self._process = subprocess.Popen(
                supervisor_command(
                    [*map(str, command), str(requests), str(answers), *map(str, last)],
                    life=life,
                    patience=0,
                    memory=memory or memory_share(),
                    passed=descriptors,
                ),
                cwd=cwd,
                env=env,
                pass_fds=(life, *descriptors),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed if output is None else None,
                start_new_session=True,
            )
            ours.pop_all()
        os.set_blocking(self._requests, False)

    def _kept(self, theirs: contextlib.ExitStack) -> int:
        """A pipe to print to, read as long as anybody prints; the end of that is kept, and on no disk."""

        def keep() -> None:
            with os.fdopen(said, "rb", buffering=0) as stream:
                while chunk := stream.read(KEPT):
                    self._printed_bytes += len(chunk)
                    self._printed = (self._printed + chunk)[-KEPT:]

        said, printed = os.pipe()
        theirs.callback(os.close, printed)
        self._reader = threading.Thread(target=keep, daemon=True)
        try:
            self._reader.start()
        except RuntimeError:
            os.close(said)
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        return printed

    def send(self, request: bytes, seconds: float) -> None:
        """Send a request; where the process has ended, its answer will say so. Raises Silent."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(BrokenPipeError):
            while request:
                left = deadline - time.monotonic()
                if left <= 0 or not _ready(self._requests, select.POLLOUT, left):
                    raise Silent
                request = request[os.write(self._requests, request[: select.PIPE_BUF]) :]

    def line(self, deadline: float) -> bytes:
        """The next line, without its end, by a deadline of the monotonic clock. Raises NoLine."""
        while (end := self._received.find(b"\n", self._searched)) < 0:
            self._searched = len(self._received)
            if self._searched > LONGEST:
                raise TooLong
            chunk = self._chunk(deadline)
            if not chunk:
                raise Closed
            self._received += chunk
        if time.monotonic() > deadline:
            raise Silent
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        self._searched = 0
        return line

    def _chunk(self, deadline: float) -> bytes:
        """What it says next; nothing once it has ended."""
        while True:
            has_ended = self._process.poll() is not None
            left = deadline - time.monotonic()
            if _ready(self._answers, select.POLLIN, 0 if has_ended else max(0.0, min(MOMENT, left))):
                return os.read(self._answers, 1 << 20)
            if has_ended:
                return b""
            if left <= 0:
                raise Silent

    def ending(self) -> tuple[int | None, str]:
        """The exit code of a process that closed its answers, and its signal; None where it lives on."""
        try:
            code = self._process.wait(PATIENT)
        except subprocess.TimeoutExpired:
            return None, ""
        number = -code if code < 0 else code - SIGNALLED
        try:
            return code, signal.Signals(number).name if number > 0 else ""
        except ValueError:
            return code, ""

    def ask_where(self, seconds: float) -> None:
        """Let a process that hangs print where it is."""
        before, end = self._printed_bytes, time.monotonic() + min(seconds, PATIENT)
        self._process.send_signal(signal.SIGUSR2)
        while self._printed_bytes == before and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.02)  # for the rest of it

    def printed(self) -> str:
        """The end of what it printed."""
        if self._reader is not None and self._process.returncode is not None:
            self._reader.join(PATIENT)
        return self._printed.decode(errors="replace")

    def close(self) -> None:
        """End the process and all that it started; once."""
        if self._is_closed:
            return
        self._is_closed = True
        os.close(self._life)
        self._process.send_signal(signal.SIGCONT)  # who stopped it wins nothing
        try:
            self._process.wait(LAST)
        except subprocess.TimeoutExpired:
            for pid in (*descendants(self._process.pid), self._process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            # a signal that came within poll() may have left its lock taken: whoever waits without end hangs
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LAST)
        os.close(self._requests)
        os.close(self._answers)


@cache
def memory_share() -> int:
    """The share of this machine's memory, or of what our control group may have, in bytes."""
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            most = min(most, int(text_of(Path("/sys/fs/cgroup", name))))
    return int(most * SHARE)


def _pipe(reads: contextlib.ExitStack, writes: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe, each end of which is closed with the stack of who has it."""
    reading, writing = os.pipe()
    reads.callback(os.close, reading)
    writes.callback(os.close, writing)
    return reading, writing


def _ready(descriptor: int, event: int, seconds: float) -> bool:
    """Whether it can be read from or written to in time, which includes that its other end is closed."""
    waiting = select.poll()
    waiting.register(descriptor, event)
    return bool(waiting.poll(max(0.0, seconds) * 1000))
