"""Reopening a run: the target with the launch that a directory records, so that its config composes again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from opv2v_doctor.runs.adoption import adopted
from opv2v_doctor.runs.commands import without_directory
from opv2v_doctor.runs.directory import RECORD
from opv2v_doctor.runs.record import read_run
from opv2v_doctor.runs.secrets import HIDDEN
from opv2v_doctor.target import Target
from opv2v_doctor.usage import UsageError


def reopened(target: Target, folder: Path) -> Target:
    """The target with the overrides that the run in a folder was given, then its own, which win.

    A folder that no training wrote into changes nothing.
    """
    words, size = _given(folder)
    launch = replace(target, overrides=(), gpus=size or target.gpus)
    again = set(launch.launch_overrides)  # twice would be one too many of those that begin with a plus
    kept = [word for word in without_directory(words) if HIDDEN not in word and word not in again]
    return replace(launch, overrides=(*kept, *target.overrides))


def is_stamped(folder: Path) -> bool:
    """Whether one of our own launches wrote the folder; an adopted one was written by hand."""
    return (folder / RECORD).is_file() and read_run(folder).is_stamped


def _given(folder: Path) -> tuple[list[str], int | None]:
    """The overrides of the launch, and the processes that it had."""
    if (folder / RECORD).is_file():
        stamp = read_run(folder).stamp
        return list(stamp.given), stamp.world_size
    try:
        stamp = adopted(folder).stamp
    except UsageError:  # just a folder with a checkpoint in it
        return [], None
    return list(stamp.given), stamp.world_size
