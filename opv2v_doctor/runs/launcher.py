"""The launcher stamps a run, starts it under a supervisor, follows it to its end, and writes that down."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from opv2v_doctor.facts.interpreter import Interpreter
from opv2v_doctor.runs import processes
from opv2v_doctor.runs.directory import RESERVE, Claim
from opv2v_doctor.runs.failures import SIGNALLED, described, first_failure
from opv2v_doctor.runs.output import OWN, Line, Output
from opv2v_doctor.runs.record import Failure, Launch, Run, State
from opv2v_doctor.runs.stamp import Stamped
from opv2v_doctor.runs.vitals import Vitals
from opv2v_doctor.runs.writing import NotWritten, write, write_all

SUPERVISOR = Path(__file__).with_name("supervisor.py")
WATCH = "OPV2V_DOCTOR_WATCH"
OUTPUT = "output"
STAMPS = "stamps"
PAUSE = 0.1  # seconds between two looks at the output
RESERVED = 1 << 16  # bytes: room for the end of the record on a disk that is full then
# set by a launch around this one, and wrong for a launch of its own
OF_ANOTHER_LAUNCH = (
    "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK",
    "ROLE_WORLD_SIZE", "ROLE_NAME", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_MAX_RESTARTS", "TORCHELASTIC_ERROR_FILE",
    "TORCHELASTIC_USE_AGENT_STORE", "OPV2V_DOCTOR_WATCH", processes.TOKEN,
)  # fmt: skip


class Display(Protocol):
    """Where a launch is shown."""

    def begin(self, epochs: int | None) -> None:
        """The launch begins."""

    def line(self, line: Line) -> None:
        """A line of its output."""

    def event(self, event: Mapping[str, object]) -> None:
        """What the watch of a rank wrote."""

    def say(self, words: str) -> None:
        """A word of the launcher."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a launch needs to start."""

    command: Sequence[str]
    cwd: Path
    env: dict[str, str]
    watch: dict[str, object]
    ranks: range  # those of this node
    patience: float = 15.0
    silence: float = 300.0
    end_stalled: bool = False


def number_of_launch(earlier: Run | None) -> int:
    """The number that the next launch of a run gets."""
    return len(earlier.launches) + 1 if earlier else 1


def output_folder(run: Path, number: int, node: int = 0) -> Path:
    """Where the output of a launch goes."""
    return run / OUTPUT / (f"{number}-node{node}" if node else str(number))


def stamp_run(claim: Claim, stamped: Stamped, report: bytes | None, earlier: Run | None = None) -> Run:
    """Write the stamp, its files first and the record last; from then on the directory is a run.

    Raises NotWritten, and then an earlier record and everything else is as it was.
    """
    number = number_of_launch(earlier)
    folder = claim.path if number == 1 else claim.path / STAMPS / str(number)
    files = stamped.files if report is None else {**stamped.files, "report.json": report}
    launch = Launch(
        number=number,
        folder=os.path.relpath(folder, claim.path),
        stamp=stamped.stamp,
        digest=stamped.stamp.digest,
        token=uuid.uuid4().hex,
        process=processes.this_process(),
        started=_now(),
    )
    run = Run(path=claim.path, launches=(*(earlier.launches if earlier else ()), launch))
    _write_stamp(run, folder, files)
    claim.keep()
    return run


def _write_stamp(run: Run, folder: Path, files: dict[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_all(folder, files)
        try:
            write(run.path / RESERVE, bytes(RESERVED))
            run.save()
        except NotWritten:
            for name in files:
                (folder / name).unlink(missing_ok=True)
            (run.path / RESERVE).unlink(missing_ok=True)
            raise
    except OSError as problem:
        raise NotWritten(f"{folder} cannot be made: {problem.strerror}") from None


def launch(plan: Plan, run: Run, lock: int, display: Display, node: int = 0) -> Run:
    """Start what was stamped, show its output, and return the run with its end written down."""
    Interpreter.close_all()  # they would hold memory for as long as the training lasts
    output = Output(output_folder(run.path, run.last.number, node), plan.ranks.start)
    output.folder.mkdir(parents=True, exist_ok=True)
    token = f"{run.last.token}/{node}" if node else run.last.token  # two nodes may be one machine
    with _supervised(plan, token, output, lock) as process, _signals_passed_on(process) as received:
        vitals = _vitals(plan, run, token)
        _follow(plan, process, output, vitals, display)
    processes.end_all(token)  # where the supervisor itself was killed, its orphans are still there
    state, failure, code = _outcome(process.returncode, received, output, vitals)
    if failure is not None:
        display.say(described(failure))
    ended = run.with_last(ended=_now(), status=state, exit_code=code, failure=failure)
    if node == 0:  # the record is the first node's
        _write_end(ended, display)
    return ended


@contextlib.contextmanager
def _supervised(plan: Plan, token: str, output: Output, lock: int) -> Iterator[subprocess.Popen[bytes]]:
    """The supervisor's process; when we are gone, it reads the end of a pipe and ends everything."""
    theirs, ours = os.pipe()
    words = [sys.executable, "-I", str(SUPERVISOR), str(theirs), str(plan.patience), *plan.command]
    kept = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_LAUNCH}
    env = {**kept, **plan.env, "PYTHONUNBUFFERED": "1", processes.TOKEN: token}
    if plan.watch:
        env[WATCH] = json.dumps({**plan.watch, "ends_with_parent": True})
    with (output.folder / OWN).open("ab") as said:
        process = subprocess.Popen(
            words,
            cwd=plan.cwd,
            env=env,
            pass_fds=(theirs, lock),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    os.close(theirs)
    try:
        yield process
    finally:
        os.close(ours)
        process.wait()


@contextlib.contextmanager
def _signals_passed_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Hand what would end us to the supervisor, and remember it; it ends all ranks, and then we end."""
    received: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        received.append(number)
        process.send_signal(signal.SIGINT)

    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    wanted = [number for number in ends if signal.getsignal(number) is not signal.SIG_IGN]  # nohup means it
    before = {number: signal.signal(number, pass_on) for number in wanted}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _vitals(plan: Plan, run: Run, token: str) -> Vitals:
    def living() -> set[int]:
        found = processes.of_launch(token).values()
        return {int(env["RANK"]) for env in found if env.get("RANK", "").isdecimal()}

    return Vitals(run.path, plan.ranks, plan.silence, living)


def _follow(
    plan: Plan, process: subprocess.Popen[bytes], output: Output, vitals: Vitals, display: Display
) -> None:
    """Show what is written until the supervisor, and with it every process of the launch, is gone."""
    while process.poll() is None:
        for line in output.new_lines():
            display.line(line)
        for event in vitals.read():
            display.event(event)
        if words := vitals.stall():
            display.say(f"stalled: {words}")
            if plan.end_stalled:
                process.send_signal(signal.SIGINT)
        time.sleep(PAUSE)
    for line in output.new_lines(end=True):
        display.line(line)


def _outcome(
    code: int, received: Sequence[int], output: Output, vitals: Vitals
) -> tuple[State, Failure | None, int]:
    """What became of the launch, the first failure, and the exit code: that of the rank that failed first."""
    if code == 0:
        return State.FINISHED, None, 0
    if received or code < 0:  # we were asked to end it, or somebody killed the supervisor
        return State.INTERRUPTED, None, SIGNALLED + (received[0] if received else -code)
    vitals.read()
    failure = first_failure(output, code, vitals.raised)
    if failure.signal:
        return State.FAILED, failure, SIGNALLED + _number(failure.signal)
    return State.FAILED, failure, failure.exit_code or code


def _write_end(run: Run, display: Display) -> None:
    try:
        (run.path / RESERVE).unlink(missing_ok=True)
        run.save()
    except NotWritten as problem:
        display.say(f"the end of this run could not be written down, it will read as interrupted: {problem}")


def _number(name: str) -> int:
    return signal.Signals[name].value if name in signal.Signals.__members__ else 0


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)
