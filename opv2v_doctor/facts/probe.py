"""The probe: questions to the training interpreter, which imports the training package in our place."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from opv2v_doctor.check import Blocked
from opv2v_doctor.progress import advance
from opv2v_doctor.target import Target

INSIDE = Path(__file__).parents[1] / "inside" / "__main__.py"
LAST_LINES = 5
MOST_OPEN = 3  # an examination needs one, and one for a fresh answer; of many targets the oldest's is closed


class Unanswered(Blocked):
    """The interpreter did not start, died, hung or answered garbage; the message holds its last words."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One line of a traceback."""

    file: Path
    line: int
    function: str


class Raised(Blocked):
    """The examined code raised an exception while answering."""

    def __init__(self, kind: str, message: str, frames: tuple[Frame, ...], repo: Path) -> None:
        self.kind, self.message, self.frames, self.repo = kind, message, frames, repo
        place = f" ({self.place[0]}:{self.place[1]})" if self.place else ""
        super().__init__(f"{kind}: {' '.join(message.split())}{place}")  # a reason is one line

    @property
    def place(self) -> tuple[Path, int] | None:
        """The innermost line inside the repository, the one that its owner can change."""
        inner = [frame for frame in self.frames if frame.file.is_relative_to(self.repo)]
        return (inner[-1].file, inner[-1].line) if inner else None


def ask(target: Target, module: str, question: str, **arguments: object) -> Any:
    """Ask the target's interpreter; `arguments` and the answer are JSON.

    Raises Unanswered where no answer came within the target's time limit, Raised where the examined code did.
    """
    probe = _probe_of(target)
    probe.send({"module": module, "question": question, "arguments": arguments})
    return _unwrapped(probe.answer(question, target.timeout), target.repo)


def start(target: Target) -> None:
    """Start the target's interpreter, so that it gets ready while we do something else."""
    with contextlib.suppress(Unanswered):  # whoever asks it will be told
        _probe_of(target).start()


def ask_afresh(target: Target, module: str, question: str, **arguments: object) -> Callable[[], Any]:
    """Ask an interpreter of its own, which works while we go on; what is returned waits for its answer."""
    probe = _Probe(target.repo, target.python, target.script, tuple(sorted(target.launch_env.items())))
    atexit.register(probe.close)
    probe.send({"module": module, "question": question, "arguments": arguments})

    def answer() -> Any:
        message = probe.answer(question, target.timeout)
        probe.close()
        return _unwrapped(message, target.repo)

    return answer


def _unwrapped(message: dict[str, Any], repo: Path) -> Any:
    """The answer in a message, or the exception of the examined code."""
    if "raised" in message:
        raise _raised(message["raised"], repo)
    return message["answer"]


def _raised(answer: dict[str, Any], repo: Path) -> Raised:
    frames = [Frame(file=Path(f["file"]), line=f["line"], function=f["function"]) for f in answer["frames"]]
    if answer["file"]:  # a syntax error stands outside the traceback
        frames.append(Frame(file=Path(answer["file"]), line=answer["line"] or 1, function=""))
    return Raised(answer["type"], answer["message"], tuple(frames), repo)


class _Probe:
    """One interpreter process, kept open over many questions, started anew after it died."""

    _open: ClassVar[list[_Probe]] = []

    def __init__(self, repo: Path, python: Path, script: Path, env: tuple[tuple[str, str], ...]) -> None:
        self._repo, self._python, self._script, self._env = repo, python, script, env
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = contextlib.ExitStack()

    def send(self, request: dict[str, object]) -> None:
        self.start()
        try:
            os.write(self._requests, json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise self._died(str(request["question"])) from None

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

    def answer(self, question: str, timeout: float) -> dict[str, Any]:
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
            else:
                return dict(message)
        raise self._died(question)

    def _lines(self, question: str, deadline: float) -> Iterator[bytes]:
        """Whole lines as they come, until the pipe closes."""
        waiting = b""
        while True:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                words = self._last_words()
                self.close()
                raise Unanswered(f"no answer to {question!r} within the time limit (--timeout){words}")
            chunk = os.read(self._answers, 1 << 20)
            if not chunk:
                return
            *lines, waiting = (waiting + chunk).split(b"\n")
            yield from lines

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
        self._open.remove(self)
        os.close(self._requests)
        os.close(self._answers)
        self._stack.close()


def _probe_of(target: Target) -> _Probe:
    return _probe(target.repo, target.python, target.script, tuple(sorted(target.launch_env.items())))


@cache
def _probe(repo: Path, python: Path, script: Path, env: tuple[tuple[str, str], ...]) -> _Probe:
    probe = _Probe(repo, python, script, env)
    atexit.register(probe.close)
    return probe
