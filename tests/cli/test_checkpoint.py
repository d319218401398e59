"""The command `checkpoint`: a table of what is there, verdicts, and hostile files that end in a finding."""

import argparse
import copy
import csv
import io
import json
import os
import pickle
import shutil
import struct
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from opv2v_doctor.cli.checkpoint import app
from opv2v_doctor.user_error import UsageError

SECONDS = 20.0  # what a hostile file may take on a slow machine
CORPUS = Path(__file__).parents[1] / "corpus" / "checkpoints"


def command(*words: object) -> tuple[int, str]:
    """Exit code and output. Whatever else the command raises is a failure."""
    ran = CliRunner().invoke(app, [str(word) for word in words])
    if ran.exception and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran.exit_code, ran.output


def report(*words: object) -> dict[str, Any]:
    code, output = command(*words, "--format", "json")
    found: dict[str, Any] = json.loads(output)
    assert found["exit_code"] == code
    return found


def wrong(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [finding for finding in found["findings"] if finding["severity"] != "note"]


def write(path: Path, epoch: int = 1, scale: float = 1.0, **changes: Any) -> Path:
    """A small checkpoint as the training writes it."""
    import torch

    torch.manual_seed(0)
    model = {
        "encoder.w": torch.randn(4, 3) * scale,
        "head.w": torch.randn(3) * scale,
        "frozen.w": torch.ones(2),
    }
    state = {n: {"step": torch.tensor(10.0 * (epoch + 1)), "exp_avg": torch.zeros(3)} for n in range(2)}
    groups = [{"lr": 1e-3 / (epoch + 1), "weight_decay": 0.05, "params": [0, 1]}]
    content = {
        "model": model,
        "optimizer": {"state": state, "param_groups": groups},
        "scaler": {},
        "epoch": epoch,
        "best_so_far": 2.5,
        "args": argparse.Namespace(lr=1e-3, seed=0, model={"size": "large"}),
    }
    torch.save({**content, **changes}, path)
    os.utime(path, (1e9 + epoch, 1e9 + epoch))
    return path


def test_the_table_tells_the_counters_of_each_file(tmp_path: Path) -> None:
    for epoch in range(3):
        write(tmp_path / f"checkpoint-{epoch + 1}.pth", epoch)
    files = report(tmp_path)["files"]
    assert [row["epoch"] for row in files] == [0, 1, 2]
    assert [row["optimizer_steps"] for row in files] == [10, 20, 30]
    assert {row["steps_per_epoch"] for row in files} == {10}
    assert files[1]["learning_rates"] == [5e-4]
    assert (files[0]["parameters"], files[0]["best_so_far"]) == (17, 2.5)
    assert files[0]["bytes"] == (tmp_path / "checkpoint-1.pth").stat().st_size
    code, text = command(tmp_path)
    (refused,) = [line for line in text.splitlines() if "note: " in line]
    assert "torch.load refuses 3 files since torch 2.6, for argparse.Namespace" in refused
    assert "weights_only=False" in refused
    assert (code, len(text.splitlines())) == (0, 7)
    assert text.endswith("\n0 errors, 0 warnings; examined: 3 checkpoints, 21 tensors\n")
    rows = list(csv.DictReader(io.StringIO(command(tmp_path, "--format", "csv")[1])))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]


def test_configs_are_compared_with_one_another_and_with_hydras(tmp_path: Path) -> None:
    write(tmp_path / "a.pth", 0)
    write(tmp_path / "b.pth", 1, args=argparse.Namespace(lr=2e-3, seed=0, model={"size": "large"}))
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("lr: 0.001\nmodel:\n  size: small\n")
    one, other = report(tmp_path)["files"]
    assert other["config"] == {"lr": [0.001, 0.002]}
    assert one["launch"] == {"model.size": ["small", "large"]}
    assert other["launch"] == {"lr": [0.001, 0.002], "model.size": ["small", "large"]}
    assert "model.size: small -> large" in command(tmp_path)[1]


def test_steps_per_epoch_that_differ_are_a_warning(tmp_path: Path) -> None:
    import torch

    write(tmp_path / "a.pth", 0)
    write(tmp_path / "b.pth", 1, optimizer={"state": {0: {"step": torch.tensor(18.0)}}, "param_groups": []})
    (finding,) = wrong(report(tmp_path))
    assert (finding["severity"], finding["values"]["implied"]) == ("warning", {"a.pth": 10, "b.pth": 9})
    assert command(tmp_path, "--strict")[0] == 1


def test_deep_finds_nan_and_what_is_all_zero(tmp_path: Path) -> None:
    import torch

    model = {"a.w": torch.tensor([1.0, float("nan")]), "b.w": torch.zeros(3), "b.b": torch.zeros(3)}
    path = write(tmp_path / "a.pth", model=model)
    assert command(path)[0] == 0
    found = report(path, "--deep")
    assert [finding["severity"] for finding in wrong(found)] == ["error", "warning"]
    assert found["findings"][0]["values"]["bad"] == {"a.w": 1}
    assert found["findings"][1]["values"]["modules"] == ["b"]
    (a, b) = found["files"][0]["modules"]
    assert (a["norm"], a["bad"], b["all_zero"]) == (1.0, 1, True)


def test_what_a_model_would_not_get_is_said(tmp_path: Path) -> None:
    import torch

    file = write(tmp_path / "a.pth")
    model = write(tmp_path / "model.pth", model={"encoder.w": torch.ones(4, 3), "new.w": torch.ones(12)})
    (finding,) = wrong(report(file, "--model", model))
    assert finding["severity"] == "warning"
    assert finding["values"] | {"share": 0.5, "missing": ["new.w"]} == finding["values"]
    nothing = write(tmp_path / "other.pth", model={"module.encoder.w": torch.ones(4, 3)})
    (finding,) = wrong(report(nothing, "--model", model))
    assert (finding["severity"], finding["values"]["share"]) == ("error", 0)
    assert finding["hint"]["text"] == "load it without the prefix 'module.'"


def test_diff_tells_what_changed_and_what_stood_still(tmp_path: Path) -> None:
    one = write(tmp_path / "a.pth", 0)
    other = write(
        tmp_path / "b.pth", 1, scale=1.5, args=argparse.Namespace(lr=1e-3, seed=1, model={"size": 3})
    )
    found = report("diff", one, other)
    assert found["still"] == ["frozen.w"]
    assert found["counters"]["steps"] == [10, 20]
    assert found["counters"]["optimizer.group 0.lr"] == [1e-3, 5e-4]
    assert found["config"] == {"seed": [0, 1], "model.size": ["large", 3]}
    assert {each["module"]: each["relative"] for each in found["modules"]}["frozen"] == 0
    assert found["exit_code"] == 0
    code, text = command("diff", one, other)
    assert (code, "1 of 3 tensors did not move" in text) == (0, True)


def test_diff_of_later_steps_and_the_same_weights_is_an_error(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a.pth", 0), write(tmp_path / "b.pth", 1)
    assert report("diff", one, other)["exit_code"] == 1
    assert report("diff", one, one)["exit_code"] == 0


def test_a_path_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    for words in ((tmp_path / "none.pth",), (tmp_path,), ("diff", tmp_path, tmp_path)):
        with pytest.raises(UsageError):
            command(*words)


def test_a_legacy_pickle_gets_no_answer_and_the_reason(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "old.pth"
    torch.save({"epoch": 1}, path, _use_new_zipfile_serialization=False)
    found = report(path)
    assert found["exit_code"] == 3
    assert "legacy pickle" in found["findings"][0]["message"]
    assert "weights_only=True" in found["findings"][0]["hint"]["text"]


def test_a_folder_of_torch_distributed_gets_no_answer(tmp_path: Path) -> None:
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "__0_0.distcp").write_bytes(b"x")
    (tmp_path / "step" / ".metadata").write_bytes(b"x")
    found = report(tmp_path / "step")
    assert (found["exit_code"], found["files"][0]["bytes"]) == (3, 1)


def test_weights_alone_are_told_from_checkpoints(tmp_path: Path) -> None:
    import torch

    torch.save({"w": torch.ones(3)}, tmp_path / "weights.pth")
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    forms = {Path(row["file"]).name: (row["form"], row["parameters"]) for row in report(tmp_path)["files"]}
    assert forms == {"weights.pth": ("weights", 3), "m.safetensors": ("safetensors", 2)}


class Runs:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


def with_pickle(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", content)


def calls(path: Path) -> None:
    canary = path.with_name("canary")
    content = {"epoch": 1, "a": Runs(os.mkdir, str(canary)), "b": Runs(eval, f"open({str(canary)!r}, 'w')")}
    with_pickle(path, pickle.dumps(content, 2))


def laughs(path: Path) -> None:
    with_pickle(path, b"Nq\x00" + b"0](h\x00h\x00eq\x00" * 60 + b".")


def deep_config(path: Path) -> None:
    lists = b"]" * 100_000 + b"a" * 99_999
    with_pickle(path, b"}(X\x04\x00\x00\x00args" + lists + b"u.")


def zip_bomb(path: Path) -> None:
    with_pickle(path, bytes(200 << 20))


def overlapping(path: Path) -> None:
    """A thousand members are the same bytes of the file."""
    with zipfile.ZipFile(write(path), "a") as archive:
        last = max(archive.infolist(), key=lambda entry: entry.file_size)
        for number in range(1000):
            again = copy.copy(last)
            again.filename = f"a/data/{number + 100}"
            archive.filelist.append(again)
        archive.writestr("a/end", b"")


def two_directories(path: Path) -> None:
    """A second directory between the first one and the end: some readers would take that one."""
    content = write(path).read_bytes()
    at, end = content.rindex(b"PK\x01\x02"), content.rindex(b"PK\x06\x06")
    path.write_bytes(content[:end] + content[at:end] * 10 + content[end:])


def shared_storage(path: Path) -> None:
    """Ten thousand tensors that all are the same 4 MB."""
    import torch

    shared = torch.zeros(1_000_000)
    write(path, model={f"w{n}": shared for n in range(10_000)})


def long_shape(path: Path) -> None:
    write(path)
    with zipfile.ZipFile(path) as archive:
        members = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content.replace(b"K\x04K\x03\x86", b"J\xff\xff\xff\x7fK\x03\x86"))


def link(path: Path) -> None:
    path.symlink_to(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def header_of_terabytes(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 1 << 39) + b"{" + bytes(100))


def half(path: Path) -> None:
    write(path)
    path.write_bytes(path.read_bytes()[:1500])


@pytest.mark.parametrize(
    "make",
    [
        calls,
        laughs,
        deep_config,
        zip_bomb,
        overlapping,
        two_directories,
        shared_storage,
        long_shape,
        link,
        device,
        pipe,
        header_of_terabytes,
        half,
    ],
)
def test_a_hostile_file_ends_in_a_finding(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    make(path)
    start = time.perf_counter()
    found = report(path, "--deep")
    assert time.perf_counter() - start < SECONDS
    severities = [finding["severity"] for finding in found["findings"]]
    assert "error" in severities or make is deep_config, found["findings"]
    assert found["exit_code"] == (1 if "error" in severities else 0)
    command("diff", path, path)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_what_fuzzing_left_is_read_or_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    shutil.copy(CORPUS / name, path)
    for words in (("--deep",), ("--model", path)):
        assert command(path, *words)[0] in (0, 1, 3)
    assert command("diff", path, path)[0] in (0, 1, 3)


def of_kind(kind: str) -> Any:
    import torch

    with warnings.catch_warnings(action="ignore"):
        quantised = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    return {
        "float8_e4m3fn": torch.ones(3).to(torch.float8_e4m3fn),
        "sparse": torch.eye(3).to_sparse(),
        "quantised": quantised,
        "meta": torch.ones(3, device="meta"),
    }[kind]


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "sparse", "quantised", "meta"])
def test_a_tensor_of_a_kind_that_is_not_read_is_said_to_be_unread(kind: str, tmp_path: Path) -> None:
    import torch

    tensors = {"plain.a": torch.ones(3), "plain.b": torch.ones(3), "strange.a": of_kind(kind)}
    paths = [tmp_path / f"{epoch}.pth" for epoch in range(2)]
    for epoch, path in enumerate(paths):
        torch.save({"model": tensors, "epoch": epoch}, path)
    said = f"1 tensor was not read: strange.a: values of kind {kind} are not read"
    shown = report("show", "--deep", paths[0])
    assert [said] == [f["message"] for f in shown["findings"] if f["severity"] != "note"]
    assert shown["exit_code"] == 0
    assert {each["module"]: each["unread"] for each in shown["files"][0]["modules"]}["strange"] == 1
    difference = report("diff", *paths)
    messages = [finding["message"] for finding in difference["findings"]]
    assert said in messages
    assert "none of 2 tensors differs; 1 were not read" in messages
    assert not any("the same weights" in message for message in messages)
    assert any(
        line.split()[:4] == ["strange", "1", "not", "read"]
        for line in command("diff", *paths)[1].splitlines()
    )


PLACES: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "lightning": lambda model, state: {
        "state_dict": model,
        "optimizer_states": [state, copy.deepcopy(state)],
        "global_step": 8,
    },
    "named": lambda model, state: {"model_state_dict": model, "optimizer_state_dict": state},
    "several": lambda model, state: {"model": model, "optimizers": {"head": state, "rest": state}},
    "deepspeed": lambda model, state: {"module": model, "optimizer": None, "global_steps": 4},
}


@pytest.mark.parametrize("place", PLACES)
def test_the_optimizer_is_found_by_its_form(place: str, tmp_path: Path) -> None:
    import torch

    state = {
        "state": {0: {"step": torch.tensor(4.0), "exp_avg": torch.zeros(3)}},
        "param_groups": [{"lr": 0.5, "params": [0]}],
    }
    content = PLACES[place]({"a": torch.ones(3)}, state)
    torch.save({**content, "epoch": 0}, tmp_path / "a.pth")
    found = report("show", tmp_path)
    messages = [finding["message"] for finding in found["findings"]]
    if place == "deepspeed":
        assert messages == ["holds no state of the optimizer: a resume would start it anew"]
    else:
        assert messages == []
        assert found["files"][0]["optimizer_steps"] == 4
        assert found["files"][0]["learning_rates"][0] == 0.5


def test_the_folder_that_accelerate_writes_is_a_model_and_its_parts(tmp_path: Path) -> None:
    import torch

    torch.save({"a": torch.ones(3)}, tmp_path / "pytorch_model.bin")
    torch.save({"state": {}, "param_groups": [{"lr": 0.5, "params": [0]}]}, tmp_path / "optimizer.bin")
    torch.save({"last_epoch": 3, "_last_lr": [0.5]}, tmp_path / "scheduler.bin")
    torch.save({"scale": 4.0, "growth_factor": 2.0}, tmp_path / "scaler.pt")
    found = report("show", tmp_path)
    assert sorted(row["form"] for row in found["files"]) == ["optimizer", "scaler", "scheduler", "weights"]
    assert found["findings"] == []


def test_a_program_and_deepspeeds_shards_are_said_to_be_unread(tmp_path: Path) -> None:
    import torch

    folder = tmp_path / "ds" / "global_step4"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/data.pkl", pickle.dumps({}, 2))
        archive.writestr("script/constants.pkl", pickle.dumps((), 2))
    for rank in range(2):
        torch.save({}, folder / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
    for path, said, hint in (
        (tmp_path / "script.pt", "TorchScript", "torch.jit.load"),
        (folder, "2 shards that DeepSpeed wrote", f"{tmp_path}/ds/zero_to_fp32.py"),
    ):
        found = report("show", "--deep", path)
        (finding,) = found["findings"]
        assert (finding["severity"], found["exit_code"]) == ("warning", 3)
        assert said in finding["message"]
        assert hint in str(finding["hint"])


def with_states(path: Path, epoch: int, model: dict[str, Any], exp_avg: Any) -> Path:
    import torch

    moments = {"step": torch.tensor(4.0 * (epoch + 1)), "exp_avg": exp_avg}
    state, average = {"state": {0: moments}, "param_groups": []}, torch.ones(3)
    return write(path, epoch, model=model, optimizer=state, args=None, ema={"head.w": average})


def test_deep_and_diff_look_at_moments_averages_and_checksums(tmp_path: Path) -> None:
    import torch

    model = {"head.w": torch.ones(3)}
    good = with_states(tmp_path / "a.pth", 0, model, exp_avg=torch.full((3,), 0.25))
    assert wrong(report(good, "--deep")) == []
    bad = with_states(tmp_path / "b.pth", 0, model, exp_avg=torch.tensor([0.25, float("nan"), 0.25]))
    (finding,) = wrong(report(bad, "--deep"))
    assert finding["values"]["bad"] == {"optimizer.exp_avg.0": 1}
    (finding,) = wrong(report("diff", good, bad))
    assert finding["message"] == "NaN or infinite in 1 tensor: optimizer.exp_avg.0"
    stuck = with_states(tmp_path / "c.pth", 1, {"head.w": torch.zeros(3)}, exp_avg=torch.ones(3))
    (finding,) = wrong(report("diff", good, stuck))
    assert (finding["severity"], finding["message"]) == ("warning", "did not move with the steps: ema.head")
    content = good.read_bytes()
    at = content.index(struct.pack("<fff", 0.25, 0.25, 0.25))
    flipped = tmp_path / "d.pth"
    flipped.write_bytes(content[:at] + b"\1" + content[at + 1 :])
    odd = tmp_path / "e.pth"  # it has a member whose name is no text: torch never asks for it
    shutil.copy(good, odd)
    with zipfile.ZipFile(odd, "a") as archive:
        archive.writestr("odd/name", b"1")
    odd.write_bytes(odd.read_bytes().replace(b"odd/name", b"odd/\xe4ame"))
    assert wrong(report(odd, "--deep")) == []
    for found in (report(flipped, "--deep"), report("diff", good, flipped)):
        (finding,) = wrong(found)
        assert finding["message"].startswith("the checksum of 1 member does not match: a/data/")
        assert found["exit_code"] == 1


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_that_differ_by_a_wrappers_prefix_are_paired(prefix: str, tmp_path: Path) -> None:
    import torch

    one = write(tmp_path / "a.pth", 0, model={"head.w": torch.ones(3), "module.x": torch.ones(1)}, args=None)
    wrapped = {f"{prefix}head.w": torch.zeros(3), f"{prefix}module.x": torch.zeros(1)}
    found = report("diff", one, write(tmp_path / "b.pth", 1, model=wrapped, args=None))
    assert wrong(found) == []
    assert {each["moved"] for each in found["modules"]} == {1}
    assert any("2 names were paired without module." in each["message"] for each in found["findings"])
    other = {"tail.w": torch.zeros(3), f"{prefix}module.x": torch.zeros(1)}
    found = report("diff", one, write(tmp_path / "c.pth", 1, model=other, args=None))
    assert [each["values"]["names"] for each in wrong(found)] == [["head.w"], ["tail.w"]]


def test_quiet_tells_what_is_wrong_and_verbose_every_difference(tmp_path: Path) -> None:
    many = {f"key{number}": number for number in range(30)}
    others = {key: value + 1 for key, value in many.items()}
    one = write(tmp_path / "one.pth", args=argparse.Namespace(**many))
    other = write(tmp_path / "other.pth", epoch=2, args=argparse.Namespace(**others))
    table, quiet, full = (command(one, other, *words)[1] for words in ((), ("-q",), ("-v",)))
    assert "key29" not in table
    assert "  and 10 more: -v lists all" in table
    assert "key29: 29 -> 30" in full
    assert "errors" in quiet and "parameters" not in quiet and len(quiet.splitlines()) < 5
    with pytest.raises(UsageError, match="choose one"):
        command(one, "-q", "-v")


def test_checkpoints_are_told_in_chinese(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one.pth"), write(tmp_path / "other.pth", global_step=1)
    code, said = command(one, other, "--lang", "zh")
    assert code == 1
    assert "步数" in said and "错误" in said
    assert "错误" in command("diff", one, other, "--lang", "zh")[1]
