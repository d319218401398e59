"""Weights: read block by block from every format, scanned, compared and matched as torch sees them."""

import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opv2v_doctor.facts.past.checkpoints import CheckpointUnreadable
from opv2v_doctor.facts.past.checkpoints import weights as weights_module
from opv2v_doctor.facts.past.checkpoints.loading import loading
from opv2v_doctor.facts.past.checkpoints.models import open_weights
from opv2v_doctor.facts.past.checkpoints.movement import movement
from opv2v_doctor.facts.past.checkpoints.scans import by_module, scan
from opv2v_doctor.facts.past.checkpoints.shards import shards_of
from opv2v_doctor.facts.past.checkpoints.weights import array, blocks


def saved(path: Path, tensors: dict[str, Any], method: int = zipfile.ZIP_STORED) -> Path:
    import torch

    torch.save({"model": tensors, "epoch": 1}, path)
    if method != zipfile.ZIP_STORED:
        with zipfile.ZipFile(path) as archive:
            members = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in members:
                archive.writestr(name, content)
    return path


Arrays = dict[str, np.ndarray[Any, Any]]
CODES = {"float32": "F32", "float16": "F16", "int64": "I64"}


def safetensors(path: Path, tensors: Arrays, change: Callable[[dict[str, Any]], Any]) -> Path:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, values in tensors.items():
        content = values.tobytes()
        span = [len(body), len(body) + len(content)]
        header[name] = {"dtype": CODES[values.dtype.name], "shape": list(values.shape), "data_offsets": span}
        body += content
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def every_kind() -> dict[str, Any]:
    import torch

    torch.manual_seed(0)
    base = torch.randn(40, 50)
    kinds = (
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int8,
        torch.bool,
        torch.complex64,
    )
    return {
        "a.float": base,
        "a.transposed": base.clone().t(),
        "a.gaps": base[:, ::3],
        "a.part": base[7:9],
        "a.expanded": torch.ones(1, 3).expand(4, 3),
        "a.scalar": torch.tensor(2.5),
        "a.empty": torch.zeros(0, 5),
        **{f"b.{kind}": base.to(kind) for kind in kinds},
    }


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_kind_and_layout_is_read_as_torch_reads_it(
    method: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(weights_module, "BLOCK", 64)
    tensors = every_kind()
    with open_weights(saved(tmp_path / "a.pth", tensors, method)) as weights:
        assert weights.tensors.keys() == tensors.keys()
        for name, weight in weights.tensors.items():
            expected = tensors[name].float() if tensors[name].dtype == torch.bfloat16 else tensors[name]
            values = np.sort(np.concatenate([np.zeros(0, np.float32), *blocks(weight)]).astype(np.complex128))
            assert np.array_equal(values, np.sort(expected.numpy().astype(np.complex128).reshape(-1))), name
            if expected.numel():
                assert np.array_equal(array(weight), expected.numpy()), name


def test_a_scan_sees_what_is_not_finite_and_what_is_zero(tmp_path: Path) -> None:
    import torch

    bad = torch.ones(1000)
    bad[5], bad[900] = math.nan, -math.inf
    tensors = {
        "head.a": bad,
        "head.b": torch.full((3,), 2.0),
        "dead.a": torch.zeros(4),
        "dead.b": torch.zeros(1),
    }
    tensors["large.a"] = torch.full((10,), 1e30)  # its square is no float32
    with open_weights(saved(tmp_path / "a.pth", tensors)) as weights:
        found = {scan.name: scan for scan in by_module(scan(weights))}
    assert (found["head"].bad, found["head"].first_bad) == (2, "head.a")
    assert math.isclose(found["head"].norm, math.sqrt(998 + 12), rel_tol=1e-6)
    assert [name for name, scan in found.items() if scan.is_zero] == ["dead"]
    assert found["large"].bad == 0
    assert math.isclose(found["large"].norm, 1e30 * math.sqrt(10), rel_tol=1e-6)


def test_a_bounded_scan_reads_the_first_part_of_each(tmp_path: Path) -> None:
    import torch

    tensors = {name: torch.ones(1000) for name in "abc"}
    with open_weights(saved(tmp_path / "a.pth", tensors)) as weights:
        scans = scan(weights, most=1200)
    assert [scan.read for scan in scans] == [100, 100, 100]


def test_movement_is_measured_and_what_stood_still_is_named(tmp_path: Path) -> None:
    import torch

    before = {"a.w": torch.ones(100), "a.b": torch.zeros(3), "b.w": torch.ones(5), "gone": torch.ones(1)}
    after = {**before, "a.w": torch.ones(100) * 1.5, "b.w": torch.ones(6), "new": torch.ones(1)}
    del after["gone"]
    one, other = saved(tmp_path / "a.pth", before), saved(tmp_path / "b.pth", after)
    with open_weights(one) as old, open_weights(other) as new:
        found = movement(old, new)
    (weight, bias) = found.movements
    assert (weight.furthest, weight.relative, weight.moved) == (0.5, 0.5, 1)
    assert [each.name for each in found.still] == ["a.b"] == [bias.name]
    assert (found.only_before, found.only_after) == (("gone",), ("new",))
    assert list(map(str, found.reshaped)) == ["b.w: [5], then [6]"]


def test_a_transposed_copy_is_compared_value_by_value(tmp_path: Path) -> None:
    import torch

    values = torch.arange(12.0).reshape(3, 4)
    one = saved(tmp_path / "a.pth", {"w": values})
    other = saved(tmp_path / "b.pth", {"w": values.t().contiguous().t()})
    with open_weights(one) as old, open_weights(other) as new:
        assert [each.name for each in movement(old, new).still] == ["w"]


def test_strict_false_takes_what_has_its_name_and_shape(tmp_path: Path) -> None:
    import torch

    wanted = {"encoder.w": torch.ones(6), "encoder.b": torch.ones(2), "head.w": torch.ones(2)}
    given = {"module.encoder.w": torch.ones(6), "module.encoder.b": torch.ones(2), "head.w": torch.ones(2)}
    model, file = saved(tmp_path / "a.pth", wanted), saved(tmp_path / "b.pth", given)
    with open_weights(model) as one, open_weights(file) as other:
        found = loading(one, other)
    assert (found.share, found.missing) == (0.2, ("encoder.w", "encoder.b"))
    assert str(found.renaming) == "without the prefix 'module.'"
    given = {**wanted, "head.w": torch.ones(3)}
    with open_weights(model) as one, open_weights(saved(file, given)) as other:
        found = loading(one, other)
    assert (found.share, list(map(str, found.reshaped))) == (0.8, ["head.w: [2], the file has [3]"])


def test_safetensors_are_read_without_their_library(tmp_path: Path) -> None:
    tensors: Arrays = {"w": np.arange(12, dtype=np.float32).reshape(3, 4), "h": np.ones(3, np.float16)}
    path = safetensors(tmp_path / "model.safetensors", tensors, lambda header: None)
    with open_weights(path) as weights:
        assert all(np.array_equal(array(weights.tensors[name]), tensors[name]) for name in tensors)


BAD_HEADERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another kind": lambda header: header["w"].update(dtype="F33"),
    "a shape of no numbers": lambda header: header["w"].update(shape=["3", 4]),
    "a negative size": lambda header: header["w"].update(shape=[-3, -4]),
    "sizes beyond the file": lambda header: header["w"].update(shape=[1 << 40, 1 << 40]),
    "too many dimensions": lambda header: header["w"].update(shape=[1] * 100),
    "an overlap": lambda header: header["h"].update(data_offsets=[0, 6]),
    "an end before its beginning": lambda header: header["w"].update(data_offsets=[48, 0]),
    "no entry": lambda header: header.update(w=None),
    "a hole": lambda header: header.pop("w"),
}


@pytest.mark.parametrize("change", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_safetensors_header_that_lies_is_refused(
    change: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    tensors: Arrays = {"w": np.ones((3, 4), np.float32), "h": np.ones(3, np.float16)}
    path = safetensors(tmp_path / "a.safetensors", tensors, change)
    with pytest.raises(CheckpointUnreadable), open_weights(path):
        pass


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xff\xff\xff\x00\x00\x00\x00{",
        (1 << 40).to_bytes(8, "little") + b"{}",
        (10).to_bytes(8, "little") + b"{" * 10,
        (100_000).to_bytes(8, "little") + b'{"a":' * 20_000,
        (20).to_bytes(8, "little") + b'{"a":{},"a":{}}     ',
    ],
)
def test_an_absurd_safetensors_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointUnreadable), open_weights(path):
        pass


def test_the_shards_of_an_index_are_one_model(tmp_path: Path) -> None:
    names = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for name, key in zip(names, "ab", strict=True):
        safetensors(tmp_path / name, {key: np.ones(3, np.float32)}, lambda header: None)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": names[0], "b": names[1]}}))
    for path in (index, tmp_path, tmp_path / names[0]):
        with open_weights(path) as weights:
            assert set(weights.tensors) == {"a", "b"}
    (tmp_path / names[1]).unlink()
    with pytest.raises(CheckpointUnreadable, match=names[1]), open_weights(index):
        pass


@pytest.mark.parametrize("table", ["[]", "{", '{"weight_map": {"a": "../x"}}', '{"weight_map": {"a": 3}}'])
def test_an_index_that_leads_elsewhere_is_refused(table: str, tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(table)
    with pytest.raises(CheckpointUnreadable), open_weights(index):
        pass


def test_a_distributed_checkpoint_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "__0_0.distcp").write_bytes(b"x")
    found = shards_of(tmp_path)
    assert found is not None
    assert found.is_distributed
    assert found.missing == (".metadata",)


def test_tensors_that_claim_more_than_the_file_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    shared = torch.zeros(100_000)
    path = saved(tmp_path / "a.pth", {f"w{n}": shared for n in range(100)})
    monkeypatch.setattr(weights_module, "LEAST_BUDGET", 0)
    with (
        pytest.raises(CheckpointUnreadable, match="would take 40000000 bytes"),
        open_weights(path) as weights,
    ):
        scan(weights)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=5))
def test_mutated_safetensors_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.safetensors"
    tensors: Arrays = {"w": np.ones((3, 4), np.float32), "h": np.ones(3, np.float16)}
    content = bytearray(safetensors(path, tensors, lambda header: None).read_bytes())
    for where, value in changes:
        content[int(where * len(content))] = value
    path.write_bytes(content)
    try:
        with open_weights(path) as weights:
            scan(weights)
    except CheckpointUnreadable as reason:
        assert str(reason)
