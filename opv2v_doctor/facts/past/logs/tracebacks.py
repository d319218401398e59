"""Tracebacks: put together again out of ranks that wrote at once, and loggers that break lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

MOST, MOST_FRAMES, MOST_DETAILS = 100, 80, 20
LONGEST = 300  # characters that are shown of an exception's beginning, and as many of its end
CONSEQUENCES = re.compile(
    r"ChildFailedError|DistBackendError|BrokenPipe|Connection(Reset|Refused|Aborted|Closed)|EOFError|"
    r"Connection (closed|reset)|NCCL|ncclRemoteError|SIGTERM|SignalException"
)

_head = re.compile(r"Traceback \(most recent call last\):")
_frame = re.compile(
    r'\s*File "(?P<path>[^"]{1,400})", line (?P<line>\d{1,9})(?:, in (?P<function>.{1,200}))?'
)
_exception = re.compile(
    r"(?P<kind>(?:[A-Za-z_]\w{0,80}\.){0,9}[A-Za-z_]\w{0,80}?"
    r"(?:Error|Exception|Interrupt|Exit|Warning|Quit|Iteration|Group|Timeout|Failure))"
    r"(?::\s?(?P<message>.*))?$"
)
_missing = re.compile(
    r"name '(\w+)' is not defined|cannot import name '(\w+)'|No module named '([\w.]+)'|"
    r"has no attribute '(\w+)'"
)
_chained = re.compile(r"(During handling of|The above exception was)")
_installed = re.compile(r"(?:site|dist)-packages/|/lib/python\d|^<|^\[")
_detail = re.compile(r"\s+\S|nccl\w+: |Last error:")  # what goes on with an exception's message


@dataclass(frozen=True, kw_only=True)
class TracebackEntry:
    """One call: where it stands in the source."""

    path: str
    line: int
    function: str


@dataclass(frozen=True, kw_only=True)
class Traceback:
    """One exception: what it was, where in the log, and the calls that led to it."""

    line: int  # of the log: where its traceback begins
    exception_line: int
    kind: str
    message: str
    frames: tuple[TracebackEntry, ...]
    rank: str = ""
    led_to: str = (
        ""  # another one: "handling" where it was raised while this one was handled, "cause" from this
    )
    chain: tuple[str, ...] = ()  # the exceptions that led to it, the first one first
    details: tuple[str, ...] = ()  # the lines of its message after the first

    @property
    def name(self) -> str:
        """The exception without its module."""
        return self.kind.rpartition(".")[2]

    @property
    def summary(self) -> str:
        return f"{self.name}: {self.message}" if self.message else self.name

    @property
    def missing(self) -> str:
        """The class or module that it says is not there, empty where it says something else."""
        if not self.name.endswith(("NameError", "ImportError", "ModuleNotFoundError", "AttributeError")):
            return ""
        match = _missing.search(self.message)
        of_an_object = self.name == "AttributeError" and not self.message.startswith(("module", "partially"))
        if match is None or of_an_object:
            return ""
        return next(group for group in match.groups() if group)

    @property
    def told(self) -> str:
        """The whole message in one line: of a long one, the beginning and the end."""
        whole = " ".join([self.summary, *map(str.strip, self.details)])
        return whole if len(whole) <= 2 * LONGEST else f"{whole[:LONGEST]} ... {whole[-LONGEST:]}"

    @property
    def last_line(self) -> int:
        """The line of the log with which it ends."""
        return self.exception_line + len(self.details)

    @property
    def is_typed(self) -> bool:
        """Whether somebody typed what failed into a debugger: the training goes on."""
        evaluated = [frame for frame in self.frames[-2:] if "pydevd" in frame.path or "debugpy" in frame.path]
        return bool(evaluated) and self.frames[-1].path == "<string>"

    @property
    def is_consequence(self) -> bool:
        """Whether it is not what ended the process: it led to another, or says that another rank failed."""
        return bool(self.led_to) or CONSEQUENCES.search(f"{self.kind}: {self.message}") is not None

    @property
    def is_by_hand(self) -> bool:
        """Whether it was Ctrl-C, wherever that arrived."""
        if self.name == "SignalException":
            return self.message.rstrip().endswith((" 2", "SIGINT"))
        return "KeyboardInterrupt" in (self.name, *self.chain)

    @property
    def own_frame(self) -> TracebackEntry | None:
        """The last call in the training's own code, else the last one."""
        own = [frame for frame in self.frames if not _installed.search(frame.path)]
        root = PurePosixPath(own[0].path).parent.parent if own else PurePosixPath("/")
        near = [frame for frame in own if len(root.parts) > 2 and root in PurePosixPath(frame.path).parents]
        return next(reversed(near or own or list(self.frames)), None)


@dataclass
class _Open:
    line: int
    rank: str
    chain: tuple[str, ...]
    frames: list[TracebackEntry] = field(default_factory=list)


class Tracebacks:
    """Told every line that is not a line of metrics, it collects the tracebacks in them."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._found: list[Traceback] = []
        self._chained: dict[str, tuple[str, ...]] = {}  # rank -> what led to its next exception
        self._last: dict[str, int] = {}  # rank -> its last exception
        self._ended: dict[str, int] = {}  # rank -> its last exception, whose message may go on
        self.count = 0

    @property
    def is_open(self) -> bool:
        return bool(self._open)

    def read(self, number: int, text: str, rank: str) -> Traceback | None:
        """Take in a line; the traceback that it completes, if it does."""
        if self._goes_on(text, rank):
            return None
        self._ended.pop(rank, None)
        if _head.search(text):
            self._open.append(_Open(number, rank, self._chained.pop(rank, ())))
            del self._open[:-MOST]
        elif self._open and (frame := _frame.match(text)):
            self._add(
                TracebackEntry(path=frame["path"], line=int(frame["line"]), function=frame["function"] or ""),
                rank,
            )
        elif self._open and (exception := _exception.match(text)):
            return self._close(number, exception["kind"], exception["message"] or "", rank)
        elif (chained := _chained.match(text)) and rank in self._last:
            before = self._found[self._last[rank]]
            led_to = "handling" if chained[1].startswith("During") else "cause"
            self._found[self._last[rank]] = replace(before, led_to=led_to)
            self._chained[rank] = (*before.chain, before.name)
        return None

    def _goes_on(self, text: str, rank: str) -> bool:
        """Whether a line belongs to the message of the rank's last exception; it is taken in."""
        index = self._ended.get(rank)
        busy = any(one.rank == rank for one in self._open)
        if index is None or busy or _head.search(text) or _chained.match(text):
            return False
        one = self._found[index]
        before = one.details[-1] if one.details else one.message
        if len(one.details) >= MOST_DETAILS or not (_detail.match(text) or before.endswith(":")):
            return False
        self._found[index] = replace(one, details=(*one.details, text.rstrip()[:1000]))
        return True

    def _add(self, frame: TracebackEntry, rank: str) -> None:
        """To the rank's first open traceback that has not got the frame: ranks write the same at once."""
        ours = [one for one in self._open if one.rank == rank] or self._open
        chosen = next((one for one in ours if frame not in one.frames), ours[0])
        if len(chosen.frames) < MOST_FRAMES:
            chosen.frames.append(frame)

    def _close(self, number: int, kind: str, message: str, rank: str) -> Traceback:
        ours = [one for one in self._open if one.rank == rank] or self._open
        done = ours[0]
        self._open.remove(done)
        found = Traceback(
            line=done.line,
            exception_line=number,
            kind=kind,
            message=message[:1000],
            frames=tuple(done.frames),
            rank=done.rank,
            chain=done.chain,
        )
        self.count += 1
        if len(self._found) < MOST:
            self._ended[rank] = self._last[rank] = len(self._found)
            self._found.append(found)
        return found

    def latest(self, count: int) -> list[Traceback]:
        """The last ones that were completed."""
        return self._found[len(self._found) - count :] if count else []

    def in_order(self) -> tuple[Traceback, ...]:
        """All of them, causes before consequences, each in the order of the log; unfinished ones, too."""
        unfinished = [
            Traceback(
                line=one.line,
                exception_line=one.line,
                kind="",
                message="",
                frames=tuple(one.frames),
                rank=one.rank,
            )
            for one in self._open
        ]
        found = [replace(one, message=one.message.strip()) for one in [*self._found, *unfinished]]
        return tuple(sorted(found, key=lambda one: (one.is_consequence or not one.kind, one.exception_line)))
