"""Adopting a run that was made by hand: what its directory still tells is its record, marked unstamped."""

from __future__ import annotations

import datetime
from pathlib import Path

from opv2v_doctor.facts.past.runs import CHECKPOINTS, LOG, steps_per_epoch_of
from opv2v_doctor.foreign_files import from_yaml, text_of
from opv2v_doctor.runs.directory import RECORD
from opv2v_doctor.runs.milestones import Milestones
from opv2v_doctor.runs.record import Launch, Run, RunStatus, Stamp
from opv2v_doctor.user_error import UsageError

HYDRA = ".hydra"


def record_by_hand(path: Path) -> Run:
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
    words = _list(overrides) if overrides.is_file() else ()
    return Stamp(
        without_commit="made by hand, before it was adopted",
        overrides=words,
        given=words,
        world_size=newest.world_size if newest else None,
        steps_per_epoch=steps[0] if steps else None,
    )


def _list(path: Path) -> tuple[str, ...]:
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
