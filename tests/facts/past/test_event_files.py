"""Event files: what a SummaryWriter wrote, and what may be in its place."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opv2v_doctor.facts.past.logs import read_logs
from opv2v_doctor.facts.past.logs.event_files import scalars


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tensorboard = pytest.importorskip("torch.utils.tensorboard", reason="no tensorboard: make test")
    folder = tmp_path_factory.mktemp("events")
    with tensorboard.SummaryWriter(str(folder)) as writer:
        for epoch in range(3):
            for name, value in (("train_loss", 5.0 - epoch), ("train_iter", 1000.0 * epoch)):
                writer.add_scalar(name, value, 1000 * epoch)
            writer.add_scalar("Data_test_loss_avg", 4.0, 1000 * epoch, new_style=True)
    (path,) = folder.glob("events.out.tfevents.*")
    return path


def test_scalars_of_both_styles_are_read(written: Path) -> None:
    found = {(scalar.tag, scalar.step): scalar.value for scalar in scalars(written)}
    assert found["train_loss", 2000] == 3.0
    assert found["Data_test_loss_avg", 1000] == 4.0


def test_events_become_the_table(written: Path) -> None:
    table = read_logs([written]).table
    losses = table[(table["metric"] == "loss") & (table["phase"] == "train")]
    assert losses["median"].tolist() == [5.0, 4.0, 3.0]
    assert losses["epoch"].tolist() == [0, 1, 2]


@settings(max_examples=150)
@given(content=st.binary(max_size=200), length=st.none() | st.integers(0, 2**64 - 1))
def test_any_bytes_are_read(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, length: int | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "events.out.tfevents.1"
    size = struct.pack("<Q", len(content) if length is None else length)
    path.write_bytes(size + bytes(4) + content + bytes(4))
    list(scalars(path))


def test_a_file_that_ends_early_keeps_what_is_whole(written: Path, tmp_path: Path) -> None:
    path = tmp_path / written.name
    path.write_bytes(written.read_bytes()[:-7])
    assert len(list(scalars(path))) == len(list(scalars(written))) - 1
