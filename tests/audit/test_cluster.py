"""Tests of the audit on a real Dask scheduler with several workers, one of which is killed in the middle."""

import os
import signal
from collections.abc import Iterator

import pytest

from opv2v_doctor.audit.inventory import Inventory
from opv2v_doctor.audit.survey import survey
from opv2v_doctor.audit.workers import readers
from opv2v_doctor.user_error import UsageError

from .conftest import ROOT
from .test_survey import FILES, quiet, read_slowly

distributed = pytest.importorskip("distributed", reason="no dask: make test")
pytestmark = pytest.mark.filterwarnings("default")  # Dask's own


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a scheduler with two workers, each a process."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the workers import the tests
    with distributed.LocalCluster(2, processes=True, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_finds_what_one_process_finds(inventory: Inventory, scheduler: str) -> None:
    survey(inventory, readers(1, scheduler), quiet)
    assert inventory.number("SELECT count(*) FROM files WHERE problem IS NULL") == FILES


def test_a_worker_that_is_killed_in_the_middle_costs_nothing(inventory: Inventory, scheduler: str) -> None:
    with distributed.Client(scheduler, set_as_default=False) as client:
        pids = list(client.run(os.getpid).values())
    killed: list[int] = []

    def kill_one(what: str, done: int, total: int) -> None:
        if what == "reading" and done and not killed:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    survey(inventory, readers(1, scheduler, read_slowly), kill_one)
    assert killed
    assert inventory.number("SELECT count(*) FROM files WHERE problem IS NULL") == FILES


def test_an_address_without_a_cluster_is_a_usage_error(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opv2v_doctor.audit.workers.PATIENCE", 1)
    with pytest.raises(UsageError, match="no cluster answers"):
        survey(inventory, readers(1, "tcp://127.0.0.1:1"), quiet)
