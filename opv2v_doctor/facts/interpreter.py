"""The training interpreter: a process that answers questions in order, or whose end is told."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from opv2v_doctor.check import Blocked
from opv2v_doctor.files import from_json
from opv2v_doctor.progress import advance
from opv2v_doctor.text import Text

INSIDE = Path(__file__).parents[1] / "inside" / "__main__.py"
LAST_LINES, LONGEST_LINE = 5, 400
MOMENT = 1.0  # seconds: for a process that is to end, or to say where it is
DUMP = re.compile(
    r"^(Fatal Python error: |Stack \(most recent call first\)|(Current t|T)hread 0x)", re.MULTILINE
)
ESCAPED = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")
FRAME = re.compile(r'^  File "(.+)", line (\d+) in ', re.MULTILINE)
NOTHING = Text("")
MOST_OPEN = 3  # an examination needs two; of many targets the oldest's is closed


def _sign(escaped: re.Match[str]) -> str:
    """The character that a dump of the stack writes in ASCII."""
    return chr(int("".join(filter(None, escaped.groups())), 16))


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
        self._received = bytearray()
        self._searched = 0  # bytes of it that hold no end of a line

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
                "training interpreter {python} does not start: {problem}",
                python=self._python,
                problem=problem.strerror,
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
                message = from_json(line)
            except ValueError:
                message = None
            if not isinstance(message, dict) or not message.keys() & {"progress", "answer", "raised"}:
                self.close()
                raise Unanswered(
                    "training interpreter answered {question!r} with garbage: {answer!r}",
                    question=question,
                    answer=line[:80].decode(errors="replace"),
                )
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
            end = self._received.find(b"\n", self._searched)
            if end >= 0:
                line = bytes(self._received[:end])
                del self._received[: end + 1]
                self._searched = 0
                yield line
                continue
            self._searched = len(self._received)
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                self._ask_where()
                words = self._last_words()
                self.close()
                raise Unanswered(
                    "no answer to {question!r} within the time limit (--timeout){words}",
                    question=question,
                    words=words,
                )
            chunk = os.read(self._answers, 1 << 20)
            if not chunk:
                return
            self._received += chunk

    def _died(self, question: str) -> Unanswered:
        assert self._process is not None
        try:
            code = self._process.wait(timeout=MOMENT)
            how = Text("exited with code {code}", code=code)
            if code < 0:
                how = Text("was killed by {signal}", signal=signal.Signals(-code).name)
        except subprocess.TimeoutExpired:
            how = Text("closed its answers")
        words = self._last_words()
        self.close()
        return Unanswered(
            "training interpreter {python} {how} while asked {question!r}{words}",
            python=self._python,
            how=how,
            question=question,
            words=words,
        )

    def _ask_where(self) -> None:
        """Let the process say what it is doing."""
        assert self._process is not None
        before = self._said.seek(0, os.SEEK_END)
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR2)
        end = time.monotonic() + MOMENT
        while self._said.seek(0, os.SEEK_END) == before and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.02)  # for the rest of it

    def _last_words(self) -> Text:
        """Where in the repository the process was, as far as it could say, and its last lines."""
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - 16384))
        said = self._said.read().decode(errors="replace")
        dump = DUMP.search(said)
        frames = FRAME.findall(said, dump.start()) if dump else []
        places = [(Path(ESCAPED.sub(_sign, name)), line) for name, line in frames]  # the innermost first
        own = [(path, line) for path, line in places if path.is_relative_to(self._repo)]
        at = (
            Text(", at {place}", place=f"{own[0][0].relative_to(self._repo)}:{own[0][1]}") if own else NOTHING
        )
        lines = (said[: dump.start()] if dump else said).split("\n")
        kept = [line.strip()[:LONGEST_LINE] for line in lines if line.strip()][-LAST_LINES:]
        words = Text("; its last lines: {lines}", lines=" | ".join(kept)) if kept else NOTHING
        return Text("{at}{words}", at=at, words=words)

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
        self._unanswered, self._answered, self._received, self._searched = [], {}, bytearray(), 0
        self._open.remove(self)
        os.close(self._requests)
        os.close(self._answers)
        self._stack.close()
