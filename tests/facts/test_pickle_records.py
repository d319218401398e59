"""Tensors that are passed over say what walking every operation says, and no name is ever passed over."""

import io
import struct
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opv2v_doctor.facts.checkpoints.tensors import tensor
from opv2v_doctor.facts.pickles import MALFORMED, Pickle, _walked, walk
from opv2v_doctor.facts.pickles.machine import Machine, PickleRefused
from opv2v_doctor.facts.pickles.operations import OPERATIONS
from opv2v_doctor.facts.pickles.records import MOST_PASSED, PASSING, PassedTable, PassedTensor


def pickled(content: Any, **options: Any) -> bytes:
    """The pickle in what torch.save writes."""
    import torch

    file = io.BytesIO()
    torch.save(content, file, **options)
    with zipfile.ZipFile(file) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def content() -> dict[str, Any]:
    import torch

    shapes = [(3, 4), (7,), (), (2, 3, 4), (2, 3, 4, 5, 6), (0, 300), (70_000,), (1, 2)] * 40
    model = {f"block.{n}.größe": torch.zeros(shape) for n, shape in enumerate(shapes)}
    model["long"], model["other"] = torch.tensor([1]), torch.zeros(2, 3).half().t()
    model["tied"] = model["block.7.größe"][:, 1:]
    states = {
        n: {"step": torch.tensor(float(n)), "exp_avg": torch.zeros(n), "exp_avg_sq": torch.zeros(n)}
        for n in range(300)
    }
    return {"model": model, "optimizer": {"state": states}, "epoch": 3}


@pytest.fixture(scope="module")
def real() -> bytes:
    untied = content()
    del untied["model"]["tied"]
    return pickled(untied)


def comparable(value: Any) -> Any:
    """Tensors as where they lie, tables as dictionaries."""
    found = tensor(value)
    if found is not None:
        return found
    if isinstance(value, PassedTable):
        return {key: comparable(entry) for key, entry in value.items()}
    return {key: comparable(entry) for key, entry in value.items()} if isinstance(value, dict) else value


def plainly(content: bytes) -> Pickle:
    return _walked(Machine(content), OPERATIONS)


def passing(content: bytes) -> Pickle:
    return _walked(Machine(content), PASSING)


def test_what_is_passed_over_is_what_was_there(real: bytes) -> None:
    ours, theirs = passing(real), plainly(real)
    assert comparable(ours.root) == comparable(theirs.root)
    assert ours.names == theirs.names


def test_nearly_all_tensors_are_passed_over(real: bytes) -> None:
    root = passing(real).root
    assert sum(isinstance(value, PassedTensor) for value in root["model"].values()) > 300
    assert sum(isinstance(value, PassedTable) for value in root["optimizer"]["state"].values()) > 290


def test_a_pickle_that_recalls_what_was_passed_over_is_walked_again() -> None:
    shared = pickled(content())
    with pytest.raises(LookupError):
        passing(shared)
    assert comparable(walk(shared).root) == comparable(plainly(shared).root)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_other_protocols_are_walked_as_before(protocol: int) -> None:
    written = pickled(content(), pickle_protocol=protocol)
    assert comparable(walk(written).root) == comparable(plainly(written).root)


def test_a_name_that_is_built_from_texts_is_seen_behind_tensors(real: bytes) -> None:
    hostile = real[:-1] + b"\x8c\x02os\x8c\x06system\x93\x85."
    assert "os.system" in walk(hostile).names
    with pytest.raises(PickleRefused):
        passing(hostile)


def test_too_many_tensors_are_refused(real: bytes) -> None:
    start = real.index(b"block.7.")
    start = real.rindex(b"X", 0, start)
    end = real.rindex(b"X", 0, real.index(b"block.8."))
    entry = real[start:end]
    with pytest.raises(PickleRefused):
        passing(real[:start] + entry * (MOST_PASSED + 1) + real[start:])


edits = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255), st.sampled_from(["set", "cut", "put"])),
    min_size=1,
    max_size=6,
)
CALL = b"cposix\nsystem\nX" + struct.pack("<I", 4) + b"true\x85R0"


def edited(content: bytes, changes: list[tuple[float, int, str]]) -> bytes:
    changed = bytearray(content)
    for where, value, how in changes:
        at = int(where * len(changed))
        if how == "set":
            changed[at] = value
        elif how == "cut":
            del changed[at : at + value % 16]
        else:
            changed[at:at] = CALL
    return bytes(changed)


@settings(max_examples=300, deadline=None)
@given(edits)
def test_no_name_is_passed_over_in_a_mutated_pickle(
    real: bytes, changes: list[tuple[float, int, str]]
) -> None:
    mutated = edited(real, changes)
    try:
        ours = passing(mutated)
    except MALFORMED:
        return
    try:
        theirs = plainly(mutated)
    except MALFORMED:
        return  # a memo that nothing was put into: passed over, nobody asked for it
    assert ours.names == theirs.names


def test_a_table_is_read_entry_by_entry(real: bytes) -> None:
    table = passing(real).root["optimizer"]["state"][200]
    assert isinstance(table, PassedTable)
    assert [key for key, _ in table.items()] == ["step", "exp_avg", "exp_avg_sq"]
