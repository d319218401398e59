"""A healthy, trained sandbox, and copies of it with faults."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor.sandbox import copy_repository, put, train_briefly, write_repository


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A healthy repository that was trained for three epochs; to be read or copied, never to be changed.

    The workers of pytest-xdist share one.
    """
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "healthy" / "repository"
    directory.parent.mkdir(exist_ok=True)
    with (directory.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        trained = directory.parent / "trained"
        if not trained.exists():
            write_repository(directory)
            train_briefly(directory)
            trained.touch()
    return directory


@pytest.fixture
def broken(healthy: Path, tmp_path: Path) -> Callable[..., Path]:
    """A function that copies the healthy repository, puts the named faults in, and returns the copy."""

    def build(*fault_names: str) -> Path:
        copy = tmp_path / "_".join(["copy", *fault_names])
        copy_repository(healthy, copy)
        for name in fault_names:
            put(name, copy)
        return copy

    return build
