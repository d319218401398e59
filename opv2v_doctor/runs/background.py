"""The background: commands that run beside a training, one after another, and never get in its way."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.supervisor import supervisor_command

KEPT = 2000  # bytes of the end of what a command says
PATIENCE = 1.0  # seconds that a command gets from a request to end to a harder one


@dataclass(frozen=True, kw_only=True)
class Errand:
    """A command, what it is given on its standard input, and how long it may take, in seconds."""

    words: Sequence[str]
    seconds: float
    given: bytes = b""
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    then: Callable[[str], object] | None = None  # told how it failed, or nothing where it did not


class Background:
    """One thread that runs errands in the order in which they come.

    A command is under a supervisor: all that it started is gone when it ends, when its time is over, when we
    are asked to close, and when this process dies.
    """

    def __init__(self) -> None:
        self._errands: queue.SimpleQueue[Errand | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._life: int | None = None  # whose end of file ends the command of now
        self._lock = threading.Lock()
        self._is_closed = False

    def add(self, errand: Errand) -> None:
        """Run it when those before it are done."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="opv2v-doctor errands", daemon=True)
            self._thread.start()
        self._errands.put(errand)

    def close(self, seconds: float) -> None:
        """Wait for what is still to be run, no longer than this; then end it."""
        if self._thread is None:
            return
        self._errands.put(None)
        self._thread.join(seconds)
        self._is_closed = True
        self._end_command()
        self._thread.join()

    def _work(self) -> None:
        while not self._is_closed and (errand := self._errands.get()) is not None:
            try:
                failure = self._run(errand)
            except (OSError, ValueError) as problem:
                failure = str(getattr(problem, "strerror", None) or problem)
            if errand.then is not None:
                errand.then(failure)

    def _run(self, errand: Errand) -> str:
        """How it failed, and its last words; nothing where it did not."""
        theirs, ours = os.pipe()
        words = supervisor_command(list(errand.words), life=theirs, patience=PATIENCE)
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    words,
                    cwd=errand.cwd,
                    env=errand.env,
                    pass_fds=(theirs,),
                    stdin=subprocess.PIPE,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,
                )
            except OSError:
                os.close(ours)
                raise
            finally:
                os.close(theirs)
            with self._lock:
                self._life = ours
            late = False
            try:
                if self._is_closed:
                    self._end_command()
                process.communicate(errand.given, timeout=errand.seconds)
            except subprocess.TimeoutExpired:
                late = True
            finally:
                self._end_command()
                with contextlib.suppress(BrokenPipeError):
                    process.communicate()
            if late:
                return f"was ended after {errand.seconds:g} s"
            if self._is_closed and process.returncode:
                return "was ended with the training"
            said.seek(max(0, said.seek(0, os.SEEK_END) - KEPT))
            last = said.read().decode(errors="replace").strip().rpartition("\n")[2]
            code = process.returncode
            return f"ended with exit code {code}{f': {last}' if last else ''}" if code else ""

    def _end_command(self) -> None:
        """End the command of now, and all that it started."""
        with self._lock:
            if self._life is not None:
                os.close(self._life)
            self._life = None
