"""Earlier runs: the record of one that was made by hand, and what a new launch takes from either."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

from opv2v_doctor.facts.past.runs import BEST, CHECKPOINTS, LAST, LOG, number_of, steps_per_epoch_of
from opv2v_doctor.foreign_files import from_yaml, text_of
from opv2v_doctor.runs.command_line import without_directory
from opv2v_doctor.runs.directory import RECORD
from opv2v_doctor.runs.milestones import Milestones
from opv2v_doctor.runs.record import Launch, Run, RunStatus, Stamp, read_run
from opv2v_doctor.runs.secrets import HIDDEN
from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError

HYDRA = ".hydra"


def adoption(path: Path) -> Run:
    """The record of a directory that only training wrote into. Writes nothing.

    Raises UsageError where a record is there already, or nothing that looks like a run.
    """
    place = path.resolve()
    if (place / RECORD).exists():
        raise UsageError(f"{path} has a record already")
    traces = [name for name in (LOG, HYDRA) if (place / name).exists()]
    if not traces and not any(place.glob(CHECKPOINTS)):
        raise UsageError(f"{path} does not look like a run: no {LOG}, no {HYDRA}, no {CHECKPOINTS}")
    stamp = _stamp(place)
    launch = Launch(
        stamp=stamp, digest=stamp.digest, started=_first_written(place), status=RunStatus.UNSTAMPED
    )
    return Run(path=place, launches=(launch,))


def _stamp(place: Path) -> Stamp:
    """What can still be told: overrides, the size of the world, steps an epoch."""
    overrides, steps = place / HYDRA / "overrides.yaml", steps_per_epoch_of(place)
    newest = Milestones(place).newest
    words = _listed(overrides) if overrides.is_file() else ()
    return Stamp(
        without_commit="made by hand, before it was adopted",
        overrides=words,
        given=words,
        world_size=newest.world_size if newest else None,
        steps_per_epoch=steps[0] if steps else None,
    )


def _listed(path: Path) -> tuple[str, ...]:
    """A YAML list of words; Hydra's record of the overrides is one."""
    try:
        found = from_yaml(text_of(path))
    except (OSError, ValueError) as problem:
        raise UsageError(f"{path} cannot be read: {str(problem).splitlines()[0]}") from None
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _first_written(place: Path) -> datetime.datetime:
    """The time of the oldest file: nothing tells the start better."""
    files = [path for path in [*place.iterdir(), *place.glob(f"{HYDRA}/*")] if path.is_file()]
    oldest = min((path.stat().st_mtime for path in files), default=0.0)
    return datetime.datetime.fromtimestamp(int(oldest), datetime.UTC)


def reopened(target: Target, folder: Path) -> Target:
    """The target with the overrides that the run in a folder was given, then its own, which win.

    A folder that no training wrote into changes nothing.
    """
    try:
        run = read_run(folder) if (folder / RECORD).is_file() else adoption(folder)
    except UsageError:  # just a folder with a checkpoint in it
        return target
    return with_given(replace(target, gpus=run.stamp.world_size or target.gpus), run)


def with_given(target: Target, run: Run) -> Target:
    """The target with the overrides that the run was given, then its own, which win."""
    again = set(replace(target, overrides=()).launch_overrides)  # twice is too often for `+key=value`
    kept = [word for word in without_directory(run.stamp.given) if HIDDEN not in word and word not in again]
    return replace(target, overrides=(*kept, *target.overrides))


def secrets_of(run: Run) -> list[str]:
    """The keys of the overrides that were not stamped."""
    return [word.partition("=")[0] for word in without_directory(run.stamp.given) if HIDDEN in word]


def is_stamped(folder: Path) -> bool:
    """Whether one of our own launches wrote the folder; an adopted one was written by hand."""
    return (folder / RECORD).is_file() and read_run(folder).is_stamped


def chosen_checkpoint(run: Path | None, file: Path | None) -> Path:
    """The checkpoint to run: the one named, else the run's best, last or latest one."""
    if file is not None:
        if not file.is_file():
            raise UsageError(f"--checkpoint {file}: no such file")
        return file.resolve()
    if run is None:
        raise UsageError("infer with what? Give --run RUN or --checkpoint FILE")
    numbered = sorted(run.glob("checkpoint-*.pth"), key=lambda path: number_of(path) or -1, reverse=True)
    places = [run / BEST, run / LAST, *numbered]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UsageError(f"{run} holds no checkpoint")
    return found
