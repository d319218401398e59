"""A training from the request to its end: directory, gate, resume, stamp, launch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from opv2v_doctor.facts.git import git_state
from opv2v_doctor.runs import digests
from opv2v_doctor.runs.commands import without_directory
from opv2v_doctor.runs.destination import placed, places_of, with_dataset
from opv2v_doctor.runs.directory import Claim, claimed
from opv2v_doctor.runs.joining import join
from opv2v_doctor.runs.launcher import Display, launch, stamp_run
from opv2v_doctor.runs.record import Run, Verdict
from opv2v_doctor.runs.request import Request, command_of, plan_of, resumed, stamp_of
from opv2v_doctor.runs.resume import compared
from opv2v_doctor.runs.secrets import HIDDEN
from opv2v_doctor.runs.stamp import Stamped, epochs
from opv2v_doctor.scratch import scratch
from opv2v_doctor.target import Target
from opv2v_doctor.usage import UsageError

Gate = Callable[[Target, Path], int]  # examines the target, writes its report there, returns the exit code


def prepared(request: Request, display: Display) -> tuple[Target, Run | None, list[Path]]:
    """The target of the launch, the run that it goes on with, and the directories that it may take."""
    earlier = resumed(request)
    target = _as_before(request.target, earlier, display) if earlier else request.target
    target = with_dataset(target, display)
    places = [earlier.path] if earlier else places_of(target, request.fresh)
    return target, earlier, places


def _as_before(target: Target, earlier: Run, display: Display) -> Target:
    """The target with the overrides that the run was given; those of now come later, and win."""
    before = without_directory(earlier.stamp.given)
    for word in before:
        if HIDDEN in word:
            display.say(
                f"{word.partition('=')[0]} was not stamped, being secret: give it again if it is needed"
            )
    settings = target.settings.launch.overrides if earlier.is_stamped else ()
    kept = [word for word in before if HIDDEN not in word and word not in settings]
    return replace(target, overrides=(*kept, *target.overrides))


def train(request: Request, gate: Gate, display: Display) -> int:
    """Train as requested; the exit code is the gate's where it refuses, else the script's.

    Raises UsageError for what cannot be, NotWritten where the stamp cannot be written.
    """
    target, earlier, places = prepared(request, display)
    if not request.nodes.is_first:
        return join(request, target, places, display)
    with claimed(places, resume=earlier is not None) as claim:
        target = placed(target, claim.path)
        if request.require_clean:
            verify_clean(target, claim.path)
        if earlier is not None:
            _verify_resume(request, target, earlier, display)
        verdict, report = judged(gate, target, request.force)
        if verdict.exit_code and not request.force:
            display.say("not started: the gate did not pass (--force REASON starts all the same)")
            return verdict.exit_code
        target.state.forget()  # what was changed while the gate ran is trained too
        made = stamp_of(request, target, claim.path, earlier, verdict)
        return _started(request, target, claim, made, report, earlier, display)


def judged(gate: Gate, target: Target, force: str) -> tuple[Verdict, bytes | None]:
    """The gate's verdict and report; the directory stays as it is until the stamp."""
    with scratch("gate") as folder:
        path = folder / "report.json"
        code = gate(target, path)
        report = path.read_bytes() if path.is_file() else None
    digest = digests.of_bytes(report) if report is not None else None
    return Verdict(exit_code=code, report=digest, forced=force), report


def verify_clean(target: Target, run: Path) -> None:
    """Raises UsageError where the work tree is not what a commit says."""
    state = git_state(target)
    if state.commit is None:
        raise UsageError(f"--require-clean: {state.reason}{f' ({state.remedy})' if state.remedy else ''}")
    untracked = [name for name in state.untracked if not (target.repo / name).is_relative_to(run.parent)]
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


def _verify_resume(request: Request, target: Target, earlier: Run, display: Display) -> None:
    """Say what differs. Raises UsageError for what stands in the way."""
    made = stamp_of(request, target, earlier.path, earlier, None)
    words = list(compared(target, earlier, made.stamp))
    for word in words:
        display.say(str(word))
    if any(word.is_obstacle for word in words) and not request.force:
        raise UsageError(
            f"--resume {earlier.path}: not as it was, see above (--force REASON goes on all the same)"
        )


def _started(
    request: Request,
    target: Target,
    claim: Claim,
    made: Stamped,
    report: bytes | None,
    earlier: Run | None,
    display: Display,
) -> int:
    run = stamp_run(claim, made, report, earlier)
    display.say(f"run directory {run.path}")
    display.begin(epochs(target))
    words = command_of(request, target, run.path, run.last.number)
    ended = launch(plan_of(request, target, run, words), run, claim.lock, display)
    display.say(f"{ended.last.status}: {run.path}")
    return ended.last.exit_code or 0
