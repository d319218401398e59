"""Benchmarks: each is a ratio of two measurements made in one run, so that a noisy machine slows both."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

LIMIT = 600.0  # seconds of one command


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """What was measured against what, and the bound; `at_least` turns the bound round."""

    name: str
    measured: float
    bound: float
    at_least: bool = False
    details: str = ""

    @property
    def holds(self) -> bool:
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def seconds(work: Callable[[], object]) -> float:
    """The wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compared(ours: Callable[[], object], theirs: Callable[[], object], times: int) -> tuple[float, float]:
    """The best times of both, measured in turns, so that a busy moment meets both."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(times)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def command(words: Sequence[object], **options: Any) -> Callable[[], object]:
    """A command to be timed, its output thrown away; any exit code of a finished run will do."""

    def run() -> None:
        quiet = subprocess.DEVNULL
        with subprocess.Popen(
            [str(word) for word in words], stdout=quiet, stderr=quiet, **options
        ) as process:
            limit = threading.Timer(LIMIT, process.kill)  # a wait with a time limit polls: up to 50 ms off
            limit.start()
            process.wait()
            limit.cancel()

    return run
