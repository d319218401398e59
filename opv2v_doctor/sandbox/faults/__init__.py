"""Faults that can be put into a copy of the healthy repository, one thing each, by name."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from opv2v_doctor.sandbox import history as git
from opv2v_doctor.sandbox.faults import (
    checkpoints,
    config,
    criteria,
    dataset,
    diagnosis,
    environment,
    frames,
    geometry,
    inference,
    launches,
    loaders,
    single_cameras,
    training,
)
from opv2v_doctor.sandbox.faults.fault import FAULTS as _FAULTS
from opv2v_doctor.sandbox.faults.fault import Fault

FAULTS: Mapping[str, Fault] = MappingProxyType(_FAULTS)
FAMILIES = (
    environment,
    config,
    frames,
    dataset,
    geometry,
    single_cameras,
    criteria,
    loaders,
    launches,
    checkpoints,
    training,
    inference,
    diagnosis,
)

__all__ = ["FAMILIES", "FAULTS", "Fault", "put"]


def put(fault_name: str, directory: Path) -> None:
    """Put a fault into a trained copy of the repository, and commit what git sees of it.

    Raises ValueError for an unknown name, or where the fault's place is not found (it may be in already).
    """
    if fault_name not in FAULTS:
        near = difflib.get_close_matches(fault_name, FAULTS)
        raise ValueError(
            f"unknown fault {fault_name!r}; " + (f"near: {near}" if near else f"known: {[*FAULTS]}")
        )
    directory = directory.resolve()
    FAULTS[fault_name].edit(directory)
    if git.has_history(directory):
        git.commit(directory, FAULTS[fault_name].summary)
