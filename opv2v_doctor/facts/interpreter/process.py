"""The training interpreter: a process that answers questions in order, or whose end is told."""

from __future__ import annotations

import json
import os
import re
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from opv2v_doctor.channel import LONGEST, Channel, Closed, NoLine, Silent, TooLong, memory_share
from opv2v_doctor.check import Blocked
from opv2v_doctor.fact_progress import advance
from opv2v_doctor.foreign_files import from_json
from opv2v_doctor.text import Text

INSIDE = Path(__file__).parents[2] / "inside" / "__main__.py"
LAST_LINES, LONGEST_LINE = 5, 400
SHARES = 3  # time limits that may be lost in all; a question gets one of as many parts of what is left
LEAST = 0.5  # seconds in which a question can be answered
MOST = 1 << 53  # what progress may count to
GIB = 1 << 30
LEAST_SPACE = GIB  # addresses: with less torch cannot be imported
DUMP = re.compile(
    r"^(Fatal Python error: |Stack \(most recent call first\)|(Current t|T)hread 0x)", re.MULTILINE
)
ESCAPED = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")
FRAME = re.compile(r'^  File "(.+)", line (\d+) in ', re.MULTILINE)
WANT_OF_MEMORY = re.compile(r"\[Errno 12\]|can't allocate memory|Unable to allocate")
UNMAPPED = b"failed to map segment from shared object"  # the loader's words for the same, in any answer
WANT = re.compile(r"\[Errno (?:23|24|28|122)\]|can't start new thread")  # of descriptors, disk, threads
NOTHING = Text("")
MOST_OPEN = 3  # an examination needs two; of many targets the oldest's is closed


def _sign(escaped: re.Match[str]) -> str:
    """The character that a dump of the stack writes in ASCII."""
    return chr(int("".join(filter(None, escaped.groups())), 16))


class Unanswered(Blocked):
    """The interpreter did not start, died, hung or answered garbage; the message holds its last words."""


@dataclass
class _Loss:
    """What the questions to one interpreter have cost that got no answer."""

    seconds: float = 0.0
    why: dict[str, Text] = field(default_factory=dict)  # by request: it is not asked again

    def share(self, timeout: float) -> float:
        """The seconds that the next question may take; none where too little is left."""
        share = min(timeout, (SHARES * timeout - self.seconds) / SHARES)
        return share if share >= min(timeout, LEAST) else 0.0


@dataclass(frozen=True, kw_only=True)
class Start:
    """What tells one interpreter process from another."""

    repo: Path
    cwd: Path
    python: Path
    script: Path
    imports: Path  # its `sys.path[0]`
    env: tuple[tuple[str, str], ...]
    memory: float | None  # GiB of each of its processes; None: the machine's share


class InterpreterProcess:
    """One interpreter process, kept open over many questions, started anew after it died."""

    _open: ClassVar[list[InterpreterProcess]] = []
    _losses: ClassVar[dict[Start, _Loss]] = {}

    def __init__(self, start: Start) -> None:
        self._start = start
        self._channel: Channel | None = None
        self._sent = 0
        self._asked: dict[int, dict[str, object]] = {}  # requests without an answer, in the order of these
        self._answered: dict[int, dict[str, Any] | Text] = {}  # answers that nobody fetched, or why none

    @classmethod
    def close_all(cls) -> None:
        """End all: who is asked again starts anew."""
        for interpreter in list(cls._open):
            interpreter.close()
        cls._losses.clear()

    @property
    def _loss(self) -> _Loss:
        return self._losses.setdefault(self._start, _Loss())

    def send(self, request: dict[str, object]) -> int:
        """Send a request; what is returned is its number. What got no answer before is not asked again."""
        self._sent += 1
        if why := self._loss.why.get(_key(request)):
            self._answered[self._sent] = why
            return self._sent
        self.start()
        assert self._channel is not None
        self._asked[self._sent] = request
        try:
            self._channel.send(json.dumps(request).encode() + b"\n", LEAST)
        except Silent as problem:  # it reads nothing: it will not answer either
            self._give_up(request, problem, LEAST, LEAST)
            self._answered[self._sent] = self._loss.why[_key(request)]
        return self._sent

    @property
    def is_running(self) -> bool:
        return self._channel is not None

    def will_answer(self, number: int) -> bool:
        """Whether the answer to a request is there or may still come."""
        return number in self._asked or number in self._answered

    def start(self) -> None:
        if self._channel is not None:
            return
        while len(self._open) >= MOST_OPEN:
            self._open[0].close()
        space, _ = resource.getrlimit(resource.RLIMIT_AS)
        if space != resource.RLIM_INFINITY and space < LEAST_SPACE:
            raise Unanswered(
                "{space} MiB of memory are too few for the training interpreter",
                space=space >> 20,
                hint="give it more: `ulimit -v unlimited`",
            )
        begun = self._start
        try:
            self._channel = Channel(
                [begun.python, "-B", INSIDE],
                begun.script,
                begun.imports,
                cwd=begun.cwd,
                env={**os.environ, **dict(begun.env), "PYTHONDONTWRITEBYTECODE": "1"},
                memory=int((begun.memory or 0) * GIB),
            )
        except OSError as problem:
            raise Unanswered(
                "training interpreter {python} does not start: {problem}",
                python=begun.python,
                problem=problem.strerror,
            ) from None
        self._open.append(self)

    def answer(self, number: int, question: str, timeout: float) -> dict[str, Any]:
        """The answer to a request, and those to earlier ones on the way. Raises Unanswered."""
        while number not in self._answered:
            request, begun = self._asked[number], time.monotonic()
            share = self._loss.share(timeout)
            try:
                if not share:
                    self.close()
                    raise Unanswered(
                        "no answer to {question!r}: {seconds:.0f} s were lost to questions without an answer",
                        question=question,
                        seconds=self._loss.seconds,
                        hint="mend what hangs, or give more time with --timeout",
                    )
                while number not in self._answered:
                    self._receive(begun + share)
            except NoLine as problem:
                over = next(iter(self._asked.values()))  # this request, or one before it
                self._give_up(over, problem, share, time.monotonic() - begun)
                number = self.send(request)
        found = self._answered.pop(number)
        if isinstance(found, Text):
            raise Unanswered(found)
        return found

    def _receive(self, deadline: float) -> None:
        """Take the next message. Raises NoLine."""
        assert self._channel is not None
        line = self._channel.line(deadline)
        try:
            message = from_json(line)
        except ValueError:
            message = None
        if not _is_message(message):
            raise _Garbage(line[:80].decode(errors="replace"))
        if "progress" in message:
            advance(*message["progress"])
            return
        number = next(iter(self._asked))
        request = self._asked.pop(number)
        self._answered[number] = self._want(message, line, str(request["question"])) or message

    def _give_up(self, request: dict[str, object], problem: NoLine, share: float, seconds: float) -> None:
        """End a process that does not answer a request, and remember why and what it has cost."""
        begun = time.monotonic()
        self._loss.why[_key(request)] = self._reason(problem, str(request["question"]), share)
        self._loss.seconds += seconds + time.monotonic() - begun
        self.close()

    def _reason(self, problem: NoLine, question: str, share: float) -> Text:
        """Why a question got no answer."""
        assert self._channel is not None
        if isinstance(problem, _Garbage):
            return Text(
                "training interpreter answered {question!r} with garbage: {answer!r}",
                question=question,
                answer=str(problem),
            )
        if isinstance(problem, TooLong):
            return Text(
                "training interpreter answered {question!r} with more than {bound} MiB",
                question=question,
                bound=LONGEST >> 20,
            )
        if isinstance(problem, Closed):
            code, number = self._channel.ending()
            how = Text("closed its answers") if code is None else Text("exited with code {code}", code=code)
            return Text(
                "training interpreter {python} {how} while asked {question!r}{words}",
                python=self._start.python,
                how=Text("was killed by {signal}", signal=number) if number else how,
                question=question,
                words=self._last_words(),
            )
        self._channel.ask_where(share)
        return Text(
            "no answer to {question!r} within the time limit (--timeout){words}",
            question=question,
            words=self._last_words(),
        )

    def _last_words(self) -> Text:
        """Where in the repository the process was, as far as it could say, and its last lines."""
        assert self._channel is not None
        said = self._channel.printed()
        dump = DUMP.search(said)
        frames = FRAME.findall(said, dump.start()) if dump else []
        places = [(Path(ESCAPED.sub(_sign, name)), line) for name, line in frames]  # the innermost first
        own = [(path, line) for path, line in places if path.is_relative_to(self._start.repo)]
        at = (
            Text(", at {place}", place=f"{own[0][0].relative_to(self._start.repo)}:{own[0][1]}")
            if own
            else NOTHING
        )
        lines = (said[: dump.start()] if dump else said).split("\n")
        kept = [line.strip()[:LONGEST_LINE] for line in lines if line.strip()][-LAST_LINES:]
        words = Text("; its last lines: {lines}", lines=" | ".join(kept)) if kept else NOTHING
        return Text("{at}{words}", at=at, words=words)

    def _want(self, message: dict[str, Any], line: bytes, question: str) -> Text | None:
        """Why the examined code could not answer for want of memory, descriptors or disk."""
        raised = message.get("raised", {"type": "", "message": ""})
        said = f"{raised['type']}: {' '.join(raised['message'].split())}"[:LONGEST_LINE]
        if raised["type"] == "MemoryError" or WANT_OF_MEMORY.search(said) or UNMAPPED in line:
            return Text(
                "no answer to {question!r} for want of memory: each process of the training interpreter may "
                "have {bound:.1f} GiB (`memory` in the settings)",
                question=question,
                bound=self._start.memory or memory_share() / GIB,
            )
        if WANT.search(said):
            return Text(
                "no answer to {question!r} for want of room on this machine: {said}",
                question=question,
                said=said,
            )
        return None

    def close(self) -> None:
        """End the process and all that it started."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
            self._open.remove(self)
            self._asked, self._answered = {}, {}


class _Garbage(NoLine):
    """What is no message of ours; its beginning."""


def _key(request: dict[str, object]) -> str:
    return json.dumps(request, sort_keys=True)


def _is_message(message: Any) -> bool:
    """Whether it is progress, an answer or an exception, in the form of inside/__main__.py."""
    if not isinstance(message, dict):
        return False
    if "progress" in message:
        match message["progress"]:
            case [str(), int(done), int(total)]:
                return 0 <= done <= MOST and 0 <= total <= MOST
        return False
    match message:
        case {"raised": {"type": str(), "message": str()}}:
            return True
    return "answer" in message and "raised" not in message
