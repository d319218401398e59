"""The launcher starts what was stamped under a supervisor, follows it to its end, and writes that down."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from opv2v_doctor.atomic import NotWritten
from opv2v_doctor.facts.interpreter.process import InterpreterProcess
from opv2v_doctor.runs import processes
from opv2v_doctor.runs.directory import RESERVE, output_folder
from opv2v_doctor.runs.failures import SIGNALLED, description, first_failure
from opv2v_doctor.runs.output import OWN, Output, OutputLine
from opv2v_doctor.runs.record import RankFailure, Run, RunStatus, now
from opv2v_doctor.runs.verification import departures_of
from opv2v_doctor.runs.vitals import Vitals
from opv2v_doctor.supervisor import supervisor_command

if TYPE_CHECKING:
    from opv2v_doctor.runs.companions import Companion

WATCH = "OPV2V_DOCTOR_WATCH"
ENTERING = Path(__file__).parents[1] / "inside" / "entering"
FAILED = 1  # the exit code where a rank raised, and the command ended with 0
PAUSE = 0.1  # seconds between two looks at the output
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

    def line(self, line: OutputLine) -> None:
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
    accompany: Callable[[Run, Callable[[str], None]], Sequence[Companion]] | None = None


class Company:
    """The companions of a launch. One that fails goes, with a word: the training goes on."""

    def __init__(self, plan: Plan, run: Run, display: Display) -> None:
        self._display = display
        self._companions: list[Companion] = []
        if plan.accompany is not None:
            with self._said("what should go along with it"):
                self._companions = list(plan.accompany(run, display.say))

    def tell(self, what: Callable[[Companion], None]) -> None:
        """Tell each of them."""
        for companion in list(self._companions):
            with self._said(type(companion).__name__, companion):
                what(companion)

    @contextlib.contextmanager
    def _said(self, who: str, companion: Companion | None = None) -> Iterator[None]:
        try:
            yield
        except Exception as problem:
            self._display.say(f"{who} failed: {type(problem).__name__}: {problem}; the training goes on")
            if companion is not None:
                self._companions.remove(companion)


def launch(plan: Plan, run: Run, lock: int, display: Display, node: int = 0) -> Run:
    """Start what was stamped, show its output, and return the run with its end written down."""
    InterpreterProcess.close_all()  # they would hold memory for as long as the training lasts
    output = Output(output_folder(run.path, run.last.number, node), plan.ranks.start)
    output.folder.mkdir(parents=True, exist_ok=True)
    token = f"{run.last.token}/{node}" if node else run.last.token  # two nodes may be one machine
    company = Company(plan, run, display)
    with _supervise(plan, token, output, lock) as process, _signals_passed_on(process) as received:
        vitals = _vitals(plan, run, token)
        _follow(plan, process, output, vitals, display, company)
    processes.end_all(token)  # where the supervisor itself was killed, its orphans are still there
    state, failure, code = _outcome(process.returncode, received, output, vitals)
    if failure is not None:
        display.say(description(failure))
    if plan.watch and not vitals.watched and state is RunStatus.FINISHED:
        display.say("no rank was watched: none of the processes that it started ran the script")
    departures = departures_of(run)
    if departures:
        display.say(f"it ran something else than was stamped: {', '.join(departures)}")
    ended = run.with_last(ended=now(), status=state, exit_code=code, failure=failure, departures=departures)
    if node == 0:  # the record is the first node's
        _write_end(ended, display)
    company.tell(lambda companion: companion.ended(ended))
    return ended


@contextlib.contextmanager
def _supervise(plan: Plan, token: str, output: Output, lock: int) -> Iterator[subprocess.Popen[bytes]]:
    """The supervisor's process; when we are gone, it reads the end of a pipe and ends everything."""
    theirs, ours = os.pipe()
    words = supervisor_command(list(plan.command), life=theirs, patience=plan.patience)
    kept = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_LAUNCH}
    env = {**kept, **plan.env, "PYTHONUNBUFFERED": "1", processes.TOKEN: token}
    if plan.watch:
        env |= watching(env, plan.watch)
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


def watching(env: Mapping[str, str], watch: Mapping[str, object]) -> dict[str, str]:
    """What brings the watch into the ranks, in addition to an environment, however they are started."""
    paths = [str(ENTERING), *filter(None, [env.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "BASH_ENV": str(ENTERING / "shell.sh"),
        "OPV2V_DOCTOR_BASH_ENV": env.get("BASH_ENV", ""),
        "OPV2V_DOCTOR_ENTERING": str(ENTERING),
        WATCH: json.dumps({**watch, "ends_with_parent": True}),
    }


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
    plan: Plan,
    process: subprocess.Popen[bytes],
    output: Output,
    vitals: Vitals,
    display: Display,
    company: Company,
) -> None:
    """Show what is written until the supervisor, and with it every process of the launch, is gone."""
    while process.poll() is None:
        for line in output.new_lines():
            display.line(line)
        for event in vitals.read():
            display.event(event)
            company.tell(partial(_hand_on, event))
        if words := vitals.stall():
            display.say(f"stalled: {words}")
            company.tell(partial(_say_stall, words))
            if plan.end_stalled:
                process.send_signal(signal.SIGINT)
        time.sleep(PAUSE)
    for line in output.new_lines(end=True):
        display.line(line)
    for event in vitals.read():  # as what it raised: whoever reads next, finds none of them
        company.tell(partial(_hand_on, event))


def _hand_on(event: Mapping[str, Any], companion: Companion) -> None:
    companion.event(event)


def _say_stall(words: str, companion: Companion) -> None:
    companion.stalled(words)


def _outcome(
    code: int, received: Sequence[int], output: Output, vitals: Vitals
) -> tuple[RunStatus, RankFailure | None, int]:
    """What became of the launch, the first failure, and the exit code: that of the rank that failed first."""
    if code == 0 and not received:
        vitals.read()
    if code == 0 and not vitals.raised:
        return RunStatus.FINISHED, None, 0
    if received or code < 0:  # we were asked to end it, or somebody killed the supervisor
        return RunStatus.INTERRUPTED, None, SIGNALLED + (received[0] if received else -code)
    vitals.read()
    failure = first_failure(output, code or FAILED, vitals.raised)  # a script may end well all the same
    if failure.signal:
        return RunStatus.FAILED, failure, SIGNALLED + _number(failure.signal)
    return RunStatus.FAILED, failure, failure.exit_code or code or FAILED


def _write_end(run: Run, display: Display) -> None:
    try:
        (run.path / RESERVE).unlink(missing_ok=True)
        run.save()
    except NotWritten as problem:
        display.say(f"the end of this run could not be written down, it will read as interrupted: {problem}")


def _number(name: str) -> int:
    return signal.Signals[name].value if name in signal.Signals.__members__ else 0
