"""Checkpoints: what torch.save wrote is read back without torch; a damaged or hostile file says why not."""

import argparse
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opv2v_doctor.facts.launch.leaves import Difference
from opv2v_doctor.facts.past.checkpoints import Checkpoint, CheckpointUnreadable, read_checkpoint
from opv2v_doctor.facts.past.checkpoints.arguments import argument_differences

CONFIG = {
    "output_dir": "${hydra:run.dir}",
    "machine": {"root": "/elsewhere"},
    "train_params": {"lr": 1e-4, "epochs": 10, "decay": {"bias": [0.0, None, {"a": True}]}, "min": "${.lr}"},
    "loss": {"train_criterion": "A() + B(${train_params.lr})"},
    "dataset": {"root": "${machine.root}/opv2v", "length": "???"},
}
STEPS = 6
Change = Callable[[dict[str, Any]], Any]


def saved(path: Path, change: Change = lambda content: None) -> Path:
    """A checkpoint as the training writes it."""
    import torch
    from omegaconf import OmegaConf

    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    groups: list[dict[str, Any]] = [
        {"params": list(model[0].parameters())},
        {"params": list(model[1].parameters()), "lr": 0.5},
    ]
    optimizer = torch.optim.AdamW(groups)
    for _ in range(STEPS):
        model(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
    content = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": torch.GradScaler("cpu", enabled=True).state_dict(),
        "args": OmegaConf.create(CONFIG),
        "epoch": 2,
        "best_so_far": 1.25,
    }
    change(content)
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return saved(tmp_path_factory.mktemp("real") / "checkpoint-3.pth").read_bytes()


def rewritten(path: Path, change: Callable[[str, bytes], bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """The same archive with other members."""
    with zipfile.ZipFile(path) as archive:
        members = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, change(name, content))
    return path


def reason(path: Path) -> str:
    with pytest.raises(CheckpointUnreadable) as refused:
        read_checkpoint(path)
    return str(refused.value)


def test_the_counters_of_a_real_checkpoint_are_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "checkpoint-3.pth")
    found = read_checkpoint(path)
    assert (found.epoch, found.best_so_far, found.optimizer_steps) == (2, 1.25, (STEPS, STEPS))
    assert (found.has_optimizer, found.has_scaler, found.loss_scale) == (True, True, 65536.0)
    assert found.learning_rates == (0.001, 0.5)
    assert (found.global_step, found.world_size, found.foreign, found.problems) == (None, None, (), ())
    assert found.size == path.stat().st_size
    assert found.args == CONFIG


def test_the_model_is_counted_as_torch_counts_it(tmp_path: Path) -> None:
    import torch

    path = saved(tmp_path / "checkpoint-3.pth")
    model = torch.load(path, weights_only=False)["model"]
    found = read_checkpoint(path)
    assert (found.tensors, found.elements) == (len(model), sum(value.numel() for value in model.values()))


def test_numbers_may_be_numpys_or_tensors_of_any_kind(tmp_path: Path) -> None:
    import numpy as np
    import torch

    def change(content: dict[str, Any]) -> None:
        content["best_so_far"] = np.float64(0.75)
        states = content["optimizer"]["state"]
        states[0]["step"] = torch.tensor([9.0, 4.0, 7.0])[1:2]  # an offset into a larger storage
        states[1]["step"] = torch.tensor(8, dtype=torch.int64)
        states[2]["step"] = 5
        content["optimizer"]["param_groups"][0]["lr"] = torch.tensor(0.25, dtype=torch.float64)

    found = read_checkpoint(saved(tmp_path / "checkpoint-3.pth", change))
    assert (found.best_so_far, found.optimizer_steps) == (0.75, (4, 8))
    assert found.learning_rates == (0.25, 0.5)


def test_the_byte_order_of_the_file_is_respected(tmp_path: Path) -> None:
    def swap(name: str, content: bytes) -> bytes:
        if name.endswith("/byteorder"):
            return b"big"
        whole = len(content) // 4 * 4
        return (
            struct.pack(f">{whole // 4}f", *struct.unpack(f"<{whole // 4}f", content))
            if "/data/" in name
            else content
        )

    path = saved(tmp_path / "checkpoint-3.pth")
    rewritten(
        path, lambda name, content: content if name.endswith("serialization_id") else swap(name, content)
    )
    assert read_checkpoint(path).optimizer_steps == (STEPS, STEPS)


def test_compressed_members_are_read(tmp_path: Path) -> None:
    path = rewritten(saved(tmp_path / "a.pth"), lambda name, content: content, zipfile.ZIP_DEFLATED)
    assert read_checkpoint(path).optimizer_steps == (STEPS, STEPS)


def test_other_arguments_world_size_and_global_step_are_found(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["args"] = argparse.Namespace(world_size=4, output=Path("/a/b"))
        content["global_step"] = 12

    found = read_checkpoint(saved(tmp_path / "a.pth", change))
    assert (found.world_size, found.global_step) == (4, 12)
    assert found.args == {"world_size": 4, "output": "/a/b"}


def test_parts_that_are_missing_are_none(tmp_path: Path) -> None:
    found = read_checkpoint(saved(tmp_path / "a.pth", lambda content: content.clear()))
    assert (found.epoch, found.optimizer_steps, found.args, found.tensors) == (None, None, None, 0)
    assert not found.has_optimizer
    assert not found.has_scaler


def test_a_rewritten_file_is_read_again(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth")
    assert read_checkpoint(path).epoch == 2
    saved(path, lambda content: content.update(epoch=7))
    assert read_checkpoint(path).epoch == 7


class Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def test_what_loading_would_run_is_named_and_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = saved(tmp_path / "a.pth", lambda content: content.update(extra=Runs(f"touch '{canary}'")))
    assert read_checkpoint(path).foreign == ("posix.system",)
    assert not canary.exists()


def test_a_name_cannot_speak_to_the_terminal(tmp_path: Path) -> None:
    path = rewritten(
        saved(tmp_path / "a.pth"),
        lambda name, content: b"}cos\n\x1b[2Jsystem\n0." if name.endswith("data.pkl") else content,
    )
    assert read_checkpoint(path).foreign == ("os.\\x1b[2Jsystem",)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def zip_bomb(path: Path) -> None:
    rewritten(path, lambda name, _: bytes(80 << 20) if name.endswith(".pkl") else b"", zipfile.ZIP_DEFLATED)


def twice(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/DATA.PKL", b"N.")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"best_so_far")] ^= 1
    path.write_bytes(content)


def legacy(path: Path) -> None:
    import torch

    torch.save({"epoch": 1}, path, _use_new_zipfile_serialization=False)


def endless_directory(path: Path) -> None:
    """A sparse file whose directory would take 3 GB."""
    with path.open("wb") as file:
        file.truncate(3 << 30)
        file.seek(0, os.SEEK_END)
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 7, 7, 3 << 30, 0, 0))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (cut, "truncated"),
        (zip_bomb, "would take 83886080 bytes"),
        (twice, "2 data.pkl"),
        (flip, "checksum"),
        (legacy, "legacy pickle"),
        (endless_directory, "directory would take"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_text("not found"), "no zip"),
        (lambda path: path.write_text("<html>not found</html>"), "an HTML page"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "a Git LFS pointer"),
        (lambda path: rewritten(path, lambda name, content: b"N."), "no dictionary"),
        (lambda path: rewritten(path, lambda name, content: b"N"), "malformed"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: (path.unlink(), path.symlink_to("nowhere")), "link to nothing"),
        (lambda path: (path.unlink(), path.symlink_to(path)), "cannot be read"),
        (lambda path: (path.unlink(), path.mkdir()), "not a file"),
        (pipe, "not a file"),
    ],
)
def test_what_cannot_be_read_says_why(spoil: Callable[[Path], Any], word: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "checkpoint-last.pth")
    spoil(path)
    assert word in reason(path)


def test_a_storage_that_is_missing_is_a_problem(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth")
    rewritten(path, lambda name, content: b"" if "/data/" in name else content)
    found = read_checkpoint(path)
    assert found.optimizer_steps is None
    assert "data/" in str(found.problems[0])


def mutations(length: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    return st.lists(st.tuples(st.integers(0, length - 1), st.integers(0, 255)), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("mutated") / "checkpoint-last.pth"


def looked_at(path: Path) -> Checkpoint | str:
    try:
        return read_checkpoint(path)
    except CheckpointUnreadable as refused:
        return str(refused)


@settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_mutated_checkpoint_is_read_or_refused(real: bytes, place: Path, data: st.DataObject) -> None:
    content = bytearray(real)
    for at, value in data.draw(mutations(len(content))):
        content[at] = value
    place.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    assert looked_at(place)


@settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_mutated_pickle_in_an_intact_archive_runs_nothing(
    real: bytes, place: Path, data: st.DataObject
) -> None:
    place.write_bytes(real)
    canary = place.with_name("canary")
    call = (
        b"cposix\nsystem\nX" + struct.pack("<I", len(str(canary)) + 6) + b"touch " + bytes(canary) + b"\x85R0"
    )

    def mutate(name: str, content: bytes) -> bytes:
        if not name.endswith("data.pkl"):
            return content
        changed = bytearray(content)
        for at, value in data.draw(mutations(len(changed))):
            changed[at] = value
        at = data.draw(st.integers(2, len(changed)))
        return bytes(changed[:at]) + call + bytes(changed[at:])

    assert looked_at(rewritten(place, mutate))
    assert not canary.exists()


def differing(now: dict[str, Any], section: str) -> list[Difference]:
    return [each for each in argument_differences(CONFIG, now, section) if each.before != each.after]


def test_stored_values_are_compared_with_todays() -> None:
    now = {
        "machine": {"root": "/here"},
        "train_params": {
            "lr": 2e-4,
            "epochs": 10,
            "decay": {"bias": [0.0, None, {"a": True}]},
            "min": 3,
            "new": 1,
        },
        "loss": {"train_criterion": "A() + B(0.0002)"},
        "dataset": {"root": "/here/opv2v", "length": 8},
    }
    assert differing(now, "train_params") == [
        Difference(key="train_params.lr", before=1e-4, after=2e-4),
        Difference(key="train_params.new", before="(not set)", after=1),
    ]
    (criterion,) = differing(now, "loss")
    assert (criterion.before, criterion.after) == ("A() + B(0.0001)", "A() + B(0.0002)")
    assert differing(now, "dataset") == []


def test_a_config_that_refers_to_itself_for_ever_is_left_alone() -> None:
    endless = {"loss": {"a": "${loss.b}", "b": "x" + " ${loss.a}" * 1000}}
    assert argument_differences(endless, {"loss": {"a": 1, "b": 2}}, "loss") == []


@pytest.mark.parametrize("kind", ["numpy", "tensor"])
def test_counters_may_be_scalars_of_numpy_and_of_torch(kind: str, tmp_path: Path) -> None:
    import numpy as np
    import torch

    scalar = np.int64 if kind == "numpy" else torch.tensor

    def change(content: dict[str, Any]) -> None:
        content.update(epoch=scalar(3), global_step=scalar(24))

    found = read_checkpoint(saved(tmp_path / "a.pth", change))
    assert (found.epoch, found.global_step) == (3, 24)


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    from torch.serialization import set_crc32_options

    set_crc32_options(False)
    try:
        path = saved(tmp_path / "a.pth")
    finally:
        set_crc32_options(True)
    assert read_checkpoint(path).epoch == 2
