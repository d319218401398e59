"""The training interpreter: a process that answers questions in order, or whose end is told."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from opv2v_doctor.check import Blocked
from opv2v_doctor.progress import advance

INSIDE = Path(__file__).parents[1] / "inside" / "__main__.py"
LAST_LINES = 5
MOST_OPEN = 3  # an examination needs two; of many targets the oldest's is closed


class Unanswered(Blocked):
    """The interpreter did not start, died, hung or answered garbage; the message holds its last words."""


class Interpreter:
    """One interpreter process, kept open over many questions, started anew after it died."""

    _open: ClassVar[list[Interpreter]] = []

    def __init__(self, repo: Path, python: Path, script: Path, env: tuple[tuple[str, str], ...]) -> None:
        self._repo, self._python, self._script, self._env = repo, python, script, env
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = contextlib.ExitStack()
        self._sent = 0
        self._unanswered: list[int] = []  # numbers of requests: answers come in the order of these
        self._answered: dict[int, dict[str, Any]] = {}  # those that nobody fetched yet
        self._received = b""

    @classmethod
    def close_all(cls) -> None:
        """End all: who is asked again starts anew."""
        for interpreter in list(cls._open):
            interpreter.close()

    def send(self, request: dict[str, object]) -> int:
        """Send a request; what is returned is its number."""
        self.start()
        try:
            os.write(self._requests, json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise self._died(str(request["question"])) from None
        self._sent += 1
        self._unanswered.append(self._sent)
        return self._sent

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def will_answer(self, number: int) -> bool:
        """Whether the answer to a request is there or may still come."""
        return number in self._unanswered or number in self._answered

    def start(self) -> None:
        if self._process is not None:
            return
        while len(self._open) >= MOST_OPEN:
            self._open[0].close()
        self._open.append(self)
        their_requests, self._requests = os.pipe()
        self._answers, their_answers = os.pipe()
        self._said = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (the stack closes it)
        try:
            self._process = subprocess.Popen(
                [self._python, "-B", INSIDE, str(their_requests), str(their_answers), self._script],
                cwd=self._repo,
                env={**os.environ, **dict(self._env), "PYTHONDONTWRITEBYTECODE": "1"},
                pass_fds=(their_requests, their_answers),
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                start_new_session=True,
            )
        except OSError as problem:
            self._forget()
            raise Unanswered(
                f"training interpreter {self._python} does not start: {problem.strerror}"
            ) from None
        finally:
            os.close(their_requests)
            os.close(their_answers)

    def answer(self, number: int, question: str, timeout: float) -> dict[str, Any]:
        """The answer to a request, and those to earlier ones on the way."""
        if number in self._answered:
            return self._answered.pop(number)
        for line in self._lines(question, time.monotonic() + timeout):
            try:
                message = json.loads(line)
            except ValueError:
                self.close()
                raise Unanswered(
                    f"training interpreter answered {question!r} with garbage: {line[:80]!r}"
                ) from None
            if "progress" in message:
                advance(*message["progress"])
                continue
            self._answered[self._unanswered.pop(0)] = message
            if number in self._answered:
                return self._answered.pop(number)
        raise self._died(question)

    def _lines(self, question: str, deadline: float) -> Iterator[bytes]:
        """Whole lines as they come, until the pipe closes."""
        while True:
            line, newline, rest = self._received.partition(b"\n")
            if newline:
                self._received = rest
                yield line
                continue
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                words = self._last_words()
                self.close()
                raise Unanswered(f"no answer to {question!r} within the time limit (--timeout){words}")
            chunk = os.read(self._answers, 1 << 20)
            if not chunk:
                return
            self._received += chunk

    def _died(self, question: str) -> Unanswered:
        assert self._process is not None
        code = self._process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        words = self._last_words()
        self.close()
        return Unanswered(f"training interpreter {self._python} {how} while asked {question!r}{words}")

    def _last_words(self) -> str:
        """The last lines that the process printed."""
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - 4096))
        lines = self._said.read().decode(errors="replace").split("\n")
        kept = [line.strip() for line in lines if line.strip()][-LAST_LINES:]
        return "; its last lines: " + " | ".join(kept) if kept else ""

    def close(self) -> None:
        """End the process and all its children."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        self._forget()

    def _forget(self) -> None:
        self._unanswered, self._answered, self._received = [], {}, b""
        self._open.remove(self)
        os.close(self._requests)
        os.close(self._answers)
        self._stack.close()
