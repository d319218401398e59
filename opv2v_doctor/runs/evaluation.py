"""An inference from the request to its end: checkpoint, gate, config as stamped, stamp, launch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from opv2v_doctor.check import Blocked
from opv2v_doctor.runs import configuration, inference
from opv2v_doctor.runs.commands import directory_override, without_directory
from opv2v_doctor.runs.directory import RECORD, claimed
from opv2v_doctor.runs.launcher import Display, Plan, launch, stamp_run
from opv2v_doctor.runs.record import Run, Stamp, Verdict, read_run
from opv2v_doctor.runs.resume import stamped_config
from opv2v_doctor.runs.secrets import HIDDEN
from opv2v_doctor.runs.stamp import Stamped, stamped
from opv2v_doctor.runs.training import Gate, judged, verify_clean
from opv2v_doctor.target import Target
from opv2v_doctor.usage import UsageError


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """What the user asks for; the target's run is the one whose checkpoint is run."""

    target: Target
    checkpoint: Path | None = None
    split: str = "val"
    index: int = 0
    force: str = ""
    require_clean: bool = False


@dataclass(frozen=True, kw_only=True)
class _Case:
    """What is known before anything is written."""

    checkpoint: Path
    folder: Path  # of the checkpoint
    run: Run | None  # that made it, where it was stamped
    target: Target


def planned(inquiry: Inquiry, display: Display) -> Stamp:
    """The stamp that this inference would get. Writes nothing."""
    case = _case(inquiry, display)
    output = inference.output_directories(case.folder, inquiry.split, inquiry.index)[0]
    return _stamped(inquiry, case, output, None).stamp


def infer(inquiry: Inquiry, gate: Gate, display: Display) -> int:
    """Infer as requested; the exit code is the gate's where it refuses, else the script's."""
    case = _case(inquiry, display)
    places = inference.output_directories(case.folder, inquiry.split, inquiry.index)
    _command(inquiry, case, places[0])  # wrong settings are told before the gate
    with claimed(places, resume=False) as claim:
        if inquiry.require_clean:
            verify_clean(case.target, case.folder)
        verdict, report = judged(gate, case.target, inquiry.force)
        if verdict.exit_code and not inquiry.force:
            display.say("not started: the gate did not pass (--force REASON starts all the same)")
            return verdict.exit_code
        made = _stamped(inquiry, case, claim.path, verdict)
        for words in _compared(case, made):
            display.say(words)
        run = stamp_run(claim, made, report)
        display.say(f"outputs go to {run.path}")
        display.begin(None)
        ended = launch(_plan(inquiry, case, run), run, claim.lock, display)
        display.say(f"{ended.last.status}: {run.path}")
        return ended.last.exit_code or 0


def _case(inquiry: Inquiry, display: Display) -> _Case:
    checkpoint = inference.chosen_checkpoint(inquiry.target.run, inquiry.checkpoint)
    display.say(f"checkpoint {checkpoint}")
    folder = inquiry.target.run or checkpoint.parent
    run = read_run(folder) if (folder / RECORD).is_file() else None
    return _Case(checkpoint=checkpoint, folder=folder, run=run, target=_target_of(inquiry.target, run))


def _target_of(target: Target, run: Run | None) -> Target:
    """The target with the overrides that the training was given, then those of now."""
    settings = target.settings.launch.overrides if run and run.is_stamped else ()
    before = without_directory(run.stamp.given) if run else []
    kept = [word for word in before if HIDDEN not in word and word not in settings]
    gpus = run.stamp.world_size if run and run.stamp.world_size else target.gpus
    place = [directory_override(run.path)] if run else []
    return replace(target, overrides=(*kept, *target.overrides, *place), gpus=gpus)


def _command(inquiry: Inquiry, case: _Case, output: Path) -> list[str]:
    return inference.command(case.target, _places(inquiry, case, output), inquiry.target.overrides)


def _places(inquiry: Inquiry, case: _Case, output: Path) -> dict[str, str]:
    """What the arguments of the script may name."""
    file = stamped_config(case.run) if case.run else case.folder / ".hydra" / configuration.FILE
    return {
        "checkpoint": str(case.checkpoint),
        "run": str(case.folder),
        "config": str(file or ""),
        "output": str(output),
        "split": inquiry.split,
        "index": str(inquiry.index),
        "repo": str(case.target.repo),
    }


def _stamped(inquiry: Inquiry, case: _Case, output: Path, verdict: Verdict | None) -> Stamped:
    try:
        return stamped(
            case.target,
            case.folder,
            _command(inquiry, case, output),
            kind="infer",
            given=without_directory(case.target.overrides),
            gate=verdict,
            checkpoint={**inference.identity(case.checkpoint), "trained_with": _trained_with(case)},
        )
    except Blocked as problem:
        raise UsageError(f"what would run cannot be stamped: {problem}") from None


def _trained_with(case: _Case) -> str | None:
    return case.run.last.stamp.config_hash if case.run else None


def _compared(case: _Case, made: Stamped) -> Iterator[str]:
    """What differs from the training that made the checkpoint, key by key."""
    file = stamped_config(case.run) if case.run else None
    if case.run is None or file is None:
        yield f"{case.folder} has no stamped config: whether this one is the checkpoint's cannot be told"
        return
    before, now = case.run.last.stamp, made.stamp
    if before.commit != now.commit:
        yield f"the commit differs from the training's: {str(before.commit)[:12]} -> {str(now.commit)[:12]}"
    values = configuration.resolved(case.target, case.folder)
    for difference in configuration.differences(configuration.read(file), values):
        yield f"config differs from the checkpoint's: {difference}"


def _plan(inquiry: Inquiry, case: _Case, run: Run) -> Plan:
    launching = case.target.settings.launch
    return Plan(
        command=_command(inquiry, case, run.path),
        cwd=case.target.repo,
        env=case.target.launch_env,
        watch={},
        ranks=range(1),
        patience=launching.patience,
        silence=launching.silence,
    )
