"""Launches: the short trainings that are compared, each made once, by the real launcher."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Blocked
from opv2v_doctor.fact_progress import advance
from opv2v_doctor.facts.launch.config import config
from opv2v_doctor.facts.source.names import name_of, watched
from opv2v_doctor.foreign_files import from_yaml, text_of
from opv2v_doctor.runs import processes
from opv2v_doctor.runs.command_line import command
from opv2v_doctor.runs.directory import claim, number_of_launch, output_folder
from opv2v_doctor.runs.failures import SIGNALLED
from opv2v_doctor.runs.launcher import Plan, launch
from opv2v_doctor.runs.output import OutputLine
from opv2v_doctor.runs.record import Run, RunStatus, Stamp
from opv2v_doctor.runs.stamp import write_stamp
from opv2v_doctor.scratch import scratch_folder
from opv2v_doctor.smoke.rehearsals import Frequencies, Rehearsal, read_rehearsal
from opv2v_doctor.smoke.traces import EVENTS, Frame, Largest, TracedException, TrainingTrace, read_trace
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place, Text

STEPS, EPOCHS = 3, 2
KILLED_AT = (1, 1)  # epoch and step: one step of the second epoch is lost
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
FREQUENCIES = ("save_freq", "keep_freq", "eval_freq")
LOGS = (".txt", ".jsonl", ".csv")  # that a training writes, and a resume appends to
OURS = (EVENTS, "checkpoints.jsonl", "sources.txt", "packages.txt", "untracked.txt")
LAST_LINES = 8  # of a training that failed, where its exception is not known
LONGEST = 300  # characters that are shown of a message's beginning, and as many of its end


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a launch: its trace, or why there is none, and where in the repository that was."""

    trace: TrainingTrace
    run: Run | None = None
    failure: Text | None = None
    at: Place | None = None
    killed: bool = False

    @property
    def is_resume(self) -> bool:
        """Whether a training that was killed was gone on with."""
        return self.run is not None and len(self.run.launches) > 1

    @property
    def useless(self) -> bool:
        """Whether it failed before it had made its steps: the largest batch comes after them."""
        return self.failure is not None and not self.trace.every(Largest)


@fact
def uninterrupted_training(target: Target) -> Outcome:
    """Two epochs of a few steps each."""
    return _launch(
        target,
        _folder(target) / "uninterrupted",
        "training without a break",
        alike=True,
        trials=True,
        largest=EPOCHS - 1,
    )


@fact
def resumed_training(target: Target) -> Outcome:
    """The same, killed in its second epoch and resumed: what the resumed one does."""
    first = uninterrupted_training(target)
    if first.useless:  # one that is to be killed would fail as well
        return first
    place = _folder(target) / "killed"
    killed = _launch(target, place, "training to be killed", hold=list(KILLED_AT), alike=True)
    if not killed.killed:
        return replace(killed, failure=killed.failure or Text("never came to its second epoch"))
    return _launch(target, place, "resumed training", earlier=killed.run, alike=True)


@fact
def training_alone(target: Target) -> Outcome:
    """One epoch of one process, that gets the batches of all ranks."""
    first = uninterrupted_training(target)
    if first.useless or first.run is None:
        return first
    accumulated = f"train_params.accum_iter={target.gpus * _accumulation(first.run.path)}"
    single = replace(target.alone, overrides=(*target.alone.overrides, accumulated))
    place, steps = _folder(target) / "alone", _steps(first.trace) * target.gpus
    name = "training in one process"
    return _launch(
        single, place, name, limit=steps, exact=True, stop_before_epoch=1, alike=True, perturb=True
    )


def rehearsal(target: Target) -> Rehearsal:
    """The training's own loop through more epochs than it keeps, ended half-way and resumed.

    An epoch takes no time in it. Raises Blocked where the loop does not run with a model of ours.
    """
    outcome = rehearsed(target)
    if isinstance(outcome, Blocked):
        raise outcome
    return outcome


@fact
def rehearsed(target: Target) -> Rehearsal | Blocked:
    """A failure is cached too: it would fail again."""
    try:
        return _rehearse(target)
    except Blocked as blocked:
        return blocked


def _rehearse(target: Target) -> Rehearsal:
    rates = frequencies(target)
    place, epochs = _folder(target) / "rehearsal", f"train_params.epochs={rates.epochs}"
    single = replace(target.alone, overrides=(*target.alone.overrides, epochs))
    words: dict[str, Any] = {"trace": False, "limit": None, "rehearsal": True}
    first = _launch(single, place, "rehearsed training", **words, stop_before_epoch=rates.stop)
    _rehearsed(first)
    start = (place / EVENTS).stat().st_size
    logs = {path: _lines(path) for path in place.rglob("*") if path.suffix in LOGS and path.name not in OURS}
    _rehearsed(_launch(single, place, "rehearsed resume", earlier=first.run, **words, stop_before_epoch=None))
    lost = tuple(path for path, lines in logs.items() if not lines <= _lines(path))
    return read_rehearsal(place, start, rates, lost)


@fact
def frequencies(target: Target) -> Frequencies:
    """How often the config saves, keeps and evaluates, in epochs; 0 where it does not say, or has no set."""
    found = {name: config(target).number(f"train_params.{name}", 0) or 0 for name in FREQUENCIES}
    if not any(mark in str(config(target).get("dataset.test_dataset")) for mark in "(@"):
        found["eval_freq"] = 0
    return Frequencies(**{name.removesuffix("_freq"): int(value) for name, value in found.items()})


def _rehearsed(outcome: Outcome) -> None:
    if outcome.failure:
        raise Blocked("the rehearsed training {failure}", at=outcome.at, failure=outcome.failure)


def _lines(path: Path) -> set[str]:
    """The lines of a log; nothing where it is gone, or no text."""
    try:
        return set(text_of(path, errors="replace").splitlines())
    except OSError:
        return set()


def uninterrupted_trace(target: Target) -> TrainingTrace:
    """Two epochs without a break. Raises Blocked where they did not come to their end, or were not seen."""
    training = Text("the uninterrupted training")
    return _complete(_ended_trace(uninterrupted_training(target), training), training, target.gpus)


def resumed_trace(target: Target) -> TrainingTrace:
    """What a training does that was killed in its second epoch and resumed. Raises Blocked as above.

    It may have made no step: then it took the training for complete.
    """
    return _ended_trace(resumed_training(target), Text("the resumed training"))


def alone(target: Target) -> TrainingTrace:
    """One epoch of one process with the batches of all ranks. Raises Blocked as above."""
    training = Text("the training in one process")
    return _complete(_ended_trace(training_alone(target), training), training, 1)


def _ended_trace(outcome: Outcome, training: Text) -> TrainingTrace:
    if outcome.useless:
        raise Blocked("{training} {failure}", at=outcome.at, training=training, failure=outcome.failure or "")
    return outcome.trace


def _complete(trace: TrainingTrace, training: Text, ranks: int) -> TrainingTrace:
    for rank in range(ranks):
        if not trace.of_rank(rank):
            raise Blocked("{training} ended without a step of rank {rank}", training=training, rank=rank)
    return trace


def _steps(trace: TrainingTrace) -> int:
    """Steps of the first epoch."""
    return sum(step.epoch == 0 for step in trace.of_rank(0)) or STEPS


def _accumulation(run: Path) -> int:
    """Batches an update, from the config that Hydra keeps in the run directory."""

    path = run / ".hydra/config.yaml"
    values = from_yaml(text_of(path)) if path.is_file() else {}
    return int((values.get("train_params") or {}).get("accum_iter", 1))


@fact
def _folder(_target: Target) -> Path:
    """Where the trainings of a target go: gone at our end."""
    return scratch_folder("smoke")


def _launch(
    target: Target, place: Path, name: str, *, earlier: Run | None = None, **watch: object
) -> Outcome:
    """Launch, follow to the end, and read what the watch wrote."""
    start = (place / EVENTS).stat().st_size if earlier else 0
    with claim([place], resume=earlier is not None) as claimed:
        words = command(target, place, output_folder(place, number_of_launch(earlier)))
        stamp = Stamp(argv=tuple(words), world_size=target.gpus)
        run = write_stamp(claimed, stamp, {}, earlier)
        display = _Display(name, run.last.token, target.gpus)
        ended = launch(_plan(target, run, words, watch), run, claimed.lock, display)
    if ended.last.status is RunStatus.INTERRUPTED and not display.killed:
        signal.raise_signal((ended.last.exit_code or 0) - SIGNALLED or signal.SIGINT)  # it was meant for us
    trace = read_trace(place, start)
    failure = None if display.killed else _failure(ended, trace)
    at = _innermost(ended, trace, target.repo)
    return Outcome(trace=trace, run=ended, failure=failure, at=at, killed=display.killed)


def _plan(target: Target, run: Run, words: list[str], watch: Mapping[str, object]) -> Plan:
    limits = {"limit": STEPS, "stop_before_epoch": EPOCHS, **watch}
    return Plan(
        command=words,
        cwd=target.cwd,
        env={
            **{name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()},
            **target.launch_env,
        },
        watch={
            **target.watched,
            "run": str(run.path),
            "every": 1,
            "trace": True,
            "names": watched(target),
            **limits,
        },
        ranks=range(target.gpus),
        silence=target.timeout,
        end_stalled=True,
    )


def _failure(run: Run, trace: TrainingTrace) -> Text | None:
    """How a training ended that did not end well: with its exception, else with its last lines."""
    code, raised = run.last.exit_code, _first_exception(run, trace)
    if not code:
        return None
    if raised:
        return Text("ended with exit code {code}: {error}", code=code, error=_excerpt(raised.error))
    lines = run.last.failure.last_lines[-LAST_LINES:] if run.last.failure else ()
    return Text(
        "ended with exit code {code}; its last lines: {lines}" if lines else "ended with exit code {code}",
        code=code,
        lines=" | ".join(map(_excerpt, lines)),
    )


def _first_exception(run: Run, trace: TrainingTrace) -> TracedException | None:
    """The exception of the rank that failed first; other ranks may complain of its end."""
    rank = run.last.failure.rank if run.last.failure else None
    return min(trace.raised, key=lambda raised: raised.rank != rank, default=None)


def _excerpt(text: str) -> str:
    """A message in one line: of a long one, the beginning and the end."""
    line = " ".join(text.split())
    return line if len(line) <= 2 * LONGEST else f"{line[:LONGEST]} ... {line[-LONGEST:]}"


def loop_place(target: Target, frames: Sequence[Frame]) -> Place | None:
    """The line of the training loop among those that lead to something, else the innermost one of it."""
    ours = [frame for frame in frames if frame.place.path.is_relative_to(target.repo)]
    loop = [frame for frame in ours if frame.function == name_of(target, "train")]
    return next((frame.place for frame in (*loop, *ours)), None)


def _innermost(run: Run, trace: TrainingTrace, repo: Path) -> Place | None:
    """The innermost line of the repository among the calls that led to the exception."""
    raised = _first_exception(run, trace)
    ours = [place for place in raised.frames if place.path.is_relative_to(repo)] if raised else []
    return ours[-1] if ours else None


@dataclass
class _Display:
    """Shows steps as progress, and kills a training once all of its ranks wait for that."""

    name: str
    token: str
    ranks: int
    held: set[int] = field(default_factory=set)
    killed: bool = False

    def line(self, line: OutputLine) -> None:
        """The training's own words are kept in its files."""

    def begin(self, *_: object) -> None:
        """Its steps tell."""

    def say(self, words: str) -> None:
        """A failure is told by the checks."""

    def event(self, event: Mapping[str, object]) -> None:
        """A step, or a rank that waits."""
        if event["event"] == "step" and event["rank"] == 0:
            advance(self.name, int(str(event["global_step"])) + 1, STEPS * EPOCHS)
        if event["event"] == "held":
            self.held.add(int(str(event["rank"])))
            if len(self.held) == self.ranks:
                self._kill()

    def _kill(self) -> None:
        """As a power cut would: all processes, at once, without a word."""
        self.killed = True
        for pid in processes.of_launch(self.token):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
