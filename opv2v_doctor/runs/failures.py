"""Failures: which rank failed first, and how, read from what torchrun says and from the ranks' last lines."""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from opv2v_doctor.atomic import has_room
from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.runs.output import OWN, Output
from opv2v_doctor.runs.record import RankFailure

SHOWN = 15  # lines
SIGNALLED = 128  # what a shell adds to the number of the signal that ended a command
_table = re.compile(r"^ {2}rank +: (\d+) \(local_rank: \d+\)\n {2}exitcode +: (-?\d+) ", re.MULTILINE)
_short = re.compile(r"failed \(exitcode: (-?\d+)\) local_rank: (\d+) ")
# what a rank says when another one is gone
_consequence = re.compile(
    r"Connection (closed|reset) by|Broken pipe|Socket Timeout|remote process exited|NCCL (error|watchdog)"
    r"|Timed out waiting|connection was (closed|reset)|DistNetworkError|recvValue failed|SignalException"
)


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """One rank that did not end well."""

    rank: int
    code: int  # negative: the signal that killed it
    lines: tuple[str, ...]
    raised: float  # when the watch saw its exception; infinity: never

    @property
    def suspicion(self) -> tuple[bool, bool, float]:
        """Who was killed comes first, then who complains of no other rank, then who raised first."""
        ended_by_torchrun = self.code == -signal.SIGTERM
        complains = any(_consequence.search(line) for line in self.lines)
        return ended_by_torchrun or (complains and self.code > 0), self.code > 0, self.raised


def first_failure(output: Output, code: int, raised: Mapping[int, float]) -> RankFailure:
    """The rank that failed first; without torchrun there is only one."""
    text = text_of(output.folder / OWN, "replace") if _is_there(output) else ""
    found = _ends(output, text, raised)
    if not found:
        return _failure(
            None, code if code < SIGNALLED else SIGNALLED - code, output.last_lines(None, SHOWN), output
        )
    first = min(found, key=lambda ended: ended.suspicion)  # of equals the one that torchrun names first
    return _failure(first.rank, first.code, first.lines, output)


def _is_there(output: Output) -> bool:
    return (output.folder / OWN).is_file()


def _ends(output: Output, text: str, raised: Mapping[int, float]) -> list[_Ended]:
    """The ranks in torchrun's table, its root cause first; else those in its messages."""
    _, _, cause = text.rpartition("Root Cause (first observed failure):")
    words = [cause, text] if cause != text else [text]
    pairs = [(int(rank), int(code)) for part in words for rank, code in _table.findall(part)]
    pairs = pairs or [(int(rank), int(code)) for code, rank in _short.findall(text)]
    return [
        _Ended(rank=rank, code=code, lines=output.last_lines(rank, SHOWN), raised=raised.get(rank, math.inf))
        for rank, code in dict.fromkeys(pairs)
    ]


def _failure(rank: int | None, code: int, lines: tuple[str, ...], output: Output) -> RankFailure:
    logs = [path for path in output.files() if output.rank_of(path) == rank and path.is_file()]
    log = max(logs, key=lambda path: path.stat().st_mtime, default=None)
    return RankFailure(
        rank=rank,
        exit_code=code if code >= 0 else None,
        signal=_name(-code) if code < 0 else None,
        log=str(log.relative_to(output.folder.parents[1])) if log else None,
        last_lines=lines,
        disk_full=not has_room(output.folder) or any("No space left on device" in line for line in lines),
    )


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def description(failure: RankFailure) -> str:
    """The failure in words, its last lines below."""
    who = "the training" if failure.rank is None else f"rank {failure.rank}"
    how = f"was killed by {failure.signal}" if failure.signal else f"ended with exit code {failure.exit_code}"
    hint = " (the kernel sends it when memory runs out: see dmesg)" if failure.signal == "SIGKILL" else ""
    disk = "; the disk of the run directory is full" if failure.disk_full else ""
    lines = "".join(f"\n  | {line}" for line in failure.last_lines)
    return f"{who} failed first: it {how}{hint}{disk}; its last lines ({failure.log}):{lines}"
