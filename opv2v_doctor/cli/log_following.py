"""Following a log that grows: a line for each new block of metrics, and what happened between them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from opv2v_doctor.facts.logs import KEPT_LINES
from opv2v_doctor.facts.logs.blocks import growing
from opv2v_doctor.facts.logs.log_files import Log
from opv2v_doctor.facts.logs.log_readers import LogReader
from opv2v_doctor.facts.logs.metric_runs import Run
from opv2v_doctor.facts.logs.records import Records, records
from opv2v_doctor.reporters.wording import printable

QUIET = {"launch", "rank", "job", "length", "criterion", "testing", "weights", "keys"}


def follow(
    path: Path,
    say: Callable[[str], object],
    news: Callable[[], Iterable[str]] = tuple,
    until_idle: float | None = None,
) -> Log:
    """Say what a log says as it grows, and what `news` adds when it is quiet, until SIGINT or SIGTERM.

    With `until_idle` it ends after so many quiet seconds. A log that starts anew is another log. Returns what
    was read of the last one: who judges it needs that where the file was removed.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    reader = LogReader(path, KEPT_LINES)
    quiet = _Quiet(say, news, until_idle)
    try:
        while True:
            for found in records(quiet.heard(growing(path, quiet.wait))):
                for text in _news(reader, found):
                    say(text)
            say(f"{path.name} starts anew: it was cut off or replaced")
            reader = LogReader(path, KEPT_LINES)
    except (KeyboardInterrupt, _Idle):
        unread = f", {reader.unparsed_count} could not be read" if reader.unparsed_count else ""
        say(f"{path.name}: {reader.lines} lines{unread}")
    return reader.log()


class _Idle(Exception):
    """Nothing was written for as long as was asked for."""


@dataclass
class _Quiet:
    """What happens while nothing is written."""

    say: Callable[[str], object]
    news: Callable[[], Iterable[str]]
    until_idle: float | None
    since: float = field(default_factory=time.monotonic)

    def heard(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks, each of them a sign that the log is written: also one that ends no line."""
        for chunk in chunks:
            self.since = time.monotonic()
            yield chunk

    def wait(self) -> None:
        """Say what is new; end where it was quiet for long enough."""
        for text in self.news():
            self.say(text)
        if self.until_idle is not None and time.monotonic() - self.since > self.until_idle:
            raise _Idle


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _news(reader: LogReader, found: Records) -> Iterator[str]:
    """What one block adds, in the order of its lines."""
    incidents, unparsed = len(reader.incidents.found), reader.unparsed_count
    raised = reader.tracebacks.count
    news = [(int(run.line[-1]), _metrics(run)) for _, run in reader.feed(found)]
    for incident in reader.incidents.found[incidents:]:
        if incident.kind not in QUIET:
            news.append((incident.line, printable(incident.text[:200])))
    for one in reader.tracebacks.latest(reader.tracebacks.count - raised):
        news.append((one.exception_line, printable(f"raised {one.summary[:200]}")))
    yield from (f"{reader.path.name}:{line}: {text}" for line, text in sorted(news))
    if reader.unparsed_count > unparsed:
        yield f"{reader.path.name}: {reader.unparsed_count - unparsed} lines of metrics could not be read"


def _metrics(run: Run) -> str:
    shown = []
    for name in ("loss", "lr", "time"):
        if name in run.names:
            column = run.names.index(name)
            average = f" ({run.averages[-1, column]:.4g})" if run.averaged[column] else ""
            shown.append(f"{name} {run.medians[-1, column]:.4g}{average}")
    return f"{run.phase} epoch {run.epoch[-1]} step {run.step[-1]}/{run.steps}  {'  '.join(shown)}"
