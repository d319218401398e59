"""Stops: what ended each launch of a log, its cause first, and the exceptions that say the same, together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from opv2v_doctor import Override, Place, Text, quoted
from opv2v_doctor.facts.past.logs.courses import memory_growth
from opv2v_doctor.facts.past.logs.incidents import Incident
from opv2v_doctor.facts.past.logs.log_files import Fate, Log
from opv2v_doctor.facts.past.logs.run_configs import run_config
from opv2v_doctor.facts.past.logs.tracebacks import Traceback, TracebackEntry

AFTERMATH: dict[Fate, Text] = {
    "survived": Text("the training went on"),
    "overcome": Text("a later launch went on"),
}


@dataclass(frozen=True, kw_only=True)
class LoggedException:
    """One exception, by every rank and launch that raised it, and what became of the training."""

    fate: Fate
    tracebacks: tuple[Traceback, ...]

    @property
    def first(self) -> Traceback:
        return self.tracebacks[0]

    @property
    def consequences(self) -> list[Text]:
        """How often it was raised, and what became of the training, as far as there is something to say."""
        count = len(self.tracebacks)
        said = [Text("raised from {cause}", cause=self.first.chain[-1])] if self.first.chain else []
        said += [Text("{n} tracebacks", n=count)] if count > 1 else []
        return [*said, AFTERMATH[self.fate]] if self.fate in AFTERMATH else said


def logged_exceptions(log: Log, tracebacks: Iterable[Traceback]) -> tuple[LoggedException, ...]:
    """The exceptions that tracebacks of a log tell of, in their order."""
    groups: dict[tuple[Fate, str], list[Traceback]] = {}
    for one in tracebacks:
        fate = log.fate(one.line, one.exception_line)
        groups.setdefault((fate, one.summary[:300]), []).append(one)
    return tuple(LoggedException(fate=fate, tracebacks=tuple(alike)) for (fate, _), alike in groups.items())


def exception_and_place(exception: Traceback, frame: TracebackEntry | None) -> Text:
    """An exception, and the place where it was raised."""
    if frame is None:
        return quoted(exception.told)
    return Text(
        "{exception}, in {place}", exception=exception.told, place=Place(Path(frame.path), frame.line)
    )


KINDS = {  # of incidents that end a training from outside: what each is, and what helps
    "out_of_memory": (
        Text("out of memory"),
        Text(
            "lower train_params.max_num_of_imgs_per_gpu where a GPU's memory was full, dataset.num_workers "
            "where the machine's was"
        ),
    ),
    "nccl_timeout": (
        Text("a collective timed out: one rank was missing"),
        Text("look for the rank that stopped first: the others only waited for it"),
    ),
    "disk_full": (Text("the disk was full"), Text("make room on the disk")),
    "gpu_lost": (
        Text("a GPU failed"),
        Text("leave that GPU out, and have the machine looked at: nvidia-smi -q -d ECC,ROW_REMAPPER"),
    ),
    "cuda_error": (
        Text("a CUDA kernel failed"),
        Text("launch once with CUDA_LAUNCH_BLOCKING=1: the traceback then shows which one"),
    ),
    "time_limit": (
        Text("the scheduler's time limit"),
        Text("resume, and ask for more time or save more often"),
    ),
    "preempted": (Text("the scheduler took the node"), Text("resume: the job was not at fault")),
    "usage": (Text("the command line was refused"), Text("correct the argument that it names")),
    "rank_failed": (
        Text("a rank failed, and its own words are not in this log"),
        Text("look in the log of that rank: torchrun --log-dir LOGS --redirects 3"),
    ),
    "aborted": (
        Text("it ended in C++ or in the interpreter"),
        Text(
            "launch once with CUDA_LAUNCH_BLOCKING=1 and PYTHONFAULTHANDLER=1: the traceback then shows where"
        ),
    ),
    "killed": (
        Text("it was killed"),
        Text("look in the scheduler's log or dmesg for what killed it"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class LaunchStop:
    """Why a launch stopped: an exception, a loss that is not finite, or what came from outside."""

    line: int
    fate: Fate
    exception: Traceback | None = None
    incident: Incident | None = None


def stops(log: Log) -> dict[int, list[LaunchStop]]:
    """What stopped each launch, in the order of the log: the first is the event, others follow from it."""
    found = [
        LaunchStop(line=one.exception_line, fate=log.fate(one.line, one.exception_line), exception=one)
        for one in causes(log)
    ]
    found += [
        LaunchStop(line=one.line, fate=log.fate(one.line, one.line), incident=one)
        for one in (*outside(log), *log.of("unstable"))
    ]
    first = {log.launch_of(one.line): str(one.rank) for one in first_failures(log)}
    by_launch: dict[int, list[LaunchStop]] = {}
    for one in sorted(found, key=lambda one: one.line):
        if one.fate != "survived":
            by_launch.setdefault(log.launch_of(one.line), []).append(one)
    for launch, ones in by_launch.items():  # of several ranks the one that torchrun saw fail first
        ones.sort(key=lambda one: one.exception is None or one.exception.rank != first.get(launch))
        if not any(one.exception and one.exception.rank == first.get(launch) for one in ones):
            ones.sort(key=lambda one: one.line)
    return by_launch


def causes(log: Log) -> list[Traceback]:
    """The exceptions of each launch that followed from no other; all of them where there is no such."""
    named = [one for one in log.raised if one.kind]
    caused = {log.launch_of(one.line) for one in named if not one.is_consequence}
    return [one for one in named if not one.is_consequence or log.launch_of(one.line) not in caused]


def outside(log: Log) -> list[Incident]:
    """What ends a training from outside, where no exception says it."""
    exceptions = [one for one in log.raised if one.kind]
    found = [
        one
        for one in log.of(*KINDS)
        if not any(other.line <= one.line <= other.last_line for other in exceptions)
    ]
    explained = {log.launch_of(one.line) for one in [*found, *log.of("unstable")]}
    explained |= {log.launch_of(one.line) for one in exceptions if not one.is_consequence}
    for one in first_failures(log):
        if log.launch_of(one.line) not in explained:
            found.append(replace(one.incident, kind="rank_failed"))
    return sorted(found, key=lambda one: one.line)


@dataclass(frozen=True, kw_only=True)
class FirstFailure:
    """The rank that torchrun saw fail first, and its exit code."""

    incident: Incident
    rank: int
    code: int

    @property
    def line(self) -> int:
        return self.incident.line

    @property
    def said(self) -> Text:
        return Text("rank {rank} failed first, exit code {code}", rank=self.rank, code=self.code)


BLOCK = 9  # lines of torchrun's root cause


def first_failures(log: Log) -> list[FirstFailure]:
    """What torchrun gives as the root cause of each launch that it ended."""
    found = []
    for root in log.of("root"):
        ranks, codes = (
            [one for one in log.of(kind) if root.line < one.line <= root.line + BLOCK]
            for kind in ("root_rank", "root_code")
        )
        if ranks and codes:
            found.append(FirstFailure(incident=ranks[0], rank=int(ranks[0].value), code=int(codes[0].value)))
    return found


def way_on(log: Log, line: int | None = None) -> Text:
    """How to go on with a training that stopped at a line, or at the end: by what the log says was saved."""
    if not any(line is None or save.line < line for save in log.of("save")):
        return Text("launch again")
    config = run_config(log)
    if config and config.get("train_params.resume") is not None:
        return Text("resume: {resume}", resume=Override("train_params.resume=true"))
    return Text("resume from the last checkpoint")


def remedy_against(log: Log, kind: str) -> Text:
    """What helps against a kind of incident: no smaller batch does where memory grew with every step."""
    if kind == "out_of_memory" and memory_growth(log) is not None:
        return Text(
            "see LOG024: memory grew with every step, and a smaller batch only comes later to the same end"
        )
    return KINDS[kind][1]


def kind_of(log: Log, exception: Traceback) -> str | None:
    """The kind of incident that an exception is about, if it is about one."""
    lines = range(exception.line, exception.last_line + 1)
    return next((one.kind for one in log.of(*KINDS) if one.line in lines), None)
