"""Reopening a run: the target with the launch that a directory records, so that its config composes again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from opv2v_doctor.runs.adoption import record_by_hand
from opv2v_doctor.runs.command_line import without_directory
from opv2v_doctor.runs.directory import RECORD
from opv2v_doctor.runs.record import Run, read_run
from opv2v_doctor.runs.secrets import HIDDEN
from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError


def reopen(target: Target, folder: Path) -> Target:
    """The target with the overrides that the run in a folder was given, then its own, which win.

    A folder that no training wrote into changes nothing.
    """
    try:
        run = read_run(folder) if (folder / RECORD).is_file() else record_by_hand(folder)
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
