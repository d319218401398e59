"""The pipeline of a launch: request, snapshot, gate, stamp, launch with its watch, end record.

`train`, `infer` and the nodes of a SLURM job go through it; what differs is in the parts: `training.py` and
`inference.py`. The stamp is written by `stamp.py`, run.json by `record.py`, the end by `launcher.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from opv2v_doctor.facts.source.commit import git_state
from opv2v_doctor.runs import digests
from opv2v_doctor.runs.directory import claim
from opv2v_doctor.runs.inference import Inference, inference
from opv2v_doctor.runs.launcher import Display, launch
from opv2v_doctor.runs.milestones import Milestones
from opv2v_doctor.runs.record import Run, RunStatus, Stamp, Verdict, read_run
from opv2v_doctor.runs.request import InferenceRequest, Request, TrainingRequest
from opv2v_doctor.runs.resume import remarks
from opv2v_doctor.runs.snapshot import Changed, Snapshot, name_of, snapshot
from opv2v_doctor.runs.stamp import Files, epochs, stamp_of, write_stamp
from opv2v_doctor.runs.training import Training, first_stamp, training
from opv2v_doctor.scratch import scratch
from opv2v_doctor.target import Target, find_settings
from opv2v_doctor.user_error import UsageError

Gate = Callable[[Target, Path], int]  # examines the target, writes its report there, returns the exit code
Job = Training | Inference
GATES = 3  # that a repository which keeps changing gets
NO_ANSWER = 3  # the exit code where no verdict is one on what would run


def start(
    request: Request, gate: Gate, display: Display, ended: Callable[[Run], None] = lambda _: None
) -> int:
    """Start what was asked for; the exit code is the gate's where it refuses, else the script's.

    `ended` is told the run when it is over, on the node that stamped it.

    What the gate judged is what is stamped and what starts: where it changed meanwhile, the gate runs again.
    Raises UsageError for what cannot be, NotWritten where the stamp cannot be written.
    """
    for again in range(GATES - 1, -1, -1):
        try:
            return _start(request, gate, display, ended)
        except Changed as changed:
            if not again or not _may_begin_again(request, changed):
                display.say(f"not started: {changed}")
                return NO_ANSWER
            display.say(f"{changed}: the gate runs again")
    raise AssertionError("unreachable")


def _may_begin_again(request: Request, changed: Changed) -> bool:
    """Whether the gate may judge what changed.

    What somebody else writes into a run that is gone on with, what a job was submitted with or a first node
    has stamped, and settings that would have to be read again: no gate would make them fit.
    """
    if isinstance(request, TrainingRequest):
        settled = bool(request.resume or request.submitted) or not request.nodes.is_first
        if settled:
            return False
    return name_of(request.target.settings_path, request.target) not in changed.names


def _start(request: Request, gate: Gate, display: Display, ended: Callable[[Run], None]) -> int:
    before, job = _look(request, display)
    if done := _is_done(job, before):
        display.say(done)
        return 0
    if isinstance(job, Training) and not job.request.nodes.is_first:
        return _join(job, before, display)
    with claim(job.places, resume=job.earlier is not None) as place:
        job = job.at(place.path)
        if request.require_clean:
            verify_clean(job)
        job.verify_resume(display, before)
        verdict, report = _ask(gate, job.target, request.force)
        if verdict.exit_code and not request.force:
            display.say("not started: the gate did not pass (--force REASON starts all the same)")
            return verdict.exit_code
        stamp, files = stamp_of(job, before, verdict)
        _verify_unchanged(before, job.target, "while the gate ran")
        run = write_stamp(place, stamp, {**files, **report}, job.earlier)
        code = _launch(job, run, place.lock, display)
        ended(read_run(run.path))
        return code


def _is_done(job: Job, before: Snapshot) -> str:
    """That there is nothing left to train of the run that shall be gone on with; nothing where there is.

    What stands in the way of going on is told first: another number of GPUs, a damaged checkpoint.
    """
    if not isinstance(job, Training) or job.earlier is None or job.earlier.state is not RunStatus.FINISHED:
        return ""
    planned, last = epochs(job.target), Milestones(job.earlier.path).epoch
    if planned is None or last is None or last + 1 < planned:
        return ""
    stamp, _ = stamp_of(job.at(job.earlier.path), before, None)
    if any(remark.is_obstacle for remark in remarks(job.target, job.earlier, stamp)):
        return ""
    return (
        f"nothing to resume: {job.earlier.path} is finished, {last + 1} of {planned} epochs are trained "
        "(to train on, raise train_params.epochs)"
    )


def _look(request: Request, display: Display) -> tuple[Snapshot, Job]:
    """The files as they are now, and then what they say: nothing is remembered from before."""
    request.target.state.forget()
    target = request.target
    before = snapshot(request.examined, request.files)
    if find_settings(target.repo, target.settings_file) != target.settings:
        raise Changed([name_of(target.settings_path, target)], "since they were read")
    if isinstance(request, InferenceRequest):
        return before, inference(request, display)
    assert isinstance(request, TrainingRequest)
    if request.submitted is not None and not request.force:
        _verify_unchanged(request.submitted, target, "since the job was submitted")
    return before, training(request, display)


def _verify_unchanged(before: Snapshot, target: Target, since: str) -> None:
    if names := before.changes(target):
        raise Changed(names, since)


def _ask(gate: Gate, target: Target, force: str) -> tuple[Verdict, Files]:
    """The gate's verdict and report; the directory stays as it is until the stamp."""
    with scratch("gate") as folder:
        path = folder / "report.json"
        code = gate(target, path)
        report = {path.name: path.read_bytes()} if path.is_file() else {}
    digest = digests.of_bytes(report[path.name]) if report else None
    return Verdict(exit_code=code, report=digest, forced=force), report


def _launch(job: Job, run: Run, lock: int, display: Display, node: int = 0) -> int:
    display.say(f"run directory {run.path}")
    display.begin(epochs(job.target) if isinstance(job, Training) else None)
    end = launch(job.plan(run), run, lock, display, node).last
    display.say(f"{end.status}: {run.path}")
    return end.exit_code or 0


def _join(job: Training, before: Snapshot, display: Display) -> int:
    """Take part in a run that the first node stamps, and whose record it writes."""
    run, lock = first_stamp(job.places)
    job = job.at(run.path)
    job.verify_like(run, *stamp_of(job, before, None))
    _verify_unchanged(before, job.target, "while the first node was waited for")
    return _launch(job, run, lock, display, job.request.nodes.rank)


def plan(request: Request, gate: Gate, display: Display) -> tuple[Stamp, Path] | None:
    """The stamp that a launch would get now, with the gate's verdict, and its directory.

    Starts nothing, writes nothing. None where there is nothing left to start.
    """
    before, job = _look(request, display)
    if done := _is_done(job, before):
        display.say(done)
        return None
    job = job.at(next((place for place in job.places if not place.exists()), job.places[-1]))
    if request.require_clean:
        verify_clean(job)
    job.verify_resume(display, before)
    verdict, _ = _ask(gate, job.target, request.force)
    return stamp_of(job, before, verdict)[0], job.places[0]


def verify_clean(job: Job) -> None:
    """Raises UsageError where the work tree is not what a commit says."""
    target, place = job.target, job.home.parent
    state = git_state(target)
    if state.commit is None:
        raise UsageError(f"--require-clean: {state.reason}{f' ({state.remedy})' if state.remedy else ''}")
    untracked = [name for name in state.untracked if not (target.repo / name).is_relative_to(place)]
    if state.untold:
        names = ", ".join(state.untold[:5]) + ", ..." * (len(state.untold) > 5)
        raise UsageError(
            f"--require-clean: whether {names} changed, only a program that the repository names could tell, "
            "and it is not run: `git add` them, which runs it and notes what is unchanged"
        )
    found = [*state.dirty, *untracked]
    if found:
        names = ", ".join(found[:5]) + ", ..." * (len(found) > 5)
        raise UsageError(
            f"--require-clean: {len(found)} files are not as committed ({names}): commit or stash them"
        )
