"""A campaign: trials for so many seconds, in a process that is started anew when it dies or hangs."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fuzz import ROOT, Subject
from fuzz.trials import INPUT, LIMIT, Trial

PATIENCE = 30 * LIMIT  # seconds without a word: a hang that no signal ends, even on a busy machine
KEPT = 3  # inputs of one finding


@dataclass(kw_only=True)
class Tally:
    """What was found so far."""

    inputs: int = 0
    bytes: int = 0
    cpu: float = 0.0
    slowest: Trial | None = None
    findings: Counter[str] = field(default_factory=Counter)

    def add(self, trial: Trial) -> None:
        """Take in one trial."""
        self.inputs, self.bytes, self.cpu = self.inputs + 1, self.bytes + trial.size, self.cpu + trial.seconds
        if self.slowest is None or trial.seconds > self.slowest.seconds:
            self.slowest = trial
        if trial.problem:
            self.findings[trial.place or trial.problem] += 1

    def __str__(self) -> str:
        slowest = f"{self.slowest.seconds:.2f} s (input {self.slowest.number})" if self.slowest else "none"
        return (
            f"{self.inputs} inputs, {self.bytes / 1e6:.0f} MB, {self.cpu:.0f} s of CPU, slowest {slowest}, "
            f"{len(self.findings)} findings"
        )


def campaign(
    subject: Subject, seconds: float, seed: int, findings: Path, say: Callable[[str], object]
) -> Tally:
    """Try inputs for so many seconds; what they find is written into the folder of findings."""
    tally, told = Tally(), time.monotonic()
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        place = Path(folder)
        while time.monotonic() < end:
            for trial in _trials(subject, seed, tally.inputs, place, end):
                tally.add(trial)
                if trial.problem and tally.findings[trial.place or trial.problem] <= KEPT:
                    say(_kept(subject, seed, trial, place / INPUT, findings))
                if time.monotonic() > told + 60:
                    told = time.monotonic()
                    say(f"{subject.name}: {tally}")
    return tally


def _kept(subject: Subject, seed: int, trial: Trial, content: Path, findings: Path) -> str:
    """Keep the input of a finding. (The next trial may have begun: a trial that died is in its file.)"""
    findings.mkdir(parents=True, exist_ok=True)
    path = findings / f"{subject.name}-{seed}-{trial.number}{subject.suffix}"
    if trial.details:
        from fuzz import source

        path.write_bytes(subject.mutated(subject.seeds(), source(seed, trial.number)))
    else:
        path.write_bytes(content.read_bytes())
    return f"{path}: {trial.problem}\n{trial.details}"


def _trials(subject: Subject, seed: int, first: int, place: Path, end: float) -> Iterator[Trial]:
    """What one process says, until it dies, hangs, or the time is over."""
    words = [sys.executable, "-m", "fuzz.trials", subject.name, str(seed), str(first), str(place)]
    errors = (place / "said").open("w+b")  # libraries may say more than a pipe holds
    with errors, subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors) as process:
        number = first
        for line in _lines(process, end):
            trial = Trial(**json.loads(line))
            number = trial.number + 1
            yield trial
        over = time.monotonic() >= end
        status = process.poll()
        process.kill()
        said = (place / "said").read_bytes()[-2000:].decode("utf-8", "replace")
    if not over:
        problem = f"hangs: nothing for {PATIENCE:g} s" if status is None else f"the process died: {status}"
        size = (place / INPUT).stat().st_size if (place / INPUT).exists() else 0
        if number == first and not size:
            raise RuntimeError(f"no trial could be made: {said}")
        yield Trial(number=number, size=size, seconds=0.0, problem=f"{problem} {said}".strip(), place=problem)


def _lines(process: subprocess.Popen[bytes], end: float) -> Iterator[bytes]:
    """The lines of a process, as long as it says any."""
    assert process.stdout is not None
    file, rest = process.stdout.fileno(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(file, selectors.EVENT_READ)
        while (left := end - time.monotonic()) > 0:
            if not selector.select(min(left, PATIENCE)):
                return
            chunk = os.read(file, 1 << 16)
            if not chunk:
                process.wait()
                return
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
