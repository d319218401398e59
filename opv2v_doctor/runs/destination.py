"""Where a launch writes, and with which dataset config: chosen by the user, or for the number of GPUs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.launch.config import run_directory
from opv2v_doctor.facts.launch.documented_commands import chosen_dataset, gpus_in, variants
from opv2v_doctor.facts.source.commit import git_state
from opv2v_doctor.runs.command_line import chosen_directory
from opv2v_doctor.runs.directory import new_directories
from opv2v_doctor.target import Target

if TYPE_CHECKING:
    from opv2v_doctor.runs.launcher import Display


def with_dataset(target: Target, display: Display) -> Target:
    """The target with the dataset config that is named for its number of GPUs, unless one is chosen."""
    chosen = any(word.lstrip("+").startswith("dataset=") for word in target.overrides)
    if chosen or target.gpus in dict(target.settings.launch.variants):
        return target
    try:
        usual, names = chosen_dataset(target), list(variants(target))
    except Blocked:  # the gate tells why
        return target
    named = next((name for name in names if gpus_in(name) == target.gpus and name != usual), None)
    if named is None:
        return target
    display.say(f"dataset={named}, the config for {target.gpus} GPUs")
    return replace(target, overrides=(*target.overrides, f"dataset={named}"))


def places_of(target: Target, fresh: bool) -> list[Path]:
    """The directory that was chosen, or names for a new one beside that of the config."""
    composed = composed_directory(target)
    if chosen_directory(target.launch_overrides) is not None and not is_timed(composed) and not fresh:
        return [composed]
    return new_directories(root_of(target), git_state(target).commit)


def root_of(target: Target) -> Path:
    """Where new runs go: the setting, else the folder of the config's own run directory."""
    if target.settings.runs.folder:
        return Path(target.settings.runs.folder)
    composed = composed_directory(target)
    return next(part for part in composed.parents if not is_timed(part))


def composed_directory(target: Target) -> Path:
    """`hydra.run.dir` as it is composed, absolute."""
    try:
        return Path(os.path.normpath(target.cwd / run_directory(target)))
    except Blocked:  # the gate tells why
        return target.repo / "experiments" / "run"


def is_timed(path: Path) -> bool:
    """Whether it is named for the time of the launch, and so another one each time."""
    return "<now:" in str(path)
