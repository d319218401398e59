"""A healthy, trained sandbox, and copies of it with faults."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor.sandbox import copy_repository, put, train_briefly, write_repository


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A healthy repository that was trained for three epochs; to be read or copied, never to be changed."""
    directory = tmp_path_factory.mktemp("healthy") / "repository"
    write_repository(directory)
    train_briefly(directory)
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
